"""Pods in a whole lab, tunnel and BIRD included: what stand-in nodes cannot show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
RECORDED = HERE.parent / "recorded" / "v3.31.7-always" / "nodes" / "virtnest-rook-ceph-1"
# each kernel and each moment has its own
VARYING = {"ifindex", "link_index", "link_netnsid", "address", "broadcast", "num_tx_queues", "num_rx_queues"}

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What a program in a lab of three nodes and six pods saw."""
    command = [
        sys.executable,
        "-m",
        "pytest_calico_ipip.lab",
        "run",
        "--",
        sys.executable,
        str(HERE / "pods_in_lab.py"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def links(text: str) -> dict[str, Any]:
    """Links by name; IPv6 addresses follow from MAC addresses and are left out."""
    found = {}
    for link in json.loads(text):
        if link:
            link["addr_info"] = [one for one in link["addr_info"] if one["family"] == "inet"]
            found[link["ifname"]] = {key: value for key, value in link.items() if key not in VARYING}
    return found


def test_a_pod_s_links_are_the_recorded_ones(seen: dict[str, Any]) -> None:
    """`ip -d addr` in sleep-curl-1 prints lo, the unused tunl0 and eth0 as real Calico's pod does."""
    recorded = next(RECORDED.glob("netns/cni-8fba5c47-*/ip-addr.json")).read_text()
    assert links(seen["pod_addresses"]) == links(recorded)


def test_the_node_s_workload_interfaces_are_the_recorded_ones(seen: dict[str, Any]) -> None:
    """The workload interfaces of sleep-curl-1 and sleep-curl-4 have the recorded names and properties."""
    lab, recorded = links(seen["node_addresses"]), links((RECORDED / "ip-addr.json").read_text())
    for name in ("cali747350e5fc9", "calic900c5f8053"):
        assert lab[name] == recorded[name]


def test_the_node_s_routes_are_the_recorded_ones(seen: dict[str, Any]) -> None:
    """`ip route` on the first node prints the recorded lines, pods included."""
    assert seen["node_routes"] == (RECORDED / "ip-route.txt").read_text()


def test_pods_reach_each_other_through_the_tunnel(seen: dict[str, Any]) -> None:
    """An echo to a pod on another node comes back with two hops taken off its TTL."""
    assert "ttl=62" in seen["ping"]


def test_birdcl_answers_in_calico_node(seen: dict[str, Any]) -> None:
    """In each node's calico-node pod birdcl shows that node's two sessions, Established."""
    assert set(seen["birdcl"]) == {f"virtnest-rook-ceph-{number}" for number in (1, 2, 3)}
    for said in seen["birdcl"].values():
        assert said.count("Established") == 2, said


def test_six_pods_are_up_within_seconds(seen: dict[str, Any]) -> None:
    """Six pods that are created together are Ready soon, also on a busy machine (about 1 s on an idle one)."""
    assert seen["seconds"] < 10
