"""Records of what the API server says: nodes, pods, and Calico's own objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network


@dataclass(frozen=True)
class Pool:
    """An IPPool (IPv4)."""

    name: str
    cidr: IPv4Network
    ipip_mode: str  # Never, Always, CrossSubnet; unset is Never
    vxlan_mode: str
    block_size: int  # prefix length; 26 where the pool does not say
    disabled: bool = False
    nat_outgoing: bool = False
    node_selector: str = ""
    allowed_uses: tuple[str, ...] = ()

    @property
    def ipip(self) -> bool:
        """Whether packets to this pool's addresses are encapsulated in IPIP, always or across subnets."""
        return self.ipip_mode in ("Always", "CrossSubnet")


@dataclass(frozen=True)
class Allocation:
    """One address that IPAM gave away."""

    address: IPv4Address
    handle: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """An IPAMBlock."""

    cidr: IPv4Network
    affinity: str | None  # "host:virtnest-rook-ceph-1", "virtual:…", None
    allocations: tuple[Allocation, ...] = ()
    deleted: bool = False

    @property
    def host(self) -> str | None:
        """The node that this block is affine to, None for virtual affinities and for none."""
        return self.affinity[5:] if self.affinity and self.affinity.startswith("host:") else None


@dataclass(frozen=True)
class Affinity:
    """A BlockAffinity."""

    cidr: IPv4Network
    node: str
    state: str  # confirmed, pending, pendingDeletion
    type: str = "host"
    deleted: bool = False


@dataclass(frozen=True)
class Release:
    """A Calico release as its version string says it: v3.31.7 is Release(3, 31, 7)."""

    major: int
    minor: int
    patch: int
    text: str

    def at_least(self, major: int, minor: int) -> bool:
        """Whether this release is major.minor or later."""
        return (self.major, self.minor) >= (major, minor)


@dataclass(frozen=True)
class Configuration:
    """Calico's configuration as it is in force on one node (environment, node.<name>, default, release's default)."""

    ipip_mtu: int = 0  # 0: Felix's automatic rule
    mtu_interface_pattern: str = r"^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)"
    interface_prefix: str = "cali"
    felix_programs: str = ""  # programClusterRoutes as set in FelixConfiguration; "" is unset
    bgp_programs: str = ""  # programClusterRoutes as set in BGPConfiguration; "" is unset
    device_route_protocol: int = 80
    external_nodes: tuple[str, ...] = ()
    wireguard: bool = False
    bpf: bool = False
    bpf_overlay_host_source: str = ""
    vxlan_mtu: int = 0
    wireguard_mtu: int = 0


@dataclass(frozen=True)
class ClusterNode:
    """A Kubernetes node with Calico's annotations."""

    name: str
    address: IPv4Interface | None  # annotation IPv4Address (a CIDR); None where unset or no CIDR
    address_text: str = ""  # the annotation as written
    tunnel_address: IPv4Address | None = None  # annotation IPv4IPIPTunnelAddr
    tunnel_address_text: str = ""
    internal_ips: tuple[IPv4Address, ...] = ()
    ready: bool = True
    schedulable: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    release: Release | str = ""  # str: what could not be parsed
    configuration: Configuration = field(default_factory=Configuration)


@dataclass(frozen=True)
class Pod:
    """A pod as the API server says it."""

    namespace: str
    name: str
    node: str
    ip: IPv4Address | None
    ips: tuple[IPv4Address, ...] = ()
    host_network: bool = False
    phase: str = "Running"
    ready: bool = True
    deleting: bool = False
    under_test: bool = False  # ours: label app=sleep-curl (in a live run also the run's label)

    @property
    def key(self) -> str:
        """The pod as `namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Datastore:
    """Everything that was read from the API server, parsed."""

    nodes: Mapping[str, ClusterNode]  # in the API's order; only Linux nodes that run Calico
    pods: tuple[Pod, ...] = ()
    pools: tuple[Pool, ...] = ()
    blocks: tuple[Block, ...] = ()
    affinities: tuple[Affinity, ...] = ()
    unreadable: tuple[str, ...] = ()  # objects left out, each with why
