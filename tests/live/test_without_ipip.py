"""A cluster without Calico, or whose pods do not talk over IPIP: one sentence, exit status 1, nothing made."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_calico_ipip.lab.api.resources import RESOURCES
from pytest_calico_ipip.lab.controlplane import fill
from pytest_calico_ipip.lab.spec import LabSpec
from tests.lab.api.conftest import LabApi
from tests.live.private_network import ROOT

MERGE = "application/merge-patch+json"
POOLS = "ippools.crd.projectcalico.org"


class Cluster(LabApi):
    """The lab's API with a Calico cluster's objects, and no kernels."""

    def fill(self) -> None:
        fill(self.store, LabSpec())

    def to_vxlan(self) -> None:
        """As Calico leaves it: the pool says VXLAN, and the nodes have no tunnel address any more."""
        for _, name in list(self.store.held(POOLS)):
            modes = {"spec": {"ipipMode": "Never", "vxlanMode": "Always"}}
            self.store.patch(POOLS, None, name, modes, MERGE)
        for _, name in list(self.store.held("nodes")):
            gone = {"metadata": {"annotations": {"projectcalico.org/IPv4IPIPTunnelAddr": None}}}
            self.store.patch("nodes", None, name, gone, MERGE)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One API."""
    api = Cluster(tmp_path)
    api.start()
    yield api
    api.stop()


def run(cluster: Cluster, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The suite as a user starts it."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--kubeconfig={cluster.kubeconfig}"),
            *(f"--junitxml={directory / 'junit.xml'}", str(ROOT / "conformance"), *arguments),
        ],
        cwd=directory,
        env={name: value for name, value in os.environ.items() if not name.startswith(("KUBECONFIG", "IPIP_"))},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_cluster_of_vxlans_is_told_in_one_sentence(cluster: Cluster, tmp_path: Path) -> None:
    """The sentence says which pool there is; it stands once in the output, and no requirement is said to be broken."""
    cluster.call(cluster.to_vxlan)
    done = run(cluster, tmp_path)
    print(done.stdout)
    assert done.returncode == 1
