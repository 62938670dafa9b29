"""The suite under deploy/rbac.yaml's rules on a real network: as deploy's Job in a pod, and from outside by ssh."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_calico_ipip import in_job
from tests.live.whole_lab import run_in_lab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both runs in one lab."""
    return run_in_lab("as_account_in_lab", tmp_path_factory.mktemp("lab"))


def test_the_job_s_pod_proves_its_own_cluster(told: dict[str, Any]) -> None:
    """By its service account and helper pods alone it ends with status 0; the log has verdict and results."""
    pod = told["pod"]
    assert pod["phase"] == "Succeeded", pod["log"][-6000:] + json.dumps(pod["states"])
    assert "calico-ipip: the cluster of this pod at https://10.7.120.2:" in pod["log"]
    assert " may not " not in pod["log"]
    assert in_job.BEGIN in pod["log"].splitlines()
    assert pod["log"].splitlines()[-1].startswith("VERDICT")
    assert "hold on 3 nodes and 6 pairs" in pod["log"].splitlines()[-1]


def test_the_same_rights_do_by_ssh(told: dict[str, Any]) -> None:
    """The account's token and no other, and ssh to the nodes: status 0, and no right is missed."""
    assert told["ssh"]["status"] == 0, told["ssh"]["said"][-6000:]
    assert " may not " not in told["ssh"]["said"]


def test_nothing_is_left(told: dict[str, Any]) -> None:
    """Both runs could delete what they had made."""
    assert told["left"] == []
