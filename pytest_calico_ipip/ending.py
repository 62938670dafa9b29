"""How a session on a cluster ends: SIGTERM as Ctrl-C does, and what was kept is told."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from pytest_calico_ipip import in_cluster, session
from pytest_calico_ipip.observation.signals import ended_by_sigterm
from pytest_calico_ipip.report.messages import words

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


class Ending:
    """A plugin object of a session that observes."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._signals = ExitStack()
        config.add_cleanup(self._signals.close)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """From here on pytest turns KeyboardInterrupt into exit status 2, after everybody has cleaned up."""
        self._signals.enter_context(ended_by_sigterm())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> Generator[None, None, None]:
        """What `--ipip-keep` left, below everything else, also where no test has run."""
        yield
        entrusted = self.config.stash.get(session.ENTRUSTED, None)
        if entrusted is None or not entrusted.kept:
            return
        decided = session.settings(self.config)
        said = words(decided.language)
        place = [] if decided.kubeconfig is None else ["--kubeconfig", str(decided.kubeconfig)]
        kubectl = shlex.join(["kubectl", *place, *(("--context", decided.context) if decided.context else ())])
        source = place or ["--kubeconfig", in_cluster.NAME]
        pytest_words = ["pytest", *source, *(("--ipip-context", decided.context) if decided.context else ())]
        terminalreporter.section(said.say("kept.title"))
        for line in (
            said.say("kept.cluster", what=entrusted.kept, hours=round(decided.pods_last / 3600)),
            said.say("kept.remove", command=f"{kubectl} delete {entrusted.kept}"),
            said.say("kept.cleanup", command=shlex.join([*pytest_words, "--ipip-cleanup"])),
            said.say("kept.evidence", path=decided.evidence),
        ):
            terminalreporter.write_line(line)
