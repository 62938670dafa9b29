"""MTU-6 and PATH-8: a TCP transfer between two nodes' pods completes, and its segments are encapsulated."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks import wire_leg
from pytest_calico_ipip.model.checks.wire_mtu import all_echoes_die, sender_mtu, told_by_icmp
from pytest_calico_ipip.model.checks.wire_scope import (
    COULD_NOT_RUN,
    ORDINARY,
    Verdict,
    one_subnet,
    pair_verdict,
    shows,
    wire,
    wireguard,
)
from pytest_calico_ipip.model.judgement import Difference, Judgement, Reading
from pytest_calico_ipip.model.paths import Leg, Paths, Stop
from pytest_calico_ipip.model.points import Point, Role
from pytest_calico_ipip.model.segments import ACK, SYN, accepting, opening
from pytest_calico_ipip.model.wire import Capture, Packet, Probe
from pytest_calico_ipip.model.world import World

ENOUGH = 1_000_000  # bytes; full segments throughout
IP_AND_TCP = 40  # bytes of headers without options, which the MSS does not count
FLAGS = {0x02: "SYN", 0x12: "SYN, ACK", 0x01: "FIN", 0x11: "FIN, ACK", 0x04: "RST", 0x14: "RST, ACK"}


def transferred(world: World, source: str, destination: str) -> Judgement:
    """MTU-6: a megabyte arrives by TCP, and the MSS that both ends announce is the pod MTU less 40, on all its way."""
    verdict = pair_verdict(world, "MTU-6", source, destination)
    if reason := wireguard(world, source, destination):
        return verdict.judgement(reason)
    seen = wire(world, verdict)
    if seen is None:
        return verdict.judgement()
    capture, paths = seen
    found = _transfers(world, capture, source, destination)
    if not found:
        verdict.unseen(f"a TCP transfer from a pod on {source} to a pod on {destination}")
    if found and not any(map(_complete, found)) and all_echoes_die(world, source, destination):
        return verdict.judgement("nothing to judge: no echo of this pair is answered, whatever its size (see PATH-1)")
    for probe in found:
        _transfer(verdict, capture, paths, probe, source, destination)
    first = _segment_size(world, verdict, paths, source, destination, opening)
    second = _segment_size(world, verdict, paths, destination, source, accepting)
    if any(map(_complete, found)) and not (first and second):
        verdict.unseen(f"both SYN segments of the TCP transfer from {source} to {destination}")
    return verdict.judgement()


def encapsulated(world: World, source: str, destination: str) -> Judgement:
    """PATH-8: each TCP segment from pod to pod has at the underlay NIC the outer header that PATH-3 wants.

    The SYNs of a completed transfer also pass every other point that an echo between the two pods passes.
    """
    verdict = pair_verdict(world, "PATH-8", source, destination)
    if reason := wireguard(world, source, destination):
        return verdict.judgement(reason)
    seen = wire(world, verdict)
    if seen is None:
        return verdict.judgement()
    capture, paths = seen
    segments = paths.segments.get((source, destination), ())
    if not tunnelled(world, source, destination):
        return verdict.judgement(one_subnet(source, destination))
    both = (*_transfers(world, capture, source, destination), *_transfers(world, capture, destination, source))
    if not segments and not both:
        verdict.unseen(f"TCP segments from a pod on {source} to a pod on {destination}")
        return verdict.judgement()
    if unknown := [node for node in (source, destination) if node not in paths.nics]:
        verdict.inconclusive[f"api/nodes.json: it has no Linux node {unknown[0]} that runs Calico"] = None
        return verdict.judgement()
    arrived = _arrived(capture, segments, source, destination)
    at_tunnel = {_same(each): each for each in segments if each.tap == paths.tunnels[source].tap}
    for node in (source, destination):
        point = paths.nics[node]
        passing = [packet for packet in segments if packet.tap == point.tap]
        if not passing and (point.tap is None or point.problem):
            verdict.unwatched(point)
        elif not passing and any(map(_complete, both)):
            verdict.compare(
                False,
                Difference(
                    f"TCP from {source} to {destination} at {point}",
                    "segments from pod to pod, encapsulated",
                    "none, although a transfer was completed: they pass here with other addresses or not at all",
                    Reading(f"packets/{capture.taps[point.tap].tap.file}") if point.tap is not None else None,
                ),
            )
        elif unseen := [syn for key, syn in arrived.items() if key not in set(map(_same, passing))]:
            if point.tap is None or point.problem:
                verdict.unwatched(point)
            else:
                _missed(verdict, capture, unseen[0], point)
        for packet in passing:
            inner = packet.inner
            leg = Leg("request", inner.source, inner.destination, source, destination, True, ())
            entered = at_tunnel.get(_same(packet))
            wire_leg.outer_header(world, verdict, _name(packet), leg, point, packet, entered)
    for syn in _opened(capture, segments, source, both):
        beside = _beside(paths, segments, syn, source, destination)
        if beside is None:
            verdict.asserted += 1
        elif not verdict.differences:
            _missed(verdict, capture, syn, beside)
    nics = " and ".join(str(paths.nics[node]) for node in (source, destination))
    return verdict.judgement(f"nothing to judge: no TCP segment came to {nics} (see MTU-6)")


def _arrived(
    capture: Capture, segments: Sequence[Packet], source: str, destination: str
) -> dict[tuple[object, ...], Packet]:
    """The SYNs that both nodes saw, each on its pod's side of the underlay: no NIC cuts or joins them."""
    seen: dict[str, dict[tuple[object, ...], Packet]] = {source: {}, destination: {}}
    for packet in segments:
        node = capture.taps[packet.tap].tap.node
        if packet.tcp is not None and packet.tcp.flags & SYN and len(packet.headers) == 1 and node in seen:
            seen[node].setdefault(_same(packet), packet)
    return {key: packet for key, packet in seen[source].items() if key in seen[destination]}


def _opened(
    capture: Capture, segments: Sequence[Packet], source: str, transfers: Sequence[Probe]
) -> tuple[Packet, ...]:
    """A SYN for each connection of a completed transfer, as the pod on `source` sent it; of those sent again, one.

    Where its addresses are translated on the way, nobody recognises it at the other end.
    """
    ends = [(probe.source, probe.destination) for probe in transfers if _complete(probe)]
    complete = {(*each, SYN) for each in ends} | {(server, client, SYN | ACK) for client, server in ends}
    sent = {
        _connection(packet): packet
        for packet in segments
        if packet.tcp is not None
        and (packet.inner.source, packet.inner.destination, packet.tcp.flags & (SYN | ACK)) in complete
        and len(packet.headers) == 1
        and capture.taps[packet.tap].tap.node == source
    }
    return tuple(sent.values())


def _beside(paths: Paths, segments: Sequence[Packet], syn: Packet, source: str, destination: str) -> Point | None:
    """The first point where an echo from pod to pod passed, and this SYN did not, though it was answered."""
    ends = (syn.inner.source, syn.inner.destination)
    echoes = (each.request for each in paths.between(source, destination, ORDINARY))
    leg = next((leg for leg in echoes if (leg.source, leg.destination) == ends), None)
    if leg is not None:
        points = [stop.point for stop in leg.stops if stop.packets and not stop.point.optional]
    else:
        points = [paths.nics[node] for node in (source, destination)]
    seen = {packet.tap for packet in segments if _connection(packet) == _connection(syn)}
    return next((point for point in points if not (point.tap is None or point.problem or point.tap in seen)), None)


def _missed(verdict: Verdict, capture: Capture, syn: Packet, point: Point) -> None:
    reading = Reading(f"packets/{capture.taps[point.tap].tap.file}") if point.tap is not None else None
    observed = "not seen, although it arrived: it passed here with other addresses or not at all"
    wanted = "from pod to pod, encapsulated" if point.role is Role.UNDERLAY else "from pod to pod, as its echoes pass"
    verdict.compare(False, Difference(f"{_name(syn)} at {point}", wanted, observed, reading))


def tunnelled(world: World, source: str, destination: str) -> bool:
    """Whether ROUTE-2 wants packets from one node to the pods of another in the tunnel; also where nothing is known."""
    if isinstance(world.datastore, Absent) or source not in world.expected:
        return True
    pods = [pod for pod in world.pods or world.datastore.pods if pod.node == destination and pod.ip is not None]
    ways = [world.expected[source].way_to(pod.ip) for pod in pods if pod.ip is not None]
    kinds = {way.kind for way in ways if way is not None}
    pools = [world.datastore.pool_of(pod.ip) for pod in pods if pod.ip is not None]
    bare = bool(pools) and all(pool is not None and not pool.ipip for pool in pools)
    return "tunnel" in kinds or not (kinds or bare)


def _transfers(world: World, capture: Capture, source: str, destination: str) -> list[Probe]:
    if isinstance(world.datastore, Absent):
        return []
    there = {pod.ip for pod in (*world.pods, *world.datastore.pods) if pod.node == destination}
    return [
        probe
        for probe in capture.probes or ()
        if probe.kind == "tcp-transfer" and probe.node == source and probe.destination in there
    ]


def _received(probe: Probe) -> tuple[int, int]:
    """HTTP status and bytes, as curl counted them; zeros where it did not."""
    said = re.fullmatch(r"(\d{3}) (\d{1,18})", probe.stdout.strip())
    return (int(said[1]), int(said[2])) if said else (0, 0)


def _complete(probe: Probe) -> bool:
    status, received = _received(probe)
    return probe.exit == 0 and status == 200 and received >= max(ENOUGH, probe.size or 0)


def _transfer(verdict: Verdict, capture: Capture, paths: Paths, probe: Probe, source: str, destination: str) -> None:
    complaint = probe.stderr.strip().splitlines()[-1][:200] if probe.stderr.strip() else ""
    if probe.exit is None or probe.exit in COULD_NOT_RUN:
        reason = complaint or f"exit status {probe.exit}"
        verdict.inconclusive[f"{source}: the transfer {probe.id} could not be made: {reason}"] = None
        return
    serves = next((p for p in capture.probes or () if p.kind == "tcp-server" and p.source == probe.destination), None)
    if serves is not None and serves.exit and not _complete(probe):
        verdict.inconclusive[
            f"{destination}: the pod {probe.destination} has no nc or no head to serve a transfer with: "
            "name an image that has them with --ipip-pod-image"
        ] = None
        return
    status, received = _received(probe)
    observed = f"exit status {probe.exit}, HTTP {status:03}, {received} bytes" + (f": {complaint}" if complaint else "")
    size = max(ENOUGH, probe.size or 0)
    verdict.compare(
        _complete(probe),
        Difference(
            f"TCP transfer from {probe.source} to {probe.destination}",
            f"exit status 0, HTTP 200, {size} bytes",
            observed,
            Reading("packets/probes.json", probe.command),
            note=_syn_hops(paths, source, destination),
        ),
    )


def _syn_hops(paths: Paths, source: str, destination: str) -> str:
    """The way of the SYN as a line; where it arrived whole, the way of the answer to it."""
    flight = next(iter(paths.between(source, destination, ORDINARY)), None)
    if flight is None:
        return ""
    line = ""
    for leg, nodes, wanted in (
        (flight.request, (source, destination), opening),
        (flight.reply, (destination, source), accepting),
    ):
        at = {packet.tap: packet for packet in paths.segments.get(nodes, ()) if wanted(packet)}
        stops = tuple(Stop(stop.point, (at[stop.point.tap],) if stop.point.tap in at else ()) for stop in leg.stops)
        line = replace(leg, stops=stops).hops()
        if any(not stop.packets for stop in stops):
            break
    return line


def _segment_size(
    world: World, verdict: Verdict, paths: Paths, source: str, destination: str, wanted: Callable[[Packet], bool]
) -> bool:
    """Compares the MSS in one of the SYNs at every tap that saw it; whether there was one."""
    found = [packet for packet in paths.segments.get((source, destination), ()) if wanted(packet)]
    wrong: set[int] = set()
    for packet in found:
        mtu = sender_mtu(world, packet.inner.source)
        if mtu is None:
            verdict.unseen(f"the MTU of eth0 of the pod {packet.inner.source} on {source}")
            continue
        observed = packet.tcp.mss if packet.tcp is not None else None
        # where an ICMP error has told the pod a smaller MTU for this way, it announces that: MTU-4's finding
        allowed = {mtu - IP_AND_TCP} | {told - IP_AND_TCP for told in told_by_icmp(world, (source, destination))}
        port = packet.tcp.source_port if packet.tcp is not None else 0
        if observed in allowed:
            verdict.asserted += 1
        elif port not in wrong:  # told once: where it was seen first
            wrong.add(port)
            expected = f"{mtu - IP_AND_TCP} (the MTU of the pod's eth0, {mtu}, less {IP_AND_TCP})"
            where = _tap(world, packet)
            said = "none" if observed is None else str(observed)
            verdict.compare(
                False, Difference(f"MSS in {_name(packet)} at {where}", expected, said, shows(world, packet))
            )
    return bool(found)


def _tap(world: World, packet: Packet) -> str:
    if isinstance(world.capture, Absent):
        return ""
    tap = world.capture.taps[packet.tap].tap
    return f"{tap.node} {tap.interface}"


def _same(packet: Packet) -> tuple[object, ...]:
    """What one SYN has at every tap; other segments are cut and joined on their way, and then match nothing."""
    tcp = packet.tcp
    if tcp is None or not tcp.flags & SYN:
        return (packet.tap, packet.number)
    return (tcp.source_port, tcp.destination_port, tcp.flags, packet.inner.identification)


def _connection(packet: Packet) -> tuple[object, ...]:
    """Whose segment it is, and which of the SYNs, if one."""
    tcp = packet.tcp
    ends = (packet.inner.source, packet.inner.destination)
    return (*ends, tcp.source_port, tcp.destination_port, tcp.flags & (SYN | ACK)) if tcp is not None else ends


def _name(packet: Packet) -> str:
    """A segment in words."""
    inner, tcp = packet.inner, packet.tcp
    if tcp is None:
        return "TCP"
    kind = FLAGS.get(tcp.flags & 0x17, f"flags {tcp.flags:#04x}")
    return f"TCP {kind} from {inner.source}:{tcp.source_port} to {inner.destination}:{tcp.destination_port}"
