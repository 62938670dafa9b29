"""From a run's records to its likely causes: the judgements that failed, on the world that they were made on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_calico_ipip import session
from pytest_calico_ipip.model.judgement import Judgement, Outcome
from pytest_calico_ipip.report.ledger import Ledger

if TYPE_CHECKING:
    from pytest_calico_ipip.model.diagnosis import Cause


def causes(config: pytest.Config, ledger: Ledger) -> tuple[Cause, ...]:
    """The likely causes; nothing where all holds, or where nothing was read."""
    records = ledger.those(Outcome.FAILED.value, Outcome.ERROR.value)
    world = session.world(config) if records else None
    if world is None:
        return ()
    from pytest_calico_ipip.model.diagnosis import diagnose  # only a run with failures pays for it

    return diagnose(
        world,
        [
            Judgement(
                record.requirement,
                record.subject,
                differences=record.differences,
                inconclusive=record.reasons if record.outcome == Outcome.ERROR.value else (),
            )
            for record in records
        ],
    )


def into_junit(config: pytest.Config, found: tuple[Cause, ...]) -> None:
    """Each cause as a property `cause` of the test suite: it explains many cases, so it belongs to none of them."""
    from pytest_calico_ipip.report.diagnosis import one_line

    for plugin in config.pluginmanager.get_plugins():
        add = getattr(plugin, "add_global_property", None)  # pytest's JUnit writer has it, by its public record fixture
        if callable(add):
            for cause in found:
                add("cause", one_line(cause))
