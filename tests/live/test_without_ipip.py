"""A cluster without Calico, or whose pods do not talk over IPIP: one sentence, exit status 1, nothing made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.cluster import calico
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.nodes import list_nodes
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.judge.load import load
from pytest_calico_ipip.lab.controlplane import fill
from pytest_calico_ipip.lab.spec import LabSpec
from pytest_calico_ipip.model.outside import outside_ipip
from pytest_calico_ipip.observation import observe
from pytest_calico_ipip.settings import Settings
from tests.lab.api.conftest import LabApi
from tests.live.api_stand_in import Reply, StandIn, listing, status
from tests.live.private_network import ROOT

MERGE = "application/merge-patch+json"
POOLS = "ippools.crd.projectcalico.org"
TUNNEL = "projectcalico.org/IPv4IPIPTunnelAddr"
RECORDED = ROOT / "tests" / "recorded" / "v3.31.7-always"
VXLAN = {"ipipMode": "Never", "vxlanMode": "Always"}


class Cluster(LabApi):
    """The lab's API with a Calico cluster's objects, and no kernels."""

    def fill(self) -> None:
        fill(self.store, LabSpec())

    def to_vxlan(self, *, settled: bool) -> None:
        """The pool says VXLAN; once Calico has settled that, the nodes have no tunnel address any more."""
        for _, name in list(self.store.held(POOLS)):
            self.store.patch(POOLS, None, name, {"spec": VXLAN}, MERGE)
        for _, name in list(self.store.held("nodes")) if settled else []:
            self.store.patch("nodes", None, name, {"metadata": {"annotations": {TUNNEL: None}}}, MERGE)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One API."""
    api = Cluster(tmp_path)
    api.start()
    yield api
    api.stop()


def test_a_cluster_of_vxlans_is_told_before_anything_is_made(cluster: Cluster, tmp_path: Path) -> None:
    """The sentence says which pool there is, and that no node has a tunnel address; no namespace was created."""
    cluster.call(cluster.to_vxlan, settled=True)
    before = len(cluster.store.held("namespaces"))
    settings = Settings(kubeconfig=cluster.kubeconfig)
    with pytest.raises(SetupProblem) as caught:
        observe(settings, list_nodes(settings), Evidence(tmp_path / "evidence"), lambda line: None)
    assert caught.value.problem.endswith(
        "its pods do not talk over IPIP: default-ipv4-ippool 10.233.64.0/18 has ipipMode Never, vxlanMode Always, "
        "and no node has a tunnel address"
    )
    assert len(cluster.store.held("namespaces")) == before


def test_a_pool_that_was_switched_off_by_mistake_is_a_fault(cluster: Cluster) -> None:
    """Nodes with tunnel addresses belong to a cluster of IPIP's, whatever its pools say now: that is judged."""
    cluster.call(cluster.to_vxlan, settled=False)
    api = Api.connect(Settings(kubeconfig=cluster.kubeconfig))
    calico.require_ipip(calico.find(api), api.list("/api/v1/nodes"), api.server)


@pytest.mark.parametrize(
    ("stored", "native", "found"),
    [
        ("pool", None, calico.STORED),
        ("pool", "pool", calico.STORED),  # an aggregated API beside what it stands for
        (None, "pool", calico.NATIVE),
        (403, "pool", calico.NATIVE),  # a user of deploy/'s rule for native kinds alone
        ("empty", "pool", calico.NATIVE),
        ("empty", None, calico.STORED),
        (403, 403, calico.NATIVE),  # discovery has the native group alone
    ],
)
def test_the_group_is_the_one_that_calico_itself_would_take(
    tmp_path: Path, stored: Any, native: Any, found: calico.CalicoGroup
) -> None:
    """One request finds the ordinary group, two the native one; the second is not asked where the first has pools."""

    def reply(_method: str, path: str) -> Reply:
        if path == "/apis":
            return 200, json.dumps({"groups": [{"name": calico.NATIVE.name}]}).encode()
        what = stored if calico.STORED.name in path else native
        if what in ("pool", "empty"):
            return listing(*([{"metadata": {"name": "p"}}] if what == "pool" else []))
        return status(what or 404, "no")

    stand_in = StandIn(tmp_path, reply)
    assert calico.find(Api.connect(stand_in.settings())).group is found
    assert len(stand_in.requests) == (1 if stored == "pool" else 3 if native == 403 else 2)
    stand_in.close()


def replayed(directory: Path, *, pools: bool) -> Path:
    """The recording as a cluster without IPIP would have been recorded: of VXLANs, or with no Calico at all."""
    evidence = directory / "evidence"
    shutil.copytree(RECORDED, evidence)
    nodes = evidence / "api" / "nodes.json"
    listed = json.loads(nodes.read_bytes())
    for node in listed["items"]:
        annotations = node["metadata"]["annotations"]
        for key in [key for key in annotations if "projectcalico.org" in key and (key == TUNNEL or not pools)]:
            del annotations[key]
    nodes.write_text(json.dumps(listed))
    for file in (evidence / "api").glob("*.crd.projectcalico.org.json"):
        if not pools:
            file.unlink()
        elif file.name.startswith("ippools"):
            text = file.read_text()
            file.write_text(json.dumps({"items": [{**one, "spec": {**one["spec"], **VXLAN}} for one in items(text)]}))
    return evidence


def items(text: str) -> list[dict[str, Any]]:
    """Of a list."""
    found: list[dict[str, Any]] = json.loads(text)["items"]
    return found


def test_a_replay_says_it_in_one_sentence(tmp_path: Path) -> None:
    """Exit status 1, one sentence with its remedy in the place of a table, and no requirement is said to be broken."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={tmp_path / 'junit.xml'}"),
            *(f"--ipip-replay={replayed(tmp_path, pools=True)}", str(ROOT / "conformance")),
        ],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith(("KUBECONFIG", "IPIP_"))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    sentence = "its pods do not talk over IPIP: default-ipv4-ippool 10.233.64.0/18 has ipipMode Never, vxlanMode Always"
    assert done.stdout.count(sentence) == 2  # pytest's own section, and the verdict
    assert "VERDICT  NOTHING WAS JUDGED: the cluster of this evidence: its pods" in done.stdout
    assert "ROUTE-2" not in done.stdout  # no table of what was not looked at
    junit = (tmp_path / "junit.xml").read_text()
    assert "<failure" not in junit
    assert sentence in junit


def test_evidence_without_any_trace_of_calico_is_told(tmp_path: Path) -> None:
    """None of its kinds, no annotation of its on any node: another CNI's cluster, and nothing to judge."""
    assert outside_ipip(load(replayed(tmp_path, pools=False), packets=False).datastore).startswith("it has no Calico")


@pytest.mark.parametrize("recording", sorted(path.name for path in RECORDED.parent.iterdir() if path.is_dir()))
def test_recordings_of_ipip_are_not_taken_for_others(recording: str) -> None:
    """However little of the API was kept."""
    assert outside_ipip(load(RECORDED.parent / recording, packets=False).datastore) == ""
