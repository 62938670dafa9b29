"""PATH-1 to PATH-5 and PATH-7: what the wire must show between two nodes. Subject: `source:destination`."""

from __future__ import annotations

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks import wire_leg
from pytest_calico_ipip.model.checks.wire_scope import (
    COULD_NOT_RUN,
    FRAMES,
    ORDINARY,
    Verdict,
    arrived,
    flights,
    label,
    nothing_to_judge,
    one_subnet,
    pair_verdict,
    shows,
    way,
    wireguard,
)
from pytest_calico_ipip.model.judgement import Difference, Judgement, Reading
from pytest_calico_ipip.model.paths import Flight, Leg
from pytest_calico_ipip.model.points import Role
from pytest_calico_ipip.model.travels import node_source
from pytest_calico_ipip.model.world import World

BARE_ROLES = (Role.POD, Role.WORKLOAD, Role.TUNNEL)
NO_ANSWER = 1  # how ping says that it had none
_IN_TIME = 0.5  # seconds; ping waits for two


def seen_once(world: World, source: str, destination: str) -> Judgement:
    """PATH-1: each probe and each reply is seen exactly once at each tap of its way and at none of the others."""
    verdict = pair_verdict(world, "PATH-1", source, destination)
    if reason := wireguard(world, source, destination):
        return verdict.judgement(reason)
    for flight in flights(world, verdict, source, destination, ORDINARY, _echoes(source, destination)):
        if never_sent(verdict, flight):
            continue
        wire_leg.seen_once(world, verdict, flight, flight.request)
        if arrived(flight):
            wire_leg.seen_once(world, verdict, flight, flight.reply)
    for flight in _answered(world, source, destination, "echo-full"):
        for leg in (flight.request, flight.reply):
            wire_leg.seen_once(world, verdict, flight, leg)
    return verdict.judgement()


def bare(world: World, source: str, destination: str) -> Judgement:
    """PATH-2: at eth0, workload interface and tunl0 the packet is bare, pod to pod; Ethernet, Ethernet, raw IP."""
    verdict = pair_verdict(world, "PATH-2", source, destination)
    if reason := wireguard(world, source, destination):
        return verdict.judgement(reason)
    found = flights(world, verdict, source, destination, FRAMES, _echoes(source, destination))
    for flight in found:
        wire_leg.bare(world, verdict, flight, flight.request, BARE_ROLES, link_types=True)
    return verdict.judgement(_nothing([flight.request for flight in found], BARE_ROLES))


def encapsulated(world: World, source: str, destination: str) -> Judgement:
    """PATH-3: at the underlay NIC one outer header, node to node, around one inner header, pod to pod, unchanged."""
    verdict = pair_verdict(world, "PATH-3", source, destination)
    if reason := wireguard(world, source, destination):
        return verdict.judgement(reason)
    found = flights(world, verdict, source, destination, FRAMES, _echoes(source, destination))
    legs = [flight.request for flight in found]
    if legs and not any(leg.tunnelled for leg in legs):
        return verdict.judgement(one_subnet(source, destination))
    for flight in found:
        wire_leg.encapsulated(world, verdict, flight, flight.request)
    return verdict.judgement(_nothing(legs, (Role.UNDERLAY,)))


def mirrored(world: World, source: str, destination: str) -> Judgement:
    """PATH-4: the reply mirrors the request, outer and inner."""
    verdict = pair_verdict(world, "PATH-4", source, destination)
    if reason := wireguard(world, source, destination):
        return verdict.judgement(reason)
    found = flights(world, verdict, source, destination, FRAMES, _echoes(source, destination))
    for flight in found:
        if not arrived(flight):
            continue
        wire_leg.bare(world, verdict, flight, flight.reply, _bare_roles(flight.reply))
        if flight.reply.tunnelled:
            wire_leg.encapsulated(world, verdict, flight, flight.reply)
    return verdict.judgement(_nothing([flight.reply for flight in found], tuple(Role)))


def untouched(world: World, source: str, destination: str) -> Judgement:
    """PATH-5: the inner TTL falls by one at each of the two nodes and nowhere else; the payload arrives unchanged."""
    verdict = pair_verdict(world, "PATH-5", source, destination)
    if reason := wireguard(world, source, destination):
        return verdict.judgement(reason)
    found = flights(world, verdict, source, destination, ORDINARY, _echoes(source, destination))
    for flight in (*found, *_answered(world, source, destination, "echo-full", "echo-from-node")):
        for leg in (flight.request, flight.reply):
            wire_leg.untouched(world, verdict, flight, leg)
    return verdict.judgement(_nothing([flight.request for flight in found], tuple(Role)))


def from_node(world: World, source: str, destination: str) -> Judgement:
    """PATH-7: node to remote pod goes the way that ROUTE-2 says, from the address that goes with it.

    A packet that dies where those of the pods die too is PATH-1's finding, not this one's.
    """
    verdict = pair_verdict(world, "PATH-7", source, destination)
    if reason := wireguard(world, source, destination):
        return verdict.judgement(reason)
    words = f"packets from the node {source} itself to a pod on {destination}"
    found = flights(world, verdict, source, destination, ("echo-from-node",), words)
    told = _places_of_loss(world, source, destination)
    explained = ""
    for flight in found:
        if never_sent(verdict, flight):
            continue
        if not _source(world, verdict, flight):
            # its reply goes to that address, another way: all else follows from it
            wire_leg.seen_once(world, verdict, flight, flight.request)
            continue
        for leg in (flight.request, flight.reply) if arrived(flight) else (flight.request,):
            died = leg.died_at
            if died is not None and (leg.name, str(died.point)) in told:
                explained = _dies_there(str(died.point))
            else:
                wire_leg.seen_once(world, verdict, flight, leg)
            if leg.tunnelled:
                wire_leg.encapsulated(world, verdict, flight, leg)
            wire_leg.bare(world, verdict, flight, leg, _bare_roles(leg))
        explained = _taken_in(verdict, flight, told) or explained
    if explained:
        verdict.notes[explained.removeprefix("nothing to judge: ")] = None
    return verdict.judgement(explained or _nothing([flight.request for flight in found], tuple(Role)))


def _dies_there(point: str) -> str:
    return f"nothing to judge: packets between pods die at {point} too (see PATH-1)"


def _taken_in(verdict: Verdict, flight: Flight, told: set[tuple[str, str]]) -> str:
    """A reply that came to the node whole and in time came to who waits for it: no tap is behind the last one.

    What the node loses of its pods' replies it may lose of its own by the same rule: then that, which PATH-1 says.
    """
    probe, last = flight.probe, flight.reply.stops[-1]
    asked = flight.request.first
    if probe is None or asked is None or not last.packets or last.packets[0].time - asked.time > _IN_TIME:
        return ""
    if not wire_leg.whole(flight.reply):
        return ""
    lost = probe.exit == NO_ANSWER
    for leg, point in sorted(told) if lost else ():
        if leg == "reply" and point.startswith(f"{last.point.node} "):
            return _dies_there(point)
    verdict.compare(
        not lost,
        Difference(
            f"{label(flight, flight.reply)}: {last.point.node} itself",
            "ping gets it",
            f"it came to {last.point.interface}, and ping did not get it: exit status {probe.exit}",
            Reading("packets/probes.json", probe.command),
            note=flight.reply.hops(),
        ),
    )
    return ""


def _answered(world: World, source: str, destination: str, *kinds: str) -> tuple[Flight, ...]:
    """Echoes of other kinds that went there and back, as an ordinary one did.

    What becomes of one that did not, or that was cut up on its way, is the MTU's requirements'.
    """
    if isinstance(world.paths, Absent) or isinstance(world.capture, Absent):
        return ()
    ordinary, others = (world.paths.between(source, destination, each) for each in (ORDINARY, kinds))
    if not any(flight.answered for flight in ordinary):
        return ()
    whole = (one for one in others if not any(s.fragments for leg in (one.request, one.reply) for s in leg.stops))
    return tuple(flight for flight in whole if flight.answered)


def never_sent(verdict: Verdict, flight: Flight) -> bool:
    """Whether the probe's command could not run at all; the verdict then says so."""
    probe = flight.probe
    if probe is None or flight.request.seen or (probe.exit is not None and probe.exit not in COULD_NOT_RUN):
        return False
    said = probe.stderr.strip().splitlines()
    reason = said[-1][:200] if said else f"exit status {probe.exit}"
    verdict.inconclusive[f"{probe.node}: the probe {probe.id} ({probe.kind}) could not be sent: {reason}"] = None
    return True


def _source(world: World, verdict: Verdict, flight: Flight) -> bool:
    """Compares the address that the node chose for its own packet, at the first point that saw it."""
    if isinstance(world.datastore, Absent):
        return True
    leg = flight.request
    expected = node_source(world.datastore, world.expected, leg.source_node, leg.destination)
    packet = leg.first
    if packet is None or expected is None:
        return True
    node = world.datastore.nodes.get(leg.source_node)
    name = f"the node's {'tunnel' if node is not None and expected == node.tunnel_address else 'own'} address"
    verdict.compare(
        packet.inner.source == expected,
        Difference(
            f"{label(flight, leg)}: inner source",
            f"{expected} ({name})",
            f"{packet.inner.source}, in {way(packet)}",
            shows(world, packet),
        ),
    )
    return packet.inner.source == expected


def _places_of_loss(world: World, source: str, destination: str) -> set[tuple[str, str]]:
    """Where packets between the pods of this pair die: (leg, point)."""
    if isinstance(world.paths, Absent):
        return set()
    legs = [
        leg
        for flight in world.paths.between(source, destination, ORDINARY)
        for leg in ((flight.request, flight.reply) if arrived(flight) else (flight.request,))
    ]
    return {(leg.name, str(leg.died_at.point)) for leg in legs if leg.died_at is not None}


def _bare_roles(leg: Leg) -> tuple[Role, ...]:
    return BARE_ROLES if leg.tunnelled else tuple(Role)


def _nothing(legs: list[Leg], roles: tuple[Role, ...]) -> str:
    """The reason where no echo of the pair could be judged: each had died before."""
    stops = [stop for leg in legs for stop in leg.stops if stop.point.role in roles]
    return nothing_to_judge(stops[:2]) if stops else ""


def _echoes(source: str, destination: str) -> str:
    return f"packets from a pod on {source} to a pod on {destination}"
