"""A lab node prints what real Calico's node of the same name printed: the recorded commands, typed again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from . import likeness

pytestmark = pytest.mark.lab

RECORDED = Path(__file__).parents[1] / "recorded"
# each recording, and the lab that must print the same
RECORDINGS = {
    "v3.31.7-always": (),
    "v3.31.7-crosssubnet": ("--ipip-mode", "CrossSubnet", "--subnets", "2"),
    "v3.34dev-always": ("--profile", "felix"),
}
NODES = ("virtnest-rook-ceph-1", "virtnest-rook-ceph-2", "virtnest-rook-ceph-3")
PODS = {
    "virtnest-rook-ceph-1": ("10.233.107.1", "10.233.107.2"),
    "virtnest-rook-ceph-2": ("10.233.109.1",),
    "virtnest-rook-ceph-3": ("10.233.88.1",),
}
# BIRD 2 is not Calico's fork of BIRD 1.6 and prints in a form of its own; uname tells the kernel; what a neighbour
# table and traffic counters hold is what happened before
NODE_FILES: dict[str, Callable[[str], Any]] = {
    "ip-addr.txt": likeness.links,
    "ip-route.txt": likeness.lines,
    "ip-addr.json": likeness.records,
    "ip-route.json": likeness.records,
    "ip-rule.json": likeness.lines,
    "ip-netns.json": likeness.records,
    "sysctl.txt": likeness.lines,
    "iptables-save.txt": likeness.rules,
    "ipset.txt": likeness.sets,
    "ethtool-tunl0.txt": likeness.lines,
    "calico-mtu.txt": str,
    "hostname.txt": str,
}
POD_FILES: dict[str, Callable[[str], Any]] = {
    "ip-addr.json": likeness.records,
    "ip-route.json": likeness.records,
    "sysctl.txt": likeness.lines,
}


@dataclass(frozen=True)
class Printed:
    """What a lab with the recorded pods prints, as files, and what real Calico printed."""

    lab: Path
    recording: Path


@pytest.fixture(scope="module", params=RECORDINGS)
def printed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Printed:
    """One lab for each recording."""
    directory, recording = tmp_path_factory.mktemp("printed"), RECORDED / request.param
    inside = [sys.executable, str(Path(__file__).with_name("read_nodes.py")), str(recording), str(directory)]
    lab = [sys.executable, "-m", "pytest_calico_ipip.lab", "run", *RECORDINGS[request.param], "--", *inside]
    done = subprocess.run(lab, cwd=directory, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return Printed(directory, recording)


def recorded_pod(recording: Path, node: str, address: str) -> Path:
    """The recorded files of the pod with that address."""
    for directory in (recording / "nodes" / node / "netns").iterdir():
        links = json.loads((directory / "ip-addr.json").read_text())
        if any(each["local"] == address for link in links for each in link["addr_info"]):
            return directory
    raise AssertionError(f"no pod {address} was recorded on {node}")


@pytest.mark.parametrize("file", NODE_FILES)
@pytest.mark.parametrize("node", NODES)
def test_node_prints_what_calico_s_node_printed(printed: Printed, node: str, file: str) -> None:
    """Links, routes, rules, sets, sysctls of a lab node are the recorded ones, but for what differs by nature."""
    form = NODE_FILES[file]
    recorded = printed.recording / "nodes" / node / file
    assert form((printed.lab / node / file).read_text()) == form(recorded.read_text())


@pytest.mark.parametrize("file", POD_FILES)
@pytest.mark.parametrize(("node", "address"), [(node, address) for node in NODES for address in PODS[node]])
def test_pod_prints_what_calico_s_pod_printed(printed: Printed, node: str, address: str, file: str) -> None:
    """Links, routes and sysctls inside a pod of the lab are the recorded ones."""
    form = POD_FILES[file]
    lab = printed.lab / node / "netns" / address / file
    assert form(lab.read_text()) == form((recorded_pod(printed.recording, node, address) / file).read_text())
