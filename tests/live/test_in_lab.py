"""Observation of a whole lab: what a run writes, and what is left when it ends, is interrupted, or meets trouble."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.live.whole_lab import run_in_lab
from tests.matrix.suite import on_evidence

pytestmark = pytest.mark.lab
NODES = ["virtnest-rook-ceph-1", "virtnest-rook-ceph-2", "virtnest-rook-ceph-3"]
NOTHING = {"nodes": ["", "", ""], "ssh": [], "sockets": []}


class Lab:
    """What the scenarios printed, and the evidence that they wrote."""

    def __init__(self, told: dict[str, Any], directory: Path) -> None:
        self.told = told
        self.directory = directory

    def json(self, path: str) -> Any:
        """One file, parsed."""
        return json.loads((self.directory / path).read_text())

    def commands(self, scenario: str, node: str) -> list[list[str]]:
        """The lines of a node's commands.tsv."""
        path = self.directory / scenario / "nodes" / node / "commands.tsv"
        return [line.split("\t") for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """One lab for all scenarios."""
    directory = tmp_path_factory.mktemp("lab")
    return Lab(run_in_lab("in_lab", directory, 300), directory)


def test_every_file_of_the_evidence_is_written(lab: Lab) -> None:
    """Every command of every node ended with status 0, and every one has its file."""
    for node in NODES:
        lines = lab.commands("healthy", node)
        assert [line for line in lines if line[1] != "0"] == []
        assert [line[0] for line in lines if not (lab.directory / "healthy/nodes" / node / line[0]).is_file()] == []
        assert len({line[0] for line in lines if line[0].startswith("netns/")}) == 8
    assert lab.json("healthy/run.json")["problems"] == []
    assert len(lab.json("healthy/run.json")["pods"]) == 6
    for file in (lab.directory / "healthy/api").iterdir():
        assert (lab.directory / "healthy/api-after" / file.name).is_file()


def test_every_tap_listened_and_every_probe_was_answered(lab: Lab) -> None:
    """Six taps a node, none of which lost a packet; only the echo that is too long has no reply."""
    taps = lab.json("healthy/packets/taps.json")
    assert [sum(tap["node"] == node for tap in taps) for node in NODES] == [6, 6, 6]
    for tap in taps:
        said = (lab.directory / "healthy/packets" / tap["file"]).with_suffix(".stderr").read_text()
        assert "listening on" in said
        assert "\n0 packets dropped by kernel" in said
    probes = lab.json("healthy/packets/probes.json")
    unanswered = [probe for probe in probes if probe["exit"] != 0]
    assert {probe["kind"] for probe in unanswered} == {"echo-over"}
    assert all("mtu=1480" in probe["stderr"] for probe in unanswered if probe["kind"] == "echo-over")
    assert [sum(probe["kind"] == kind for probe in probes) for kind in ("echo", "echo-full", "echo-from-node")] == [
        6
    ] * 3
    assert [sum(probe["kind"] == kind for probe in probes) for kind in ("echo-same-node", "echo-inside")] == [3] * 2


def test_an_expired_runs_leftovers_go_and_another_runs_objects_stay(lab: Lab) -> None:
    """The namespace whose time is over is deleted; the one of a run that may still go on is not; ours is gone."""
    assert lab.told["healthy"]["left"]["namespaces"] == ["sleep-curl-other"]
    assert any("sleep-curl-0ld" in line for line in lab.told["healthy"]["lines"])


@pytest.mark.parametrize("scenario", ["healthy", "interrupted", "killed"])
def test_nothing_is_left_on_nodes_and_here(lab: Lab, scenario: str) -> None:
    """No tcpdump, no directory on a node, no ssh process, no socket, no pod under test; nor after SIGKILL."""
    left = lab.told[scenario]["left"]
    assert {key: left[key] for key in NOTHING} == NOTHING
    assert left["namespaces"] == ["sleep-curl-other"]


def test_sigterm_ends_a_run_as_ctrl_c_does(lab: Lab) -> None:
    """In seconds, and with KeyboardInterrupt, of which pytest makes exit status 2."""
    assert lab.told["interrupted"]["ended"] == "ended by SIGTERM"


def test_a_node_that_refuses_ssh_is_told_in_its_evidence(lab: Lab) -> None:
    """Every file that is missing has its line with the sentence; the run's problems have the remedy too."""
    node = lab.told["broken"]["refusing"]
    lines = [line for line in lab.commands("broken", node) if not line[0].startswith(("birdcl", "iptables", "nft"))]
    assert {line[1] for line in lines} == {"255"}
    assert all(f"ssh to {node} ({node}): no key was accepted" in line[3] for line in lines)
    assert any("--ipip-ssh-identity" in problem for problem in lab.json("broken/run.json")["problems"])


def test_a_node_without_tcpdump_is_told_in_its_taps(lab: Lab) -> None:
    """Its taps have no capture but the reason; its kernel was read, and its probes were sent."""
    node = lab.told["broken"]["without"]
    taps = [tap for tap in lab.json("broken/packets/taps.json") if tap["node"] == node]
    assert len(taps) == 6
    for tap in taps:
        pcap = lab.directory / "broken/packets" / tap["file"]
        assert not pcap.exists()
        assert "ermission denied" in pcap.with_suffix(".stderr").read_text()
    assert [line for line in lab.commands("broken", node) if line[1] != "0"] == []
    probes = [probe for probe in lab.json("broken/packets/probes.json") if probe["node"] == node]
    assert {probe["exit"] for probe in probes if probe["kind"] == "echo"} == {0}


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ("evicted", "was deleted during the run, by somebody else (an eviction, for example)"),
        ("unready", "virtnest-rook-ceph-2 went NotReady during the run (NodeStatusUnknown: Kubelet stopped posting"),
    ],
)
def test_what_kubernetes_does_meanwhile_accuses_no_network(
    lab: Lab, tmp_path: Path, scenario: str, reason: str
) -> None:
    """A pod that goes, a node that dies: what depends on it is an error for that one reason, and nothing is broken."""
    verdict = on_evidence(tmp_path, lab.directory / scenario)
    assert verdict.status == 1
    assert verdict.of("failed") == {}
    assert verdict.of("error")["PATH-1"] == ("1:2", "2:1", "2:3", "3:2")
    assert all("2" in subject for subjects in verdict.of("error").values() for subject in subjects)
    assert verdict.causes == ("changed-meanwhile",)
    assert reason in verdict.output
