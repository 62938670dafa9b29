"""Causes in a node's routes: to other nodes' blocks, to its own, and routes that nothing explains."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from pytest_calico_ipip.model.datastore import Block
from pytest_calico_ipip.model.diagnosis.cause import Found, on
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs
from pytest_calico_ipip.model.diagnosis.symptom import Symptom
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE, ExpectedRoute
from pytest_calico_ipip.model.nodestate import Route
from pytest_calico_ipip.model.paths import Leg
from pytest_calico_ipip.model.points import Role

_BIRD = "bird"
_FELIX = "80"
_IN = ((Role.TUNNEL, Role.WORKLOAD), (Role.UNDERLAY, Role.WORKLOAD), (Role.UNDERLAY, Role.TUNNEL))
_BLOCKS = "<blocks>"  # stands in a sentence for the destinations that it is about


def to_other_nodes(signs: Signs) -> Iterator[Found]:
    """Routes to other nodes' blocks (or borrowed addresses) that are missing or lead astray.

    What is wrong alike with several routes of one node is told once.
    """
    alike: dict[tuple[str, str, str], list[tuple[Symptom, ExpectedRoute]]] = {}
    for symptom in signs.of("ROUTE-2", "ROUTE-6"):
        node, destination = symptom.subject, symptom.network
        expectation = signs.world.expected.get(node)
        known = expectation.routes if expectation is not None else ()
        expected = next((r for r in known if r.destination == destination and r.owner), None)
        if expected is not None:
            found = [r for r in signs.routes(node) if r.destination == destination and r.table == "main"]
            ident, said = _kind(signs, node, expected, found)
            alike.setdefault((node, ident, said), []).append((symptom, expected))
    for (node, ident, said), some in alike.items():
        yield _to_other_nodes(signs, node, ident, said, some)


def _to_other_nodes(signs: Signs, node: str, ident: str, said: str, some: list[tuple[Symptom, ExpectedRoute]]) -> Found:
    destinations = [expected.destination for _, expected in some]
    same = [
        s
        for s in signs.of("ROUTE-2", "ROUTE-4", "ROUTE-5", "ROUTE-6", on=node)
        if any(_follows(s, destination) for destination in destinations)
    ]
    packets = [
        s
        for s, leg in signs.packets()
        if any(_sent(signs, s, leg, node, each) or _refused(s, leg, node, each) for each in destinations)
    ]
    blocks = ", ".join(f"{expected.destination} (of {expected.owner})" for _, expected in some)
    first = str(destinations[0])
    return Found(
        ident,
        (node, *map(str, destinations)),
        f"{node} {said.replace(_BLOCKS, blocks)}",
        (*same, *packets),
        (*(symptom.fact() for symptom, _ in some[:2]), *[s.fact() for s in packets if s.broken is not None][:1]),
        (
            on(node, "ip", "route", "show", "exact", first),
            signs.birdcl(node, "show", "route", "for", first),
        ),
    )


def _follows(symptom: Symptom, destination: IPv4Network) -> bool:
    """Whether a difference is about this very route, or about what the kernel decides for an address in it."""
    network = symptom.network
    return network == destination or (
        symptom.requirement == "ROUTE-5" and network is not None and network.subnet_of(destination)
    )


def _kind(signs: Signs, node: str, expected: ExpectedRoute, found: list[Route]) -> tuple[str, str]:
    """The id, and the rest of a sentence that begins with the node's name."""
    block = _BLOCKS
    if not found:
        return "route-missing", f"has no route to {block}: packets for its pods follow the default route, bare"
    if len(found) > 1:
        return "route-twice", f"has {len(found)} routes to {block}: {'; '.join(r.text for r in found[:3])}"
    route = found[0]
    if route.type != "unicast" or not route.next_hops:
        return "route-not-unicast", f"has a {route.type} route to {block}: packets for its pods are dropped there"
    if len(route.next_hops) > 1:
        ways = ", ".join(f"{hop.gateway} dev {hop.device}" for hop in route.next_hops)
        return "route-several-ways", f"has {len(route.next_hops)} next hops to {block}, and must have one: {ways}"
    hop = route.next_hops[0]
    if hop.gateway == expected.next_hop:
        if expected.kind == "tunnel" and hop.device != TUNNEL_DEVICE:
            link = signs.link(node, hop.device or "")
            if link is not None and link.kind == "vxlan":
                return "route-vxlan", f"sends packets for {block} by VXLAN ({hop.device}), in IPIP's place"
            return "route-bare", f"sends packets for {block} bare through {hop.device}, not through tunl0"
        if expected.kind == "underlay" and hop.device == TUNNEL_DEVICE:
            return "route-encapsulated", f"sends packets for {block} through tunl0, though both are in one subnet"
        return "route-odd", f"has a route to {block} that is not as it must be: {route.text}"
    other = signs.node_with(hop.gateway)
    if other is not None:
        return "route-wrong-node", f"sends packets for {block} to {other}"
    return "route-nowhere", f"sends packets for {block} to {hop.gateway or hop.device}, which is no node's address"


def _sent(signs: Signs, symptom: Symptom, leg: Leg, node: str, destination: IPv4Network) -> bool:
    """Whether a packet for that block came as far as this node's routing, and went wrong by what it decided."""
    if leg.source_node != node or leg.destination not in destination:
        return False
    broken = symptom.broken
    if broken is None:
        return True
    before = broken.node == node and broken.at.point.role in (Role.POD, Role.WORKLOAD)
    arrived = symptom.lost and broken.within(leg.destination_node) and _well_sent(signs, leg)
    return not before and not arrived


def _well_sent(signs: Signs, leg: Leg) -> bool:
    """Whether a packet left its node as it must: what happens to it in the other node is no matter of routes here."""
    nic = next((s for s in leg.stops if s.point.role is Role.UNDERLAY and s.point.node == leg.source_node), None)
    if nic is None or not nic.packets:
        return False
    there = {signs.address(leg.destination_node)} if leg.tunnelled else {leg.destination}
    headers = 2 if leg.tunnelled else 1
    return all(len(packet.headers) == headers and packet.outer.destination in there for packet in nic.packets)


def _refused(symptom: Symptom, leg: Leg, node: str, destination: IPv4Network) -> bool:
    """Whether a packet from that block died when it had been received: its sender is not where the route says."""
    broken = symptom.broken
    if leg.destination_node != node or leg.source not in destination or broken is None:
        return False
    return broken.within(node, *_IN) and symptom.lost


def own_blocks(signs: Signs) -> Iterator[Found]:
    """A node without the blackhole for its own block."""
    for symptom in signs.of("ROUTE-3"):
        node, block = symptom.subject, symptom.network
        if block is None:
            continue
        missing = symptom.observed == "no route"
        same = [s for s in signs.of("ROUTE-3", "ROUTE-4", on=node) if s.network == block]
        said = "has no blackhole route" if missing else "has something else than a blackhole route"
        told = symptom.observed.startswith(("unreachable", "prohibit"))
        then = "are answered by an error, not dropped" if told else "leave the node again"
        yield Found(
            "blackhole-missing" if missing else "blackhole-replaced",
            (node, str(block)),
            f"{node} {said} for its own block {block}: packets for addresses that no pod has {then}",
            tuple(same),
            (symptom.fact(),),
            (on(node, "ip", "route", "show", "exact", str(block)),),
        )


def workloads(signs: Signs) -> Iterator[Found]:
    """A node whose route to its own pod is missing, or by another device."""
    for symptom in signs.of("ROUTE-1"):
        node, destination = symptom.subject, symptom.network
        if symptom not in signs.left:
            continue
        if destination is None:  # what stands there is a route by the pod's device to somebody else's address
            fact = (symptom.fact(),)
            sentence = (
                f"{node} has a route by a pod's interface to an address that is not this pod's: {symptom.observed}"
            )
            look = on(node, "ip", "route", "show", "dev", symptom.last)
            yield Found("workload-route-wrong", (node,), sentence, (symptom,), fact, (look,))
            continue
        missing = symptom.observed == "no route"
        all_alike = [s for s in signs.of("ROUTE-1", on=node) if s.network and (s.observed == "no route") == missing]
        pods = {s.network.network_address for s in all_alike if s.network is not None}
        lost = [s for s, leg in signs.packets() if _at_workload(s, leg, node, pods)]
        others = [
            s
            for s in signs.of("ROUTE-4", "ROUTE-5", on=node)
            if s.network is not None and s.network.prefixlen == 32 and s.network.network_address in pods
        ]
        ident = "workload-route-missing" if missing else "workload-route-wrong"
        who = (
            f"{len(pods)} of its pods"
            if len(pods) > 1
            else f"its pod {symptom.difference.note.removeprefix('pod ')}"
            if symptom.difference
            else ""
        )
        said = f"has no route to {who}" if missing else f"has a wrong route to {who}: {symptom.observed}"
        yield Found(
            ident,
            (node, *map(str, sorted(pods)))[:6],
            f"{node} {said}",
            (*all_alike, *others, *lost, *signs.of("POD-4", on=node)),
            tuple(s.fact() for s in (*all_alike[:2], *lost[:1])),
            (on(node, "ip", "route", "get", str(destination.network_address)),),
        )


def _at_workload(symptom: Symptom, leg: Leg, node: str, pods: set[IPv4Address]) -> bool:
    """Whether a packet died arriving for one of these pods, or was never sent by it.

    A node without a route to a pod does not answer its ARP requests either: it would not know whom it answers.
    """
    broken = symptom.broken
    if broken is None or broken.node != node:
        return False
    if leg.destination in pods and broken.at.point.role is Role.WORKLOAD:
        return not broken.on_the_way
    return leg.source in pods and broken.at.point.role in (Role.POD, Role.WORKLOAD, Role.TUNNEL)


def unexplained(signs: Signs) -> Iterator[Found]:
    """A route that no object explains, told once for all nodes that learnt it."""
    for symptom in signs.of("ROUTE-4"):
        destination = symptom.network
        if symptom not in signs.left:
            continue
        if destination is None:
            yield _rule(signs, symptom)
            continue
        same = [s for s in signs.of("ROUTE-4") if s.network == destination]
        nodes = tuple(dict.fromkeys(s.subject for s in same))
        origin = _origin(signs, nodes, destination)
        there = [r for r in signs.routes(origin) if r.destination == destination and r.text == _text(same, origin)]
        table = there[0].table if there else "main"
        own = bool(there) and there[0].type == "local"
        ident, why = _what_it_is(signs, destination, there, table)
        route = _text(same, origin)
        learnt = f", and {', '.join(n for n in nodes if n != origin)} learnt it" if len(nodes) > 1 else ""
        decided = [
            s
            for s in signs.of("ROUTE-5")
            if s.subject in nodes and s.network is not None and s.network.subnet_of(destination)
        ]
        told = [s for s in signs.of("BGP-2") if str(destination) in s.observed.split()]
        packets = [
            s
            for s, leg in signs.packets()
            if (leg.source_node in nodes and _sent(signs, s, leg, leg.source_node, destination))
            or any(_refused(s, leg, node, destination) for node in nodes)
            # who takes an address for its own answers in its place, and drops what really comes from there
            or (own and leg.source in destination and leg.destination_node in nodes)
        ]
        if ident == "route-in-other-table":  # its rule may be one for TCP alone, of which no echo shows anything
            ends = {f"{node}:{block.host}" for node in nodes for block in _overlapping(signs, destination)}
            packets += [s for s in signs.of("PATH-8") if s.subject in ends]
        yield Found(
            ident,
            (*nodes, str(destination)),
            f"{origin} has a route that {why}: {route}{learnt}",
            (*same, *decided, *told, *packets),
            tuple(s.fact() for s in sorted(same, key=lambda s: s.subject != origin)[:3]),
            (on(origin, "ip", "route", "show", "table", table, "exact", str(destination)),),
        )


def _overlapping(signs: Signs, destination: IPv4Network) -> list[Block]:
    return [block for block in signs.store.blocks if block.cidr.overlaps(destination)]


def _text(symptoms: list[Symptom], node: str) -> str:
    return next((s.observed for s in symptoms if s.subject == node), symptoms[0].observed)


def _origin(signs: Signs, nodes: tuple[str, ...], destination: IPv4Network) -> str:
    """Where it comes from: the node that has it from somebody else than BIRD, else the first."""
    for node in nodes:
        if any(r.destination == destination and r.protocol != _BIRD for r in signs.routes(node)):
            return node
    return nodes[0]


def _what_it_is(signs: Signs, destination: IPv4Network, routes: list[Route], table: str) -> tuple[str, str]:
    blocks = [block for block in signs.store.blocks if not block.deleted]
    if table not in ("main", "local"):
        return "route-in-other-table", f"nothing explains, in table {table}, which a rule consults"
    if any(len(route.next_hops) > 1 for route in routes):
        return "route-several-ways", "has several next hops"
    inside = next((b for b in blocks if destination != b.cidr and destination.subnet_of(b.cidr)), None)
    pod = next((p for p in signs.store.workloads() if IPv4Network(p.ip or 0) == destination), None)
    if pod is not None:
        return "route-pod-elsewhere", f"leads the address of {pod.key} ({pod.node}) another way than the datastore says"
    if inside is not None and destination.prefixlen == 32:
        return "route-to-no-pod", f"leads to an address in the block of {inside.host} that no pod there explains"
    if inside is not None:
        return "route-more-specific", f"wins over the one to {inside.cidr} of {inside.host}"
    if any(destination == b.cidr for b in blocks):
        return "route-odd", f"is not the one that the block {destination} must have"
    if any(b.cidr.subnet_of(destination) for b in blocks):
        return "route-wider", "covers whole blocks, and nothing explains it"
    return "route-stale", "leads to addresses of no block: no node has them (any more)"


def _rule(signs: Signs, symptom: Symptom) -> Found:
    node = symptom.subject
    decided = signs.of("ROUTE-5", on=node)
    # what comes back by the tunnel is refused where the way there is another
    packets = [
        s
        for s, leg in signs.packets()
        if (leg.source_node == node and (s.astray or s.broken is not None))
        or (leg.destination_node == node and s.broken is not None and s.broken.within(node, *_IN))
    ]
    return Found(
        "policy-rule",
        (node,),
        f"A policy rule of {node} takes packets for pods past the main table: {symptom.observed}",
        (symptom, *decided, *packets),
        (symptom.fact(),),
        (on(node, "ip", "rule", "show"),),
    )


def decided(signs: Signs) -> Iterator[Found]:
    """The kernel decides something else than its table says: rules, or a route beyond what was judged."""
    for node in signs.nodes:
        own = signs.of("ROUTE-5", on=node)
        if own:
            where = {s.network.network_address for s in own if s.network is not None}
            packets = [s for s, leg in signs.packets() if leg.source_node == node and leg.destination in where]
            first = own[0].last
            yield Found(
                "decision-differs",
                (node,),
                f"The kernel of {node} sends packets for {first} another way than its routes to the block say",
                (*own, *packets),
                tuple(s.fact() for s in own[:2]),
                (on(node, "ip", "route", "get", first), on(node, "ip", "rule", "show")),
            )


def leftovers(signs: Signs) -> Iterator[Found]:
    """Routes of the former owner, or of both: an upgrade or a switch that is not finished."""
    for node in signs.nodes:
        own = signs.of("ROUTE-7", on=node)
        if own:
            found = ", ".join(dict.fromkeys(s.observed for s in own))
            wanted = own[0].expected
            calico = {s.observed for s in own} <= {_BIRD, _FELIX}
            why = "a switch or an upgrade is not finished there" if calico else "somebody else wrote them"
            yield Found(
                "route-owner-leftover",
                (node,),
                f"{node} has IPIP routes of protocol {found}, and {wanted} is their owner's: {why}",
                own,
                tuple(s.fact() for s in own[:2]),
                (on(node, "ip", "route", "show", "proto", own[0].observed),),
            )


RULES: tuple[Rule, ...] = (to_other_nodes, own_blocks, workloads, unexplained, decided, leftovers)
