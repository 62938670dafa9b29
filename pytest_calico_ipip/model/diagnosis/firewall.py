"""Causes in the packet filter: rules before Calico's, a set that lacks a node, a rule that is missing."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks.firewall import walk
from pytest_calico_ipip.model.diagnosis.cause import Found, on
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs
from pytest_calico_ipip.model.diagnosis.symptom import Symptom
from pytest_calico_ipip.model.firewall import IPIP_PROTOCOL, FilterRule, Firewall
from pytest_calico_ipip.model.points import Role

_LOSES = ("drop", "reject")
_RECEIVING = (Role.UNDERLAY, Role.TUNNEL)
_SENDING = (Role.TUNNEL, Role.UNDERLAY)


def _firewalls(signs: Signs, node: str) -> Iterator[Firewall]:
    state = signs.state(node)
    for one in state.firewalls if state is not None else ():
        if not isinstance(one, Absent):
            yield one


def _lost(signs: Signs, node: str, *roles: tuple[Role, Role]) -> tuple[Symptom, ...]:
    return tuple(s for s, _ in signs.packets() if s.lost and s.broken is not None and s.broken.within(node, *roles))


def host_set(signs: Signs) -> Iterator[Found]:
    """A node whose set of Calico's hosts is not the list of nodes."""
    for node in signs.nodes:
        own = signs.of("SEC-1", on=node)
        lacking = [s for s in own if not s.observed.startswith("with ")]
        name = own[0].last if own else ""
        show = on(node, "ipset", "list", name)
        if lacking:
            missing = [
                n for n in signs.store.nodes if (a := signs.address(n)) and str(a) in _words(lacking[0].observed)
            ]
            refused = [s for s in _lost(signs, node, _RECEIVING) if s.leg is not None and s.leg.source_node in missing]
            counted = [s for s in signs.of("SEC-2", on=node) if "packets dropped" in s.what]
            sentence = (
                f"{node} does not take {', '.join(missing) or lacking[0].observed} for a node of Calico's: "
                f"its set {name} lacks that address, and IP-in-IP from there is dropped"
            )
            facts = (lacking[0].fact(), *(s.fact() for s in refused[:1]))
            yield Found(
                "host-set-incomplete", (node, *missing), sentence, (*lacking, *counted, *refused), facts, (show,)
            )
        extra = [s for s in own if s not in lacking]
        if extra:
            sentence = f"The set {name} of {node} holds more than Calico's hosts: {extra[0].observed}"
            yield Found("host-set-foreign", (node,), sentence, tuple(extra), (extra[0].fact(),), (show,))


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def no_gate(signs: Signs) -> Iterator[Found]:
    """Nothing accepts IP-in-IP from Calico's hosts, or the chain that does is not reached."""
    for symptom in signs.of("SEC-2"):
        node = symptom.subject
        if symptom.expected.startswith("a rule that accepts"):
            also = [*signs.of("SEC-2", on=node), *(s for s in signs.of("SEC-1", on=node) if s.what == symptom.what)]
            lost = _lost(signs, node, _RECEIVING)
            sentence = f"{node} has no rule that accepts IP-in-IP from Calico's hosts, or does not come to it"
            show = on(node, "iptables-save", "-c")
            yield Found("ipip-rule-missing", (node,), sentence, (symptom, *also, *lost), (symptom.fact(),), (show,))


def dropping(signs: Signs) -> Iterator[Found]:
    """A rule of somebody else's that drops IP-in-IP before Calico's accepts it, or on its way out."""
    for node in signs.nodes:
        judged = [s for s in signs.of("SEC-2", on=node) if s.what.endswith("input chain")]
        for firewall in _firewalls(signs, node):
            yield from _rules(signs, node, firewall, judged)


def _rules(signs: Signs, node: str, firewall: Firewall, judged: list[Symptom]) -> Iterator[Found]:
    for chains, direction, roles in (
        (firewall.inputs, "arrives at", _RECEIVING),
        (firewall.outputs, "leaves", _SENDING),
    ):
        rules = [rule for chain in chains for rule in _before_accept(firewall, chain)]
        lost = _lost(signs, node, roles)
        mine = [s for s in judged if roles is _RECEIVING and s.observed in {rule.text for rule in rules}]
        if not rules or not (lost or mine):
            continue
        texts = "; ".join(dict.fromkeys(rule.text for rule in rules))
        counters = [f"{rule.text}: {_rise(firewall, rule)} (nodes/{node}/{firewall.file})" for rule in rules[:2]]
        yield Found(
            "firewall-drops-ipip",
            (node,),
            f"A firewall rule of {node} drops IP-in-IP that {direction} it, before Calico's own rules decide: {texts}",
            (*mine, *lost),
            (*counters, *(s.fact() for s in lost[:1])),
            (on(node, "iptables-save", "-c") if "iptables" in firewall.file else on(node, "nft", "list", "ruleset"),),
        )


def _before_accept(firewall: Firewall, chain: str) -> Iterator[FilterRule]:
    """Rules about protocol 4 that lose packets and come before Calico's accepts the rest."""
    for rule in walk(firewall.chains, chain):
        if rule.protocol == IPIP_PROTOCOL and rule.verdict == "accept":
            return
        if rule.protocol == IPIP_PROTOCOL and rule.verdict in _LOSES:
            yield rule


def _rise(firewall: Firewall, rule: FilterRule) -> str:
    if isinstance(firewall.after, Absent) or rule.packets is None:
        return f"{rule.packets if rule.packets is not None else 'uncounted'} packets"
    later = [
        r.packets for rules in firewall.after.values() for r in rules if r.text == rule.text and r.packets is not None
    ]
    return f"{rule.packets} packets before, {later[0]} after" if later else f"{rule.packets} packets before"


def others(signs: Signs) -> Iterator[Found]:
    """What else is wrong with the gate: no rule, a rule that lets others in, a counter that rises."""
    for symptom in signs.of("SEC-2", "SEC-1"):
        node, show = symptom.subject, on(symptom.subject, "iptables-save", "-c")
        if "packets dropped" in symptom.what:
            lost = _lost(signs, node, _RECEIVING)
            sentence = f"IP-in-IP packets reach {node} from an address that is no node's, and are dropped there"
            yield Found("ipip-from-unknown-source", (node,), sentence, (symptom, *lost), (symptom.fact(),), (show,))
        elif symptom.what.endswith("packets from others"):
            sentence = f"{node} does not drop IP-in-IP from hosts that are not Calico's: {symptom.observed}"
            delivered = signs.of("SEC-3", on=node)
            facts = tuple(each.fact() for each in (symptom, *delivered))
            yield Found("ipip-from-anybody", (node,), sentence, (symptom, *delivered), facts, (show,))
        else:
            lost = _lost(signs, node, _RECEIVING)
            sentence = f"A rule of {node} decides about IP-in-IP before Calico's do: {symptom.observed}"
            yield Found("rule-before-calico", (node,), sentence, (symptom, *lost), (symptom.fact(),), (show,))


def delivered(signs: Signs) -> Iterator[Found]:
    """A foreign packet came in, although the rules that were read look right."""
    for symptom in signs.of("SEC-3"):
        node, show = symptom.subject, on(symptom.subject, "iptables-save", "-c")
        sentence = f"{node} lets IP-in-IP from outside the host set in to its pods: no rule drops it in time"
        yield Found("ipip-from-anybody", (node,), sentence, (symptom,), (symptom.fact(),), (show,))


RULES: tuple[Rule, ...] = (host_set, no_gate, dropping, others, delivered)
