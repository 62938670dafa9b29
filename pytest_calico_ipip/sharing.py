"""pytest-xdist: the controller observes once, when its workers want it; the workers judge what it wrote.

A worker that dies is replaced while the evidence stays, and Ctrl-C reaches the one process that has made something.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip import session, temporary
from pytest_calico_ipip.errors import IpipError, SetupProblem

OVERRIDABLE = ("ipip_pod_image", "ipip_namespace")
_REFUSED = "refused.json"


class Sharing:
    """A plugin object of a controller whose workers are to judge a cluster."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.held = temporary.make("shared")
        self._observed = False
        config.add_cleanup(self.held.remove)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell each worker, also one that replaces a dead one, where to look."""
        node.workerinput["ipip_shared"] = str(self.held.path)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """No test is handed out before the last worker has collected: observe here, in the main thread."""
        wishes = [json.loads(path.read_bytes()) for path in self.held.path.glob("wanted-*.json")]
        if self._observed or not wishes:
            return
        self._observed = True
        if overridden := sorted({name for wish in wishes for name in wish["overridden"]}):
            raise pytest.UsageError(
                f"the fixture {overridden[0]} is overridden, and pytest-xdist's controller, which observes for all "
                f"workers, cannot see it\nuse the option --{overridden[0].replace('_', '-')} instead, or leave -n out"
            )
        decided = session.settings(self.config)
        root = decided.evidence or self.held.path / "evidence"
        if decided.keep and decided.evidence is not None:
            (self.held.path / "evidence").symlink_to(root)  # its name is the controller's own choice
        try:
            subjects = session.subjects(self.config)
            if subjects.problem is not None:
                raise subjects.problem
            session.observe(self.config, decided, subjects.nodes, root)
        except IpipError as problem:
            told = {"problem": problem.problem, "remedy": problem.remedy}
            (self.held.path / _REFUSED).write_text(json.dumps(told), encoding="utf-8")
        else:
            self.config.stash[session.OBSERVED] = root


def wish(config: pytest.Config, items: Sequence[Any]) -> None:
    """In a worker: say that tests were collected which need the evidence, before the controller hears of them."""
    directory = _directory(config)
    needing = [item for item in items if session.fixture_of_ours(item, "world")]
    if directory is None or not needing:
        return
    overridden = [
        name
        for name in OVERRIDABLE
        if any(name in item.fixturenames and not session.fixture_of_ours(item, name) for item in needing)
    ]
    with_id = directory / f"wanted-{handed(config)['workerid']}"
    if directory.is_dir():  # a worker on another machine has none: its tests say so
        with_id.write_text(json.dumps({"overridden": overridden}), encoding="utf-8")
        with_id.rename(with_id.with_suffix(".json"))


def evidence(config: pytest.Config, kept: Path | None) -> Path | None:
    """In a worker of a live run: where the controller's evidence lies; elsewhere None. Raises its SetupProblem."""
    directory = _directory(config)
    if directory is None:
        return None
    refused = directory / _REFUSED
    if refused.exists():
        raise SetupProblem(**json.loads(refused.read_bytes()))
    root = kept or directory / "evidence"
    if not root.is_dir():
        raise SetupProblem(
            f"the evidence that pytest-xdist's controller wrote is not here: {root}",
            "run the workers on the controller's machine (-n N), or leave pytest-xdist out",
        )
    return root


@contextlib.contextmanager
def in_turn(config: pytest.Config) -> Iterator[None]:
    """In a worker of a live run: one reads the evidence at a time, for a decoder takes a tenth of a gigabyte."""
    directory = _directory(config)
    if directory is None or not directory.is_dir():
        yield
        return
    with (directory / "turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def _directory(config: pytest.Config) -> Path | None:
    directory = handed(config).get("ipip_shared")
    return Path(directory) if directory is not None else None


def handed(config: pytest.Config) -> Mapping[str, Any]:
    """What pytest-xdist's controller gave this worker; nothing elsewhere."""
    given: Mapping[str, Any] = getattr(config, "workerinput", {})
    return given
