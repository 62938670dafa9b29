"""What one pytest session decides once: settings, nodes in scope, progress. Kept in pytest's stash, no globals."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_calico_ipip import options, selection, temporary
from pytest_calico_ipip.errors import IpipError, SetupProblem, UnknownNode, UsageProblem
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.report.wording import plain
from pytest_calico_ipip.selection import Subjects
from pytest_calico_ipip.settings import Settings

if TYPE_CHECKING:
    from pytest_calico_ipip.cluster.entrusted import Entrusted
    from pytest_calico_ipip.model.baseline import Baseline
    from pytest_calico_ipip.model.world import World

SETTINGS = pytest.StashKey[Settings]()
SUBJECTS = pytest.StashKey[Subjects]()
WORLD: pytest.StashKey[World] = pytest.StashKey()  # what this process's tests judged
PROBLEMS = pytest.StashKey[tuple[str, ...]]()  # what the observers met, as run.json has it
ENTRUSTED: pytest.StashKey[Entrusted] = pytest.StashKey()  # what this session leaves to its survivor, or keeps
OBSERVED = pytest.StashKey[Path]()  # where a controller of pytest-xdist wrote what its workers judge

PACKAGE = Path(__file__).resolve().parent
SUITES = (PACKAGE / "conformance", PACKAGE.parent / "conformance")  # in a wheel, and in a checkout


def settings(config: pytest.Config) -> Settings:
    """The settings; raises UsageProblem each time where they are wrong."""
    if SETTINGS not in config.stash:
        config.stash[SETTINGS] = options.settings(options.Given.read(config))
    return config.stash[SETTINGS]


def live(config: pytest.Config) -> bool:
    """Whether this is a run on a cluster, as far as the settings say."""
    try:
        return settings(config).replay is None
    except UsageProblem:
        return True  # nothing will be asserted, and that is not in order


def observes(config: pytest.Config) -> bool:
    """Whether the settings, as far as they are in order, lead to a cluster."""
    try:
        return settings(config).live
    except UsageProblem:
        return False


def subjects(config: pytest.Config) -> Subjects:
    """The nodes in scope, read at the first call; what went wrong is in `problem`."""
    if SUBJECTS not in config.stash:
        config.stash[SUBJECTS] = _subjects(config)
    return config.stash[SUBJECTS]


def _subjects(config: pytest.Config) -> Subjects:
    if only_listing(config):
        return Subjects(planned=True)
    handed = getattr(config, "workerinput", {})
    if "ipip_nodes" in handed:
        return Subjects(nodes=tuple(handed["ipip_nodes"]))
    if "ipip_problem" in handed:
        return Subjects(problem=SetupProblem(*handed["ipip_problem"]))
    try:
        return selection.read(settings(config), progress(config))
    except IpipError as problem:
        return Subjects(problem=problem)


def world(config: pytest.Config) -> World | None:
    """The world of this process's tests; with xdist, where they ran elsewhere, the evidence is read once more."""
    if WORLD in config.stash:
        return config.stash[WORLD]
    try:
        root = settings(config).replay or config.stash.get(OBSERVED, None)
        if root is None or not parallel(config):
            return None
        from pytest_calico_ipip.judge.load import load

        config.stash[WORLD] = replace(load(root), selected=subjects(config).nodes, baseline=baseline(config))
    except (IpipError, OSError):
        return None  # what is wrong with the evidence has been told by every test
    return config.stash[WORLD]


def baseline(config: pytest.Config) -> Baseline | None:
    """The earlier run to compare with, where one is given; what is wrong with it was refused before."""
    path = settings(config).baseline
    if path is None:
        return None
    from pytest_calico_ipip import baseline as file  # only a run that asked for it pays

    return file.read(path)


def observe(config: pytest.Config, decided: Settings, nodes: tuple[str, ...], root: Path) -> None:
    """Observe the cluster into a directory, with progress on the terminal. Raises `SetupProblem`."""
    from pytest_calico_ipip.cluster.entrusted import Entrusted
    from pytest_calico_ipip.observation import observe  # loads the Kubernetes client and testinfra

    temporary.remove_abandoned()
    root.mkdir(parents=True, exist_ok=True, mode=0o700 if decided.keep else 0o777)
    entrusted = config.stash[ENTRUSTED] = Entrusted(decided)
    config.add_cleanup(entrusted.leave)  # not before: this session's directories are its, too
    observe(decided, nodes, Evidence(root), progress(config), entrusted)
    config.stash[PROBLEMS] = recorded_problems(root)
    progress(config)("Judging the evidence")


def notes(config: pytest.Config) -> dict[str, list[str]]:
    """What the judges of this process say of the evidence beside their judgements, as data that xdist can carry."""
    world = config.stash.get(WORLD, None)
    if world is None:
        return {}
    told = [getattr(part, "notes", ()) for part in (world.datastore, world.capture, world.paths)]
    return {
        "notes": [note for part in told for note in part],
        "left_out": list(getattr(world.datastore, "unreadable", ())),
    }


def recorded_problems(root: Path) -> tuple[str, ...]:
    """What the observers of this evidence met, each a sentence; nothing where they wrote no run.json."""
    try:
        problems = json.loads((root / "run.json").read_bytes()).get("problems", [])
    except (OSError, ValueError, AttributeError, RecursionError):
        return ()  # evidence made by hand; what is wrong inside it is the judges' to say
    return tuple(problem for problem in problems if isinstance(problem, str)) if isinstance(problems, list) else ()


def only_listing(config: pytest.Config) -> bool:
    """Whether pytest was asked about tests, not to run them: nothing may touch a cluster then."""
    names = ("help", "version", "collectonly", "markers", "showfixtures", "show_fixtures_per_test", "setupplan")
    return any(getattr(config.option, name, False) for name in names)


def asked_for(config: pytest.Config) -> bool:
    """Whether the command line itself means this suite: by a source, by our clean-up, or by the suite's path.

    Elsewhere the plugin stays silent whatever KUBECONFIG says, until a test of the suite is collected.
    """
    flags = (*options.SOURCES, options.BY_FLAG["--ipip-cleanup"], options.BY_FLAG["--ipip-print-images"])
    return any(options.spoken(config, option) is not None for option in flags) or any(
        _names_suite(config, argument) for argument in config.args
    )


def _names_suite(config: pytest.Config, argument: str) -> bool:
    name = argument.split("::")[0]
    if name.startswith(f"{__package__}.conformance"):
        return True
    path = (config.invocation_params.dir / name).resolve()
    return any(path.is_relative_to(suite) for suite in SUITES if suite.is_dir())


def refuse(config: pytest.Config) -> None:
    """Raise pytest's UsageError (exit status 4) for what is wrong before any contact with a cluster."""
    try:
        settings(config)
    except UsageProblem as problem:
        raise pytest.UsageError(str(problem)) from None


def refuse_unknown_nodes(config: pytest.Config) -> None:
    """Raise pytest's UsageError where the node list shows an option to be wrong."""
    problem = subjects(config).problem
    if isinstance(problem, (UsageProblem, UnknownNode)):
        raise pytest.UsageError(str(problem))


def parallel(config: pytest.Config) -> bool:
    """Whether pytest-xdist shares tests out, in its controller or in a worker of it."""
    option = config.option
    # --dist without workers, and -n0, are no distribution
    distributed = getattr(option, "dist", "no") != "no" and getattr(option, "tx", None)
    return bool(hasattr(config, "workerinput") or getattr(option, "numprocesses", None) or distributed)


def fixture_of_ours(definition: Any, name: str) -> bool:
    """Whether a test's fixture `name` is this plugin's, not one of the same name in somebody's project."""
    found: Any = getattr(getattr(definition, "_fixtureinfo", None), "name2fixturedefs", {}).get(name)
    return bool(found) and found[-1].func.__module__ == f"{__package__}.fixtures"


def belongs_to_us(item: pytest.Item) -> bool:
    """Whether a test needs what this plugin reads."""
    return any(fixture_of_ours(item, name) for name in ("ipip_settings", "nodes", "node", "pair"))


def progress(config: pytest.Config) -> Callable[[str], None]:
    """A function that shows one line of progress, past pytest's capture; silent without a terminal report."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    lock = threading.Lock()  # observers report from several threads

    def show(line: str) -> None:
        if reporter is None or config.option.verbose < -1 or hasattr(config, "workerinput"):
            return
        with lock:
            if capture is None:
                _write(reporter, line)
                return
            with capture.global_and_fixture_disabled():
                _write(reporter, line)

    return show


def _write(reporter: Any, line: str) -> None:
    reporter.ensure_newline()
    reporter.write_line(f"calico-ipip: {plain(line)}")
    reporter.flush()


def source(decided: Settings) -> str:
    """Where a run looks, in one line: context and server, or the evidence; never a credential."""
    if decided.replay is not None:
        return plain(f"replay of {decided.replay}")
    by = "its service account (in-cluster configuration)" if decided.in_cluster else decided.kubeconfig
    place = f"{decided.place}, from {by}"
    return plain(f"embedded lab, {place}" if decided.in_lab else place)
