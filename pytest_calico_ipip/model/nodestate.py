"""Records of what one node's kernel says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from pytest_calico_ipip.model.absent import Absent, present
from pytest_calico_ipip.model.bird import Bird
from pytest_calico_ipip.model.firewall import Firewall


@dataclass(frozen=True)
class Link:
    """One network device, from `ip -j -d addr`."""

    index: int
    name: str
    kind: str  # linkinfo's info_kind: veth, ipip, netkit; "" for a physical device
    mtu: int
    flags: tuple[str, ...]  # UP, LOWER_UP, NOARP …
    operstate: str  # UP, DOWN, UNKNOWN (normal for a tunnel)
    mac: str
    addresses: tuple[IPv4Interface, ...] = ()
    peer_index: int | None = None  # link_index: the ifindex of a veth's peer, in the peer's namespace
    peer_netnsid: int | None = None  # link_netnsid: None where the peer is in this namespace
    tunnel_local: str = ""  # "any", or an address (ipip only)
    tunnel_remote: str = ""
    tunnel_ttl: int | None = None  # 0 is inherit
    path_mtu_discovery: bool | None = None
    peer_namespace: str = ""  # the peer's namespace by name, where the reading itself names it
    detailed: bool = True  # False: read without -d, so kind and tunnel attributes were not asked for
    master: str = ""  # the bridge or bond that it is a port of
    parent: str = ""  # the device that it sits on (a VLAN's, for example)

    @property
    def up(self) -> bool:
        """The administrative flag, not the operstate."""
        return "UP" in self.flags


@dataclass(frozen=True)
class NextHop:
    """One way out of a route."""

    gateway: IPv4Address | None
    device: str
    flags: tuple[str, ...] = ()  # onlink …
    flags_known: bool = True  # False: the reading could not tell them (route -n prints none)


@dataclass(frozen=True)
class Route:
    """One IPv4 route, from `ip -j -d route show table all`."""

    type: str  # unicast, blackhole, local, broadcast, unreachable, prohibit …
    destination: IPv4Network
    table: str = "main"
    protocol: str = "boot"  # boot, kernel, bird, "80" …
    scope: str = "global"
    metric: int = 0
    next_hops: tuple[NextHop, ...] = ()  # none for a blackhole, more than one for ECMP
    mtu: int | None = None
    text: str = ""  # as `ip route` would print it, for messages


USUAL_TABLES = ("local", "main", "default")  # every kernel consults them; others by a rule that somebody made


@dataclass(frozen=True)
class Rule:
    """One policy rule, from `ip -j rule`."""

    priority: int
    table: str  # "" for a rule without a look-up (blackhole, unreachable, prohibit …)
    text: str
    source: IPv4Network | None = None  # None: from all
    destination: IPv4Network | None = None  # None: to all
    conditions: tuple[str, ...] = ()  # further selectors: fwmark, iif, oif, ipproto, not …
    action: str = ""  # "" is a look-up


@dataclass(frozen=True)
class Decision:
    """What `ip route get ADDRESS` decides."""

    destination: IPv4Address
    device: str
    gateway: IPv4Address | None
    type: str = "unicast"


@dataclass(frozen=True)
class Neighbour:
    """One entry of `ip -j neigh`."""

    address: str
    device: str
    mac: str  # "" where unresolved
    state: str


@dataclass(frozen=True)
class NamespaceState:
    """What was read inside the network namespace of one pod."""

    name: str  # cni-…
    links: tuple[Link, ...] | Absent
    routes: tuple[Route, ...] | Absent
    neighbours: tuple[Neighbour, ...] | Absent
    sysctl: Mapping[str, str] | Absent

    def link(self, name: str) -> Link | None:
        """The device of that name, None where it is not listed; raises `Missing` where no list was read."""
        return next((link for link in present(self.links) if link.name == name), None)


@dataclass(frozen=True)
class NodeState:
    """Everything that one node answered. Each part may be absent, with its reason."""

    name: str
    links: tuple[Link, ...] | Absent
    routes: tuple[Route, ...] | Absent
    rules: tuple[Rule, ...] | Absent
    neighbours: tuple[Neighbour, ...] | Absent
    sysctl: Mapping[str, str] | Absent
    namespace_ids: Mapping[int, str] | Absent  # `ip -j netns list`: netns id → name
    decisions: Mapping[IPv4Address, Decision] | Absent
    calico_mtu: int | Absent  # /var/lib/calico/mtu
    namespaces: Mapping[str, NamespaceState] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)  # file → the command that wrote it
    undecided: Mapping[IPv4Address, str] = field(default_factory=dict)  # a look-up that failed → what `ip` said
    firewalls: tuple[Firewall | Absent, ...] = ()  # one for each tool that was asked
    bird: Bird | Absent = Absent("what BIRD says", failed=False)  # noqa: RUF009, immutable
    unnumbered: frozenset[str] = (
        frozenset()
    )  # named namespaces without an id, where others have one: no link leads there
    partial: frozenset[str] = frozenset()  # files whose listing leaves lines out ("<...>"): what they lack is unknown

    def link(self, name: str) -> Link | None:
        """The device of that name, None where it is not listed; raises `Missing` where no list was read."""
        return next((link for link in present(self.links) if link.name == name), None)
