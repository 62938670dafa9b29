"""Gathers the records of all tests where the terminal is (xdist: in the controller); verdict and exit status."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_calico_ipip import likely, session
from pytest_calico_ipip.conclusion import ATTRIBUTE
from pytest_calico_ipip.errors import IpipError, SetupProblem
from pytest_calico_ipip.model.judgement import Outcome
from pytest_calico_ipip.report.ledger import Ledger
from pytest_calico_ipip.report.messages import LANGUAGES, Words, words
from pytest_calico_ipip.report.record import Record
from pytest_calico_ipip.report.verdict import Kept, last_line, verdict
from pytest_calico_ipip.report.wording import plain

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_calico_ipip.model.diagnosis import Cause
    from pytest_calico_ipip.settings import Settings


class Gathering:
    """A plugin object of one session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.ledger = Ledger()
        self.causes: tuple[Cause, ...] = ()
        self.baseline_problem = ""
        self.sentence = ""  # the run in one line, once it has been shown
        self.told: dict[str, list[str]] = {}  # what the judges of xdist's workers noted

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the record that the test's process attached."""
        carried: dict[str, Any] | None = getattr(report, ATTRIBUTE, None)
        if carried is not None:
            self.ledger.add(report.nodeid, Record.from_plain(carried))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Silence is not success: a run in which a MUST was asserted by nothing exits 1. Failures are explained."""
        if session.exitstatus == pytest.ExitCode.OK and self.ledger.silent():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self.causes = likely.causes(self.config, self.ledger)
        if self.causes:
            likely.into_junit(self.config, self.causes)
        if not self._save_baseline() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _save_baseline(self) -> bool:
        """Write the baseline that was asked for; False where it could not be."""
        settings = self._settings()
        world = session.world(self.config)
        if settings is None or settings.save_baseline is None or not self.ledger.records:
            return True
        from pytest_calico_ipip import baseline  # only a run that asked for it pays

        broken = self.ledger.those(Outcome.FAILED.value, Outcome.ERROR.value)
        try:
            if world is None:
                raise SetupProblem("--ipip-save-baseline: not written, nothing was read", "see the verdict")
            baseline.save(settings.save_baseline, world, tuple(dict.fromkeys(r.requirement for r in broken)))
        except IpipError as problem:
            self.baseline_problem = str(problem)
            return False
        return True

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """xdist: what a worker's judges noted; all workers read the same evidence."""
        for kind, sentences in getattr(node, "workeroutput", {}).get("ipip_notes", {}).items():
            self.told[kind] = list(dict.fromkeys([*self.told.get(kind, []), *sentences]))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: TerminalReporter, exitstatus: int
    ) -> Generator[None, None, None]:
        """The verdict is the last thing of all: the end of a log is what people read."""
        errors = terminalreporter.stats.get("error", [])
        if self.ledger.records and errors:
            # one problem of the run is one text, not one for each test that needed it; counts stay as they are
            terminalreporter.stats["error"] = list({str(error.longrepr): error for error in reversed(errors)}.values())[
                ::-1
            ]
        yield
        if errors:
            terminalreporter.stats["error"] = errors
        if not self.ledger.records:
            return
        settings = self._settings()
        language = settings.language if settings is not None else LANGUAGES[0]
        columns = terminalreporter._tw.fullwidth
        if settings is not None and settings.explain:
            self._explain(terminalreporter, language, columns)
        if settings is not None and settings.save_baseline is not None:
            self._tell_baseline(terminalreporter, words(language), settings.save_baseline)
        interrupted = exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
        if settings is not None and settings.report is not None:
            self._report(terminalreporter, settings, exitstatus, interrupted)
        terminalreporter.section(words(language).say("verdict.title"))
        for line in verdict(self.ledger, self._kept(settings), columns, interrupted, self.causes, language):
            terminalreporter.write_line(line.text, **line.markup)
            self.sentence = line.text

    def _explain(self, terminalreporter: TerminalReporter, language: str, columns: int) -> None:
        """The lesson stands above the verdict, which stays the last thing of all."""
        from pytest_calico_ipip.report.explain import explain  # its records are not needed by other runs

        terminalreporter.section(words(language).say("lesson.title"))
        bad = self.ledger.those(Outcome.FAILED.value, Outcome.ERROR.value)
        broken = list(dict.fromkeys(record.requirement for record in bad))
        for line in explain(session.world(self.config), words(language), columns, broken):
            terminalreporter.write_line(line.text, **line.markup)

    def _tell_baseline(self, terminalreporter: TerminalReporter, said: Words, path: Path) -> None:
        if self.baseline_problem:
            for line in self.baseline_problem.splitlines():
                terminalreporter.write_line(plain(line), red=True)
        else:
            terminalreporter.write_line(said.say("baseline.saved", path=path))

    def _report(
        self, terminalreporter: TerminalReporter, settings: Settings, exitstatus: int, interrupted: bool
    ) -> None:
        """The file that `--ipip-report` names; one that cannot be written is told, and changes no verdict."""
        from pytest_calico_ipip.report import page, summary  # only a run that asked for it pays

        assert settings.report is not None
        said = words(settings.language)
        sentence = last_line(self.ledger, interrupted, settings.language).text
        content = summary.summary(
            self.ledger, self._kept(settings), self.causes, sentence, int(exitstatus), session.source(settings), said
        )
        text = summary.as_json(content) if settings.report.suffix == ".json" else page.page(content, said)
        try:
            settings.report.write_text(text, encoding="utf-8")
        except OSError as error:
            terminalreporter.write_line(f"--ipip-report: {plain(str(settings.report))}: {error.strerror}", red=True)
        else:
            terminalreporter.write_line(said.say("report.written", path=settings.report))

    def _settings(self) -> Settings | None:
        try:
            return session.settings(self.config)
        except IpipError:
            return None

    def _kept(self, settings: Settings | None) -> Kept:
        if settings is None:
            return Kept(None)
        told = session.notes(self.config) or self.told
        noted, left_out = (tuple(told.get(kind, ())) for kind in ("notes", "left_out"))
        if settings.replay is not None:
            problems = session.recorded_problems(settings.replay)
            return Kept(settings.replay, True, problems, noted, left_out)
        return Kept(settings.evidence, False, self.config.stash.get(session.PROBLEMS, ()), noted, left_out)
