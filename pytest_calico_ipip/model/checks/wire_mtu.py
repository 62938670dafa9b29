"""MTU-4 and MTU-5: an echo of exactly the pod's MTU is answered, one byte more is refused where it is sent."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks.wire_path import never_sent
from pytest_calico_ipip.model.checks.wire_scope import (
    FRAMES,
    ORDINARY,
    Verdict,
    flights,
    icmp_errors,
    label,
    looks_for,
    pair_verdict,
    wireguard,
)
from pytest_calico_ipip.model.judgement import Difference, Judgement, Reading
from pytest_calico_ipip.model.paths import Flight, Sight
from pytest_calico_ipip.model.travels import pod_mtu
from pytest_calico_ipip.model.world import World

REFUSED = re.compile(r"message too long,?\s*mtu\s*[=:]?\s*(\d+)", re.IGNORECASE)  # iputils' own words for EMSGSIZE
PROBES = Reading("packets/probes.json")


def full_size(world: World, source: str, destination: str) -> Judgement:
    """MTU-4: an echo with DF of exactly the pod's MTU gets its reply."""
    verdict = pair_verdict(world, "MTU-4", source, destination)
    if reason := wireguard(world, source, destination):
        return verdict.judgement(reason)
    words = f"an echo with DF of exactly the pod's MTU from {source} to {destination}"
    found = flights(world, verdict, source, destination, ("echo-full",), words)
    if found and all_echoes_die(world, source, destination):
        return verdict.judgement("nothing to judge: no echo of this pair is answered, whatever its size (see PATH-1)")
    for flight in found:
        if not never_sent(verdict, flight):
            _full_size(world, verdict, flight)
    return verdict.judgement()


def _full_size(world: World, verdict: Verdict, flight: Flight) -> None:
    request, reply = flight.request, flight.reply
    mtu = sender_mtu(world, flight.request.source)
    sent = next((packet for stop in request.stops for packet in stop.packets), None)
    if sent is not None and mtu is not None and (sent.inner.length != mtu or not sent.inner.dont_fragment):
        df = "with" if sent.inner.dont_fragment else "without"
        verdict.inconclusive[
            f"{request.source_node}: the probe {flight.id} had {sent.inner.length} bytes {df} DF, "
            f"not {mtu} with it, the MTU of the pod's eth0"
        ] = None
        return
    home = reply.stops[-1]
    by_ping = flight.probe is not None and flight.probe.exit == 0
    if home.sight is Sight.UNKNOWN and not by_ping:
        died = request.died_at or reply.died_at
        if died is None:
            verdict.unwatched(home.point)
            return
    answered = flight.answered or (by_ping and home.sight is Sight.UNKNOWN)
    lost = request if request.lost and not reply.seen else reply
    died = lost.died_at or request.died_at or home
    size = sent.inner.length if sent is not None else mtu
    observed = "; ".join(filter(None, ("no reply", f"not seen any more at {died.point}", icmp_errors(flight))))
    verdict.compare(
        answered,
        Difference(
            f"{label(flight, request)}, {size} bytes with DF",
            "a reply",
            observed,
            looks_for(world, flight, lost, died.point) or PROBES,
            note=lost.hops(),
        ),
    )


def one_more(world: World, source: str, destination: str) -> Judgement:
    """MTU-5: one byte more than the pod's MTU, with DF, is refused at the sender, with the MTU; nothing is sent."""
    verdict = pair_verdict(world, "MTU-5", source, destination)
    if reason := wireguard(world, source, destination):
        return verdict.judgement(reason)
    words = f"an echo with DF of one byte more than the pod's MTU from {source} to {destination}"
    found = flights(world, verdict, source, destination, ("echo-over",), words)
    if found and _no_echo_leaves(world, source, destination):
        return verdict.judgement("nothing to judge: no echo of this pair leaves its pod (see PATH-1)")
    for flight in found:
        if not never_sent(verdict, flight):
            _one_more(world, verdict, flight)
    return verdict.judgement()


def _one_more(world: World, verdict: Verdict, flight: Flight) -> None:
    probe, leg = flight.probe, flight.request
    if probe is None:
        return
    said = f"{probe.stdout}\n{probe.stderr}"
    named = REFUSED.search(said)
    mtu = sender_mtu(world, flight.request.source)
    if mtu is None:
        verdict.unseen(f"the MTU of eth0 of the pod {leg.source} on {leg.source_node}")
    what = f"{label(flight, leg)}, one byte more than the MTU, with DF"
    reading = Reading("packets/probes.json", probe.command)
    answer = f"exit status {probe.exit}, {_last(said)}"
    verdict.compare(
        probe.exit != 0 and named is not None,
        Difference(f"{what}: ping's answer", "refused: message too long, with the MTU", answer, reading, leg.hops()),
    )
    if named is not None and mtu is not None:
        # a full-size echo that was too large for the way has told the pod a smaller MTU for it: MTU-4's finding
        allowed = {mtu, *told_by_icmp(world, flight.nodes)}
        verdict.compare(
            int(named[1]) in allowed, Difference(f"{what}: the MTU that ping was told", str(mtu), named[1], reading)
        )
    seen = next((stop for stop in leg.stops if stop.packets), None)
    verdict.compare(
        not leg.seen,
        Difference(
            f"{what}: on the wire",
            "not seen at any tap",
            f"seen at {seen.point}" if seen is not None else "seen at a tap that is not on its way",
            looks_for(world, flight, leg, seen.point) if seen is not None else None,
        ),
    )


def told_by_icmp(world: World, nodes: tuple[str, str]) -> set[int]:
    """The MTUs that ICMP errors named for echoes of this pair."""
    if isinstance(world.paths, Absent):
        return set()
    errors = [error for each in world.paths.between(*nodes, FRAMES) for error in each.errors]
    return {error.icmp.mtu for error in errors if error.icmp is not None and error.icmp.mtu is not None}


def _last(said: str) -> str:
    """The last line that ping wrote, safe to show."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "".join(c if c.isprintable() else "�" for c in lines[-1])[:200] if lines else "no output"


def sender_mtu(world: World, address: IPv4Address) -> int | None:
    """The MTU of a pod's eth0, as its namespace says it."""
    if isinstance(world.datastore, Absent):
        return None
    sender = next((p for p in (*world.pods, *world.datastore.pods) if p.ip == address and not p.ended), None)
    return pod_mtu(world.nodes, sender) if sender is not None else None


def _no_echo_leaves(world: World, source: str, destination: str) -> bool:
    """Whether echoes of ordinary size were sent between this pair, and each certainly was not seen even at eth0."""
    if isinstance(world.paths, Absent):
        return False
    requests = [flight.request for flight in world.paths.between(source, destination, ORDINARY)]
    return bool(requests) and all(one.stops[0].sight is Sight.NEVER and not one.seen for one in requests)


def all_echoes_die(world: World, source: str, destination: str) -> bool:
    """Whether echoes of ordinary size were sent between this pair, and each certainly got no reply."""
    if isinstance(world.paths, Absent):
        return False
    ordinary = world.paths.between(source, destination, ORDINARY)
    return bool(ordinary) and all(f.reply.stops[-1].sight is Sight.NEVER for f in ordinary)
