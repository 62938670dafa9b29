"""The points that a packet passes on its way, and which tap of a capture watches each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pytest_calico_ipip.model.absent import Absent, Missing
from pytest_calico_ipip.model.datastore import Datastore, Pod
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE, beneath, underlay, workload_interface
from pytest_calico_ipip.model.nodestate import Link, NodeState
from pytest_calico_ipip.model.wire import TapReading


class Role(str, Enum):
    """What a point is to the packet."""

    POD = "pod's eth0"
    WORKLOAD = "workload interface"
    TUNNEL = "tunnel device"
    UNDERLAY = "underlay NIC"


@dataclass(frozen=True)
class Point:
    """One point of a way. `tap` is an index into `Capture.taps`, None where nothing watched this point."""

    node: str
    role: Role
    interface: str  # the name to show: eth0, cali747350e5fc9, tunl0, ens192
    tap: int | None = None
    problem: str = ""  # why the tap may have missed a packet; "" where it saw all that passed
    optional: bool = False  # a healthy packet may pass without being seen (eBPF hands it over before the interface)

    def __str__(self) -> str:
        return f"{self.node} {self.interface}"


class Points:
    """Finds the tap that watches a point, from names that the datastore leads to and from what the nodes said."""

    def __init__(self, taps: Sequence[TapReading], datastore: Datastore, nodes: Mapping[str, NodeState]) -> None:
        self._datastore = datastore
        self._nodes = nodes
        self._at: dict[tuple[str, str], tuple[int, TapReading]] = {}  # (node, interface), on the node itself
        self._inside: dict[str, list[tuple[int, TapReading]]] = defaultdict(list)  # node: in network namespaces
        for index, reading in enumerate(taps):
            if reading.tap.netns is None:
                self._at.setdefault((reading.tap.node, reading.tap.interface), (index, reading))
            else:
                self._inside[reading.tap.node].append((index, reading))
        self._known: dict[tuple[Role, str], Point] = {}
        self._below: dict[str, tuple[str, ...]] = {}  # node: the tapped devices that carry its underlay NIC's packets

    def tunnel(self, node: str) -> Point:
        """tunl0."""
        return self._once(Role.TUNNEL, node, lambda: self._point(node, Role.TUNNEL, TUNNEL_DEVICE, (TUNNEL_DEVICE,)))

    def underlay(self, node: str) -> Point:
        """The NIC that holds the node's address; where the node did not say which, the one device left."""
        return self._once(Role.UNDERLAY, node, lambda: self._underlay(node))

    def beneath(self, node: str) -> frozenset[int]:
        """The taps at devices that carry the underlay NIC's packets, and so see them once more."""
        return frozenset(self._at[node, name][0] for name in self._tapped_beneath(node))

    def unplaced(self, pod: Point) -> frozenset[int]:
        """Where nothing says which namespace is a pod's: all taps in namespaces of its node, any of which may be it."""
        if pod.role is not Role.POD or pod.tap is not None:
            return frozenset()
        return frozenset(index for index, _ in self._inside[pod.node])

    def workload(self, pod: Pod) -> Point:
        """The host end of the pod's veth: by Calico's name for it, or as the peer of the pod's eth0."""
        names = self._host_ends(pod)
        return self._once(
            Role.WORKLOAD, f"{pod.node} {pod.key}", lambda: self._point(pod.node, Role.WORKLOAD, names[0], names)
        )

    def pod(self, pod: Pod) -> Point:
        """eth0 inside the pod's network namespace."""
        return self._once(Role.POD, f"{pod.node} {pod.key}", lambda: self._pod(pod))

    def _once(self, role: Role, key: str, find: Callable[[], Point]) -> Point:
        if (role, key) not in self._known:
            self._known[role, key] = find()
        return self._known[role, key]

    def _underlay(self, node: str) -> Point:
        link = self._underlay_link(node)
        if link is not None:
            below = self._tapped_beneath(node)
            # where one device alone was tapped that carries its packets, that tap has them all
            names = (link.name, *below) if len(below) == 1 else (link.name,)
            return self._point(node, Role.UNDERLAY, link.name, names)
        prefix = self._prefix(node)
        left = [
            interface
            for tapped, interface in self._at
            if tapped == node and interface != TUNNEL_DEVICE and not interface.startswith(prefix)
        ]
        if len(left) == 1:
            return self._point(node, Role.UNDERLAY, left[0], (left[0],))
        return Point(node, Role.UNDERLAY, "underlay NIC")

    def _tapped_beneath(self, node: str) -> tuple[str, ...]:
        if node not in self._below:
            link = self._underlay_link(node)
            below = beneath(link, self._links(node)) if link is not None else ()
            tapped = (name for name in below if (node, name) in self._at and name != TUNNEL_DEVICE)
            self._below[node] = tuple(name for name in tapped if not name.startswith(self._prefix(node)))
        return self._below[node]

    def _pod(self, pod: Pod) -> Point:
        names = set(self._namespaces(pod))
        inside = self._inside[pod.node]
        found = [(index, reading) for index, reading in inside if reading.tap.netns in names]
        # without the node's own word, a single pod's tap can only be this pod's
        if not found and not names and len(inside) == 1:
            found = inside
        if not found:
            return Point(pod.node, Role.POD, "eth0")
        index, reading = found[0]
        return Point(pod.node, Role.POD, reading.tap.interface, index, reading.problem)

    def _point(self, node: str, role: Role, shown: str, names: Sequence[str]) -> Point:
        optional = role is Role.WORKLOAD and self._bpf(node)
        for name in names:
            if (node, name) in self._at:
                index, reading = self._at[node, name]
                return Point(node, role, name, index, reading.problem, optional)
        return Point(node, role, shown, optional=optional)

    def _links(self, node: str) -> tuple[Link, ...]:
        state = self._nodes.get(node)
        return () if state is None or isinstance(state.links, Absent) else state.links

    def _prefix(self, node: str) -> str:
        known = self._datastore.nodes.get(node)
        return known.configuration.interface_prefix if known is not None else "cali"

    def _bpf(self, node: str) -> bool:
        known = self._datastore.nodes.get(node)
        return known is not None and known.configuration.bpf

    def _underlay_link(self, node: str) -> Link | None:
        known, state = self._datastore.nodes.get(node), self._nodes.get(node)
        if known is None or state is None:
            return None
        try:
            return underlay(known, state)
        except Missing:
            return None

    def _namespaces(self, pod: Pod) -> Iterator[str]:
        """Names of network namespaces that may be this pod's: its host end's peer, and who holds its address."""
        state = self._nodes.get(pod.node)
        if state is None:
            return
        name = workload_interface(pod.namespace, pod.name, self._prefix(pod.node))
        ids = {} if isinstance(state.namespace_ids, Absent) else state.namespace_ids
        for link in self._links(pod.node):
            if link.name == name and link.peer_netnsid is not None and link.peer_netnsid in ids:
                yield ids[link.peer_netnsid]
        for namespace in state.namespaces.values():
            links = () if isinstance(namespace.links, Absent) else namespace.links
            if any(address.ip == pod.ip for link in links for address in link.addresses):
                yield namespace.name

    def _host_ends(self, pod: Pod) -> list[str]:
        ends = [workload_interface(pod.namespace, pod.name, self._prefix(pod.node))]
        state = self._nodes.get(pod.node)
        if state is None or isinstance(state.namespace_ids, Absent):
            return ends
        names = set(self._namespaces(pod))
        for link in self._links(pod.node):
            if link.peer_netnsid is not None and state.namespace_ids.get(link.peer_netnsid) in names:
                ends.append(link.name)
        return ends
