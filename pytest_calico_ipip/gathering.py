"""Gathers the records of all tests where the terminal is (xdist: in the controller); verdict and exit status."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_calico_ipip import likely, session
from pytest_calico_ipip.conclusion import ATTRIBUTE
from pytest_calico_ipip.errors import IpipError
from pytest_calico_ipip.report.ledger import Ledger
from pytest_calico_ipip.report.record import Record
from pytest_calico_ipip.report.verdict import Kept, verdict

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from pytest_calico_ipip.model.diagnosis import Cause


class Gathering:
    """A plugin object of one session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.ledger = Ledger()
        self.causes: tuple[Cause, ...] = ()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the record that the test's process attached."""
        plain: dict[str, Any] | None = getattr(report, ATTRIBUTE, None)
        if plain is not None:
            self.ledger.add(report.nodeid, Record.from_plain(plain))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Silence is not success: a run in which a MUST was asserted by nothing exits 1. Failures are explained."""
        if session.exitstatus == pytest.ExitCode.OK and self.ledger.silent():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self.causes = likely.causes(self.config, self.ledger)
        if self.causes:
            likely.into_junit(self.config, self.causes)

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
        terminalreporter.section("Calico IPIP conformance")
        interrupted = exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
        for line in verdict(self.ledger, self._kept(), terminalreporter._tw.fullwidth, interrupted, self.causes):
            terminalreporter.write_line(line.text, **line.markup)

    def _kept(self) -> Kept:
        try:
            settings = session.settings(self.config)
        except IpipError:
            return Kept(None)
        if settings.replay is not None:
            return Kept(settings.replay, replayed=True, problems=session.recorded_problems(settings.replay))
        return Kept(settings.evidence, problems=self.config.stash.get(session.PROBLEMS, ()))
