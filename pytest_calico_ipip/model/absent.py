"""What is not there: a reading that failed, or one that was never made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
LACKS = "this run's evidence lacks"  # what a sentence begins with that says what was never seen


@dataclass(frozen=True)
class Absent:
    """Stands in the place of a value that could not be read.

    `failed` is True where the evidence says that it was tried (its line in commands.tsv has a failure, or the file is
    truncated or gone): a requirement that needs it is an ERROR. It is False where it was never collected in this
    evidence: such a requirement is skipped with the reason "not in this evidence: …".
    """

    reason: str
    failed: bool


def present(value: T | Absent) -> T:
    """The value itself; raises `Missing` where it is absent. The judge turns `Missing` into a judgement."""
    if isinstance(value, Absent):
        raise Missing(value)
    return value


class Missing(Exception):
    """Raised by `present`: carries the `Absent` that explains what is not there."""

    def __init__(self, absent: Absent) -> None:
        super().__init__(absent.reason)
        self.absent = absent
