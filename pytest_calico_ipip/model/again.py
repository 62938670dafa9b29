"""A difference on a node is believed when the node shows it twice: before the packets were sent, and afterwards.

Calico is at work while it is looked at: a route is written anew, a set is loaded again, a neighbour is asked for. What
was not as it must be and is so a few seconds later is told, and fails nothing; both readings are in the evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_calico_ipip.model.judgement import CHANGED, Difference, Judgement

if TYPE_CHECKING:
    from pytest_calico_ipip.model.world import World


def judged_twice(world: World, check: Callable[..., Judgement], *subject: str) -> Judgement:
    """The judgement on the first reading, without the differences that the second one does not show."""
    first = check(world, *subject)
    if not first.differences or not world.again:
        return first
    second = check(replace(world, nodes={**world.nodes, **world.again}), *subject)
    if second.inconclusive:
        return first  # what cannot be seen is not mended
    still = {difference.what for difference in second.differences}
    gone = [difference for difference in first.differences if difference.what not in still]
    return replace(
        first,
        differences=tuple(difference for difference in first.differences if difference.what in still),
        notes=(*first.notes, *map(_told, gone)),
    )


def _told(gone: Difference) -> str:
    return f"{CHANGED}{gone.what} was {gone.observed}, and then as it must be: {gone.expected}"
