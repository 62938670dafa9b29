"""Causes in BGP: BIRD does not run, a session is not established, a node announces what is not its own."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.diagnosis.cause import Found, on
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs
from pytest_calico_ipip.model.diagnosis.symptom import Symptom


def stopped(signs: Signs) -> Iterator[Found]:
    """BIRD does not run on a node: its sessions, what it should learn, and what the others should learn from it."""
    for symptom in signs.of("BGP-1"):
        node = symptom.subject
        if not symptom.what.endswith(" BIRD"):
            continue
        mine = (*signs.of("BGP-1", "ROUTE-2", "ROUTE-5", "ROUTE-6", on=node), *_sent_astray(signs, node, None))
        sessions = (s for s in signs.of("BGP-1") if (a := signs.address(node)) is not None and str(a) in s.what.split())
        peers = dict.fromkeys(s.subject for s in signs.of("ROUTE-2") if s.network and _owned(signs, node, s))
        theirs = [s for peer in peers for s in _not_learnt(signs, peer, node)]
        # what it sends is refused where no route leads back; what is sent there goes bare
        packets = [
            s for s, leg in signs.packets() if {leg.source_node, leg.destination_node} in [{node, p} for p in peers]
        ]
        sentence = f"BIRD does not run on {node}: {symptom.observed}"
        explained = (*mine, *sessions, *theirs, *packets)
        yield Found("bird-not-running", (node,), sentence, explained, (symptom.fact(),), (signs.logs(node),))


def sessions(signs: Signs) -> Iterator[Found]:
    """Sessions that are down, told once for both ends; the routes that they should bring are then missing."""
    told: set[frozenset[str]] = set()
    for symptom in signs.of("BGP-1"):
        node = symptom.subject
        if symptom not in signs.left:
            continue
        peer = signs.node_with(_peer(symptom))
        pair = frozenset((node, peer or symptom.what))
        if pair in told:
            continue
        told.add(pair)
        ends = (node, peer) if peer else (node,)
        both = [
            s for s in signs.of("BGP-1") if s is symptom or (s.subject == peer and signs.node_with(_peer(s)) == node)
        ]
        routes = [s for a, b in ((node, peer), (peer, node)) if a and b for s in _not_learnt(signs, a, b)]
        sentence = (
            f"The BGP session between {node} and {peer or symptom.what.rpartition('with ')[2]} is not established"
        )
        address = signs.address(peer) if peer else None
        reach = (on(node, "nc", "-zvw3", str(address), "179"),) if address is not None else ()
        show = signs.birdcl(node, "show", "protocols", "all")
        yield Found(
            "bgp-session-down", ends, sentence, (*both, *routes), tuple(s.fact() for s in both[:2]), (*reach, show)
        )


def _peer(symptom: Symptom) -> IPv4Address | None:
    try:
        return IPv4Address(symptom.what.rpartition("session with ")[2].split(" ")[0])
    except ValueError:
        return None


def _not_learnt(signs: Signs, node: str, peer: str) -> Iterator[Symptom]:
    """What this node lacks of the peer's blocks."""
    blocks = [block.cidr for block in signs.store.blocks if block.host == peer]
    for symptom in signs.of("ROUTE-2", "ROUTE-5", "ROUTE-6", on=node):
        if symptom.network is not None and any(symptom.network.subnet_of(block) for block in blocks):
            yield symptom
    yield from _sent_astray(signs, node, peer)


def _sent_astray(signs: Signs, node: str, peer: str | None) -> tuple[Symptom, ...]:
    return tuple(
        s
        for s, leg in signs.packets()
        if leg.source_node == node
        and peer in (None, leg.destination_node)
        and s.broken is not None
        and s.broken.node == node
    )


def withheld(signs: Signs) -> Iterator[Found]:
    """A node's peers lack its block, though their sessions with it are up: their routes to it are then missing."""
    for node in signs.nodes:
        lacking = [s for s in signs.of("BGP-2", on=node) if s.observed == "no such route"]
        if not lacking:
            continue
        show = signs.birdcl(node, "show", "route", "all")
        sentence = f"{node} does not announce its block to {len(lacking)} of its peers, though the session is up"
        lost = [s for s in signs.of("ROUTE-2", "ROUTE-5") if s.network and _owned(signs, node, s)]
        subjects = {s.subject for s in lost}
        legs = [s for each in subjects for s in _sent_astray(signs, each, node)]
        looks = [s for s, leg in signs.packets() if leg.source_node in subjects and leg.destination_node == node]
        # what it sends is refused where no route leads back
        refused = [
            s
            for s, leg in signs.packets()
            if leg.source_node == node and leg.destination_node in subjects and s.broken_within(leg.destination_node)
        ]
        symptoms = (*lacking, *lost, *legs, *looks, *refused)
        yield Found("block-not-announced", (node,), sentence, symptoms, (lacking[0].fact(),), (show,))


def announced(signs: Signs) -> Iterator[Found]:
    """A node's peers hold something from it that is not its own."""
    for node in signs.nodes:
        own = signs.of("BGP-2", on=node)
        show = signs.birdcl(node, "show", "route", "all")
        for destination in sorted({s.observed for s in own if s.observed != "no such route"}):
            mine = tuple(s for s in own if s.observed == destination)
            # what it announces is in the tables of all: one route there, many symptoms
            learnt = tuple(s for s in signs.of("ROUTE-4", "ROUTE-5") if str(s.network) == destination)
            origin = _origin(signs, node, destination)
            because = (mine[0].fact(), *((origin,) if origin else ()))
            sentence = f"{node} announces {destination} to its peers, and it is not its own"
            yield Found("foreign-route-announced", (node, destination), sentence, (*mine, *learnt), because, (show,))


def _owned(signs: Signs, node: str, symptom: Symptom) -> bool:
    network = symptom.network
    blocks = [block.cidr for block in signs.store.blocks if block.host == node]
    return network is not None and symptom.subject != node and any(network.subnet_of(block) for block in blocks)


def _origin(signs: Signs, node: str, destination: str) -> str:
    state = signs.state(node)
    if state is None or isinstance(state.routes, Absent):
        return ""
    found = next((r for r in state.routes if str(r.destination) == destination and r.protocol != "bird"), None)
    return f"{found.text} (nodes/{node}/ip-route.json)" if found is not None else ""


RULES: tuple[Rule, ...] = (stopped, sessions, withheld)
LATER: tuple[Rule, ...] = (announced,)  # after the routes of the kernel, which may be what is announced
