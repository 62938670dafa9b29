"""What each fault breaks, seen in the lab and understood: requirements and subjects, and the causes that are named.

A subject is "2" for virtnest-rook-ceph-2, "1:2" for the pair from the first node to the second, "cluster" for all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.matrix.suite import Subjects


@dataclass(frozen=True)
class Broken:
    """The verdict on one fault."""

    failed: Subjects
    causes: tuple[str, ...]
    warned: Subjects = field(default_factory=dict)


TABLE: dict[str, Broken] = {}
