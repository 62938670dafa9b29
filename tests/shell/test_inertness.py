"""The plugin beside others, and in projects that have nothing to do with it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pytest_calico_ipip.options import BY_FLAG
from tests.shell.shell_project import BARE, Project

FOREIGN = """
import pytest

@pytest.fixture(params=["x"])
def node(request):
    return request.param

@pytest.fixture
def nodes():
    return 1

def test_theirs(node, nodes):
    assert node == "x"
"""

OURS = """
def fine(world, node):
    return Judgement("MTU-1", node, asserted=1)

@pytest.mark.requirement("MTU-1")
def test_fine(judged, node):
    '''tunl0's MTU is right.'''
    assert judged(fine, node)
"""
BROKEN = """
def broken(world, node):
    return Judgement("MTU-2", node, differences=(Difference("d", "1", "2", Reading("f", "c")),))

@pytest.mark.requirement("MTU-2")
def test_broken(judged, node):
    '''eth0's MTU is right.'''
    assert judged(broken, node)
"""


@pytest.mark.parametrize("extra", [(), ("-n2",), ("--collect-only",)])
def test_a_foreign_project_is_left_alone(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]
) -> None:
    """With KUBECONFIG set (to anything) a project's own tests and fixtures of the same names run as ever."""
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    monkeypatch.setenv("IPIP_LAB", "1")
    pytester.makepyfile(test_theirs=FOREIGN)
    result = pytester.runpytest_inprocess(*BARE, *extra)
    assert result.ret == pytest.ExitCode.OK
    assert "calico-ipip:" not in result.stdout.str()
    assert "VERDICT" not in result.stdout.str()


def test_nothing_heavy_is_imported(pytester: pytest.Pytester) -> None:
    """A project that only has the plugin installed does not load what judges and observes."""
    pytester.makepyfile(
        """
import sys

def test_modules():
    heavy = {"kubernetes", "pyshark", "lxml", "yaml", "asyncio.unix_events", "pytest_calico_ipip.model.datastore"}
    assert not heavy & set(sys.modules)
"""
    )
    result = pytester.runpytest_subprocess(*BARE, "-p", "no:xdist", "-p", "no:pytest11.testinfra")
    result.assert_outcomes(passed=1)


def test_it_can_be_switched_off(pytester: pytest.Pytester) -> None:
    """`-p no:calico_ipip` leaves pytest as if the plugin were not installed."""
    pytester.makepyfile("def test_a(): pass")
    result = pytester.runpytest_subprocess("-p", "no:calico_ipip", "--help")
    assert "--ipip-lab" not in result.stdout.str()
    pytester.runpytest_subprocess("-p", "no:calico_ipip").assert_outcomes(passed=1)


def test_with_asyncio(project: Project) -> None:
    """Tests of the suite run between tests of pytest-asyncio."""
    project.tests(
        OURS
        + """
@pytest.mark.asyncio
async def test_async():
    pass

@pytest.mark.requirement("MTU-1")
def test_fine_again(judged, node):
    '''tunl0's MTU is right.'''
    assert judged(fine, node)
"""
    )
    result = project.pytester.runpytest_subprocess("--ipip-replay", project.evidence("n1"))
    result.assert_outcomes(passed=3)


OURSELVES, KIND = "pytest_calico_ipip.plugin", "pytest_kind.plugin"


@pytest.mark.parametrize("plugins", [(KIND, OURSELVES), (OURSELVES, KIND), (OURSELVES,), ()])
def test_beside_pytest_kind(project: Project, monkeypatch: pytest.MonkeyPatch, plugins: tuple[str, ...]) -> None:
    """A plugin with a `--kubeconfig` of the same meaning shares its option with this one, whichever is loaded first.

    One that is installed and not loaded does not; and a conftest.py may be what loads this one.
    """
    package = project.path / "pytest_kind"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text("def pytest_addoption(parser):\n    parser.addoption('--kubeconfig')\n")
    if not plugins:
        with (project.path / "conftest.py").open("a") as conftest:
            conftest.write(f"\npytest_plugins = ['{OURSELVES}']\n")
    # what lies beside a kubeconfig is nobody's conftest.py
    (project.path / "elsewhere").mkdir()
    (project.path / "elsewhere" / "nowhere").touch()
    (project.path / "elsewhere" / "conftest.py").write_text("raise Exception('loaded')")
    monkeypatch.setenv("PYTHONPATH", str(project.path), prepend=os.pathsep)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    loaded = [word for name in plugins for word in ("-p", name)]
    # where no plugin knows the option yet, pytest looks for a conftest.py at its value
    named = ["--kubeconfig", "elsewhere/nowhere"] if plugins else ["--kubeconfig=nowhere"]
    result = project.pytester.runpytest_subprocess(*loaded, *named)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert re.search("nowhere(: there is no such file| is YAML but no kubeconfig)", result.stderr.str())


def test_beside_a_project_with_the_same_option(pytester: pytest.Pytester) -> None:
    """A conftest.py that has a `--kubeconfig` of its own is told in one sentence."""
    pytester.makeconftest("def pytest_addoption(parser):\n    parser.addoption('--kubeconfig')\n")
    pytester.makepyfile("def test_a(): pass")
    result = pytester.runpytest_subprocess(*BARE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "-p no:calico_ipip" in result.stderr.str()
    assert "Traceback" not in result.stderr.str()
    pytester.runpytest_subprocess("-p", "no:calico_ipip").assert_outcomes(passed=1)


def test_with_a_timeout(project: Project) -> None:
    """pytest-timeout bounds a test's own work, not the observation that the first one waits for."""
    project.tests(OURS)
    project.pytester.makeconftest(
        """
import time
import pytest
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.world import World

@pytest.fixture(scope="session")
def world(nodes):
    time.sleep(1.2)
    no = Absent("nothing was read", failed=False)
    return World(no, {}, {}, no, no, nodes)
"""
    )
    project.run("--timeout=1", "--ipip-replay", project.evidence("n1")).assert_outcomes(passed=1)


def test_random_order_reruns_and_the_first_failure(project: Project) -> None:
    """Reversed order, reruns, -x and --lf change neither what a test says nor the verdict."""
    project.tests(OURS + BROKEN)
    with (project.path / "conftest.py").open("a") as conftest:
        conftest.write("\ndef pytest_collection_modifyitems(items):\n    items.reverse()\n")
    source = ("--ipip-replay", project.evidence("n1", "n2"))
    result = project.run(*source, "--reruns=1")
    result.stdout.fnmatch_lines([" ✓ MTU-1 * 2 of 2 nodes *", "VERDICT  BROKEN: MTU-2 on n*, n*"])
    result = project.run(*source, "-x")
    result.stdout.fnmatch_lines(["VERDICT  BROKEN: MTU-2 on n2*"])
    project.run(*source)
    project.run(*source, "--lf").assert_outcomes(failed=2)


def test_warnings_as_errors(project: Project) -> None:
    """The plugin raises no warning."""
    project.tests(OURS)
    result = project.pytester.runpytest_subprocess(*BARE, "-W", "error", "--ipip-replay", project.evidence("n1"))
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK


def test_strict_markers(project: Project) -> None:
    """The marker is registered."""
    project.tests(OURS)
    assert project.run("--strict-markers", "--ipip-replay", project.evidence("n1")).ret == pytest.ExitCode.OK


def test_a_replay_under_xdist(project: Project) -> None:
    """A replay is shared out by pytest-xdist, with one verdict, one JUnit file, and the same exit status."""
    project.tests(OURS + BROKEN)
    evidence = project.evidence("n1", "n2", "n3")
    result = project.pytester.runpytest_subprocess(*BARE, "-n2", "--ipip-replay", evidence, "--junitxml=junit.xml")
    result.assert_outcomes(passed=3, failed=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([" ✓ MTU-1 * 3 of 3 nodes *", "VERDICT  BROKEN: MTU-2 on n*, n*, n*"])
    assert (project.path / "junit.xml").read_text().count('name="outcome" value="failed"') == 3


def test_unknown_node_under_xdist(project: Project) -> None:
    """The exit status of a wrong option is 4 under pytest-xdist, too."""
    project.tests(OURS)
    result = project.pytester.runpytest_subprocess(
        *BARE, "-n2", "--ipip-replay", project.evidence("n1"), "--ipip-nodes=n9"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "no node 'n9'" in result.stderr.str()


def test_xdist_without_a_source(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the workers meet tests of the suite, each is an ERROR with the sentence; no cluster is touched."""
    project.tests(OURS)
    for value in ("", str(project.path / "nowhere")):
        monkeypatch.setenv("KUBECONFIG", value)
        result = project.pytester.runpytest_subprocess(*BARE, "-n1", ".")
        result.assert_outcomes(errors=1)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert "INTERNALERROR" not in result.stdout.str()
        assert ("there is no such file" if value else "no cluster to judge") in result.stdout.str()


def test_one_test_is_chosen_by_its_id(project: Project) -> None:
    """`-k` and node ids take the names of nodes."""
    project.tests(OURS)
    evidence = project.evidence("virtnest-rook-ceph-1", "virtnest-rook-ceph-2")
    result = project.run("--ipip-replay", evidence, "-k", "virtnest-rook-ceph-2")
    result.assert_outcomes(passed=1, deselected=1)
    result = project.run("--ipip-replay", evidence, "test_it.py::test_fine[virtnest-rook-ceph-1]")
    result.assert_outcomes(passed=1)


def test_collect_only_shows_placeholders(project: Project) -> None:
    """--collect-only shows `[node]`, and needs no source."""
    project.tests(OURS)
    result = project.run("--collect-only", "-q")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["test_it.py::test_fine[[]node[]]"])


def test_a_project_overrides_image_and_namespace(project: Project) -> None:
    """Image and namespace of the pods under test are changed in code by overriding a fixture."""
    project.tests(
        """
@pytest.fixture(scope="session")
def ipip_pod_image():
    return "registry.example/curl:1"

def test_settings(ipip_settings):
    assert ipip_settings.pod_image == "registry.example/curl:1"
"""
    )
    project.run("--ipip-replay", project.evidence("n1")).assert_outcomes(passed=1)


def test_every_option_that_is_named_exists() -> None:
    """Messages and documents name only options that there are."""
    root = Path(__file__).resolve().parents[2]
    texts = [path for path in (root / "pytest_calico_ipip").rglob("*.py") if "lab" not in path.parts]
    texts += [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "scripts").glob("*")]
    named = {flag for path in texts if path.is_file() for flag in re.findall(r"--ipip-[a-z-]*[a-z]", path.read_text())}
    assert named - set(BY_FLAG) <= {"--ipip-mode", "--ipip-ssh"}  # the lab's, and what five options begin with
