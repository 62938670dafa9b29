"""Judges one leg of an echo: seen once everywhere, bare where it must be, encapsulated on the underlay, untouched."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks.wire_scope import Verdict, icmp_errors, label, looks_for, shows, way
from pytest_calico_ipip.model.judgement import Difference
from pytest_calico_ipip.model.paths import Flight, Leg, Sight, Stop
from pytest_calico_ipip.model.points import Point, Role
from pytest_calico_ipip.model.wire import Header, Packet
from pytest_calico_ipip.model.world import World

IPIP = 4  # the IP protocol number of IP in IP (RFC 2003)
_BARE = (Role.POD, Role.WORKLOAD, Role.TUNNEL)
LINK_TYPES = {Role.POD: ("EN10MB",), Role.WORKLOAD: ("EN10MB",), Role.TUNNEL: ("RAW", "IPV4")}


def seen_once(world: World, verdict: Verdict, flight: Flight, leg: Leg) -> None:
    """Exactly once at each point of its way and at no other tap. A lost packet is told once: where it was lost."""
    what = label(flight, leg)
    fragments = next((stop.fragments for stop in leg.stops if stop.packets), ())
    pieces = sorted((f.inner.fragment_offset, f.inner.length) for f in fragments)
    died = leg.died_at
    for stop in leg.stops:
        if stop.sight is Sight.UNKNOWN:
            if died is None and not stop.point.optional:
                verdict.unwatched(stop.point)
            continue
        if stop.sight is Sight.NEVER:
            if stop is died:
                verdict.asserted += 1
                verdict.differences.append(
                    Difference(
                        f"{what}: {stop.point}",
                        "seen once",
                        _not_seen(flight, leg, stop),
                        looks_for(world, flight, leg, stop.point),
                        note=leg.hops(),
                    )
                )
            continue
        reading = looks_for(world, flight, leg, stop.point)
        verdict.compare(
            stop.sight is Sight.ONCE,
            Difference(f"{what}: {stop.point}", "seen once", f"seen {len(stop.packets)} times", reading, leg.hops()),
        )
        found = sorted((f.inner.fragment_offset, f.inner.length) for f in stop.fragments)
        if stop.sight is Sight.ONCE and (pieces or found):
            expected, observed = (
                ", ".join(f"{length} bytes at offset {offset}" for offset, length in each) or "none"
                for each in (pieces, found)
            )
            where = f"{what}: later fragments at {stop.point}"
            verdict.compare(pieces == found, Difference(where, expected, observed, reading, leg.hops()))
    _nowhere_else(world, verdict, flight, leg)


def _nowhere_else(world: World, verdict: Verdict, flight: Flight, leg: Leg) -> None:
    if isinstance(world.capture, Absent):
        return
    by_tap: dict[int, list[Packet]] = {}
    for packet in leg.elsewhere:
        by_tap.setdefault(packet.tap, []).append(packet)
    for tap, packets in by_tap.items():
        at = world.capture.taps[tap].tap
        observed = f"seen {len(packets)} times" if len(packets) > 1 else "seen once"
        verdict.differences.append(
            Difference(
                f"{label(flight, leg)}: {at.node} {at.interface}",
                "not seen here: this tap is not on its way",
                f"{observed}, as {way(packets[0])}",
                shows(world, packets[0]),
                note=leg.hops(),
            )
        )


def _not_seen(flight: Flight, leg: Leg, stop: Stop) -> str:
    """What to say of the point where a packet was missed first."""
    said = ["not seen"]
    later = leg.stops[leg.stops.index(stop) + 1 :]
    again = next((each for each in later if each.packets), None)
    if again is not None:
        said.append(f"it took another way: seen again at {again.point}")
    elif leg.name == "reply" and stop is leg.stops[0] and not flight.request.lost:
        said.append("the pod did not answer")
    if leg.name == "request" and (errors := icmp_errors(flight)):
        said.append(errors)
    probe = flight.probe
    if leg.name == "request" and stop is leg.stops[0] and probe is not None and probe.exit and probe.stderr.strip():
        said.append(f"ping said: {probe.stderr.strip().splitlines()[-1][:200]}")
    return "; ".join(said)


def bare(
    world: World, verdict: Verdict, flight: Flight, leg: Leg, roles: Sequence[Role], *, link_types: bool = False
) -> None:
    """At points of these roles: one IPv4 header, with the leg's addresses; the link type that such a device has."""
    expected = f"bare, {leg.source} > {leg.destination}"
    for stop in leg.stops:
        if stop.point.role not in roles:
            continue
        if not stop.packets:
            _say_unwatched(verdict, leg, stop)
        for packet in stop.all:
            holds = len(packet.headers) == 1 and _addresses(packet.inner) == (leg.source, leg.destination)
            what = f"{label(flight, leg)}: headers at {stop.point}"
            verdict.compare(holds, Difference(what, expected, way(packet), shows(world, packet)))
        if link_types and stop.packets and not isinstance(world.capture, Absent):
            allowed = LINK_TYPES[stop.point.role]
            seen = world.capture.taps[stop.packets[0].tap].link_type
            difference = Difference(
                f"link type at {stop.point}", allowed[0], seen or "unknown", shows(world, stop.packets[0])
            )
            if difference not in verdict.differences:
                verdict.compare(seen in allowed, difference)


def encapsulated(world: World, verdict: Verdict, flight: Flight, leg: Leg) -> None:
    """At both underlay NICs: one outer header, node to node, made of the inner one as the kernel's ipip makes it."""
    before = [s for s in leg.stops if s.packets and s.point.node == leg.source_node and s.point.role in _BARE]
    for stop in leg.stops:
        if stop.point.role is not Role.UNDERLAY:
            continue
        if not stop.packets:
            _say_unwatched(verdict, leg, stop)
        for packet in stop.all:
            outer_header(world, verdict, label(flight, leg), leg, stop.point, packet, _sent(before, packet))


def outer_header(
    world: World, verdict: Verdict, name: str, leg: Leg, point: Point, packet: Packet, entered: Packet | None
) -> None:
    """One frame at an underlay NIC, which `name` tells in words; `entered` is the same frame where it came to tunl0."""
    reading, what = shows(world, packet), f"{name}: {{}} at {point}"

    def compare(name: str, expected: object, observed: object, holds: bool | None = None) -> None:
        same = expected == observed if holds is None else holds
        verdict.compare(same, Difference(what.format(name), str(expected), str(observed), reading))

    count = len(packet.headers)
    if count != 2:
        kind = "bare, not encapsulated" if count == 1 else f"encapsulated {count - 1} times"
        compare("encapsulation", "one outer header around one inner header", f"{kind}: {way(packet)}")
        return
    outer, inner = packet.outer, packet.inner
    compare("outer protocol", f"{IPIP} (ipip-proto-4)", f"{outer.protocol}", outer.protocol == IPIP)
    nodes = _node_addresses(world, leg)
    if nodes is None:
        verdict.unseen(f"the addresses of {leg.source_node} and {leg.destination_node}")
    else:
        compare("outer addresses", "{} > {}".format(*nodes), f"{outer.source} > {outer.destination}")
    length = inner.length + outer.header_length
    compare(
        "outer length",
        f"{length} (inner {inner.length} + {outer.header_length})",
        f"{outer.length}",
        outer.length == length,
    )
    at_sender = point.node == leg.source_node
    ttl = f"{inner.ttl} (the inner's)" if at_sender else f"at most {inner.ttl} (the inner's at the sender)"
    compare("outer TTL", ttl, f"{outer.ttl}", outer.ttl == inner.ttl if at_sender else 0 < outer.ttl <= inner.ttl)
    if inner.dont_fragment or _always_df(world, leg.source_node):
        why = "the inner has it" if inner.dont_fragment else "tunl0 is pmtudisc"
        compare("outer DF", f"set ({why})", "set" if outer.dont_fragment else "not set", outer.dont_fragment)
    if at_sender:  # a router of the underlay may mark both as it likes
        dscp = f"0 (the inner's {inner.dscp} is not copied)" if inner.dscp else "0 (DSCP is not copied)"
        compare("outer DSCP", dscp, f"{outer.dscp}", outer.dscp == 0)
        ecn = 2 if inner.ecn == 3 else inner.ecn  # congestion met before the tunnel is not told twice (RFC 6040)
        compare("outer ECN", f"{ecn} (copied from the inner's {inner.ecn})", f"{outer.ecn}", outer.ecn == ecn)
    compare("inner addresses", f"{leg.source} > {leg.destination}", f"{inner.source} > {inner.destination}")
    if entered is not None:
        compare("inner header", _unchanging(entered.inner), _unchanging(inner))


def _say_unwatched(verdict: Verdict, leg: Leg, stop: Stop) -> None:
    """Says why a point has nothing to judge, where its tap is the reason; a packet lost before it is PATH-1's."""
    died = leg.died_at
    before = died is None or leg.stops.index(died) > leg.stops.index(stop)
    if stop.sight is Sight.UNKNOWN and not stop.point.optional and before:
        verdict.unwatched(stop.point)


def _sent(stops: Sequence[Stop], packet: Packet) -> Packet | None:
    """The packet, or the fragment of it, as it was sent: where it was seen first, or last before a node cut it."""
    seen = [piece for stop in stops if (piece := _same_piece(stop, packet)) is not None]
    return next((piece for piece in seen if piece.inner.length == packet.inner.length), seen[-1] if seen else None)


def _same_piece(stop: Stop, packet: Packet) -> Packet | None:
    """The packet, or the fragment of it, as another point saw it; of several that are alike, the very one."""
    pieces = [p for p in stop.all if p.inner.fragment_offset == packet.inner.fragment_offset]
    # a doubled request has two replies, each with an id of its own: that they are two is PATH-1's
    same = [p for p in pieces if p.inner.identification == packet.inner.identification]
    return next(iter(same or pieces), None)


def _unchanging(header: Header) -> str:
    """What of an inner header no hop between the tunnel's ends may change; the TTL is PATH-5's."""
    flags = "".join(name for name, on in ((" DF", header.dont_fragment), (" MF", header.more_fragments)) if on)
    return (
        f"protocol {header.protocol}, length {header.length}, id {header.identification},{flags} offset "
        f"{header.fragment_offset}, DSCP {header.dscp}, ECN {header.ecn}"
    )


def _addresses(header: Header) -> tuple[IPv4Address, IPv4Address]:
    return header.source, header.destination


def _node_addresses(world: World, leg: Leg) -> tuple[IPv4Address, IPv4Address] | None:
    if isinstance(world.datastore, Absent):
        return None
    known = [world.datastore.nodes.get(name) for name in (leg.source_node, leg.destination_node)]
    addresses = [node.address.ip for node in known if node is not None and node.address is not None]
    return (addresses[0], addresses[1]) if len(addresses) == 2 else None


def _always_df(world: World, node: str) -> bool:
    """Whether tunl0 of this node sets DF whatever the inner header says (`pmtudisc`)."""
    state = world.nodes.get(node)
    links = () if state is None or isinstance(state.links, Absent) else state.links
    return any(link.name == "tunl0" and link.path_mtu_discovery is True for link in links)


def untouched(world: World, verdict: Verdict, flight: Flight, leg: Leg) -> None:
    """The inner TTL falls by one where a node forwards it and nowhere else; what it carries stays as it was sent."""
    first = next((stop for stop in leg.stops if stop.packets), None)
    if first is None:
        return
    origin, falls = first.packets[0], _falls(leg)
    for stop in leg.stops:
        if not stop.packets:
            _say_unwatched(verdict, leg, stop)
        for packet in stop.packets:
            what = f"{label(flight, leg)}: {{}} at {stop.point}"
            fallen = falls[leg.stops.index(stop)] - falls[leg.stops.index(first)]
            ttl = origin.inner.ttl - fallen
            expected = f"{ttl} ({origin.inner.ttl} at {first.point}, less {fallen})"
            reading = shows(world, packet)
            verdict.compare(
                packet.inner.ttl == ttl, Difference(what.format("inner TTL"), expected, str(packet.inner.ttl), reading)
            )
            same, before, after = _payload(origin, packet)
            verdict.compare(same, Difference(what.format("payload"), before, after, reading))
            for piece in stop.fragments:  # each is a packet to those that forward it
                name = what.format(f"inner TTL of the fragment at offset {piece.inner.fragment_offset}")
                difference = Difference(name, str(packet.inner.ttl), str(piece.inner.ttl), shows(world, piece))
                verdict.compare(piece.inner.ttl == packet.inner.ttl, difference)


def whole(leg: Leg) -> bool:
    """Whether what came to the end of a leg carries what was sent: nobody takes in what does not."""
    packets = [stop.packets[0] for stop in leg.stops if stop.packets]
    return bool(packets) and _payload(packets[0], packets[-1])[0]


def _falls(leg: Leg) -> list[int]:
    """How often the inner TTL has fallen when a packet is seen at each stop: once past each node that forwards it.

    A node forwards between its workload interface and the device towards the other pod. A packet that a node sends
    itself leaves with its TTL whole, and one for the node itself is not forwarded.
    """
    fallen, falls = 0, []
    for index, stop in enumerate(leg.stops):
        previous = leg.stops[index - 1] if index else None
        if previous is not None and previous.point.node == stop.point.node:
            roles = {previous.point.role, stop.point.role}
            fallen += Role.WORKLOAD in roles and Role.POD not in roles
        falls.append(fallen)
    return falls


def _payload(sent: Packet, seen: Packet) -> tuple[bool, str, str]:
    """Whether two sightings carry the same: ICMP checksum (over all of it), length, and what was captured of it."""
    if sent.icmp is None or seen.icmp is None:
        return sent.icmp is seen.icmp, _carried(sent), _carried(seen)
    shorter = min(len(sent.icmp.data), len(seen.icmp.data))
    same = (
        sent.icmp.checksum == seen.icmp.checksum
        and sent.inner.length == seen.inner.length
        and sent.icmp.data[:shorter] == seen.icmp.data[:shorter]
    )
    before, after = _carried(sent), _carried(seen)
    if not same and before == after:
        at = next(i for i in range(shorter) if sent.icmp.data[i] != seen.icmp.data[i])
        before += f", byte {at} is {sent.icmp.data[at]:#04x}"
        after += f", byte {at} is {seen.icmp.data[at]:#04x}"
    return same, before, after


def _carried(packet: Packet) -> str:
    icmp = packet.icmp
    checksum = f"{icmp.checksum:#06x}" if icmp is not None and icmp.checksum is not None else "none"
    return f"length {packet.inner.length}, ICMP checksum {checksum}"
