"""Which nodes are in scope."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_calico_ipip.cluster.nodes import Toleration, select
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.settings import Settings

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
