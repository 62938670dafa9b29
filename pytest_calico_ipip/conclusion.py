"""From a test and its judgement to pytest's report: outcome, sentences in the place of a traceback, properties."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from pytest_calico_ipip import session
from pytest_calico_ipip.errors import IpipError
from pytest_calico_ipip.judged import JUDGEMENT, WORLD_IS_LIVE, Inconclusive, requirement_of
from pytest_calico_ipip.model.judgement import Judgement, Outcome
from pytest_calico_ipip.report import shown
from pytest_calico_ipip.report.ledger import NOT_ASSERTED
from pytest_calico_ipip.report.record import Record
from pytest_calico_ipip.report.wording import plain, unasserted

ABOUT = pytest.StashKey[dict[str, str]]()
ATTRIBUTE = "ipip_record"  # of pytest's report: built-in types only, so that xdist can carry it


def describe(item: pytest.Item) -> None:
    """Write down at collection what a test is about; JUnit shows it even where nothing could be read."""
    marker = item.get_closest_marker("requirement")
    kind, subject = _subject(item)
    about = {
        "requirement": requirement_of(item),
        "level": str(marker.kwargs.get("level", "MUST")) if marker is not None else "MUST",
        "sentence": _sentence(item),
        "kind": kind,
        "subject": subject,
    }
    item.stash[ABOUT] = about
    if marker is not None:
        item.user_properties.append(("requirement", about["requirement"]))
        item.user_properties.append(("level", about["level"]))
    if subject:
        item.user_properties.append((kind, subject))


def _subject(item: pytest.Item) -> tuple[str, str]:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if "pair" in parameters:
        pair = parameters["pair"]
        return "pair", ":".join(pair) if isinstance(pair, tuple) else ""
    if "node" in parameters:
        node = parameters["node"]
        return "node", node if isinstance(node, str) else ""
    # neither a node nor a pair: the cluster as a whole
    return ("cluster", "cluster") if requirement_of(item) else ("node", "")


def _sentence(item: pytest.Item) -> str:
    return " ".join((inspect.getdoc(getattr(item, "function", None)) or "").split())


def conclude(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Change `report` to what the judgement says, and attach the record that the verdict is made of."""
    judgement, about = item.stash.get(JUDGEMENT, None), item.stash[ABOUT]
    error = call.excinfo.value if call.excinfo is not None else None
    if report.failed and isinstance(error, IpipError):
        report.longrepr = _as_longrepr(shown.problem(error.problem, error.remedy))
    elif report.failed and isinstance(error, Inconclusive) and judgement is not None:
        report.longrepr = _as_longrepr(shown.unjudged(judgement.requirement, about["subject"], judgement.inconclusive))
        # pytest and JUnit call a failed call a FAIL and any other failed phase an ERROR; this is no broken cluster
        report.when = "setup"
    elif report.failed and isinstance(error, AssertionError) and judgement is not None and judgement.differences:
        report.longrepr = _as_longrepr(
            shown.broken(judgement.requirement, about["subject"], about["sentence"], judgement.differences)
        )
    elif report.skipped and error is not None:
        # the place of the skip is the test's, not this plugin's
        path, line, _ = item.location
        report.longrepr = (path, (line or 0) + 1, f"Skipped: {plain(str(error))}")
    if call.when == "call" or (call.when == "setup" and not report.passed):
        _attach(item, report, judgement, error)


def _attach(
    item: pytest.Item, report: pytest.TestReport, judgement: Judgement | None, error: BaseException | None
) -> None:
    words = item.stash[ABOUT]
    about: dict[str, Any] = {**words}
    if not about["requirement"]:
        if judgement is None:
            return  # somebody's own test, without a requirement
        about["requirement"] = judgement.requirement
    about["live"] = item.stash.get(WORLD_IS_LIVE, session.live(item.config))
    record = _record(report, judgement, error, about)
    setattr(report, ATTRIBUTE, record.to_plain())
    outcome = ("outcome", record.outcome)
    item.user_properties[:] = [pair for pair in item.user_properties if pair[0] != "outcome"] + [outcome]
    report.user_properties = list(item.user_properties)


def _record(
    report: pytest.TestReport, judgement: Judgement | None, error: BaseException | None, about: dict[str, Any]
) -> Record:
    if isinstance(error, IpipError):
        return Record(outcome=Outcome.ERROR.value, reasons=(str(error),), of_the_run=True, **about)
    if judgement is None or (report.failed and not judgement.differences and not judgement.inconclusive):
        if report.skipped:
            return Record(outcome=NOT_ASSERTED, reasons=(str(error).removeprefix(f"{NOT_ASSERTED}: "),), **about)
        return Record(outcome=Outcome.ERROR.value, reasons=(f"{type(error).__name__}: {error}",), **about)
    outcome = judgement.outcome
    if outcome is Outcome.WARNING and report.failed:  # --ipip-strict
        outcome = Outcome.FAILED
    reasons: tuple[str, ...] = ()
    if outcome is Outcome.ERROR:
        reasons = judgement.inconclusive
    elif outcome in (Outcome.MISSING, Outcome.NOT_APPLICABLE):
        reasons = (unasserted(judgement),)
    return Record(
        outcome=outcome.value,
        reasons=reasons,
        differences=judgement.differences if outcome in (Outcome.FAILED, Outcome.WARNING) else (),
        notes=judgement.notes,
        **about,
    )


def _as_longrepr(representation: shown.Shown) -> Any:
    # pytest's type names only its own classes; what it calls is `toterminal`, `reprcrash.message` and `str`
    return representation
