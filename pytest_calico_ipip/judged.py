"""`assert judged(check, …)`: one judgement, said so that pytest understands it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import pytest

from pytest_calico_ipip.model.absent import Missing
from pytest_calico_ipip.model.again import judged_twice
from pytest_calico_ipip.model.disturbance import tempered
from pytest_calico_ipip.model.judgement import Judgement, Outcome
from pytest_calico_ipip.report.wording import unasserted

if TYPE_CHECKING:
    from pytest_calico_ipip.model.world import World

JUDGEMENT = pytest.StashKey[Judgement]()
WORLD_IS_LIVE = pytest.StashKey[bool]()


class Judged(Protocol):
    """The type of the fixture `judged`."""

    def __call__(self, check: Callable[..., Judgement], *subject: str) -> Held:
        """Judge `subject`: a node's name, or the two names of an ordered pair."""


class Held:
    """What the assertion asserts: true where the requirement holds, or only a SHOULD is broken."""

    def __init__(self, judgement: Judgement, *, holds: bool) -> None:
        self.judgement = judgement
        self.holds = holds

    def __bool__(self) -> bool:
        """Whether the test passes."""
        return self.holds


class Inconclusive(Exception):
    """The evidence is not good enough for a verdict: an ERROR, not a FAIL."""


def judge(item: pytest.Item, world: World, strict: bool, check: Callable[..., Judgement], *subject: str) -> Held:
    """Judge once, keep the judgement for the report, and pass, fail, skip or err accordingly."""
    __tracebackhide__ = True
    try:
        judgement = tempered(world, judged_twice(world, check, *subject))
    except Missing as missing:
        # a check normally says so itself; one that does not must not look like a broken cluster
        words = (missing.absent.reason,)
        judgement = Judgement(
            requirement_of(item),
            ":".join(subject),
            inconclusive=words if missing.absent.failed else (),
            missing=() if missing.absent.failed else words,
        )
    item.stash[JUDGEMENT] = judgement
    item.stash[WORLD_IS_LIVE] = world.live
    outcome = judgement.outcome
    if outcome is Outcome.ERROR:
        raise Inconclusive("; ".join(judgement.inconclusive))
    if outcome in (Outcome.MISSING, Outcome.NOT_APPLICABLE):
        pytest.skip(unasserted(judgement))
    return Held(judgement, holds=outcome is Outcome.HOLDS or (outcome is Outcome.WARNING and not strict))


def requirement_of(item: pytest.Item) -> str:
    """The requirement that a test's marker names, "" without one."""
    marker = item.get_closest_marker("requirement")
    return str(marker.args[0]) if marker is not None and marker.args else ""
