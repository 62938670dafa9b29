"""What Kubernetes itself did to a node or a pod while it was observed: no accusation of the network.

A packet to a pod that was evicted is lost, and a route to a node that has gone is withdrawn, as it should be. What such
a node or pod has to do with is not judged: an ERROR that says why, in the place of a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.judgement import Difference, Judgement, Outcome

if TYPE_CHECKING:
    from pytest_calico_ipip.model.world import World

_UNDER_TEST = "POD-1"  # speaks of a node's pods under test without naming those that are not there


@dataclass(frozen=True)
class Disturbance:
    """One node or pod that was not the same at the end of the run as at its beginning."""

    node: str
    sentence: str  # "virtnest-rook-ceph-2 went NotReady during the run (NodeStatusUnknown: …)"
    marks: tuple[str, ...]  # names and addresses by which a difference speaks of it
    whole: bool = False  # the node itself: nothing of it can be judged

    def concerns(self, judgement: Judgement) -> bool:
        """Whether what is judged there depends on it."""
        return self.node in judgement.subject.split(":")

    def explains(self, judgement: Judgement, difference: Difference) -> bool:
        """Whether something that is not as it must be is so, or may be so, because of it."""
        if self.concerns(judgement) and (self.whole or judgement.requirement == _UNDER_TEST):
            return True
        said = (difference.what, difference.expected, difference.observed, difference.note)
        return any(self._marked.search(text) for text in said)

    @cached_property
    def _marked(self) -> re.Pattern[str]:
        words = "|".join(map(re.escape, self.marks)) or "(?!)"
        return re.compile(rf"(?<![\w.-])(?:{words})(?![\w-]|\.\w)")


def tempered(world: World, judgement: Judgement) -> Judgement:
    """The judgement, without what a disturbance explains: that could not be judged, and the reason is said."""
    if isinstance(world.datastore, Absent) or not world.datastore.disturbances:
        return judgement
    known = world.datastore.disturbances
    if judgement.outcome in (Outcome.ERROR, Outcome.MISSING):
        return _because(judgement, (each for each in known if each.concerns(judgement)))
    kept = tuple(one for one in judgement.differences if not any(each.explains(judgement, one) for each in known))
    if kept == judgement.differences:
        return judgement
    guilty = [each for each in known if any(each.explains(judgement, one) for one in judgement.differences)]
    seen = [f"{one.what}: {one.observed}, not {one.expected}" for one in judgement.differences if one not in kept]
    more = f", and {len(seen) - 1} more" if len(seen) > 1 else ""
    unjudged = (*judgement.inconclusive, f"seen meanwhile: {seen[0]}{more}")
    return _because(replace(judgement, differences=kept, inconclusive=unjudged), guilty)


def _because(judgement: Judgement, disturbances: Iterable[Disturbance]) -> Judgement:
    reasons = tuple(dict.fromkeys(each.sentence for each in disturbances))
    return replace(judgement, inconclusive=(*reasons, *judgement.inconclusive)) if reasons else judgement
