"""The suite in one namespace, under deploy/rbac-namespace.yaml's rules, on a real network and by helper pods.

Nothing is allowed there but what a policy allows: a default deny of the namespace's, and one of the whole cluster's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.live.private_network import ROOT

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the lab's command ran; the evidence is below it."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def told(directory: Path) -> dict[str, Any]:
    """All runs in one lab."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest_calico_ipip.lab", "run", "--"),
            *(sys.executable, "-m", "tests.live.one_namespace_in_lab"),
        ],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=290,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_its_namespace_admits_helper_pods_and_they_prove_the_network(told: dict[str, Any], directory: Path) -> None:
    """The file as it is shipped, no option for ssh: status 0, no right is missed, every node has its helper."""
    assert told["run"]["status"] == 0, told["run"]["said"][-6000:]
    assert " may not " not in told["run"]["said"]
    run = json.loads((directory / "evidence/run.json").read_text())
    assert len(run["helpers"]) == 3
    assert {pod.partition("/")[0] for pod in (*run["helpers"], *run["pods"])} == {"calico-ipip"}


def test_nothing_is_left(told: dict[str, Any]) -> None:
    """No pod of the run."""
    assert told["left"] == []


def test_a_default_deny_is_lifted_by_the_run_s_own_policy_alone(told: dict[str, Any], directory: Path) -> None:
    """The run above is green. Without the right to that policy it says so, and whose rule dropped its packets."""
    assert told["denied"]["status"] == 1
    report = json.loads((directory / "denied.json").read_text())
    failed = {one["id"] for one in report["requirements"] if one["outcome"] == "failed"}
    assert {"PATH-1", "PATH-6"} <= failed
    assert "may not create networkpolicies.networking.k8s.io in the namespace calico-ipip" in told["denied"]["said"]
    assert {one["id"] for one in report["causes"]} == {"policy-denies"}
