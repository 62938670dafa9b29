"""What Kubernetes did to a node or a pod during the run: whatever could not be judged for it has this one cause."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_calico_ipip.model.diagnosis.cause import Found, kubectl
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs


def disturbed(signs: Signs) -> Iterator[Found]:
    """Each disturbance that anything was not judged for."""
    for one in signs.store.disturbances:
        mine = tuple(symptom for symptom in signs.left if symptom.reason == one.sentence)
        if mine:
            sentence = f"{one.sentence}: what it has to do with was not judged; repeat the run when that has settled"
            facts = ("the API said so of it at the end, and not at the beginning (api/ and api-after/)",)
            yield Found("changed-meanwhile", (one.node,), sentence, mine, facts, _commands(one.node))


def _commands(node: str) -> tuple[str, ...]:
    return (kubectl("get", "events", "-A", "--sort-by=.lastTimestamp"), kubectl("describe", "node", node))


RULES: tuple[Rule, ...] = (disturbed,)
