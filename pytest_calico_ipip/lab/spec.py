"""What a lab looks like, as data: names, addresses, blocks. The reference experiment's by default."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha1
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from .profiles import PROFILES, Profile

POOL = IPv4Network("10.233.64.0/18")
BLOCK_PREFIX = 24
SECOND_POOL = IPv4Network("10.234.64.0/18")
SECOND_BLOCK_PREFIX = 26  # Calico's own default, for once
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
    second_block: IPv4Network | None = None  # of the second pool, where there is one and the node draws from it

    @property
    def blocks(self) -> tuple[IPv4Network, ...]:
        """All blocks that the node has claimed, that of the first pool first."""
        return (self.block,) if self.second_block is None else (self.block, self.second_block)

    @property
    def gateway(self) -> IPv4Address:
        """Where its default route leads: the router's address in its subnet."""
        return self.address.network.network_address + 1

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
    profile: str = "bird"  # bird, nft, bird-3.32, felix
    ipip_mode: str = "Always"
    subnets: int = 1
    faults: tuple[str, ...] = ()
    at_start: tuple[Hook, ...] = ()
    at_pod: tuple[Hook, ...] = ()
    # what few labs have: borrow=NODE, second-pool=yes, sshd=no, pod-tools=busybox, node-tools=bare, native=yes,
    # memory=MEGABYTES
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def generation(self) -> Profile:
        """What the profile's name stands for."""
        return PROFILES[self.profile]

    @property
    def borrower(self) -> str:
        """The node that one pod of has an address from another node's block; empty for none."""
        return self.extra.get("borrow", "")

    @property
    def sshd(self) -> bool:
        """Whether the nodes run one."""
        return self.extra.get("sshd") != "no"

    @property
    def memory(self) -> int:
        """Megabytes for the guest, where there is one; 0: as many as its nodes need."""
        return int(self.extra.get("memory", 0))

    @property
    def native(self) -> bool:
        """Whether Calico's kinds are native CRDs, `projectcalico.org/v3`."""
        return "native" in self.extra

    @property
    def pools(self) -> tuple[IPv4Network, ...]:
        """The pools' networks."""
        return (POOL, SECOND_POOL) if "second-pool" in self.extra else (POOL,)

    def node_specs(self) -> tuple[NodeSpec, ...]:
        """The nodes, in order; the subnets get neighbours, the first ones more where they do not divide evenly."""
        free = (third for third in range(64, 128) if third not in REFERENCE_BLOCKS)
        thirds = [*REFERENCE_BLOCKS, *free]
        return tuple(
            NodeSpec(
                index=index,
                name=f"virtnest-rook-ceph-{index}",
                address=IPv4Interface(f"10.7.{120 + (index - 1) * self.subnets // self.nodes}.{10 + index}/24"),
                block=IPv4Network(f"10.233.{thirds[index - 1]}.0/{BLOCK_PREFIX}"),
                second_block=self._second_block(index),
            )
            for index in range(1, self.nodes + 1)
        )

    def _second_block(self, index: int) -> IPv4Network | None:
        """Every other node has one, so that there are pairs of all kinds."""
        if SECOND_POOL not in self.pools or index % 2:
            return None
        return list(SECOND_POOL.subnets(new_prefix=SECOND_BLOCK_PREFIX))[index]

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
