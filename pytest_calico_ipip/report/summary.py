"""A run as plain data: the JSON report, and what the HTML page shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_calico_ipip.model.judgement import Difference, Outcome
from pytest_calico_ipip.report.ledger import Ledger, Tally
from pytest_calico_ipip.report.messages import Words
from pytest_calico_ipip.report.record import Record
from pytest_calico_ipip.report.wording import again, plain

if TYPE_CHECKING:
    from pytest_calico_ipip.model.diagnosis import Cause
    from pytest_calico_ipip.report.verdict import Kept

KIND, VERSION = "calico-ipip-report", 1


def summary(
    ledger: Ledger, kept: Kept, causes: Sequence[Cause], verdict: str, status: int, source: str, said: Words
) -> dict[str, Any]:
    """Everything that the verdict says, in built-in types; text from the cluster is made harmless and bounded."""
    return {
        "kind": KIND,
        "version": VERSION,
        "verdict": plain(verdict),
        "exit status": status,
        "source": plain(source),
        "evidence": plain(str(kept.path)) if kept.path is not None else None,
        "causes": [
            {
                "id": plain(cause.id),
                "sentence": plain(said.cause(cause.id, cause.subjects) or cause.sentence),
                "in English": plain(cause.sentence),
                "subjects": [plain(subject) for subject in cause.subjects],
                "because": [plain(fact) for fact in cause.evidence],
                "next": [plain(command) for command in cause.next_command],
                "explains": sorted([plain(requirement), plain(subject)] for requirement, subject in cause.explains),
            }
            for cause in causes
        ],
        "requirements": [_requirement(tally, said) for tally in ledger.tallies()],
        "problems": [plain(problem) for problem in kept.problems],
        "notes": [plain(note) for note in dict.fromkeys((*kept.notes, *kept.left_out))],
    }


def _requirement(tally: Tally, said: Words) -> dict[str, Any]:
    return {
        "id": plain(tally.requirement),
        "level": plain(tally.level),
        "sentence": plain(said.requirement(tally.requirement, tally.sentence)),
        "judged for": tally.kind,
        "outcome": outcome(tally),
        "results": [_result(record) for record in tally.records],
    }


def outcome(tally: Tally) -> str:
    """The worst of a requirement's outcomes."""
    worst = (Outcome.FAILED, Outcome.ERROR, Outcome.WARNING, Outcome.HOLDS, Outcome.MISSING, Outcome.NOT_APPLICABLE)
    return next((one.value for one in worst if tally.those(one.value)), tally.records[0].outcome)


def _result(record: Record) -> dict[str, Any]:
    return {
        "subject": plain(record.subject),
        "outcome": record.outcome,
        "reasons": [plain(reason, lines=True) for reason in record.reasons],
        "differences": [_difference(difference) for difference in record.differences],
        "notes": [plain(note) for note in record.notes],
    }


def _difference(difference: Difference) -> dict[str, Any]:
    reading = difference.reading
    return {
        "what": plain(difference.what),
        "expected": plain(difference.expected, lines=True),
        "observed": plain(difference.observed, lines=True),
        "read in": plain(reading.file) if reading is not None else None,
        "again": again(reading) if reading is not None and reading.command else None,
        "note": plain(difference.note, lines=True),
    }


def as_json(content: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
