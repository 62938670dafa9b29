"""Follows every probe and its reply through the taps: where each was seen, where it should have been, where it died."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from ipaddress import IPv4Address

from pytest_calico_ipip.model.datastore import Datastore, Pod
from pytest_calico_ipip.model.expected import NodeExpectation
from pytest_calico_ipip.model.nodestate import NodeState
from pytest_calico_ipip.model.points import Point, Points, Role
from pytest_calico_ipip.model.segments import Segments, segments
from pytest_calico_ipip.model.sightings import Sightings
from pytest_calico_ipip.model.travels import Travel, pods_by_address, travels
from pytest_calico_ipip.model.wire import Capture, Packet, Probe


class Sight(str, Enum):
    """How often a packet was seen at one point of its way. The value is its mark in the line of hops."""

    ONCE = "✓"
    MORE = "✓✓"
    NEVER = "✗"  # and the tap would have seen it
    UNKNOWN = "?"  # not seen, but the tap may have missed it, or there was none


@dataclass(frozen=True)
class Stop:
    """One point of a way and what was seen there. `packets` are whole packets or first fragments."""

    point: Point
    packets: tuple[Packet, ...] = ()
    fragments: tuple[Packet, ...] = ()  # the later fragments of those packets

    @property
    def sight(self) -> Sight:
        """How often the packet was seen here."""
        if len(self.packets) == 1:
            return Sight.ONCE
        if self.packets:
            return Sight.MORE
        if self.point.tap is None or self.point.problem or self.point.optional:
            return Sight.UNKNOWN
        return Sight.NEVER

    @property
    def all(self) -> tuple[Packet, ...]:
        """Every frame of the packet at this point."""
        return self.packets + self.fragments


@dataclass(frozen=True)
class Leg:
    """A probe's way there, or its reply's way back, with the addresses that the packet must carry."""

    name: str  # "request" or "reply"
    source: IPv4Address
    destination: IPv4Address
    source_node: str
    destination_node: str
    tunnelled: bool  # whether it must be encapsulated between the nodes
    stops: tuple[Stop, ...]  # the expected way, in order
    elsewhere: tuple[Packet, ...] = ()  # the packet at taps that are not on its way

    @property
    def died_at(self) -> Stop | None:
        """The first point that certainly did not see the packet; None where every one saw it or may have."""
        return next((stop for stop in self.stops if stop.sight is Sight.NEVER), None)

    @property
    def lost(self) -> bool:
        """Whether the packet certainly never reached the end of its way: missed after where it was seen last."""
        last = max((index for index, stop in enumerate(self.stops) if stop.packets), default=-1)
        return any(stop.sight is Sight.NEVER for stop in self.stops[last + 1 :])

    @property
    def seen(self) -> bool:
        """Whether the packet was seen anywhere at all."""
        return bool(self.elsewhere) or any(stop.packets for stop in self.stops)

    @property
    def first(self) -> Packet | None:
        """The packet where it was seen first on its way; None where it was seen nowhere there."""
        return next((stop.packets[0] for stop in self.stops if stop.packets), None)

    def hops(self) -> str:
        """The way as a line: `node eth0 ✓ → cali… ✓ → tunl0 ✓ → ens192 ✓ ⇢ node ens192 ✗`, up to the first ✗."""
        line, node = "", ""
        for stop in self.stops:
            if stop.point.node != node:
                line += (" ⇢ " if line else "") + f"{stop.point.node} "
            else:
                line += " → "
            node = stop.point.node
            line += f"{stop.point.interface} {stop.sight.value}"
            if stop.sight is Sight.NEVER:
                break
        return line


@dataclass(frozen=True)
class Flight:
    """One echo and its reply."""

    id: str  # the probe's, or "icmp id 2128 seq 1" where it was derived from the packets
    kind: str  # echo, echo-full, echo-over, echo-same-node, echo-from-node, echo-inside
    icmp_id: int
    seq: int
    request: Leg
    reply: Leg
    errors: tuple[Packet, ...] = ()  # ICMP errors about the request
    probe: Probe | None = None  # None where probes.json is not in the evidence

    @property
    def nodes(self) -> tuple[str, str]:
        """The node that the probe leaves from and the node that it goes to."""
        return self.request.source_node, self.request.destination_node

    @property
    def answered(self) -> bool:
        """Whether the reply was seen at the end of its way."""
        return bool(self.reply.stops[-1].packets)


@dataclass(frozen=True)
class Paths:
    """A capture round, sorted. `derived`: echoes were found in the packets, as probes.json is not in the evidence."""

    flights: tuple[Flight, ...]
    derived: bool
    notes: tuple[str, ...] = ()  # probes that could not be followed, each with why
    segments: Segments = field(default_factory=dict)  # of TCP, by the nodes of source and destination
    nics: Mapping[str, Point] = field(default_factory=dict)  # of each node of the datastore: its underlay NIC
    tunnels: Mapping[str, Point] = field(default_factory=dict)  # and its tunl0

    def between(self, source: str, destination: str, kinds: Sequence[str]) -> tuple[Flight, ...]:
        """The echoes of these kinds from one node to another (or to itself)."""
        return tuple(flight for flight in self._by_nodes.get((source, destination), ()) if flight.kind in kinds)

    @cached_property
    def _by_nodes(self) -> dict[tuple[str, str], list[Flight]]:
        found: dict[tuple[str, str], list[Flight]] = defaultdict(list)
        for flight in self.flights:
            found[flight.nodes].append(flight)
        return found


def follow(
    datastore: Datastore,
    expected: Mapping[str, NodeExpectation],
    capture: Capture,
    pods: Sequence[Pod],
    nodes: Mapping[str, NodeState] | None = None,
) -> Paths:
    """Sorts the packets of a capture by probe and by point.

    `pods` are the pods under test. `nodes` says which device is the underlay NIC and which namespace is whose pod's;
    without it names must do, and a tap that cannot be told is a point that nothing watched.
    """
    nodes = nodes or {}
    points = Points(capture.taps, datastore, nodes)
    sightings = Sightings(capture)
    found, notes = travels(datastore, expected, capture, pods, nodes, sightings)
    flights = tuple(_flight(travel, expected, points, sightings) for travel in found)
    return Paths(
        flights,
        capture.probes is None,
        tuple(notes),
        segments(capture, pods_by_address(datastore, pods)),
        {node: points.underlay(node) for node in datastore.nodes},
        {node: points.tunnel(node) for node in datastore.nodes},
    )


def _flight(travel: Travel, expected: Mapping[str, NodeExpectation], points: Points, sightings: Sightings) -> Flight:
    source_node, destination_node = travel.nodes
    there = _tunnelled(expected, source_node, travel.destination)
    back = _tunnelled(expected, destination_node, travel.source)
    request, reply = sightings.echo(travel)
    if travel.sender is None:
        start: list[Point] = [points.tunnel(source_node)] if there else []
        home: list[Point] = [points.tunnel(source_node)] if back else []
    else:
        start = home = [points.pod(travel.sender), points.workload(travel.sender)]
    end = [points.workload(travel.receiver), points.pod(travel.receiver)]

    def leg(name: str, tunnelled: bool, ways: list[Point], packets: tuple[Packet, ...]) -> Leg:
        addresses = (travel.source, travel.destination, source_node, destination_node)
        if name == "reply":
            addresses = (travel.destination, travel.source, destination_node, source_node)
        beside = {tap for point in ways if point.role is Role.UNDERLAY for tap in points.beneath(point.node)}
        beside |= {tap for point in ways for tap in points.unplaced(point)}
        beside -= {point.tap for point in ways}
        known = tuple(packet for packet in packets if packet.tap not in beside) if beside else packets
        return _leg(name, addresses, tunnelled, ways, known, sightings)

    way_there = start + _between(points, source_node, destination_node, there, from_pod=travel.sender is not None) + end
    way_back = home + _between(points, source_node, destination_node, back, from_pod=travel.sender is not None) + end
    return Flight(
        id=travel.id,
        kind=travel.kind,
        icmp_id=travel.icmp_id,
        seq=travel.seq,
        request=leg("request", there, way_there, request),
        reply=leg("reply", back, way_back[::-1], reply),
        errors=sightings.errors(travel),
        probe=travel.probe,
    )


def _between(points: Points, source: str, destination: str, tunnelled: bool, *, from_pod: bool) -> list[Point]:
    """The points between two workload interfaces; a node's own packet starts on its tunl0, which `start` names."""
    if source == destination:
        return []
    way = [points.underlay(source), points.underlay(destination)]
    if not tunnelled:
        return way
    return ([points.tunnel(source)] if from_pod else []) + way + [points.tunnel(destination)]


def _tunnelled(expected: Mapping[str, NodeExpectation], node: str, address: IPv4Address) -> bool:
    """Whether `node` must encapsulate what it sends to `address`. An address in no block (a node's own) is bare."""
    way = expected[node].way_to(address) if node in expected else None
    return way is not None and way.kind == "tunnel"


def _leg(
    name: str,
    addresses: tuple[IPv4Address, IPv4Address, str, str],
    tunnelled: bool,
    way: list[Point],
    packets: tuple[Packet, ...],
    sightings: Sightings,
) -> Leg:
    source, destination, source_node, destination_node = addresses
    stops = tuple(
        Stop(
            point,
            tuple(p for p in packets if p.tap == point.tap),
            tuple(f for p in packets if p.tap == point.tap for f in sightings.fragments(p)),
        )
        for point in way
    )
    on_way = {point.tap for point in way}
    elsewhere = tuple(packet for packet in packets if packet.tap not in on_way)
    return Leg(name, source, destination, source_node, destination_node, tunnelled, stops, elsewhere)
