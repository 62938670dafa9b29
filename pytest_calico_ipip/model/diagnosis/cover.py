"""Rules in the order of how much they know; each sees only what no earlier one explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_calico_ipip.model.absent import Missing
from pytest_calico_ipip.model.diagnosis import (
    baseline,
    bgp,
    datastore,
    firewall,
    meanwhile,
    mtu,
    node,
    own,
    pods,
    routes,
    taps,
    tcp,
    tunnel,
    wire,
)
from pytest_calico_ipip.model.diagnosis.cause import NOT_EXPLAINED, Cause, Found, by_debug
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs
from pytest_calico_ipip.model.diagnosis.symptom import Symptom
from pytest_calico_ipip.model.judgement import Judgement
from pytest_calico_ipip.model.world import World

# what is configured, then what the kernel has, then what is inferred from packets alone
RULES: tuple[Rule, ...] = (
    *meanwhile.RULES,
    *datastore.RULES,
    *node.RULES,
    *tunnel.RULES,
    *bgp.RULES,
    *pods.EARLY,
    *routes.RULES,
    *pods.RULES,
    *mtu.RULES,
    *firewall.RULES,
    *bgp.LATER,
    *mtu.LATER,
    *own.RULES,
    *wire.RULES,
    *tcp.RULES,
    *taps.RULES,
    *baseline.RULES,
)
_MOST = 8  # names in a sentence


def diagnose(world: World, judgements: Sequence[Judgement]) -> tuple[Cause, ...]:
    """The likely causes of the judgements that failed, the most specific first; nothing where none failed.

    Several faults are all named. A symptom that an earlier cause explains gives no second one; what no rule explains
    is listed by a last cause, `not-explained`. Never raises: a rule that lacks its evidence says nothing.
    """
    signs = Signs(world, judgements)
    causes: list[Cause] = []
    for rule in RULES:
        try:
            for found in rule(signs):
                if signs.take(found):
                    causes.append(found.cause())
                    _same_pair(signs, causes)
        except Missing:
            continue
    rest = _unexplained(signs)
    causes += [rest.cause()] if rest is not None else []
    if image := world.helper_image:
        return tuple(replace(c, next_command=tuple(by_debug(each, image) for each in c.next_command)) for c in causes)
    return tuple(causes)


def _same_pair(signs: Signs, causes: list[Cause]) -> None:
    """What is said of no single packet goes with its pair: a link type, a transfer that does not end.

    So do packets between their pods that are bare at a NIC. What a node itself sends tells nothing of TCP between pods.
    """
    explained = [(requirement, frozenset(s.split(":"))) for requirement, s in causes[-1].explains if ":" in s]
    pairs = {pair for _, pair in explained}
    of_pods = {pair for requirement, pair in explained if requirement != "PATH-7"}
    for symptom in tuple(signs.left):
        of_no_packet = symptom.leg is None and symptom.difference is not None
        if of_no_packet and _nodes(signs, symptom) in (pairs if symptom.requirement == "PATH-9" else of_pods):
            del signs.left[symptom]
            also = (symptom.requirement, symptom.subject)
            causes[-1] = replace(causes[-1], explains=causes[-1].explains | {also})


def _nodes(signs: Signs, symptom: Symptom) -> frozenset[str]:
    """The two nodes that something is said of: of a pair, or (PATH-9) of a packet between two addresses."""
    if ":" in symptom.subject:
        return frozenset(symptom.subject.split(":"))
    words = symptom.what.split()
    if symptom.requirement != "PATH-9" or len(words) < 3:
        return frozenset()
    return frozenset(node for word in (words[0], words[2]) if (node := signs.node_of(word)))


def _unexplained(signs: Signs) -> Found | None:
    """An honest list of the failures that no rule knows. (What could not be judged is said elsewhere, with why.)"""
    left = [symptom for symptom in signs.left if symptom.difference is not None]
    if not left:
        return None
    names = list(dict.fromkeys(f"{s.requirement} on {s.subject.replace(':', ' → ')}" for s in left))
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    readings = [s.difference.reading for s in left if s.difference is not None and s.difference.reading is not None]
    commands = dict.fromkeys(reading.command for reading in readings if reading.command)
    return Found(
        NOT_EXPLAINED,
        tuple(dict.fromkeys(s.subject for s in left)),
        f"No cause that is known here explains {', '.join(names[:_MOST])}{more}",
        tuple(left),
        tuple(s.fact() for s in left[:3]),
        tuple(commands)[:2],
    )
