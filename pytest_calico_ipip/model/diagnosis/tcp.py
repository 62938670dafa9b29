"""Causes that only TCP shows: echoes of the same pair are answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_calico_ipip.model.diagnosis.cause import Found
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


def _found(name: str, symptoms: Sequence[Symptom], sentence: str) -> Found:
    readings = [s.difference.reading for s in symptoms if s.difference is not None and s.difference.reading is not None]
    commands = tuple(dict.fromkeys(reading.command for reading in readings if reading.command))
    subjects = tuple(dict.fromkeys(symptom.subject for symptom in symptoms))
    facts = tuple(symptom.fact() for symptom in symptoms[:2])
    return Found(name, subjects, sentence, tuple(symptoms), facts, commands[:1])


def _pairs(symptoms: Sequence[Symptom]) -> str:
    names = dict.fromkeys(" and ".join(sorted(symptom.subject.split(":"))) for symptom in symptoms)
    more = f" and {len(names) - 3} more pairs" if len(names) > 3 else ""
    return ", ".join(list(names)[:3]) + more


RULES: tuple[Rule, ...] = (clamped, lost)
