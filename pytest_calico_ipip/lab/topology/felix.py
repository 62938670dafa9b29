"""The routes that Felix programs where it owns them (from v3.33), as lines for `ip -batch`. Pure.

Felix writes them once and again whenever something changes; here the first set comes with the node's links, and the
routes of borrowed addresses come and go with their pods.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from ..spec import UNDERLAY_MTU, UNDERLAY_NIC, NodeSpec

PROTOCOL = 80
_TUNNEL_MTU = UNDERLAY_MTU - 20


def way(node: NodeSpec, peer: NodeSpec, ipip_mode: str) -> str:
    """How a node reaches what is on another one, in the words of `ip route`."""
    # the node's own prefix decides what is near
    if ipip_mode == "CrossSubnet" and peer.address.ip in node.address.network:
        return f"via {peer.address.ip} dev {UNDERLAY_NIC} proto {PROTOCOL} onlink"
    return f"via {peer.address.ip} dev tunl0 proto {PROTOCOL} onlink mtu {_TUNNEL_MTU}"


def block_routes(node: NodeSpec, nodes: Iterable[NodeSpec], ipip_mode: str) -> str:
    """A blackhole for each own block, and a way to each of the others."""
    lines = [f"route add blackhole {block} proto {PROTOCOL}" for block in node.blocks]
    for peer in nodes:
        if peer.index != node.index:
            lines += [f"route add {block} {way(node, peer, ipip_mode)}" for block in peer.blocks]
    return "".join(f"{line}\n" for line in lines)


def is_borrowed(node: NodeSpec, address: IPv4Address) -> bool:
    """Whether an address of a pod on this node lies outside of the node's own blocks."""
    return not any(IPv4Network(address).subnet_of(block) for block in node.blocks)
