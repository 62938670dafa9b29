"""Faults of BIRD's sessions, and of what it announces."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from ..spec import AS_NUMBER, GATEWAY, NodeSpec
from .fault import BirdEdit, Fault
from .objects import GROUP, custom
from .places import FIRST, SECOND, THIRD, on

if TYPE_CHECKING:
    from ..api.store import Store

_PEERS = f"bgppeers.{GROUP}"
_FOREIGN = IPv4Network("10.233.100.0/24")
_OUTSIDE_AS = 65000
_CTL = "-s /run/calico/bird.ctl"


async def _add_peer(store: Store) -> None:
    store.create(_PEERS, custom("rack-switch", {"peerIP": str(GATEWAY), "asNumber": _OUTSIDE_AS}))


def _switch(node: NodeSpec) -> BirdEdit:
    """A session with the subnet's router, which runs no BGP."""
    name = f"Global_{str(GATEWAY).replace('.', '_')}"
    protocol = (
        f"protocol bgp {name} {{\n  neighbor {GATEWAY} as {_OUTSIDE_AS};\n"
        f"  local {node.address.ip} as {AS_NUMBER};\n  ipv4 {{ import none; export none; }};\n}}\n"
    )
    return BirdEdit(node.name, "template bgp mesh {", f"{protocol}\ntemplate bgp mesh {{")


def also_announced(node: NodeSpec, block: IPv4Network) -> tuple[BirdEdit, ...]:
    """One node takes one more block for its own, and tells its peers."""
    return (
        BirdEdit(node.name, _blackhole(node.block), f"{_blackhole(node.block)}\n{_blackhole(block)}"),
        BirdEdit(node.name, f"net ~ [ {node.block} ]", f"net ~ [ {node.block}, {block} ]"),
    )


def _blackhole(block: IPv4Network) -> str:
    return f"  route {block} blackhole;"


def _neighbour(node: NodeSpec, as_number: int) -> str:
    return f"  neighbor {node.address.ip} as {as_number};"


FAULTS = (
    Fault(
        name="bgp-session-down",
        breaks=f"{SECOND.name} has a wrong AS number for {FIRST.name}: this one session stays down",
        fails=("ROUTE-2", "ROUTE-5", "PATH-1", "PATH-3", "PATH-7", "PATH-8", "PATH-9", "BGP-1"),
        bird=(
            BirdEdit(
                SECOND.name,
                _neighbour(FIRST, AS_NUMBER),
                _neighbour(FIRST, AS_NUMBER + 1),
                lost=(FIRST.name,),
                down=(FIRST.name,),
            ),
            # nothing is changed here, and the session is down here, too
            BirdEdit(
                FIRST.name,
                _neighbour(SECOND, AS_NUMBER),
                _neighbour(SECOND, AS_NUMBER),
                lost=(SECOND.name,),
                down=(SECOND.name,),
            ),
        ),
        verify=on(FIRST, f"birdcl {_CTL} show protocols | grep Mesh_10_7_120_12 | grep -qv Established"),
    ),
    Fault(
        name="bgp-peer-mute",
        breaks="a BGPPeer is configured, and where it should be nobody speaks BGP",
        fails=("BGP-1",),
        objects=_add_peer,
        bird=tuple(_switch(node) for node in (FIRST, SECOND)),
        nodes=2,
    ),
    Fault(
        name="foreign-route-announced",
        breaks=f"{SECOND.name} announces {_FOREIGN}, which is no block of its own",
        fails=("ROUTE-4", "BGP-2"),
        bird=also_announced(SECOND, _FOREIGN),
        verify=on(FIRST, f"ip route show exact {_FOREIGN} | grep -q tunl0"),
    ),
    Fault(
        name="block-not-announced",
        breaks=f"{SECOND.name} tells its peers nothing of its block, and all sessions are up",
        fails=("ROUTE-2", "ROUTE-5", "PATH-1", "PATH-3", "PATH-7", "PATH-8", "PATH-9", "BGP-2"),
        bird=(
            BirdEdit(SECOND.name, "filter to_peers {\n", "filter to_peers {\n  reject;\n"),
            BirdEdit(FIRST.name, "filter to_kernel {\n", "filter to_kernel {\n", lost=(SECOND.name,)),
            BirdEdit(THIRD.name, "filter to_kernel {\n", "filter to_kernel {\n", lost=(SECOND.name,)),
        ),
        verify=on(FIRST, f'test -z "$(ip route show exact {SECOND.block})"'),
        nodes=3,
    ),
)
