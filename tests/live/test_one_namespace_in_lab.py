"""The suite in one namespace, under deploy/rbac-namespace.yaml's rules, on a real network and by helper pods.

Nothing is allowed there but what a policy allows: a default deny of the namespace's, and one of the whole cluster's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.live.whole_lab import run_in_lab

pytestmark = [pytest.mark.lab, pytest.mark.thorough]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the lab's command ran; the evidence is below it."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def told(directory: Path) -> dict[str, Any]:
    """All runs in one lab."""
    return run_in_lab("one_namespace_in_lab", directory)


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
