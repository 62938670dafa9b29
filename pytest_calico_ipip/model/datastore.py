"""Records of what the API server says: nodes, pods, and Calico's own objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from pytest_calico_ipip.model.absent import Absent, Missing
from pytest_calico_ipip.model.disturbance import Disturbance


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
    bgp_export: bool = True  # False: disableBGPExport

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
    host_local: bool = False  # a node's podCIDR, where IPAM is not Calico's: its size is Kubernetes' choice

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
    wireguard_v6: bool = False  # IPv6's encapsulations have MTUs of their own, and pods have one for both families
    vxlan_mtu_v6: int = 0
    wireguard_mtu_v6: int = 0
    ipip_enabled: bool | None = None  # ipipEnabled as set; None: Felix decides by the pools
    vxlan_enabled: bool | None = None  # vxlanEnabled as set; None: Felix decides by the pools
    networking_backend: str = ""  # calico-node's CALICO_NETWORKING_BACKEND: bird, vxlan, none; "" where not known
    host_local_ipam: bool = False  # calico-node's USE_POD_CIDR: a node's block is its podCIDR

    @property
    def without_bird(self) -> bool:
        """Whether calico-node runs no BIRD (the operator's `bgp: Disabled`, for example)."""
        return self.networking_backend in ("none", "vxlan")


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
    route_reflector: bool = False  # annotation RouteReflectorClusterID: no part of the mesh
    annotated: bool = True  # False: the evidence has this node without its annotations (made by hand)


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
    readiness_told: bool = True  # False: the object has no conditions, and is taken as ready
    under_test: bool = False  # ours: label app=sleep-curl (in a live run also the run's label)
    floating: tuple[IPv4Address, ...] = ()  # addresses that its node translates to its own (annotation floatingIPs)

    @property
    def ended(self) -> bool:
        """Whether its containers have ended for good: the API still tells its address, which may be another pod's."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def key(self) -> str:
        """The pod as `namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class BgpPeer:
    """A BGPPeer: which nodes have which peer."""

    name: str
    node: str = ""  # one node by name; "" leaves it to the selector
    node_selector: str = ""  # "" with no node: every node
    peer: IPv4Address | None = None  # peerIP; None for IPv6, and where a selector chooses the peers
    peer_selector: str = ""


@dataclass(frozen=True)
class Datastore:
    """Everything that was read from the API server, parsed."""

    nodes: Mapping[str, ClusterNode]  # in the API's order; only Linux nodes that run Calico
    pods: tuple[Pod, ...] = ()
    pools: tuple[Pool, ...] = ()
    blocks: tuple[Block, ...] = ()
    affinities: tuple[Affinity, ...] = ()
    mesh: bool = True  # BGPConfiguration nodeToNodeMeshEnabled, on by default
    bgp_peers: tuple[BgpPeer, ...] = ()
    bgp_filtered: bool = False  # a BGPPeer names filters: what a peer gets is not the datastore's to say
    changed_nodes: tuple[str, ...] = ()  # nodes that were not the same before and after the run
    unreadable: tuple[str, ...] = ()  # objects left out, each with why
    notes: tuple[str, ...] = ()  # what the report should say: "changed during the run: …", "no DaemonSet …"
    unsettled: tuple[IPv4Network, ...] = ()  # addresses of objects that changed during the run: not judged
    group: str = "crd.projectcalico.org"  # the API group that Calico's pools were read from
    groups: Mapping[str, str] = field(default_factory=dict)  # plural → its group, where that may be another one
    others: Mapping[str, tuple[IPv4Address, ...]] = field(default_factory=dict)  # all further nodes: their addresses
    disturbances: tuple[Disturbance, ...] = ()  # what Kubernetes did meanwhile to nodes and to pods under test
    absent: Mapping[str, Absent] = field(default_factory=dict)  # plural ("ippools") → why its list is not there
    vxlan_v6: bool = False  # whether an IPv6 pool is encapsulated in VXLAN

    def need(self, *plurals: str) -> None:
        """Raise `Missing` where one of these lists was not read, or only in part."""
        for plural in plurals:
            if plural in self.absent:
                raise Missing(self.absent[plural])

    def pool_of(self, address: IPv4Address) -> Pool | None:
        """The pool that this address comes from: the most specific one that contains it."""
        holding = [pool for pool in self.pools if address in pool.cidr]
        return max(holding, key=lambda pool: pool.cidr.prefixlen) if holding else None

    def block_of(self, address: IPv4Address) -> Block | None:
        """The block that this address lies in: the most specific one."""
        holding = [block for block in self.blocks if address in block.cidr]
        return max(holding, key=lambda block: block.cidr.prefixlen) if holding else None

    def workloads(self, node: str | None = None) -> tuple[Pod, ...]:
        """The live pods that Calico networks by IPIP: not hostNetwork, Running, not being deleted, in an IPIP pool.

        Where no pools were read, the pods under test stand for them.
        """
        return tuple(
            pod
            for pod in self.pods
            if (node is None or pod.node == node)
            and pod.ip is not None
            and not pod.host_network
            and not pod.deleting
            and pod.phase == "Running"
            and self._by_ipip(pod.ip, pod.under_test)
        )

    def _by_ipip(self, address: IPv4Address, under_test: bool) -> bool:
        if "ippools" in self.absent and not self.pools:
            return under_test
        pool = self.pool_of(address)
        return pool is not None and pool.ipip
