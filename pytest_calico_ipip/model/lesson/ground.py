"""Looks up what a lesson tells: which route of a table fits an address, what a pod's namespace says, who owns what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

from pytest_calico_ipip.model.absent import Absent, Missing
from pytest_calico_ipip.model.checks.pairing import Pairing, pair
from pytest_calico_ipip.model.datastore import ClusterNode, Datastore, Pod
from pytest_calico_ipip.model.expected import LocalPod, underlay, workload_interface
from pytest_calico_ipip.model.lesson.records import Fact
from pytest_calico_ipip.model.nodestate import Link, NamespaceState, Neighbour, NodeState, Route
from pytest_calico_ipip.model.world import World

TABLES = ("local", "main", "default")  # the order in which the kernel asks them where nobody made rules


class Ground:
    """One node of a world. Whatever is not in the evidence is None, or empty: a lesson then says less."""

    def __init__(self, world: World, datastore: Datastore, name: str) -> None:
        self.name = name
        self.node: ClusterNode | None = datastore.nodes.get(name)
        self.state: NodeState | None = world.nodes.get(name)
        self._prefix = self.node.configuration.interface_prefix if self.node is not None else "cali"

    @property
    def address(self) -> IPv4Address | None:
        """The node's own address, as Calico has it."""
        return self.node.address.ip if self.node is not None and self.node.address is not None else None

    def link(self, name: str) -> Link | None:
        """A device of the node."""
        links = self.state.links if self.state is not None else ()
        return None if isinstance(links, Absent) else next((one for one in links if one.name == name), None)

    def nic(self) -> Link | None:
        """The underlay NIC."""
        if self.node is None or self.state is None:
            return None
        try:
            return underlay(self.node, self.state)
        except Missing:
            return None

    def sysctl(self, name: str) -> str:
        """A kernel setting, "" where it was not read."""
        values = self.state.sysctl if self.state is not None else {}
        return "" if isinstance(values, Absent) else values.get(name, "")

    def route(self, address: IPv4Address) -> Route | None:
        """The route that a packet for this address takes. None too where policy rules would have to be followed."""
        return None if self.state is None or self._ruled() else best(fitting(self.state.routes, address))

    def blackhole(self, address: IPv4Address) -> Route | None:
        """The blackhole that this address lies in."""
        routes = self.state.routes if self.state is not None else ()
        return best([route for route in fitting(routes, address) if route.type == "blackhole"])

    def decision(self, address: IPv4Address) -> Fact | None:
        """What the kernel answered to `ip route get`."""
        decisions = self.state.decisions if self.state is not None else {}
        found = None if isinstance(decisions, Absent) else decisions.get(address)
        if found is None:
            return None
        words = [] if found.type == "unicast" else [found.type]
        words += [
            str(address),
            *(["via", str(found.gateway)] if found.gateway is not None else []),
            "dev",
            found.device,
        ]
        return Fact("decision", " ".join(words))

    def neighbour(self, address: IPv4Address, device: str) -> Neighbour | None:
        """What the node's neighbour table has for an address."""
        return _neighbour(self.state.neighbours if self.state is not None else (), address, device)

    def pairing(self, pod: Pod) -> Pairing | None:
        """The pod's workload interface and namespace."""
        if self.state is None:
            return None
        try:
            return pair(self.state, LocalPod(pod, workload_interface(pod.namespace, pod.name, self._prefix)))
        except Missing:
            return None

    def _ruled(self) -> bool:
        """Whether rules other than the kernel's own three have a say."""
        rules = self.state.rules if self.state is not None else ()
        return not isinstance(rules, Absent) and any(rule.table not in TABLES or rule.conditions for rule in rules)


def inside(namespace: NamespaceState | None, address: IPv4Address) -> tuple[Route | None, Neighbour | None]:
    """The route by which a pod sends to an address, and the neighbour that its gateway resolves to."""
    if namespace is None:
        return None, None
    route = best(fitting(namespace.routes, address))
    hop = route.next_hops[0] if route is not None and route.next_hops else None
    if hop is None or hop.gateway is None:
        return route, None
    return route, _neighbour(namespace.neighbours, hop.gateway, hop.device)


def pod_device(namespace: NamespaceState | None, pod: Pod) -> Link | None:
    """The device inside that carries the pod's address."""
    links = namespace.links if namespace is not None else ()
    if isinstance(links, Absent):
        return None
    return next((link for link in links if any(address.ip == pod.ip for address in link.addresses)), None)


def fitting(routes: Sequence[Route] | Absent, address: IPv4Address) -> list[Route]:
    """The routes that contain an address, table by table."""
    known = () if isinstance(routes, Absent) else routes
    return [route for table in TABLES for route in known if route.table == table and address in route.destination]


def best(routes: Sequence[Route]) -> Route | None:
    """The one that wins: of the first table, the longest prefix, then the least metric."""
    first = [route for route in routes if route.table == routes[0].table]
    return min(first, key=lambda route: (-route.destination.prefixlen, route.metric), default=None)


def route_facts(*routes: Route | None) -> Iterator[Fact]:
    """Routes as `ip route` prints them."""
    for route in routes:
        if route is not None:
            yield Fact("route", route.text or str(route.destination))


def device_fact(link: Link | None) -> Iterator[Fact]:
    """A device in a line: kind, MTU, addresses, and where a tunnel leads."""
    if link is None:
        return
    words = [f"{link.name}:", *([link.kind] if link.kind else []), f"mtu {link.mtu}"]
    if link.kind == "ipip":
        words.append(f"remote {link.tunnel_remote} local {link.tunnel_local}")
        words.append(f"ttl {link.tunnel_ttl or 'inherit'}")
    words += [f"inet {address}" for address in link.addresses]
    yield Fact("device", " ".join(words))


def neighbour_fact(neighbour: Neighbour | None) -> Iterator[Fact]:
    """A neighbour as `ip neigh` prints it."""
    if neighbour is not None and neighbour.mac:
        yield Fact("neighbour", f"{neighbour.address} dev {neighbour.device} lladdr {neighbour.mac}")


def _neighbour(neighbours: Sequence[Neighbour] | Absent, address: IPv4Address, device: str) -> Neighbour | None:
    known = () if isinstance(neighbours, Absent) else neighbours
    return next((one for one in known if one.address == str(address) and one.device == device), None)
