"""The likely causes of a run's failures, as lines of the verdict and as single lines for machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_calico_ipip.model.diagnosis.cause import Cause
from pytest_calico_ipip.report.wording import plain

MOST_CAUSES = 3


def likely(causes: Sequence[Cause]) -> Iterator[str]:
    """The most specific causes: sentence, what points to it, what to run next; and how many there are besides."""
    if not causes:
        return
    yield "Most likely:"
    for cause in causes[:MOST_CAUSES]:
        yield f"  {plain(cause.sentence)}  [{plain(cause.id)}]"
        for fact in cause.evidence:
            yield f"    because {plain(fact)}"
        for command in cause.next_command:
            yield f"    next: {plain(command)}"
    if len(causes) > MOST_CAUSES:
        more = causes[MOST_CAUSES:]
        yield f"  … and {len(more)} more: {', '.join(dict.fromkeys(plain(cause.id) for cause in more))}"


def one_line(cause: Cause) -> str:
    """A cause for JUnit: `tunnel-down: sentence`, its id first, so that a program can look for it."""
    return plain(f"{cause.id}: {cause.sentence}")
