"""A whole lab whose nodes have nothing to offer but their kernel: no sshd, no tcpdump, pods as `curlimages/curl` is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(shutil.which("busybox") is None, reason="needs busybox"),
]


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What a program in such a lab saw."""
    options = ["--pod-tools", "busybox", "--node-tools", "bare", "--no-sshd", "--nodes", "2"]
    command = [sys.executable, "-m", "pytest_calico_ipip.lab", "run", *options, "--"]
    done = subprocess.run(
        [*command, sys.executable, str(HERE / "bare_in_lab.py")], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_there_is_no_way_in(seen: dict[str, Any]) -> None:
    """Port 22 is refused, and the node has ip but no tcpdump."""
    assert "refused" in seen["ssh"]
    assert seen["node"][0] != "0"
    assert seen["node"][-1].endswith("/ip")


def test_each_node_has_its_own_temporary_files(seen: dict[str, Any]) -> None:
    """What one node has in /tmp, another does not."""
    assert "mine" not in seen["other's /tmp"]


def test_a_helper_pod_sees_all_of_it(seen: dict[str, Any]) -> None:
    """With six capabilities and a read-only root it enters a pod's network and captures an echo on tunl0."""
    addresses = seen["addresses"]
    assert addresses["helper"] == "10.7.120.11"
    assert addresses["curl-1"] in seen["helper"]
    assert f"{addresses['curl-1']} > {addresses['curl-2']}: ICMP echo request" in seen["helper"]
    assert "Read-only file system" in seen["written"]
    assert "CapBnd:\t00000000002830c0" in seen["written"]


def test_policies_take_effect(seen: dict[str, Any]) -> None:
    """A policy that denies all drops the echo, one that allows the namespace's pods lets it pass again."""
    assert seen["under policies"] == [False, True]


def test_busybox_pods_reach_each_other(seen: dict[str, Any]) -> None:
    """An ordinary user's echo crosses the tunnel: two hops are off its TTL."""
    assert seen["curl id"] == "uid=100(curl_user) gid=101(curl_group)\n"
    assert "ttl=62" in seen["ping"]
