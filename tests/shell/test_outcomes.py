"""From a judgement to pytest's outcome, the text of a failure, JUnit and the exit status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shell.shell_project import BARE, Api, Project, junit

NODE_TEST = """
def check(world, node):
    return {judgement}

@pytest.mark.requirement("MTU-1"{level})
def test_it(judged, node):
    '''tunl0's MTU is right.'''
    assert judged(check, node)
"""

HOLDS = 'Judgement("MTU-1", node, asserted=1)'
DIFFERENCE = (
    'Difference(f"{node} tunl0 MTU", "1480 (ens192 has 1500)", "1400", '
    'Reading(f"nodes/{node}/ip-addr.json", "ip -j -d addr"), note="n1 eth0 ✓ → tunl0 ✗")'
)
BROKEN = f'Judgement("MTU-1", node, asserted=1, differences=({DIFFERENCE},))'
SHOULD = f'Judgement("MTU-1", node, asserted=1, differences=({DIFFERENCE},), strict=False)'
UNSURE = 'Judgement("MTU-1", node, asserted=1, inconclusive=("tcpdump is not on n1: install it there",))'
MISSING = 'Judgement("MTU-1", node, missing=("nodes/n1/ip-addr.json",))'
NOT_APPLICABLE = 'Judgement("MTU-1", node, not_applicable="the node is a WireGuard peer")'


def written(project: Project, judgement: str, level: str = "") -> Path:
    """A project with one test that is judged so, and evidence of one node."""
    project.tests(NODE_TEST.format(judgement=judgement, level=level))
    return project.evidence("n1")


def test_holds(project: Project) -> None:
    """A requirement that holds passes, and JUnit has requirement, level, node and outcome."""
    case = project.cases("--ipip-replay", written(project, HOLDS))["test_it[n1]"]
    assert case.result == "passed"
    assert case.properties == {"requirement": "MTU-1", "level": "MUST", "node": "n1", "outcome": "holds"}


def test_broken(project: Project) -> None:
    """A broken MUST fails: expected and observed under each other, where it was read, the command, the hop line."""
    result = project.run("--ipip-replay", written(project, BROKEN))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "MTU-1 does not hold on n1",
            "  tunl0's MTU is right.",
            "  n1 tunl0 MTU",
            "    expected  1480 (ens192 has 1500)",
            "    observed  1400",
            "    read in   nodes/n1/ip-addr.json",
            "    again     on n1: ip -j -d addr",
            "    way       n1 eth0 ✓ → tunl0 ✗",
            "FAILED test_it.py::test_it* - MTU-1 does not hold on n1: n1 tunl0 MTU: e*",
            "VERDICT  BROKEN: MTU-1 on n1",
        ]
    )


def test_broken_without_a_traceback(project: Project) -> None:
    """No line of Python is shown for a broken cluster, whatever --tb says."""
    written(project, BROKEN)
    for style in ("long", "short", "native"):
        output = project.run("--ipip-replay", "evidence", f"--tb={style}").stdout.str()
        assert "assert judged" not in output
        assert "Traceback" not in output


def test_broken_in_junit(project: Project) -> None:
    """JUnit has a failure with the same text and a one-line message."""
    case = project.cases("--ipip-replay", written(project, BROKEN))["test_it[n1]"]
    assert case.result == "failure"
    assert case.message == "MTU-1 does not hold on n1: n1 tunl0 MTU: expected 1480 (ens192 has 1500), observed 1400"
    assert "    observed  1400" in case.text
    assert case.properties["outcome"] == "failed"


def test_inconclusive_is_an_error(project: Project) -> None:
    """What could not be judged is an ERROR and no FAIL, for pytest and for JUnit, and the exit status is 1."""
    result = project.run("--ipip-replay", written(project, UNSURE))
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["MTU-1 could not be judged on n1", "  tcpdump is not on n1: install it there"])
    case = project.cases("--ipip-replay", "evidence")["test_it[n1]"]
    assert case.result == "error"
    assert "tcpdump is not on n1: install it there" in case.message
    assert case.properties["outcome"] == "error"


def test_not_in_this_evidence(project: Project) -> None:
    """What a replay does not hold is skipped with the reason, at the test's own place; with nothing else it exits 1."""
    result = project.run("--ipip-replay", written(project, MISSING), "-rs")
    result.assert_outcomes(skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["SKIPPED * test_it.py:*: not in this evidence: nodes/n1/ip-addr.json"])
    result.stdout.fnmatch_lines(["VERDICT  ASSERTED BY NOTHING: MTU-1 (not in this evidence: nodes/n1/ip-addr.json)"])


def test_not_applicable(project: Project) -> None:
    """What does not apply is skipped with the accepted reason, and is in order."""
    case = project.cases("--ipip-replay", written(project, NOT_APPLICABLE))["test_it[n1]"]
    assert case.result == "skipped"
    assert "not applicable: the node is a WireGuard peer" in case.message
    assert case.properties["outcome"] == "not applicable"


def test_a_partial_replay_is_green(project: Project) -> None:
    """A replay in which something holds and something else is not there exits 0 and says what is not there."""
    body = NODE_TEST.format(judgement=f'{HOLDS} if node == "n1" else {MISSING}', level="")
    project.tests(body)
    result = project.run("--ipip-replay", project.evidence("n1", "n2"))
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            " ✓ MTU-1 * 1 of 2 nodes *",
            "  MTU-1: 1 node: not in this evidence: nodes/n1/ip-addr.json",
            "VERDICT  1 requirement holds on 1 node",
        ]
    )


def test_a_should_is_a_warning(project: Project) -> None:
    """A broken SHOULD passes with the outcome "warning", raises no Python warning, and stands in the verdict."""
    evidence = written(project, SHOULD, ', level="SHOULD"')
    result = project.run("--ipip-replay", evidence, "-W", "error")
    result.assert_outcomes(passed=1, warnings=0)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines([" ! MTU-1  SHOULD *", "  MTU-1 on n1", "VERDICT *, with 1 warning"])
    assert project.cases("--ipip-replay", evidence)["test_it[n1]"].properties["outcome"] == "warning"


def test_strict(project: Project) -> None:
    """With --ipip-strict a broken SHOULD fails."""
    evidence = written(project, SHOULD, ', level="SHOULD"')
    result = project.run("--ipip-replay", evidence, "--ipip-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["VERDICT  BROKEN: MTU-1 on n1"])


def test_an_interrupted_run_is_not_called_good(project: Project) -> None:
    """Ctrl-C exits 2, and the verdict says that the rest was not asserted."""
    project.tests(
        NODE_TEST.format(judgement=HOLDS, level="")
        + """
def test_stop():
    raise KeyboardInterrupt
"""
    )
    # in a process of its own: the interrupt is a real one
    result = project.pytester.runpytest_subprocess(*BARE, "--ipip-replay", project.evidence("n1"))
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["VERDICT  INTERRUPTED, the rest was not asserted"])


def test_control_characters_are_spelt_out(project: Project) -> None:
    """A cluster's strings cannot write to the terminal: control characters are shown as text."""
    evil = r'Judgement("MTU-1", node, asserted=1, differences=(Difference("a\x1b]0;b\x07", "c\u202ed", "e\r\x9b"),))'
    result = project.run("--ipip-replay", written(project, evil))
    assert r"a\x1b]0;b\x07" in result.stdout.str()
    assert r"c\u202ed" in result.stdout.str()
    assert not any(character in result.stdout.str() for character in "\x1b\x07\u202e\x9b")


def test_a_bug_keeps_its_traceback(project: Project) -> None:
    """An exception of a check is a failure with Python's traceback: nothing is hidden that is ours."""
    result = project.run("--ipip-replay", written(project, "1 / 0"))
    result.stdout.fnmatch_lines(["*ZeroDivisionError*"])
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "VERDICT  NOT JUDGED" in result.stdout.str()


def test_what_is_missing_in_a_check(project: Project) -> None:
    """A check that stumbles over something absent errs or skips as the absent thing says."""
    absent = '__import__("pytest_calico_ipip.model.absent", fromlist=["x"])'
    body = NODE_TEST.format(judgement=f'{absent}.present({absent}.Absent("no routes", failed=node == "n1"))', level="")
    project.tests(body)
    result = project.run("--ipip-replay", project.evidence("n1", "n2"))
    result.assert_outcomes(errors=1, skipped=1)


PAIR_TEST = """
def check(world, a, b):
    return Judgement("PATH-1", f"{a}:{b}", asserted=1)

def on_node(world, node):
    return Judgement("MTU-1", node, asserted=1)

@pytest.mark.requirement("PATH-1")
def test_way(judged, pair):
    '''Packets take their way.'''
    assert judged(check, *pair)

@pytest.mark.requirement("MTU-1")
def test_mtu(judged, node):
    '''The MTU is right.'''
    assert judged(on_node, node)
"""


def test_pairs(project: Project) -> None:
    """Every ordered pair is a test with both names in its id; JUnit has the pair."""
    project.tests(PAIR_TEST)
    cases = project.cases("--ipip-replay", project.evidence("n1", "n2", "n3"))
    assert {name for name in cases if "way" in name} == {
        f"test_way[{a}:{b}]" for a in ("n1", "n2", "n3") for b in ("n1", "n2", "n3") if a != b
    }
    assert cases["test_way[n2:n1]"].properties["pair"] == "n2:n1"


def test_the_cluster_as_a_whole(project: Project) -> None:
    """A requirement that is about no single node or pair is judged once, and counts as the cluster."""
    project.tests(
        PAIR_TEST
        + """
def on_cluster(world):
    return Judgement("POOL-2", "cluster", asserted=1)

@pytest.mark.requirement("POOL-2")
def test_pools(judged):
    '''Pools do not overlap.'''
    assert judged(on_cluster)

def broken(world):
    return Judgement("POOL-3", "cluster", differences=(Difference("d", "1", "2"),))

@pytest.mark.requirement("POOL-3")
def test_blocks(judged):
    '''Blocks have owners.'''
    assert judged(broken)
"""
    )
    result = project.run("--ipip-replay", project.evidence("n1", "n2"), "--junitxml=junit.xml")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["POOL-3 does not hold on the cluster"])
    result.stdout.fnmatch_lines([" ✓ POOL-2  MUST  the cluster  *", "VERDICT  BROKEN: POOL-3 on the cluster"])
    assert junit(project.path / "junit.xml")["test_pools"].properties["cluster"] == "cluster"
    result = project.run("--ipip-replay", "evidence", "-k", "not blocks")
    result.stdout.fnmatch_lines(["VERDICT  3 requirements hold on 2 nodes and 2 pairs"])


def test_two_nodes(project: Project) -> None:
    """Two nodes are enough for everything."""
    project.tests(PAIR_TEST)
    result = project.run("--ipip-replay", project.evidence("n1", "n2"))
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["VERDICT  2 requirements hold on 2 nodes and 2 pairs"])


def test_one_node_is_not_green_by_silence(project: Project, api: Api, kubeconfig: Callable[..., Path]) -> None:
    """On one node the cross-node requirements say why they assert nothing, and a live run exits 1."""
    project.tests(PAIR_TEST)
    api.nodes("n1")
    result = project.run("--kubeconfig", kubeconfig(api.url))
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["VERDICT  ASSERTED BY NOTHING: PATH-1 (a pair needs two nodes, and n1 is the only one in scope)"]
    )


def test_one_problem_is_one_text(project: Project, kubeconfig: Callable[..., Path]) -> None:
    """A problem of the whole run errs every test and is printed once; the counts are those of the tests."""
    project.tests(PAIR_TEST)
    result = project.run("--kubeconfig", kubeconfig("https://127.0.0.1:1"))
    result.assert_outcomes(errors=2)
    assert result.stdout.str().count("ERROR at setup") == 1
    result.stdout.fnmatch_lines(["VERDICT  NOTHING WAS JUDGED: https://127.0.0.1:1 *"])


def test_a_run_problem_is_met_once(project: Project) -> None:
    """What fails while the world is made is not tried again for the next test."""
    project.tests(PAIR_TEST)
    project.pytester.makeconftest(
        """
import pytest
from pytest_calico_ipip.errors import SetupProblem

@pytest.fixture(scope="session")
def world(nodes):
    print("made the world")
    open("made", "a").write("x")
    raise SetupProblem("no pod could be made: forbidden", "ask for the right to make pods")
"""
    )
    result = project.run("--ipip-replay", project.evidence("n1", "n2"))
    result.assert_outcomes(errors=4)
    assert (project.path / "made").read_text() == "x"
    result.stdout.fnmatch_lines(["no pod could be made: forbidden", "  ask for the right to make pods"])


def test_where_the_evidence_is(project: Project, api: Api, kubeconfig: Callable[..., Path]) -> None:
    """The end of a live run says where the evidence lies and how it is judged again."""
    project.tests(PAIR_TEST)
    api.nodes("n1", "n2")
    config = kubeconfig(api.url)
    kept = project.path / "kept here"
    result = project.run("--kubeconfig", config, "--ipip-evidence", kept)
    assert f"pytest --ipip-replay '{kept}' conformance/" in result.stdout.str()
    result = project.run("--kubeconfig", config)
    result.stdout.fnmatch_lines(["Evidence was not kept: --ipip-evidence DIR *"])
