"""What the datastore leads to expect of one node: records only."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from pytest_calico_ipip.model.datastore import ClusterNode, Pod

TUNNEL_DEVICE = "tunl0"


@dataclass(frozen=True)
class Way:
    """How a packet for one address leaves a node.

    `tunnel`: encapsulated by tunl0 towards `next_hop` (eight taps between two pods);
    `underlay`: bare through the underlay NIC towards `next_hop` (six taps); `local`: it stays on this node.
    """

    kind: Literal["tunnel", "underlay", "local"]
    node: str  # where the address lives
    next_hop: IPv4Address | None = None  # that node's address; None when local, or where it has none


@dataclass(frozen=True)
class ExpectedRoute:
    """One IPv4 route that the datastore explains. The metric, the protocol and the route's MTU are free."""

    destination: IPv4Network
    kind: Literal["tunnel", "underlay", "workload", "blackhole", "local"]
    next_hop: IPv4Address | None = None  # tunnel and underlay only
    device: str = ""  # workload: the interface's name; "" elsewhere: tunl0 or the underlay NIC, by kind
    requirement: str = ""  # which requirement wants it: ROUTE-1, 2, 3, 6; "" for one that may be there
    why: str = ""  # "block of virtnest-rook-ceph-2", "pod sleep-curl/sleep-curl-1"
    owner: str = ""  # the node that it leads to; "" for this node itself


@dataclass(frozen=True)
class LocalPod:
    """A live pod on this node, and the name that Calico gives its workload interface."""

    pod: Pod
    interface: str

    @property
    def address(self) -> IPv4Address:
        """The pod's IP."""
        if self.pod.ip is None:  # never: only pods with an address become LocalPods
            raise ValueError(f"{self.pod.key} has no address")
        return self.pod.ip


@dataclass(frozen=True)
class NodeExpectation:
    """What one node must look like, from the datastore alone. Interface names of the underlay are not in it:
    `expected.underlay` finds the NIC in what the node said.
    """

    node: ClusterNode
    ipip: bool  # whether Felix runs IPIP at all
    vxlan: bool
    vxlan_v6: bool
    tunnel_address: IPv4Address | None
    has_tunnel_address: bool  # False: tunl0 carries none (eBPF host-source mode, or no IPIP pool selects this node)
    pods: tuple[LocalPod, ...]  # live, networked by IPIP, in the API's order
    routes: tuple[ExpectedRoute, ...]
    ways: tuple[tuple[IPv4Network, Way], ...]  # most specific first

    def way_to(self, address: IPv4Address) -> Way | None:
        """How this node must send a packet for `address`: a pod's, a tunnel's, or any other inside a block.

        `.kind` is "tunnel", "underlay" or "local" (a pair of pods then has eight, six or four taps), `.next_hop` the
        other node's address. A live pod is where the API says, whatever block it borrowed its address from; any other
        address is where its block is affine. In CrossSubnet this node's own mask decides. None where the datastore
        does not place the address (not in a block, or the block's node is gone).
        """
        return next((way for network, way in self.ways if address in network), None)

    def routes_for(self, requirement: str) -> tuple[ExpectedRoute, ...]:
        """The routes that one requirement (ROUTE-1, 2, 3 or 6) wants."""
        return tuple(route for route in self.routes if route.requirement == requirement)
