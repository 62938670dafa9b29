"""The verdict at the end of a run: a table of requirements, each failure, one last line."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_calico_ipip.model.judgement import Outcome
from pytest_calico_ipip.report.ledger import ASSERTED, CLUSTER, UNJUDGED, Ledger, Tally, in_order
from pytest_calico_ipip.report.record import Record
from pytest_calico_ipip.report.shown import table
from pytest_calico_ipip.report.wording import place, plain

if TYPE_CHECKING:
    from pytest_calico_ipip.model.diagnosis import Cause

MOST_FAILURES = 20  # shown in full; pytest's own section above has all
MOST_NAMES = 6
GREEN, RED, YELLOW, BOLD, DIM = {"green": True}, {"red": True}, {"yellow": True}, {"bold": True}, {"light": True}
MARKS = {
    "holds": ("✓", GREEN),
    "broken": ("✗", RED),
    "error": ("E", RED),
    "warning": ("!", YELLOW),
    "none": ("–", YELLOW),
}


@dataclass(frozen=True)
class Line:
    """One line for the terminal."""

    text: str
    markup: dict[str, bool]


@dataclass(frozen=True)
class Kept:
    """Where the evidence is (`path` None where it was not kept), and what went wrong while it was collected."""

    path: Path | None
    replayed: bool = False
    problems: tuple[str, ...] = ()  # what the observers met


def verdict(
    ledger: Ledger, kept: Kept, width: int, interrupted: bool = False, causes: Sequence[Cause] = ()
) -> Iterator[Line]:
    """Every line, the last one being the verdict itself."""
    yield from _table(ledger, width)
    yield from _reasons(ledger)
    yield from _observers(kept)
    yield from _problems(ledger)
    yield from _warnings(ledger)
    yield from _causes(causes)
    yield from _failures(ledger)
    yield Line("", {})
    if not kept.replayed:
        yield Line(_where(kept), {})
    yield last_line(ledger, interrupted)


def _table(ledger: Ledger, width: int) -> Iterator[Line]:
    """Requirement, level, on how many it holds, and its sentence, which takes the rest of the width."""
    tallies = ledger.tallies()
    cells = [(tally.requirement, tally.level, _counted(tally)) for tally in tallies]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    for tally, row in zip(tallies, cells, strict=True):
        mark, markup = MARKS[_state(tally)]
        head = f" {mark} {'  '.join(f'{cell:<{wide}}' for cell, wide in zip(row, widths, strict=True))}  "
        sentence = textwrap.wrap(tally.sentence, max(30, width - len(head) - 1)) or [""]
        yield Line(head + sentence[0], markup)
        for line in sentence[1:]:
            yield Line(" " * len(head) + line, {})


def _counted(tally: Tally) -> str:
    total = len([record for record in tally.records if record.subject])
    if tally.kind == CLUSTER:
        return "the cluster" if tally.holding == total else "–"
    return f"{tally.holding} of {total} {tally.kind}{'' if total == 1 else 's'}" if total else f"no {tally.kind}"


def _state(tally: Tally) -> str:
    if tally.those(Outcome.FAILED.value):
        return "broken"
    if tally.those(Outcome.ERROR.value):
        return "error"
    if tally.those(Outcome.WARNING.value):
        return "warning"
    return "holds" if tally.holding else "none"


def _reasons(ledger: Ledger) -> Iterator[Line]:
    """Why something was not asserted; requirements with the same reasons share a line."""
    groups: dict[tuple[int, str, str, int], list[str]] = {}
    for tally in ledger.tallies():
        quiet = tally.those(*UNJUDGED, Outcome.NOT_APPLICABLE.value)
        if quiet:
            reasons = list(dict.fromkeys(reason for record in quiet for reason in record.reasons)) or ["no reason"]
            groups.setdefault((len(quiet), tally.kind, reasons[0], len(reasons) - 1), []).append(tally.requirement)
    if groups:
        yield Line("", {})
        yield Line("Not asserted:", BOLD)
    for (count, kind, reason, more), names in groups.items():
        others = f" (and {more} more such reasons)" if more else ""
        yield Line(f"  {', '.join(names)}: {count} {kind}{'' if count == 1 else 's'}: {reason}{others}", YELLOW)


def _observers(kept: Kept) -> Iterator[Line]:
    """What the observers met: the causes of much that could not be judged, and what they could not clean up."""
    if kept.problems:
        yield Line("", {})
        yield Line("While observing:", BOLD)
    # the same may be told twice, once with its remedy
    told = [each for each in kept.problems if not any(_repeats(each, other) for other in kept.problems)]
    for problem in told[:MOST_FAILURES]:
        yield Line(f"  {plain(problem)}", YELLOW)
    if len(told) > MOST_FAILURES:
        yield Line(f"  … and {len(told) - MOST_FAILURES} more, in run.json", YELLOW)


def _repeats(problem: str, other: str) -> bool:
    told = problem.partition(": ")[2]  # what follows the node's name
    return bool(told) and told in other and len(problem) < len(other)


def _problems(ledger: Ledger) -> Iterator[Line]:
    """What could not be judged, each problem once."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in ledger.those(Outcome.ERROR.value):
        groups.setdefault(record.reasons, []).append(record)
    if groups:
        yield Line("", {})
        yield Line("Not judged:", BOLD)
    for index, (reasons, records) in enumerate(groups.items()):
        if index == MOST_FAILURES:
            yield Line(f"  … and {len(groups) - index} more problems, listed above", RED)
            return
        names = in_order((record.requirement for record in records), MOST_NAMES)
        where = in_order((place(record.subject) for record in records), MOST_NAMES)
        yield Line(f"  {names} on {where}", RED)
        for reason in reasons:
            for line in plain(reason, lines=True).split("\n"):
                yield Line(f"    {line}", {})


def _warnings(ledger: Ledger) -> Iterator[Line]:
    for index, record in enumerate(ledger.those(Outcome.WARNING.value)):
        if index == 0:
            yield Line("", {})
            yield Line("Warnings (a SHOULD that does not hold; --ipip-strict makes it fail):", BOLD)
        if index == MOST_FAILURES:
            yield Line("  … and more", YELLOW)
            return
        yield from _differences(record, YELLOW)


def _causes(causes: Sequence[Cause]) -> Iterator[Line]:
    if not causes:
        return
    from pytest_calico_ipip.report.diagnosis import likely  # its records are not needed by a run that holds

    yield Line("", {})
    for index, text in enumerate(likely(causes)):
        heading = not text.startswith("   ")
        yield Line(text, {**RED, **BOLD} if heading and index else BOLD if heading else {})


def _failures(ledger: Ledger) -> Iterator[Line]:
    failed = ledger.those(Outcome.FAILED.value)
    for index, record in enumerate(failed):
        if index == 0:
            yield Line("", {})
            yield Line("Broken:", BOLD)
        if index == MOST_FAILURES:
            yield Line(f"  … and {len(failed) - index} more, listed above", RED)
            return
        yield from _differences(record, RED)


def _differences(record: Record, markup: dict[str, bool]) -> Iterator[Line]:
    yield Line(f"  {record.requirement} on {place(record.subject)}", markup)
    for difference in record.differences[:3]:
        for line in table(difference, indent="    "):
            yield Line(line, {})
    if len(record.differences) > 3:
        yield Line(f"    … and {len(record.differences) - 3} more differences, listed above", {})


def _where(kept: Kept) -> str:
    if kept.path is None:
        return "Evidence was not kept: --ipip-evidence DIR keeps it, and --ipip-replay DIR judges it again."
    return f"Evidence: {kept.path}   judge it again: pytest --ipip-replay {shlex.quote(str(kept.path))} conformance/"


def last_line(ledger: Ledger, interrupted: bool) -> Line:
    """The run in one sentence."""
    failed, errors, silent = ledger.those(Outcome.FAILED.value), ledger.those(Outcome.ERROR.value), ledger.silent()
    parts = ["INTERRUPTED, the rest was not asserted"] if interrupted else []
    if failed:
        parts.append(f"BROKEN: {_named(failed)}")
    if errors:
        parts.append(f"NOT JUDGED: {_named(errors)}")
    if silent:
        reason = next((reason for tally in silent for record in tally.records for reason in record.reasons), "")
        names = in_order((tally.requirement for tally in silent), MOST_NAMES)
        parts.append(f"ASSERTED BY NOTHING: {names}{f' ({reason})' if reason else ''}")
    if parts:
        return Line("VERDICT  " + "; ".join(parts), {**RED, **BOLD})
    counts = [
        f"{count} {kind}{'' if count == 1 else 's'}" for kind in ("node", "pair") if (count := ledger.subjects(kind))
    ]
    holding = len(ledger.holding())
    text = (
        f"VERDICT  {holding} requirement{' holds' if holding == 1 else 's hold'} on {' and '.join(counts) or 'nothing'}"
    )
    warnings = ledger.those(Outcome.WARNING.value)
    if warnings:
        text += f", with {len(warnings)} warning{'' if len(warnings) == 1 else 's'}"
    absent = sum(not tally.those(*ASSERTED) and bool(tally.those(*UNJUDGED)) for tally in ledger.tallies())
    if absent:
        text += f"; {absent} {'is' if absent == 1 else 'are'} not in this evidence"
    return Line(text, {**GREEN, **BOLD})


def _named(records: tuple[Record, ...]) -> str:
    """`MTU-1 on virtnest-rook-ceph-2; PATH-1 on a → b, b → a; PATH-2 on 6 pairs`."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.requirement, []).append(record)
    named = [f"{name} on {_places(group)}" for name, group in groups.items()]
    return "; ".join(named[:MOST_NAMES]) + (f"; and {len(named) - MOST_NAMES} more" if len(named) > MOST_NAMES else "")


def _places(records: list[Record]) -> str:
    names = [place(record.subject) for record in records]
    if len(names) > (3 if records[0].kind == "node" else 2):
        return f"{len(names)} {records[0].kind}s"
    return ", ".join(names)
