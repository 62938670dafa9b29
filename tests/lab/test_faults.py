"""The fault matrix: every fault makes exactly the requirements fail that it names, and a healthy lab makes none."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_calico_ipip.lab.errors import LabUsageError
from pytest_calico_ipip.lab.faults import CATALOGUE, Fault, chosen
from pytest_calico_ipip.lab.spec import LabSpec
from pytest_calico_ipip.lab.topology import bird

ROOT = Path(__file__).parents[2]
REQUIRED = {
    "tunnel-mtu-low",
    "tunnel-down",
    "block-route-missing",
    "block-route-wrong-node",
    "block-route-bare",
    "ipip-dropped",
    "forwarding-off",
    "workload-mac",
    "pod-mtu",
    "workload-route-missing",
    "tunnel-address-missing",
    "proxy-arp-off",
}


@dataclass
class Verdict:
    """What one run of the suite said."""

    status: int
    text: str
    failed: set[str] = field(default_factory=set)  # requirement ids
    erred: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)


def verdict(done: subprocess.CompletedProcess[str], junit: Path) -> Verdict:
    """A run's verdict by requirement, from its exit status and its JUnit file."""
    found = Verdict(done.returncode, done.stdout + done.stderr)
    for case in ElementTree.parse(junit).iter("testcase"):
        ids = {each.get("value", "") for each in case.iter("property") if each.get("name") == "requirement"}
        for outcome, where in (("failure", found.failed), ("error", found.erred)):
            if case.find(outcome) is not None:
                where |= ids
        if not any(case.find(outcome) is not None for outcome in ("failure", "error", "skipped")):
            found.passed |= ids
    return found


def judge(directory: Path, *lab: str) -> tuple[Verdict, Verdict]:
    """Run the suite in a lab with these options, and once more on the evidence that it kept."""
    suite = [sys.executable, "-m", "pytest", str(ROOT / "conformance"), "-q", "-p", "no:cacheprovider"]
    evidence, live, again = directory / "evidence", directory / "live.xml", directory / "again.xml"
    command = [sys.executable, "-m", "pytest_calico_ipip.lab", "run", "--writable", str(directory), *lab, "--", *suite]
    command += [f"--ipip-evidence={evidence}", f"--junitxml={live}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert live.exists(), done.stdout + done.stderr
    replay = [*suite, f"--ipip-replay={evidence}", f"--junitxml={again}"]
    redone = subprocess.run(replay, cwd=ROOT, capture_output=True, text=True, timeout=120)
    return verdict(done, live), verdict(redone, again)


@pytest.mark.lab
@pytest.mark.parametrize("fault", CATALOGUE.values(), ids=CATALOGUE)
def test_fault_breaks_exactly_what_it_names(fault: Fault, tmp_path: Path) -> None:
    """A fault makes the requirements fail that it names, no other, nothing errs, and its evidence says the same."""
    live, replayed = judge(tmp_path, "--fault", fault.name)
    assert (live.failed, live.erred) == (set(fault.fails), set()), live.text
    assert live.status == 1
    assert (replayed.failed, replayed.erred, replayed.status) == (live.failed, live.erred, live.status), replayed.text


@pytest.mark.lab
def test_healthy_lab_breaks_nothing(tmp_path: Path) -> None:
    """Without a fault every requirement holds that some fault breaks, live and replayed."""
    live, replayed = judge(tmp_path)
    assert (live.failed, live.erred, live.status) == (set(), set(), 0), live.text
    assert live.passed >= {requirement for fault in CATALOGUE.values() for requirement in fault.fails}
    assert (replayed.failed, replayed.erred, replayed.passed) == (live.failed, live.erred, live.passed), replayed.text


@pytest.mark.lab
def test_unlisted_fault_is_found(tmp_path: Path) -> None:
    """A change that no catalogue knows, made by hand on one node, is found and named."""
    live, _ = judge(tmp_path, "--at-start", "virtnest-rook-ceph-2", "ip link set tunl0 mtu 1300")
    assert "MTU-1" in live.failed
    assert "MTU-1 on virtnest-rook-ceph-2" in live.text


@pytest.mark.lab
def test_fault_that_does_not_hold_is_no_result(tmp_path: Path) -> None:
    """A command that repairs the fault makes the lab fail: what ran on it says nothing about the fault."""
    repair = ["ssh", "virtnest-rook-ceph-2", "ip link set tunl0 mtu 1480"]
    command = [sys.executable, "-m", "pytest_calico_ipip.lab", "run", "--fault", "tunnel-mtu-low", "--", *repair]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 125
    assert "tunnel-mtu-low" in done.stderr


def test_catalogue_has_the_faults_that_matter_most() -> None:
    """The twelve that every release of the lab must have are there."""
    assert set(CATALOGUE) >= REQUIRED


def test_unknown_fault_is_refused_with_the_names_of_those_there_are() -> None:
    """A mistyped name is a usage error that lists the catalogue."""
    with pytest.raises(LabUsageError, match="there is no fault tunnel-up") as refusal:
        chosen(LabSpec(faults=("tunnel-up",)))
    assert "tunnel-down" in str(refusal.value)


def test_fault_that_needs_more_nodes_is_refused() -> None:
    """A fault about a third node cannot be in a lab of two."""
    with pytest.raises(LabUsageError, match="needs 3 nodes"):
        chosen(LabSpec(nodes=2, faults=("block-route-wrong-node",)))


@pytest.mark.parametrize("fault", CATALOGUE.values(), ids=CATALOGUE)
def test_fault_changes_bird_s_configuration_where_it_says(fault: Fault) -> None:
    """Each edit of BIRD's configuration finds its place in the node's text and changes it."""
    nodes = {node.name: node for node in LabSpec().node_specs()}
    for edit in fault.bird:
        text = bird.configuration(nodes[edit.node], nodes.values(), "/dev/null")
        assert edit.apply(text) != text


@pytest.mark.parametrize("fault", CATALOGUE.values(), ids=CATALOGUE)
def test_fault_is_made_somewhere_and_can_be_checked(fault: Fault) -> None:
    """Each fault has a way to be made; one that a node shows for as long as it lives has a check."""
    assert fault.bird or fault.at_start or fault.at_pod or fault.objects
    if fault.bird or fault.at_start:
        assert fault.verify
