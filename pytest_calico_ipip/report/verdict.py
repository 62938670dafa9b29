"""The verdict at the end of a run: a table of requirements, each failure, one last line."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_calico_ipip.model.judgement import CHANGED, Outcome
from pytest_calico_ipip.report.ledger import ASSERTED, CLUSTER, UNJUDGED, Ledger, Tally
from pytest_calico_ipip.report.lines import BOLD, GREEN, RED, YELLOW, Line
from pytest_calico_ipip.report.messages import Words, words
from pytest_calico_ipip.report.record import Record
from pytest_calico_ipip.report.shown import table
from pytest_calico_ipip.report.width import pad, width, wrap
from pytest_calico_ipip.report.wording import place, plain

if TYPE_CHECKING:
    from pytest_calico_ipip.model.diagnosis import Cause

MOST_FAILURES = 20  # shown in full; pytest's own section above has all
MOST_NAMES = 6
MOST_NOTES = 10
MARKS = {
    "holds": ("✓", GREEN),
    "broken": ("✗", RED),
    "error": ("E", RED),
    "warning": ("!", YELLOW),
    "none": ("–", YELLOW),
}


@dataclass(frozen=True)
class Kept:
    """Where the evidence is (`path` None where it was not kept), and what went wrong while it was collected."""

    path: Path | None
    replayed: bool = False
    problems: tuple[str, ...] = ()  # what the observers met
    notes: tuple[str, ...] = ()  # what the judges say of the evidence beside their judgements
    left_out: tuple[str, ...] = ()  # objects that could not be read, each with why


def verdict(
    ledger: Ledger,
    kept: Kept,
    columns: int,
    interrupted: bool = False,
    causes: Sequence[Cause] = (),
    language: str = "en",
) -> Iterator[Line]:
    """Every line, the last one being the verdict itself."""
    said = words(language)
    if problem := ledger.one_problem():  # no cluster was looked at: a table of nothing says nothing
        yield from (Line(f"  {line}", {}) for line in plain(problem, lines=True).split("\n")[1:])
        yield from _observers(kept, said)
    else:
        yield from _table(ledger, columns, said)
        yield from _reasons(ledger, said)
        yield from _observers(kept, said)
        yield from _problems(ledger, said)
    yield from _warnings(ledger, said)
    yield from _causes(causes, said)
    yield from _failures(ledger, said)
    yield from _noted(ledger, kept, said)
    yield Line("", {})
    if not kept.replayed:
        yield Line(_where(kept, said), {})
    yield last_line(ledger, interrupted, language)


def _table(ledger: Ledger, columns: int, said: Words) -> Iterator[Line]:
    """Requirement, level, on how many it holds, and its sentence, which takes the rest of the width."""
    tallies = ledger.tallies()
    cells = [(tally.requirement, tally.level, _counted(tally, said)) for tally in tallies]
    widths = [max(width(row[column]) for row in cells) for column in range(3)]
    for tally, row in zip(tallies, cells, strict=True):
        mark, markup = MARKS[_state(tally)]
        head = f" {mark} {'  '.join(pad(cell, wide) for cell, wide in zip(row, widths, strict=True))}  "
        sentence = wrap(said.requirement(tally.requirement, tally.sentence), max(30, columns - width(head) - 1))
        yield Line(head + sentence[0], markup)
        for line in sentence[1:]:
            yield Line(" " * width(head) + line, {})


def _counted(tally: Tally, said: Words) -> str:
    total = len([record for record in tally.records if record.subject])
    if tally.kind == CLUSTER:
        return said.say("verdict.cluster") if tally.holding == total else "–"
    if not total:
        return said.say(f"held.no-{tally.kind}")
    return said.count(f"held.{tally.kind}", total, holding=tally.holding)


def _state(tally: Tally) -> str:
    if tally.those(Outcome.FAILED.value):
        return "broken"
    if tally.those(Outcome.ERROR.value):
        return "error"
    if tally.those(Outcome.WARNING.value):
        return "warning"
    return "holds" if tally.holding else "none"


def _heading(key: str, said: Words) -> Iterator[Line]:
    yield Line("", {})
    yield Line(said.say(key), BOLD)


def _reasons(ledger: Ledger, said: Words) -> Iterator[Line]:
    """Why something was not asserted; requirements with the same reasons share a line."""
    groups: dict[tuple[int, str, str, int], list[str]] = {}
    for tally in ledger.tallies():
        quiet = tally.those(*UNJUDGED, Outcome.NOT_APPLICABLE.value)
        if quiet:
            reasons = list(dict.fromkeys(reason for record in quiet for reason in record.reasons))
            first = reasons[0] if reasons else said.say("verdict.no-reason")
            groups.setdefault((len(quiet), tally.kind, first, max(0, len(reasons) - 1)), []).append(tally.requirement)
    if groups:
        yield from _heading("verdict.not-asserted", said)
    for (count, kind, reason, more), names in groups.items():
        others = said.say("verdict.more-reasons", number=more) if more else ""
        counted = said.count(f"count.{kind}", count).strip()
        yield Line(f"  {', '.join(names)}: {counted}: {reason}{others}", YELLOW)


def _observers(kept: Kept, said: Words) -> Iterator[Line]:
    """What the observers met: the causes of much that could not be judged, and what they could not clean up."""
    if kept.problems:
        yield from _heading("verdict.observing", said)
    # the same may be told twice, once with its remedy
    told = [each for each in kept.problems if not any(_repeats(each, other) for other in kept.problems)]
    for problem in told[:MOST_FAILURES]:
        yield Line(f"  {plain(problem)}", YELLOW)
    if len(told) > MOST_FAILURES:
        yield Line(f"  {said.say('verdict.more-in-run', number=len(told) - MOST_FAILURES)}", YELLOW)


def _repeats(problem: str, other: str) -> bool:
    told = problem.partition(": ")[2]  # what follows the node's name
    return bool(told) and told in other and len(problem) < len(other)


def _problems(ledger: Ledger, said: Words) -> Iterator[Line]:
    """What could not be judged, each problem once."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in ledger.those(Outcome.ERROR.value):
        groups.setdefault(record.reasons, []).append(record)
    if groups:
        yield from _heading("verdict.not-judged", said)
    for index, (reasons, records) in enumerate(groups.items()):
        if index == MOST_FAILURES:
            yield Line(f"  {said.say('verdict.more-problems', number=len(groups) - index)}", RED)
            return
        names = _in_order((record.requirement for record in records), said)
        where = _in_order((_place(record.subject, said) for record in records), said)
        yield Line(f"  {said.say('verdict.on', requirements=names, places=where)}", RED)
        for reason in reasons:
            for line in plain(reason, lines=True).split("\n"):
                yield Line(f"    {line}", {})


def _warnings(ledger: Ledger, said: Words) -> Iterator[Line]:
    for index, record in enumerate(ledger.those(Outcome.WARNING.value)):
        if index == 0:
            yield from _heading("verdict.warnings", said)
        if index == MOST_FAILURES:
            yield Line(f"  {said.say('verdict.more')}", YELLOW)
            return
        yield from _differences(record, YELLOW, said)


def _causes(causes: Sequence[Cause], said: Words) -> Iterator[Line]:
    if not causes:
        return
    from pytest_calico_ipip.report.diagnosis import likely  # its records are not needed by a run that holds

    yield Line("", {})
    for index, text in enumerate(likely(causes, said)):
        heading = not text.startswith("   ")
        yield Line(text, {**RED, **BOLD} if heading and index else BOLD if heading else {})


def _failures(ledger: Ledger, said: Words) -> Iterator[Line]:
    failed = ledger.those(Outcome.FAILED.value)
    for index, record in enumerate(failed):
        if index == 0:
            yield from _heading("verdict.broken", said)
        if index == MOST_FAILURES:
            yield Line(f"  {said.say('verdict.more-listed', number=len(failed) - index)}", RED)
            return
        yield from _differences(record, RED, said)


def _differences(record: Record, markup: dict[str, bool], said: Words) -> Iterator[Line]:
    where = _place(record.subject, said)
    yield Line(f"  {said.say('verdict.on', requirements=record.requirement, places=where)}", markup)
    for difference in record.differences[:3]:
        for line in table(difference, "    ", said):
            yield Line(line, {})
    if len(record.differences) > 3:
        yield Line(f"    {said.say('verdict.more-differences', number=len(record.differences) - 3)}", {})


def _noted(ledger: Ledger, kept: Kept, said: Words) -> Iterator[Line]:
    """What a reader has to know of the evidence, although no requirement fails for it."""
    passing = (note for record in ledger.records.values() for note in record.notes if note.startswith(CHANGED))
    notes = [*kept.notes, *passing, *(said.say("verdict.left-out", object=each) for each in kept.left_out)]
    notes = list(dict.fromkeys(plain(note) for note in notes))
    if notes:
        yield from _heading("verdict.noted", said)
    for note in notes[:MOST_NOTES]:
        yield Line(f"  {note}", {})
    if len(notes) > MOST_NOTES:
        yield Line(f"  {said.say('verdict.more-notes', number=len(notes) - MOST_NOTES)}", {})


def _where(kept: Kept, said: Words) -> str:
    if kept.path is None:
        return said.say("verdict.not-kept")
    again = f"pytest --ipip-replay {shlex.quote(str(kept.path))} conformance/"
    return said.say("verdict.kept", path=kept.path, command=again)


def last_line(ledger: Ledger, interrupted: bool, language: str = "en") -> Line:
    """The run in one sentence."""
    said = words(language)
    failed, errors, silent = ledger.those(Outcome.FAILED.value), ledger.those(Outcome.ERROR.value), ledger.silent()
    parts = [said.say("verdict.interrupted")] if interrupted else []
    if problem := ledger.one_problem():
        parts.append(said.say("verdict.last-nothing", why=plain(problem.partition("\n")[0])))
        return Line("VERDICT  " + "; ".join(parts), {**RED, **BOLD})
    if failed:
        parts.append(said.say("verdict.last-broken", what=_named(failed, said)))
    if errors:
        parts.append(said.say("verdict.last-not-judged", what=_named(errors, said)))
    if silent:
        reason = next((reason for tally in silent for record in tally.records for reason in record.reasons), "")
        names = _in_order((tally.requirement for tally in silent), said)
        parts.append(said.say("verdict.last-silent", what=f"{names}{f' ({reason})' if reason else ''}"))
    if parts:
        return Line("VERDICT  " + "; ".join(parts), {**RED, **BOLD})
    counts = [said.count(f"count.{kind}", count) for kind in ("node", "pair") if (count := ledger.subjects(kind))]
    where = said.say("verdict.and").join(counts) or said.say("verdict.nothing")
    text = f"VERDICT  {said.count('verdict.holds', len(ledger.holding()), where=where)}"
    warnings = ledger.those(Outcome.WARNING.value)
    if warnings:
        text += said.count("verdict.with-warnings", len(warnings))
    absent = sum(not tally.those(*ASSERTED) and bool(tally.those(*UNJUDGED)) for tally in ledger.tallies())
    if absent:
        text += said.count("verdict.absent", absent)
    return Line(text, {**GREEN, **BOLD})


def _named(records: tuple[Record, ...], said: Words) -> str:
    """`MTU-1 on virtnest-rook-ceph-2; PATH-1 on a → b, b → a; PATH-2 on 6 pairs`."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.requirement, []).append(record)
    named = [said.say("verdict.named", requirement=name, places=_places(group, said)) for name, group in groups.items()]
    more = said.say("verdict.more-named", number=len(named) - MOST_NAMES) if len(named) > MOST_NAMES else ""
    return "; ".join(named[:MOST_NAMES]) + more


def _places(records: list[Record], said: Words) -> str:
    names = [_place(record.subject, said) for record in records]
    if len(names) > (3 if records[0].kind == "node" else 2):
        return said.count(f"count.{records[0].kind}", len(names)).strip()
    return ", ".join(names)


def _place(subject: str, said: Words) -> str:
    return said.say("verdict.cluster") if subject in ("", CLUSTER) else place(subject)


def _in_order(names: Iterable[str], said: Words) -> str:
    """Names in one line, each once, bounded."""
    listed = list(dict.fromkeys(names))
    more = said.say("verdict.more-names", number=len(listed) - MOST_NAMES) if len(listed) > MOST_NAMES else ""
    return ", ".join(listed[:MOST_NAMES]) + more
