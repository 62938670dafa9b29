"""What a comparison says: differences, what could not be seen, what was never collected, what does not apply."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

CHANGED = "changed during the run: "  # how a note begins on what only one of two readings showed


class Outcome(str, Enum):
    """How one requirement ended for one node or pair."""

    HOLDS = "holds"
    FAILED = "failed"  # a MUST that is broken
    WARNING = "warning"  # a SHOULD that is broken
    ERROR = "error"  # could not be judged: evidence failed, truncated or inconclusive
    MISSING = "not in this evidence"  # never collected (replays only)
    NOT_APPLICABLE = "not applicable"  # with an accepted reason: the profile or the topology has no such thing


@dataclass(frozen=True)
class Reading:
    """Where a value was read, and the command that reads it again."""

    file: str  # relative to the evidence directory: "nodes/virtnest-rook-ceph-1/ip-route.json"
    command: str = ""  # as a person would type it on that node: "ip -j -d route show table all"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it must be."""

    what: str  # "virtnest-rook-ceph-2 tunl0 MTU"
    expected: str
    observed: str
    reading: Reading | None = None
    note: str = ""  # why it matters, or the hop line of a lost packet


@dataclass(frozen=True)
class Judgement:
    """The comparison of one requirement on one subject (a node's name, or "a:b" for the pair from a to b)."""

    requirement: str  # "MTU-1"
    subject: str
    asserted: int = 0  # how many things were compared; 0 and nothing else means that nothing was asserted
    differences: tuple[Difference, ...] = ()
    inconclusive: tuple[str, ...] = ()  # each a sentence whose first words name the remedy's object
    missing: tuple[str, ...] = ()  # never collected; each completes "not in this evidence: …"
    not_applicable: str = ""  # the accepted reason
    notes: tuple[str, ...] = ()  # shown with a requirement that holds
    strict: bool = True  # False: a SHOULD; its differences are warnings

    @property
    def outcome(self) -> Outcome:
        """Differences win over what was not seen; what was not seen wins over what was never collected."""
        if self.differences:
            return Outcome.FAILED if self.strict else Outcome.WARNING
        if self.inconclusive:
            return Outcome.ERROR
        if self.not_applicable:
            return Outcome.NOT_APPLICABLE
        if self.asserted:
            return Outcome.HOLDS
        return Outcome.MISSING
