"""Causes that only TCP shows: echoes of the same pair are answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from pytest_calico_ipip.model.diagnosis.cause import Found, on, tcpdump
from pytest_calico_ipip.model.diagnosis.oddities import in_words, look, rank
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs
from pytest_calico_ipip.model.diagnosis.symptom import Symptom


def clamped(signs: Signs) -> Iterator[Found]:
    """The MSS that a SYN carries is not the sender's own any more: something on the way rewrites it."""
    own = [symptom for symptom in signs.left if symptom.what.startswith("MSS in TCP")]
    if own:
        sentence = f"Something rewrites the MSS of TCP between the pods of {_pairs(own)}: a clamping rule on the way"
        yield _found("tcp-mss-rewritten", own, sentence)


def lost(signs: Signs) -> Iterator[Found]:
    """A transfer that does not end, between pods that answer each other's echoes."""
    own = [symptom for symptom in signs.left if symptom.what.startswith("TCP transfer ")]
    if own:
        sentence = (
            f"TCP between the pods of {_pairs(own)} does not get through, while echoes do: "
            "a network policy, a firewall or connection tracking drops it"
        )
        yield _found("tcp-lost", own, sentence)


def looks(signs: Signs) -> Iterator[Found]:
    """Segments that pass an underlay NIC, but not as they must: by what is odd, and by the node that sent them."""
    groups: dict[tuple[str, str], list[Symptom]] = defaultdict(list)
    for symptom in signs.of("PATH-8"):
        if ident := look(symptom):
            groups[ident, symptom.subject.partition(":")[0]].append(symptom)
    for (ident, node), own in sorted(groups.items(), key=lambda item: rank(item[0][0])):
        there = own[0].subject.partition(":")[2]
        said = f"{in_words(own[0], node, there)}; echoes show nothing of it, so a rule for TCP alone does this"
        watch = tcpdump(node, signs.nic_name(node), "ip proto 4 or tcp")
        facts = tuple(symptom.fact() for symptom in own[:2])
        yield Found(ident, (node,), said, tuple(own), facts, (watch, on(node, "iptables-save", "-c")))


def translated(signs: Signs) -> Iterator[Found]:
    """A transfer that is completed, and whose segments pass somewhere as those of others, or do not pass there."""
    own = [symptom for symptom in signs.of("PATH-8") if "with other addresses or not at all" in symptom.observed]
    if own:
        said = (
            f"TCP between the pods of {_pairs(own)} arrives, but does not pass everywhere as theirs, while echoes "
            "do: a rule for TCP alone translates their addresses, or sends it another way"
        )
        nodes = dict.fromkeys(node for symptom in own for node in symptom.subject.split(":"))
        rules = tuple(on(node, "iptables-save", "-c", "-t", "nat") for node in nodes)
        yield _found("tcp-translated", own, said, rules[:2])


def _found(name: str, symptoms: Sequence[Symptom], sentence: str, commands: tuple[str, ...] = ()) -> Found:
    """`commands`: the next ones, where they are not those that show the symptoms again."""
    readings = [s.difference.reading for s in symptoms if s.difference is not None and s.difference.reading is not None]
    again = tuple(dict.fromkeys(reading.command for reading in readings if reading.command))
    subjects = tuple(dict.fromkeys(symptom.subject for symptom in symptoms))
    facts = tuple(symptom.fact() for symptom in symptoms[:2])
    return Found(name, subjects, sentence, tuple(symptoms), facts, commands or again[:1])


def _pairs(symptoms: Sequence[Symptom]) -> str:
    names = dict.fromkeys(" and ".join(sorted(symptom.subject.split(":"))) for symptom in symptoms)
    more = f" and {len(names) - 3} more pairs" if len(names) > 3 else ""
    return ", ".join(list(names)[:3]) + more


RULES: tuple[Rule, ...] = (clamped, lost, looks, translated)
