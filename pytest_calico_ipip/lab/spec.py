"""What a lab looks like, as data: names, addresses, blocks. The reference experiment's by default."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha1
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

POOL = IPv4Network("10.233.64.0/18")
BLOCK_PREFIX = 24
# the blocks that Calico chose for the reference names; further nodes take free ones from the pool, in order
REFERENCE_BLOCKS = (107, 109, 88)
UNDERLAY_NIC = "ens192"
UNDERLAY_MTU = 1500
GATEWAY = IPv4Address("10.7.120.1")
MANAGEMENT = IPv4Address("10.7.120.2")  # where the user's command runs
AS_NUMBER = 64512


@dataclass(frozen=True)
class NodeSpec:
    """One node: its name, its place in the underlay, its block and its tunnel address."""

    index: int  # from 1
    name: str
    address: IPv4Interface
    block: IPv4Network

    @property
    def tunnel_address(self) -> IPv4Address:
        """The block's first address, which is what Calico takes."""
        return self.block.network_address


@dataclass(frozen=True)
class Hook:
    """A command that runs in a node: at its start, or each time a pod on it is up."""

    node: str
    command: str  # for /bin/sh -c, in the node's namespaces


@dataclass(frozen=True)
class LabSpec:
    """Everything that the command line decides about a lab."""

    nodes: int = 3
    profile: str = "bird"  # bird, bird-3.32, felix
    ipip_mode: str = "Always"
    subnets: int = 1
    faults: tuple[str, ...] = ()
    at_start: tuple[Hook, ...] = ()
    at_pod: tuple[Hook, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)  # room for later options, kept readable

    def node_specs(self) -> tuple[NodeSpec, ...]:
        """The nodes, in order."""
        free = (third for third in range(64, 128) if third not in REFERENCE_BLOCKS)
        thirds = [*REFERENCE_BLOCKS, *free]
        return tuple(
            NodeSpec(
                index=index,
                name=f"virtnest-rook-ceph-{index}",
                address=IPv4Interface(f"10.7.120.{10 + index}/24"),
                block=IPv4Network(f"10.233.{thirds[index - 1]}.0/{BLOCK_PREFIX}"),
            )
            for index in range(1, self.nodes + 1)
        )

    def to_json(self) -> str:
        """For the guest: the same spec on the other side of the kernel."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LabSpec:
        """The inverse of `to_json`."""
        data = json.loads(text)
        data["faults"] = tuple(data["faults"])
        for key in ("at_start", "at_pod"):
            data[key] = tuple(Hook(**hook) for hook in data[key])
        return cls(**data)


def workload_interface(namespace: str, pod: str) -> str:
    """The host end of a pod's veth, as Calico's CNI plugin names it."""
    return "cali" + sha1(f"{namespace}.{pod}".encode(), usedforsecurity=False).hexdigest()[:11]
