"""BASE-1: what changed since the baseline was made, said once for all nodes."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_calico_ipip.model.diagnosis.cause import Found, on
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs

_MOST = 3


def changed(signs: Signs) -> Iterator[Found]:
    """Whatever else is wrong: the data path is another one than before."""
    symptoms = signs.of("BASE-1")
    if not symptoms:
        return
    others = [s for s in signs.all if s.difference is not None and s.requirement != "BASE-1"]
    nodes = tuple(dict.fromkeys(symptom.subject for symptom in symptoms))
    places = f"{', '.join(nodes[:_MOST])}{f' and {len(nodes) - _MOST} more' if len(nodes) > _MOST else ''}"
    yield Found(
        "changed-since-baseline",
        nodes,
        f"{places}: packets do not go as they did when the baseline was made"
        + ("" if others else ", although all is as the datastore now wants it: its settings were changed"),
        symptoms,
        tuple(s.fact() for s in symptoms[:_MOST]),
        tuple(
            on(nodes[0], *command.split())
            for command in list(
                dict.fromkeys(
                    s.difference.reading.command
                    for s in symptoms
                    if s.subject == nodes[0] and s.difference is not None and s.difference.reading is not None
                )
            )[:2]
        ),
    )


RULES: tuple[Rule, ...] = (changed,)
