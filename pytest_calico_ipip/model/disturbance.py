"""What Kubernetes itself did to a node or a pod while it was observed: no accusation of the network.

A packet to a pod that was evicted is lost, and a route to a node that has gone is withdrawn, as it should be. What such
a node or pod has to do with is not judged: an ERROR that says why, in the place of a failure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_calico_ipip.model.absent import LACKS, Absent
from pytest_calico_ipip.model.judgement import Difference, Judgement

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

    def accounts_for(self, judgement: Judgement, reason: str) -> bool:
        """Whether something could not be judged because of it."""
        if not self.concerns(judgement):
            return False
        return self.whole or reason.startswith(LACKS) or self._marked.search(reason) is not None

    @cached_property
    def _marked(self) -> re.Pattern[str]:
        words = "|".join(map(re.escape, self.marks)) or "(?!)"
        return re.compile(rf"(?<![\w.-])(?:{words})(?![\w-]|\.\w)")


def tempered(world: World, judgement: Judgement) -> Judgement:
    """The judgement, without what a disturbance explains: that could not be judged, and this is the reason."""
    if isinstance(world.datastore, Absent) or not world.datastore.disturbances:
        return judgement
    known = world.datastore.disturbances
    reasons: dict[str, None] = {}
    kept: list[Difference] = []
    meanwhile: list[Difference] = []
    other: list[str] = []
    for difference in judgement.differences:
        because = [each.sentence for each in known if each.explains(judgement, difference)]
        (meanwhile if because else kept).append(difference)
        reasons.update(dict.fromkeys(because))
    for text in (*judgement.inconclusive, *(judgement.missing if world.live else ())):
        because = [each.sentence for each in known if each.accounts_for(judgement, text)]
        if not because:
            other.append(text)
        reasons.update(dict.fromkeys(because))
    if not reasons:
        return judgement
    seen = [f"seen meanwhile: {one.what}: {one.observed}, where {one.expected} is expected" for one in meanwhile]
    return replace(
        judgement,
        differences=tuple(kept),
        inconclusive=(*reasons, *other),
        notes=(*judgement.notes, *seen),
    )
