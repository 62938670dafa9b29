"""The likely causes of a run's failures, as lines of the verdict and as single lines for machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_calico_ipip.model.diagnosis.cause import Cause
from pytest_calico_ipip.report.messages import Words, words
from pytest_calico_ipip.report.wording import plain

MOST_CAUSES = 3


def likely(causes: Sequence[Cause], said: Words | None = None) -> Iterator[str]:
    """The most specific causes: sentence, what points to it, what to run next; and how many there are besides."""
    if not causes:
        return
    said = said or words("en")
    yield said.say("diagnosis.likely")
    for cause in causes[:MOST_CAUSES]:
        meaning = said.cause(cause.id, cause.subjects)
        yield "  " + said.say("diagnosis.cause", sentence=meaning or cause.sentence, ident=cause.id)
        if meaning:
            yield "    " + said.say("diagnosis.in-english", sentence=cause.sentence)
        for fact in cause.evidence:
            yield "    " + said.say("diagnosis.because", fact=fact)
        for command in cause.next_command:
            yield "    " + said.say("diagnosis.next", command=command)
    if len(causes) > MOST_CAUSES:
        more = causes[MOST_CAUSES:]
        names = ", ".join(dict.fromkeys(cause.id for cause in more))
        yield "  " + said.say("diagnosis.more", number=len(more), names=names)


def one_line(cause: Cause) -> str:
    """A cause for JUnit: `tunnel-down: sentence`, its id first, so that a program can look for it."""
    return plain(f"{cause.id}: {cause.sentence}")
