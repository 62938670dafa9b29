"""Causes in what a node does with its own packets: those around the pods' packets, and the replies to itself."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.diagnosis.cause import Found, on
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs
from pytest_calico_ipip.model.diagnosis.symptom import Symptom
from pytest_calico_ipip.model.nodestate import USUAL_TABLES
from pytest_calico_ipip.model.paths import Leg
from pytest_calico_ipip.model.points import Role


def ruled(signs: Signs) -> Iterator[Found]:
    """Encapsulated packets that a policy rule for the nodes' own addresses takes away from where they must go.

    The kernel looks for the way back of what arrives, too, and refuses what has none.
    """
    for node in signs.nodes:
        state = signs.state(node)
        rules = () if state is None or isinstance(state.rules, Absent) else state.rules
        for rule in rules:
            if rule.table in USUAL_TABLES or (to := rule.destination) is None:
                continue
            own = [s for s, leg in signs.packets() if s.lost and _at_tunnel(s, node) and _leads(signs, to, leg, node)]
            if own:
                sentence = f"A policy rule of {node} takes what is for other nodes past the main table: {rule.text}"
                facts = (f"{rule.text} (nodes/{node}/ip-rule.json)", own[0].fact())
                yield Found("policy-rule", (node,), sentence, tuple(own), facts, (on(node, "ip", "rule", "show"),))


def _at_tunnel(symptom: Symptom, node: str) -> bool:
    return symptom.broken is not None and symptom.broken.within(
        node, (Role.TUNNEL, Role.UNDERLAY), (Role.UNDERLAY, Role.TUNNEL)
    )


def _leads(signs: Signs, to: IPv4Network, leg: Leg, node: str) -> bool:
    """Whether a rule for these addresses is about the node at the other end of a packet's way."""
    other = leg.destination_node if leg.source_node == node else leg.source_node
    address = signs.address(other)
    return address is not None and address in to


def not_taken_in(signs: Signs) -> Iterator[Found]:
    """Replies that come back to a node for itself, and that its own programs do not get."""
    for node in signs.nodes:
        own = [s for s, _ in signs.packets() if s.what.endswith(f": {node} itself")]
        if not own:
            continue
        address = own[0].leg.destination if own[0].leg is not None else None
        local = [r for r in signs.routes(node) if r.type == "local"]
        why = "a filter of its input chain drops them"
        if local and address is not None and not any(address in route.destination for route in local):
            why = f"its local table lacks {address}, so it does not take them for its own"
        facts = tuple(s.fact() for s in own[:2])
        commands = (on(node, "ip", "route", "show", "table", "local"), on(node, "iptables-save", "-c"))
        sentence = (
            f"Replies to what {node} itself sends to pods come back to it, and its programs do not get them: {why}"
        )
        yield Found("reply-not-taken-in", (node,), sentence, tuple(own), facts, commands)


RULES: tuple[Rule, ...] = (ruled, not_taken_in)
