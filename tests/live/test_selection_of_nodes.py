"""Which nodes are in scope."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.cluster.nodes import NO_CALICO, Toleration, scope, select, unsuited
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.judge.load import load
from pytest_calico_ipip.model.datastore import Datastore
from pytest_calico_ipip.settings import Settings
from tests.live.api_stand_in import Reply, StandIn, listing

CONTROL_PLANE = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}


def node(name: str, *taints: dict[str, str], ready: str = "True", system: str = "linux", **spec: Any) -> dict[str, Any]:
    """A node as the API has it."""
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/os": system}},
        "spec": {"taints": list(taints), **spec},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


NODES = [
    node("b-plain"),
    node("a-cordoned", unschedulable=True),
    node("tainted", CONTROL_PLANE),
    node("preferred", {"key": "k", "effect": "PreferNoSchedule"}),
    node("down", ready="Unknown"),
    node("windows", system="windows"),
]


def test_all_that_could_run_a_pod_in_the_apis_order() -> None:
    """Ready, schedulable, Linux, and no taint that keeps pods away."""
    assert select(NODES, Settings()) == ("b-plain", "preferred")


def test_a_toleration_brings_a_tainted_node_in() -> None:
    """By key, by key and effect, or by all three."""
    for text in (CONTROL_PLANE["key"], f"{CONTROL_PLANE['key']}:NoSchedule", f"{CONTROL_PLANE['key']}=:NoSchedule"):
        assert select(NODES, Settings(tolerations=(text,))) == ("b-plain", "tainted", "preferred")
    assert select(NODES, Settings(tolerations=(f"{CONTROL_PLANE['key']}:NoExecute",))) == ("b-plain", "preferred")


def test_a_named_node_is_in_scope_whatever_its_state() -> None:
    """Who names a node wants to know what is wrong with it."""
    assert select(NODES, Settings(nodes=("down", "b-plain"))) == ("b-plain", "down")


def test_no_node_at_all_says_why_of_each() -> None:
    """Each node's reason is in the sentence, the options that change it in the remedy."""
    with pytest.raises(SetupProblem) as caught:
        select(NODES[1:3], Settings())
    assert "a-cordoned is unschedulable" in caught.value.problem
    assert "tainted has the taint node-role.kubernetes.io/control-plane:NoSchedule" in caught.value.problem
    assert "--ipip-tolerate" in caught.value.remedy
    with pytest.raises(SetupProblem, match="no nodes match 'a=b'"):
        select([], Settings(node_selector="a=b"))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("k", ("k", None, "")),
        ("k=v", ("k", "v", "")),
        ("k:NoExecute", ("k", None, "NoExecute")),
        ("k=:X", ("k", "", "X")),
    ],
)
def test_a_toleration_is_written_as_key_value_effect(text: str, parsed: tuple[str, str | None, str]) -> None:
    """KEY[=VALUE][:EFFECT]."""
    assert Toleration.parse(text) == Toleration(*parsed)


@pytest.mark.parametrize(
    ("labels", "taints"),
    [
        ({"type": "virtual-kubelet"}, []),
        ({"eks.amazonaws.com/compute-type": "fargate"}, []),
        ({}, [{"key": "virtual-kubelet.io/provider", "value": "azure", "effect": "NoSchedule"}]),
    ],
)
def test_a_virtual_node_has_nothing_to_look_at(labels: dict[str, str], taints: list[dict[str, str]]) -> None:
    """Virtual kubelets and Fargate are left out, also where their taint is tolerated."""
    virtual = node("v", *taints)
    virtual["metadata"]["labels"] |= labels
    assert unsuited(virtual, (Toleration.parse("virtual-kubelet.io/provider"),)).startswith("is a virtual node")


def test_nodes_of_another_cni_are_left_out_with_the_reason(tmp_path: Path) -> None:
    """No annotation of Calico's beside nodes that have one, and no calico-node pod: it is not Calico's node.

    One that only lost an annotation, or whose calico-node has not written one yet, stays in scope and is judged.
    """
    ours, other, young, windows = (node(name) for name in ("ours", "other", "young", "w"))
    ours["metadata"]["annotations"] = {"projectcalico.org/IPv4IPIPTunnelAddr": "10.233.107.0"}
    windows["metadata"]["labels"]["kubernetes.io/os"] = "windows"
    listed = [ours, other, young, windows]

    def reply(_method: str, path: str) -> Reply:
        if path.startswith("/api/v1/pods"):
            assert "calico-node" in path
            return listing({"metadata": {"name": "calico-node-x"}, "spec": {"nodeName": "young"}})
        return listing(*listed)

    stand_in = StandIn(tmp_path, reply)
    found = scope(stand_in.settings())
    assert found.nodes == ("ours", "young")
    assert found.left_out == {"other": NO_CALICO, "w": "runs windows"}
    assert len(stand_in.requests) == 2
    for one in (other, young):
        one["metadata"]["annotations"] = ours["metadata"]["annotations"]
    assert scope(stand_in.settings()).nodes == ("ours", "other", "young")
    assert len(stand_in.requests) == 3  # no further request where every node is Calico's
    stand_in.close()


def test_the_report_says_who_was_left_out(tmp_path: Path) -> None:
    """From the evidence, live and in a replay: nodes with one reason stand in one note."""
    left_out = {"a": "runs windows", "b": "runs windows", "c": "is not Ready"}
    evidence = Evidence(tmp_path)
    evidence.api("nodes").parent.mkdir()
    evidence.api("nodes").write_text(json.dumps({"items": NODES[:1]}))
    evidence.run.write_text(json.dumps({"selected": ["b-plain"], "left_out": left_out}))
    datastore = load(tmp_path, packets=False).datastore
    assert isinstance(datastore, Datastore)
    assert datastore.notes[:2] == ("left out (runs windows): a, b", "left out (is not Ready): c")
