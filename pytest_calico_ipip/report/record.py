"""One test's result as plain data, small enough to travel from an xdist worker to the controller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_calico_ipip.model.judgement import Difference, Reading


@dataclass(frozen=True)
class Record:
    """What one test said of one requirement and one node or pair."""

    requirement: str  # "MTU-1"
    level: str  # MUST or SHOULD
    sentence: str  # the requirement in one sentence
    kind: str  # "node", "pair" or "cluster"
    subject: str  # "virtnest-rook-ceph-1", "a:b", "cluster"; "" where the nodes are not known
    outcome: str  # an Outcome's value, or "not asserted"
    live: bool = True  # judged from a run of ours: what nothing asserted is then not in order
    reasons: tuple[str, ...] = ()  # of an error, or of nothing asserted
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    of_the_run: bool = False  # the run could not go on: an error that says nothing about this subject

    def to_plain(self) -> dict[str, Any]:
        """Built-in types only."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Record:
        """The opposite of `to_plain`."""
        differences = tuple(
            Difference(**{**each, "reading": Reading(**each["reading"]) if each["reading"] else None})
            for each in plain["differences"]
        )
        lists = {name: tuple(plain[name]) for name in ("reasons", "notes")}
        return cls(**{**plain, **lists, "differences": differences})
