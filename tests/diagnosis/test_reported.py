"""Causes in the verdict and in JUnit."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from pytest_calico_ipip.model.diagnosis import Cause
from pytest_calico_ipip.model.diagnosis.cause import kubectl, on
from pytest_calico_ipip.report.diagnosis import likely, one_line
from tests.model.changes import link, together
from tests.model.recordings import N1, N2, RECORDED

ROOT = Path(__file__).parents[2]


def cause(number: int) -> Cause:
    """A cause with everything."""
    return Cause(f"id-{number}", ("n",), f"It is {number}.", ("a fact (file)",), ("ssh n true",))


def test_at_most_three_are_shown_and_the_rest_is_counted() -> None:
    """Sentence, evidence and command of the three most specific causes; of others how many, and their ids."""
    lines = list(likely([cause(number) for number in range(5)]))
    assert lines[0] == "Most likely:"
    assert lines[1:4] == ["  It is 0.  [id-0]", "    because a fact (file)", "    next: ssh n true"]
    assert lines[-1] == "  … and 2 more: id-3, id-4"
    assert list(likely([])) == []


def test_control_characters_are_spelt_out() -> None:
    """What a cluster calls its things cannot write to the terminal, or break a line for machines."""
    bad = Cause("x", ("n",), "a\x1b[31mb\nc", ("d\x07",), ())
    assert "\x1b" not in "".join(likely([bad]))
    assert one_line(bad) == "x: a\\x1b[31mb\\nc"


def test_commands_can_be_pasted_whatever_the_names_are() -> None:
    """Names are quoted for both shells that read them."""
    node, device = "n; rm -rf /", "cali$(id)"
    words = shlex.split(on(node, "ip", "link", "show", "dev", device))
    assert words[:2] == ["ssh", node]
    assert shlex.split(words[2]) == ["ip", "link", "show", "dev", device]
    assert shlex.split(kubectl("get", "pod", "a b"))[-1] == "a b"


def run(evidence: Path, *options: str) -> tuple[str, list[str]]:
    """The suite on some evidence: its output, and the test suite's properties `cause` in JUnit."""
    junit = evidence.parent / "junit.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--ipip-replay", str(evidence)]
    command += [f"--junitxml={junit}", *options, "conformance/"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    properties = ET.parse(junit).getroot().findall("testsuite/properties/property[@name='cause']")
    return done.stdout, [str(each.get("value")) for each in properties]


def test_a_failing_replay_names_its_causes(tmp_path: Path) -> None:
    """The verdict has them before the single failures, JUnit as properties; with xdist it is the same."""
    evidence = tmp_path / "evidence"
    shutil.copytree(RECORDED / "v3.31.7-always", evidence)
    together(link(N2, "tunl0", mtu=1400), link(N1, "tunl0", flags=["NOARP"]))(evidence)
    for options in ((), ("-n", "2")):
        output, causes = run(evidence, *options)
        assert output.index("Not asserted:") < output.index("Most likely:") < output.index("Broken:")
        assert f"tunl0 of {N2} has an MTU of 1400" in output
        assert [each.split(":")[0] for each in causes] == ["tunnel-down", "tunnel-mtu-low"]


def test_a_healthy_replay_names_nothing(tmp_path: Path) -> None:
    """No section, no property."""
    evidence = tmp_path / "evidence"
    shutil.copytree(RECORDED / "v3.31.7-always", evidence)
    output, causes = run(evidence)
    assert "Most likely" not in output
    assert causes == []
