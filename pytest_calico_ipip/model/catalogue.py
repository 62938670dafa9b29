"""The requirements that have tests, as data: id, level, subject, and the sentence that a verdict shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class Requirement:
    """One line of the catalogue. A broken MUST fails the run; a broken SHOULD is a warning."""

    id: str  # "ROUTE-2"
    level: Literal["MUST", "SHOULD"]
    subject: Literal["node", "pair"]
    sentence: str


_TABLE: tuple[tuple[str, Literal["MUST", "SHOULD"], Literal["node", "pair"], str], ...] = (
    ("POOL-1", "MUST", "node", "Pods' addresses come from an enabled pool with IPIP on and VXLAN off"),
    ("NODE-4", "MUST", "node", "IPv4 forwarding is on, and a route to 169.254.1.1 leaves by no workload interface"),
    ("POD-1", "MUST", "node", "A pod under test is Running and Ready on the node, its address in an IPIP pool"),
    ("POD-2", "MUST", "node", "A pod's eth0 carries exactly its pod IP, as a /32"),
    ("POD-3", "MUST", "node", "A pod's default route is via 169.254.1.1 on eth0, with the link route to it"),
    ("POD-4", "MUST", "node", "169.254.1.1 resolves to the workload interface's MAC address"),
    ("VETH-1", "MUST", "node", "A workload interface is named after its pod"),
    ("VETH-2", "MUST", "node", "Workload interface and eth0 are each other's peer, in the pod's own namespace"),
    ("VETH-3", "MUST", "node", "Both ends are up and a veth, the node's end has the MAC address ee:ee:ee:ee:ee:ee"),
    ("VETH-4", "MUST", "node", "proxy_arp and forwarding are on for every workload interface"),
    ("TUN-1", "MUST", "node", "tunl0 is an ipip device open to any peer, TTL inherited, and UP"),
    ("TUN-2", "MUST", "node", "tunl0 carries exactly the node's tunnel address, as a /32"),
    ("MTU-1", "MUST", "node", "tunl0's MTU is what Felix's rule gives, and fits the underlay"),
    ("MTU-2", "MUST", "node", "A pod's two ends have one MTU, the least over the encapsulations that are on"),
    ("MTU-4", "MUST", "pair", "An unfragmentable echo of exactly the pod MTU is answered"),
    ("MTU-5", "MUST", "pair", "One byte more is refused at the sender with the MTU named, and not lost on the way"),
    ("ROUTE-1", "MUST", "node", "Every local pod has its /32 by its workload interface and by no other device"),
    ("ROUTE-2", "MUST", "node", "Every other node's block has one route, to that node, by the right device"),
    ("ROUTE-3", "MUST", "node", "Every own block is a blackhole"),
    ("ROUTE-4", "MUST", "node", "Inside IPIP pools there is no route that the datastore does not explain"),
    ("PATH-1", "MUST", "pair", "Each probe and reply is seen exactly once at each tap of its way, and at no other"),
    ("PATH-2", "MUST", "pair", "At eth0, workload interface and tunl0 the packet is bare, pod to pod"),
    ("PATH-3", "MUST", "pair", "On the underlay it is inside one IPIP header, node to node, made as the kernel must"),
    ("PATH-4", "MUST", "pair", "The reply mirrors it, outer and inner"),
    ("PATH-5", "MUST", "pair", "The inner TTL falls by one at each node and nowhere else; the rest is untouched"),
    ("PATH-6", "MUST", "node", "Two pods of one node talk directly, with nothing on tunl0 or the underlay NIC"),
    ("PATH-7", "MUST", "pair", "What a node sends to a remote pod is encapsulated, from its tunnel address"),
)

REQUIREMENTS: Mapping[str, Requirement] = MappingProxyType({row[0]: Requirement(*row) for row in _TABLE})
