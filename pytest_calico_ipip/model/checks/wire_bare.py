"""PATH-9 and PATH-10: what may be bare at the underlay NIC: in Always mode nothing, in CrossSubnet inside a subnet."""

from __future__ import annotations

from ipaddress import IPv4Address

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks import wire_leg
from pytest_calico_ipip.model.checks.wire_scope import (
    FRAMES,
    Verdict,
    flights,
    nothing_to_judge,
    pair_verdict,
    shows,
    way,
    wire,
    wireguard,
)
from pytest_calico_ipip.model.checks.wire_tcp import tunnelled
from pytest_calico_ipip.model.datastore import Pool
from pytest_calico_ipip.model.judgement import Difference, Judgement
from pytest_calico_ipip.model.points import Role
from pytest_calico_ipip.model.world import World


def never_bare(world: World, node: str) -> Judgement:
    """PATH-9: in Always mode no packet between two addresses of IPIP pools is bare at the node's underlay NIC.

    Whatever the tap holds is judged, not only what was sent as a probe.
    """
    verdict = Verdict("PATH-9", node, world.live)
    if _pools(world) and not any(pool.ipip_mode == "Always" for pool in _pools(world)):
        return verdict.judgement("no IPIP pool is in Always mode")
    seen = wire(world, verdict)
    if seen is None:
        return verdict.judgement()
    capture, paths = seen
    point = paths.nics.get(node)
    if point is None or point.tap is None:
        verdict.unseen(f"a tap at {point or node}")
        return verdict.judgement()
    verdict.unwatched(point)
    told: set[tuple[IPv4Address, IPv4Address]] = set()
    for packet in capture.at(point.tap):
        inner = packet.inner
        # the pool of the destination decides the route
        to, of = _pool(world, inner.destination), _pool(world, inner.source)
        if to is None or of is None or to.ipip_mode != "Always":
            continue
        if len(packet.headers) > 1:
            verdict.asserted += 1
        elif (inner.source, inner.destination) not in told:
            told.add((inner.source, inner.destination))
            what = f"{inner.source} > {inner.destination} at {point}"
            expected = f"encapsulated: the pool {to.name} is in Always mode"
            verdict.compare(False, Difference(what, expected, f"bare: {way(packet)}", shows(world, packet)))
    if not point.problem:
        verdict.asserted += 1  # that there is none is what was looked for
    return verdict.judgement()


def by_subnet(world: World, source: str, destination: str) -> Judgement:
    """PATH-10: CrossSubnet: inside one subnet bare at the underlay NIC, across subnets encapsulated as PATH-3 wants."""
    verdict = pair_verdict(world, "PATH-10", source, destination)
    if reason := wireguard(world, source, destination):
        return verdict.judgement(reason)
    if _pools(world) and not any(pool.ipip_mode == "CrossSubnet" for pool in _pools(world)):
        return verdict.judgement("no IPIP pool is in CrossSubnet mode")
    words = f"packets from a pod on {source} to a pod on {destination}"
    found = flights(world, verdict, source, destination, FRAMES, words)
    legs = []
    for flight in found:
        leg, pool = flight.request, _pool(world, flight.request.destination)
        if pool is None or pool.ipip_mode != "CrossSubnet":
            continue
        legs.append(leg)
        if leg.tunnelled:
            wire_leg.encapsulated(world, verdict, flight, leg)
        else:
            wire_leg.bare(world, verdict, flight, leg, (Role.UNDERLAY,))
    if legs and not tunnelled(world, source, destination):
        _bare_segments(world, verdict, source, destination)
    stops = [stop for leg in legs for stop in leg.stops if stop.point.role is Role.UNDERLAY]
    nothing = nothing_to_judge(stops[:2]) if stops else f"the pool of the pod on {destination} is in Always mode"
    return verdict.judgement(nothing)


def _bare_segments(world: World, verdict: Verdict, source: str, destination: str) -> None:
    if isinstance(world.paths, Absent):
        return
    for node in (source, destination):
        point = world.paths.nics.get(node)
        for packet in world.paths.segments.get((source, destination), ()):
            if point is not None and packet.tap == point.tap:
                what = f"TCP {packet.inner.source} > {packet.inner.destination} at {point}"
                difference = Difference(what, "bare: both nodes are in one subnet", way(packet), shows(world, packet))
                verdict.compare(len(packet.headers) == 1, difference)


def _pools(world: World) -> tuple[Pool, ...]:
    return () if isinstance(world.datastore, Absent) else tuple(pool for pool in world.datastore.pools if pool.ipip)


def _pool(world: World, address: IPv4Address) -> Pool | None:
    return next((pool for pool in _pools(world) if address in pool.cidr), None)
