"""A live run from the shell's side: what is observed where, what is kept, what is shown meanwhile."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import pytest_calico_ipip.judge.load
import pytest_calico_ipip.observation
from pytest_calico_ipip.cluster.entrusted import Entrusted
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.world import World
from pytest_calico_ipip.settings import Settings
from tests.shell.shell_project import Api, Project

TESTS = """
def fine(world, node):
    assert world.selected == ("n1", "n2")
    return Judgement("MTU-1", node, asserted=1)

@pytest.mark.requirement("MTU-1")
def test_fine(judged, node):
    '''tunl0's MTU is right.'''
    assert judged(fine, node)
"""


@dataclass
class Observers:
    """In the place of the observers: they write one file and report progress, and keep what they were told."""

    told: list[tuple[Settings, tuple[str, ...], Path]] = field(default_factory=list)
    problem: SetupProblem | None = None

    def observe(
        self,
        settings: Settings,
        nodes: Sequence[str],
        evidence: Evidence,
        progress: Callable[[str], None],
        entrusted: Entrusted,
    ) -> None:
        """As `observation.observe`."""
        self.told.append((settings, tuple(nodes), evidence.root))
        progress("opening\x1b[2J the taps")
        print("a library's own words")
        if self.problem is not None:
            raise self.problem
        problems = ["n1: ssh refused the key", "evil\x1b[31m", "n1: ssh refused the key. Offer another"]
        evidence.run.write_text(json.dumps({"problems": problems}))


def load(root: Path) -> World:
    """In the place of the judge: a world with nothing in it."""
    no = Absent("nothing was read", failed=False)
    return World(no, {}, {}, no, no, (), live=(root / "run.json").exists())


@pytest.fixture
def observers(project: Project, monkeypatch: pytest.MonkeyPatch) -> Observers:
    """A project with one test a node, and observers of this test's own."""
    project.tests(TESTS)
    project.pytester.makeconftest("")
    observers = Observers()
    monkeypatch.setattr(pytest_calico_ipip.observation, "observe", observers.observe)
    monkeypatch.setattr(sys.modules["pytest_calico_ipip.judge.load"], "load", load)
    return observers


@pytest.fixture
def cluster(api: Api, kubeconfig: Callable[..., Path]) -> Path:
    """The kubeconfig of a cluster of two nodes."""
    api.nodes("n1", "n2")
    return kubeconfig(api.url)


def test_one_observation(project: Project, observers: Observers, cluster: Path) -> None:
    """A whole run observes once, all nodes in scope, with the settings of the command line."""
    project.run("--kubeconfig", cluster, "--ipip-pod-image=image:1").assert_outcomes(passed=2)
    ((settings, nodes, _),) = observers.told
    assert nodes == ("n1", "n2")
    assert settings.pod_image == "image:1"
    assert settings.settle == 30


def test_evidence_is_temporary(project: Project, observers: Observers, cluster: Path) -> None:
    """Without --ipip-evidence nothing is left behind."""
    project.run("--kubeconfig", cluster)
    ((_, _, root),) = observers.told
    assert not root.exists()


def test_evidence_is_kept(project: Project, observers: Observers, cluster: Path) -> None:
    """With --ipip-evidence the directory is made, kept, and named at the end."""
    kept = project.path / "a" / "b"
    result = project.run("--kubeconfig", cluster, "--ipip-evidence", "a/b")
    assert (kept / "run.json").exists()
    result.stdout.fnmatch_lines([f"Evidence: {kept} *"])


@pytest.mark.parametrize("arguments", [(), ("-s",), ("-q",), ("-v",), ("--capture=sys",)])
def test_progress_is_seen(project: Project, observers: Observers, cluster: Path, arguments: tuple[str, ...]) -> None:
    """Progress reaches the terminal whatever pytest captures, on lines of its own, without control characters."""
    output = project.run("--kubeconfig", cluster, *arguments).stdout.str()
    assert "\ncalico-ipip: opening\\x1b[2J the taps\n" in output
    assert ("a library's own words" in output) == ("-s" in arguments)


def test_very_quiet(project: Project, observers: Observers, cluster: Path) -> None:
    """-qq silences progress."""
    assert "calico-ipip: opening" not in project.run("--kubeconfig", cluster, "-qq").stdout.str()


def test_what_the_observers_met_is_shown(project: Project, observers: Observers, cluster: Path) -> None:
    """Problems that observers wrote into run.json stand in the verdict, each once, live and in a replay."""
    result = project.run("--kubeconfig", cluster, "--ipip-evidence", "kept")
    shown = ["While observing:", "  evil?x1b?31m", "  n1: ssh refused the key. Offer another", ""]
    result.stdout.fnmatch_lines(shown, consecutive=True)
    for node in ("n1", "n2"):
        (project.path / "kept" / "nodes" / node).mkdir(parents=True)
    project.run("--ipip-replay", "kept").stdout.fnmatch_lines(shown, consecutive=True)


def test_a_replay_observes_nothing(project: Project, observers: Observers) -> None:
    """A replay needs no observers, and shows no progress."""
    result = project.run("--ipip-replay", project.evidence("n1", "n2"))
    result.assert_outcomes(passed=2)
    assert not observers.told
    assert "calico-ipip: opening" not in result.stdout.str()


def test_a_problem_of_the_set_up(project: Project, observers: Observers, cluster: Path) -> None:
    """What keeps the run from observing errs every test, is met once, and its remedy is in JUnit's message."""
    observers.problem = SetupProblem("no pod was made", "ask for the right")
    result = project.run("--kubeconfig", cluster, "--junitxml=junit.xml")
    result.assert_outcomes(errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert (project.path / "junit.xml").read_text().count("no pod was made: ask for the right") == 2
    ((_, _, root),) = observers.told
    assert not root.exists()
