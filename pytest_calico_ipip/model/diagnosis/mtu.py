"""Causes in sizes: tunl0's MTU, the pods', and ways that only small packets survive."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.diagnosis.cause import Found, on
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs
from pytest_calico_ipip.model.diagnosis.symptom import Symptom
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE
from pytest_calico_ipip.model.expected.mtu import IPIP_OVERHEAD
from pytest_calico_ipip.model.paths import Leg
from pytest_calico_ipip.model.points import Role

_SIZES = ("MTU-4", "MTU-5")


def tunnel(signs: Signs) -> Iterator[Found]:
    """tunl0's MTU is not what the host's gives; nodes where it is wrong alike are told together."""
    alike: dict[tuple[int, int, int | None], list[str]] = defaultdict(list)
    for symptom in signs.of("MTU-1"):
        link, nic = signs.link(symptom.subject, TUNNEL_DEVICE), signs.nic(symptom.subject)
        wanted = re.search(r"\d+", symptom.expected)
        if link is not None and wanted is not None:
            alike[link.mtu, int(wanted[0]), nic.mtu if nic is not None else None].append(symptom.subject)
    for (mtu, wanted_mtu, host), nodes in alike.items():
        yield _tunnel(signs, tuple(nodes), mtu, wanted_mtu, host)


def _tunnel(signs: Signs, nodes: tuple[str, ...], mtu: int, wanted: int, host: int | None) -> Found:
    own = [s for node in nodes for s in signs.of("MTU-1", on=node)]
    pods = [s for node in nodes for s in signs.of("MTU-2", on=node)]
    large = [
        s
        for s, leg in signs.packets()
        for node in nodes
        # what a tunnel of a small MTU lets through has room on the way
        if s.requirement in _SIZES and _stops(s, leg, node) and not (mtu < wanted and s.broken and s.broken.on_the_way)
    ]
    # a NIC of a small MTU takes no larger packets in either
    if mtu > wanted:
        large += [
            s
            for s, leg in signs.packets()
            if s.requirement in _SIZES and leg.destination_node in nodes and s.broken and s.broken.on_the_way
        ]
    facts, names = (*(s.fact() for s in own[:2]), *(s.fact() for s in large[:1])), ", ".join(nodes)
    look = (on(nodes[0], "ip", "-d", "link", "show"),)
    if mtu < wanted:
        high = [s for s in pods if "at most" in s.expected]  # they are right, and only too large for this tunnel
        sentence = (
            f"tunl0 of {names} has an MTU of {mtu}, and {wanted} is right: packets of its pods above {mtu} do not fit"
        )
        return Found("tunnel-mtu-low", nodes, sentence, (*own, *high, *large), facts, look)
    room = host - IPIP_OVERHEAD if host is not None else None
    vanish = f"packets above {room} do not fit" if room is not None and mtu > room else f"{wanted} is right"
    under = f" on an underlay of {host}" if host is not None else ""
    sentence = f"tunl0 of {names} has an MTU of {mtu}{under}: {vanish}"
    return Found("tunnel-mtu-high", nodes, sentence, (*own, *pods, *large), facts, look)


def _stops(symptom: Symptom, leg: Leg, node: str) -> bool:
    """Whether a packet did not get past this node's tunnel or NIC on its way out, or at all without a known place."""
    broken = symptom.broken
    return leg.source_node == node and (broken is None or broken.node == node or broken.on_the_way)


def pod(signs: Signs) -> Iterator[Found]:
    """The two ends of a pod's interface differ, or both have more than the tunnel carries."""
    for node in signs.nodes:
        split = [s for s in signs.of("MTU-2", on=node) if s.what.endswith("eth0 MTU")]
        keys = {s.what.split(" ")[0] for s in split}
        large = [s for s, _ in signs.packets() if s.requirement in _SIZES and s.subject.startswith(f"{node}:")]
        look = (on(node, "ip", "-d", "link", "show"),)
        if split:
            own = [s for s in signs.of("MTU-2", on=node) if s.what.split(" ")[0] in keys]
            outside, inside = split[0].expected, split[0].observed
            sentence = f"The interface of a pod on {node} has an MTU of {outside} outside and of {inside} inside"
            large += [s for s, _ in signs.packets() if s.requirement in _SIZES and _at_pod(s, node)]
            facts = tuple(s.fact() for s in (*split[:2], *large[:1]))
            yield Found("pod-mtu-ends-differ", (node, *sorted(keys))[:6], sentence, (*own, *large), facts, look)
        high = [s for s in signs.of("MTU-2", on=node) if s.observed.isdecimal()]
        if high:
            names = dict.fromkeys(s.what.split(" ")[0] for s in high)
            sentence = (
                f"Pods of {node} have an MTU of {high[0].observed}, and the tunnel carries "
                f"{high[0].expected.removeprefix('at most ')}: their largest packets do not fit"
            )
            facts = tuple(s.fact() for s in (*high[:2], *large[:1]))
            yield Found("pod-mtu-high", (node, *names)[:6], sentence, (*high, *large), facts, look)


def _at_pod(symptom: Symptom, node: str) -> bool:
    """Whether a packet was lost at the cable of a pod of this node."""
    broken = symptom.broken
    return broken is not None and broken.node == node and broken.at.point.role in (Role.WORKLOAD, Role.POD)


def of_route(signs: Signs) -> Iterator[Found]:
    """The route to a block says a smaller MTU than the pods have."""
    for node in signs.nodes:
        for route in signs.routes(node):
            some = [
                s
                for s, leg in signs.packets()
                if s.requirement in _SIZES
                and leg.source_node == node
                and leg.destination in route.destination
                and s.broken_within(node)
                and route.mtu is not None
                and route.mtu < _size(leg)
            ]
            if some and route.destination.prefixlen:
                sentence = (
                    f"The route of {node} to {route.destination} says an MTU of {route.mtu}: "
                    "full-size packets of pods do not go there"
                )
                fact = f"{route.text} (nodes/{node}/ip-route.json)"
                show = on(node, "ip", "route", "show", "exact", str(route.destination))
                subjects = (node, str(route.destination))
                yield Found("route-mtu-low", subjects, sentence, tuple(some), (fact, some[0].fact()), (show,))


def black_hole(signs: Signs) -> Iterator[Found]:
    """Small packets pass between two nodes, full-size ones vanish: grouped by the place where they do."""
    places: dict[tuple[str, str], list[Symptom]] = defaultdict(list)
    for symptom in signs.of("MTU-4"):
        broken = symptom.broken
        if broken is None or broken.after is None:
            continue
        places[str(broken.after.point), str(broken.at.point)].append(symptom)
    for (after, at), some in places.items():
        broken, leg = some[0].broken, some[0].leg
        if broken is None or leg is None or broken.after is None or _whatever_the_size(signs, some):
            continue
        told = next((s.observed.rpartition("; ")[2] for s in some if "fragmentation needed" in s.observed), "")
        source, there = broken.after.point.node, broken.node
        others = [s for s in signs.of("MTU-5", "MTU-6") if s.subject in {x for one in some for x in _both(one.subject)}]
        size = max((_size(s.leg) for s in some if s.leg), default=0)
        dropped = f"{size} bytes inside are" if size else "full-size packets are"
        if not told and _some_pass(signs, leg, after, at):
            ident = "packets-lost-at-times"
            sentence = (
                f"Of the full-size packets from {leg.source_node} to {leg.destination_node} some pass and some "
                f"are lost, between {after} and {at}: a rule that drops some of all, or a device that loses some"
            )
            command = on(there, "iptables-save", "-c")
        elif broken.on_the_way:
            ident = "large-packets-lost-on-the-way"
            sentence = (
                f"Small packets pass from {source} to {there}, and {dropped} lost between their NICs: "
                "the underlay's MTU is smaller than the nodes think"
            )
            address = signs.address(there)
            command = on(
                source, "ping", "-c", "1", "-M", "do", "-s", str(size + IPIP_OVERHEAD - 28), str(address or there)
            )
        else:
            ident = "large-packets-dropped"
            sentence = f"Small packets pass {there}, and {dropped} lost there, between {after} and {at}"
            command = on(there, "iptables-save", "-c")
        evidence = (*(s.fact() for s in some[:2]), *((told,) if told else ()))
        yield Found(
            ident,
            (there,) if not broken.on_the_way else (f"{source}:{there}",),
            sentence,
            (*some, *others),
            evidence,
            (command,),
        )


def _size(leg: Leg) -> int:
    """The length of a packet as it was seen; 0 where it was seen nowhere."""
    return max((packet.inner.length for stop in leg.stops for packet in stop.packets), default=0)


def _some_pass(signs: Signs, lost: Leg, after: str, at: str) -> bool:
    """Whether another packet of this size went the same way, and passed where this one was lost."""
    if isinstance(signs.world.paths, Absent):
        return False
    nodes = (lost.source_node, lost.destination_node)
    legs = (leg for flight in signs.world.paths.flights for leg in (flight.request, flight.reply))
    others = (leg for leg in legs if leg is not lost and (leg.source_node, leg.destination_node) == nodes)
    alike = (leg for leg in others if _size(leg) == _size(lost))
    return any({after, at} <= {str(stop.point) for stop in leg.stops if stop.packets} for leg in alike)


def _both(subject: str) -> tuple[str, str]:
    a, _, b = subject.partition(":")
    return subject, f"{b}:{a}"


def _whatever_the_size(signs: Signs, some: list[Symptom]) -> bool:
    """Whether ordinary echoes of these pairs are lost at the same place: then size is not the matter."""
    places = {(s.broken.node, s.broken.roles) for s in some if s.broken is not None}
    return any(
        (s.broken.node, s.broken.roles) in places
        for s in signs.all
        if s.requirement == "PATH-1" and s.broken is not None and s.lost
    )


def one_more(signs: Signs) -> Iterator[Found]:
    """A pod may send more than its MTU should allow."""
    left = signs.of("MTU-5")
    by_node: dict[str, list[Symptom]] = defaultdict(list)
    for symptom in left:
        by_node[symptom.subject.split(":")[0]].append(symptom)
    for node, some in by_node.items():
        sentence = f"A packet of one byte more than the MTU is not refused to pods of {node} with the MTU named"
        look = on(node, "ip", "route", "show", "cache")
        yield Found("oversize-not-refused", (node,), sentence, tuple(some), tuple(s.fact() for s in some[:2]), (look,))


RULES: tuple[Rule, ...] = (tunnel, pod, of_route)
LATER: tuple[Rule, ...] = (black_hole, one_more)  # after what a firewall drops by size
