"""A live run from the shell's side: what is observed where, what is kept, what is shown meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from shell_project import Api, Project

# in the place of observation and judge: one writes a file and reports progress, the other looks at it
OBSERVED = """
import sys
import pytest
import pytest_calico_ipip.judge.load
import pytest_calico_ipip.observation
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.world import World

def observe(settings, nodes, evidence, progress):
    progress("opening\\x1b[2J the taps")
    print("a library's own words")
    evidence.run.write_text("{}")
    open("seen", "a").write(" ".join([str(evidence.root), *nodes, settings.pod_image]) + "\\n")
    MORE

def load(root):
    no = Absent("nothing was read", failed=False)
    return World(no, {}, {}, no, no, (), live=(root / "run.json").exists())

pytest_calico_ipip.observation.observe = observe
sys.modules["pytest_calico_ipip.judge.load"].load = load
"""

TESTS = """
def fine(world, node):
    assert world.selected == ("n1", "n2")
    return Judgement("MTU-1", node, asserted=1)

@pytest.mark.requirement("MTU-1")
def test_fine(judged, node):
    '''tunl0's MTU is right.'''
    assert judged(fine, node)
"""


@pytest.fixture
def cluster(project: Project, api: Api, kubeconfig: Callable[..., Path]) -> Path:
    """A project, a cluster of two nodes, and its kubeconfig."""
    project.tests(TESTS)
    project.pytester.makeconftest(OBSERVED.replace("MORE", ""))
    api.nodes("n1", "n2")
    return kubeconfig(api.url)


def seen(project: Project) -> list[list[str]]:
    """What the observers were told."""
    return [line.split() for line in (project.path / "seen").read_text().splitlines()]


def run(project: Project, *arguments: str | Path) -> pytest.RunResult:
    """In a process of its own: the modules stay patched only there."""
    return project.pytester.runpytest_subprocess("-p", "no:asyncio", *arguments)


def test_one_observation(project: Project, cluster: Path) -> None:
    """A whole run observes once, all nodes in scope, with the settings of the command line."""
    result = run(project, "--kubeconfig", cluster, "--ipip-pod-image=image:1")
    result.assert_outcomes(passed=2)
    ((_, *words),) = seen(project)
    assert words == ["n1", "n2", "image:1"]


def test_evidence_is_temporary(project: Project, cluster: Path) -> None:
    """Without --ipip-evidence nothing is left behind."""
    run(project, "--kubeconfig", cluster)
    assert not Path(seen(project)[0][0]).exists()


def test_evidence_is_kept(project: Project, cluster: Path) -> None:
    """With --ipip-evidence the directory is made, kept, and named at the end."""
    kept = project.path / "a" / "b"
    result = run(project, "--kubeconfig", cluster, "--ipip-evidence", "a/b")
    assert (kept / "run.json").exists()
    result.stdout.fnmatch_lines([f"Evidence: {kept} *"])


@pytest.mark.parametrize("arguments", [(), ("-s",), ("-q",), ("-v",), ("--capture=sys",)])
def test_progress_is_seen(project: Project, cluster: Path, arguments: tuple[str, ...]) -> None:
    """Progress reaches the terminal whatever pytest captures, on lines of its own, without control characters."""
    output = run(project, "--kubeconfig", cluster, *arguments).stdout.str()
    assert "\ncalico-ipip: opening\\x1b[2J the taps\n" in output
    assert ("a library's own words" in output) == ("-s" in arguments)


def test_very_quiet(project: Project, cluster: Path) -> None:
    """-qq silences progress."""
    assert "calico-ipip: opening" not in run(project, "--kubeconfig", cluster, "-qq").stdout.str()


def test_a_replay_shows_no_progress(project: Project, cluster: Path) -> None:
    """Nothing is observed in a replay."""
    project.tests(TESTS.replace('("n1", "n2")', '("n1",)'))
    result = run(project, "--ipip-replay", project.evidence("n1"))
    result.assert_outcomes(passed=1)
    assert "calico-ipip: opening" not in result.stdout.str()
    assert not (project.path / "seen").exists()


def test_a_problem_of_the_set_up(project: Project, cluster: Path) -> None:
    """What keeps the run from observing errs every test, is met once, and its remedy is in JUnit's message."""
    project.pytester.makeconftest(
        OBSERVED.replace("MORE", "raise SetupProblem('no pod was made', 'ask for the right')")
    )
    result = run(project, "--kubeconfig", cluster, "--junitxml=junit.xml")
    result.assert_outcomes(errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert len(seen(project)) == 1
    assert (project.path / "junit.xml").read_text().count("no pod was made: ask for the right") == 2
    assert not Path(seen(project)[0][0]).exists()
