"""Without its plugin nothing of the suite can be run: said once, with exit status 4, and not by each file."""

from __future__ import annotations

from typing import Literal

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """In a checkout, before pytest-xdist starts its workers."""
    _require(session.config)


def pytest_ignore_collect(config: pytest.Config) -> Literal[True] | None:
    """The marker is the plugin's: without it each file would be an error."""
    return None if _loaded(config) else True


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Of an installed suite this file is loaded no earlier than it is collected."""
    _require(config)


def _require(config: pytest.Config) -> None:
    if not _loaded(config):
        raise pytest.UsageError(
            "the suite needs the plugin pytest-calico-ipip, which is not loaded: leave out -p no:calico_ipip, and with "
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD give -p pytest_calico_ipip.plugin"
        )


def _loaded(config: pytest.Config) -> bool:
    return hasattr(config.option, "ipip_lab")
