"""pytest-xdist: one observation by the controller, many workers that judge it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import pytest_calico_ipip.observation
from pytest_calico_ipip.cluster.entrusted import Entrusted
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.settings import Settings
from tests.shell.shell_project import BARE, Api, Project
from tests.shell.test_observing import TESTS, Observers

WORKERS = """
@pytest.mark.parametrize("number", range(8))
def test_live(world, number):
    assert world.live
"""


class Writers(Observers):
    """Observers whose evidence real judges can read."""

    def observe(
        self,
        settings: Settings,
        nodes: Sequence[str],
        evidence: Evidence,
        progress: Callable[[str], None],
        entrusted: Entrusted,
    ) -> None:
        """As `observation.observe`: a folder a node, and run.json."""
        super().observe(settings, nodes, evidence, progress, entrusted)
        for node in nodes:
            evidence.node(node).mkdir(parents=True)
        evidence.run.write_text(json.dumps({"live": True, "selected": list(nodes), "problems": ["n1 hummed"]}))


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories of the run go."""
    directory = tmp_path / "t"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    monkeypatch.setenv("TMPDIR", str(directory))
    return directory


@pytest.fixture
def writers(project: Project, monkeypatch: pytest.MonkeyPatch) -> Writers:
    """A project with a test a node; its controller observes by this."""
    project.tests(TESTS + WORKERS)
    project.pytester.makeconftest("")
    writers = Writers()
    monkeypatch.setattr(pytest_calico_ipip.observation, "observe", writers.observe)
    return writers


@pytest.fixture
def cluster(api: Api, kubeconfig: Callable[..., Path]) -> Path:
    """The kubeconfig of a cluster of two nodes."""
    api.nodes("n1", "n2")
    return kubeconfig(api.url)


def left_behind(temporary: Path) -> list[str]:
    """What is still there, but for pytest's own."""
    return [path.name for path in temporary.iterdir() if not path.name.startswith("pytest-of-")]


@pytest.mark.parametrize("extra", [(), ("--dist=loadfile",), ("--dist=worksteal", "--maxprocesses=1")])
def test_one_observation_for_all(
    project: Project, writers: Writers, cluster: Path, api: Api, temporary: Path, extra: tuple[str, ...]
) -> None:
    """Workers share one observation and one node list; progress, problems and verdict are the controller's."""
    result = project.run("-n2", "--kubeconfig", cluster, "--junitxml=junit.xml", *extra)
    result.assert_outcomes(passed=10)
    assert result.ret == pytest.ExitCode.OK
    ((settings, nodes, _),) = writers.told
    assert nodes == ("n1", "n2")
    assert settings.replay is None
    assert api.requests == ["/api/v1/nodes?limit=500"]
    result.stdout.fnmatch_lines(["calico-ipip: opening*", " ✓ MTU-1 * 2 of 2 nodes *", "  n1 hummed", "VERDICT *"])
    assert not left_behind(temporary)


def test_evidence_is_kept_once(project: Project, writers: Writers, cluster: Path) -> None:
    """With --ipip-evidence the workers judge the directory that is kept; a worker that crashes is replaced."""
    project.tests(TESTS + "\ndef test_crash(world):\n    import os\n    os._exit(3)\n")
    result = project.run("-n2", "--kubeconfig", cluster, "--ipip-evidence=kept")
    result.assert_outcomes(passed=2, failed=1)
    assert "crashed while running" in result.stdout.str()
    ((_, _, root),) = writers.told
    assert root == project.path / "kept"
    result.stdout.fnmatch_lines([f"Evidence: {root} *"])


def test_a_problem_of_the_set_up_is_met_once(project: Project, writers: Writers, cluster: Path) -> None:
    """What keeps the controller from observing errs every test, with its remedy."""
    writers.problem = SetupProblem("no pod was made", "ask for the right")
    result = project.run("-n2", "--kubeconfig", cluster, "--junitxml=junit.xml")
    result.assert_outcomes(errors=10)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert len(writers.told) == 1
    assert (project.path / "junit.xml").read_text().count(">no pod was made\n  ask for the right<") == 10


def test_a_node_list_that_cannot_be_read_is_asked_for_once(
    project: Project, writers: Writers, cluster: Path, api: Api
) -> None:
    """The controller's refusal is every worker's."""
    api.status, api.document = 403, {"message": "no nodes for you"}
    result = project.run("-n2", "--kubeconfig", cluster, "-k", "fine")
    result.assert_outcomes(errors=1)
    assert "no nodes for you" in result.stdout.str()
    assert len(api.requests) == 1
    assert not writers.told


def test_nobody_wants_it(project: Project, writers: Writers, cluster: Path) -> None:
    """Where no chosen test needs the cluster, nothing is observed."""
    project.tests("def test_free():\n    pass\n" + TESTS)
    project.run("-n2", "--kubeconfig", cluster, "-k", "free").assert_outcomes(passed=1)
    assert not writers.told


def test_an_overridden_fixture_is_refused(project: Project, writers: Writers, cluster: Path) -> None:
    """What only a worker's code knows cannot reach the controller: one sentence, exit status 4, nothing observed."""
    project.pytester.makeconftest(
        """
import pytest

@pytest.fixture(scope="session")
def ipip_pod_image():
    return "registry.example/curl:1"
"""
    )
    result = project.run("-n2", "--kubeconfig", cluster)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "use the option --ipip-pod-image instead" in result.stdout.str() + result.stderr.str()
    assert not writers.told


@pytest.mark.parametrize("arguments", [("-n0",), ("--dist=load",), ("-n0", "--dist=loadscope")])
def test_no_workers(project: Project, writers: Writers, cluster: Path, arguments: tuple[str, ...]) -> None:
    """-n0, and --dist without workers, are a run in one process."""
    project.tests(TESTS)
    project.run(*arguments, "--kubeconfig", cluster).assert_outcomes(passed=2)
    assert len(writers.told) == 1


def test_interrupted_while_observing(
    project: Project, cluster: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the controller observes ends the run with 2, and leaves nothing."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # of the pytest that runs this test
    project.tests(TESTS)
    project.pytester.makeconftest(
        """
import os
import pytest_calico_ipip.observation

def observe(*_):
    raise KeyboardInterrupt

if "PYTEST_XDIST_WORKER" not in os.environ:
    pytest_calico_ipip.observation.observe = observe
"""
    )
    result = project.pytester.runpytest_subprocess(*BARE, "-n2", "--kubeconfig", cluster)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert not left_behind(temporary)
