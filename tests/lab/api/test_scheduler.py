"""Where a pod without a node goes."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_calico_ipip.lab.api.scheduler import schedule

from . import fakes


def named(*names: str) -> dict[str, Any]:
    """A required affinity to nodes by name, as the DaemonSet controller writes it."""
    fields = [{"key": "metadata.name", "operator": "In", "values": list(names)}]
    required = {"nodeSelectorTerms": [{"matchFields": fields}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


@pytest.mark.parametrize(
    ("spec", "node"),
    [
        ({}, "b"),
        ({"nodeSelector": {"kubernetes.io/hostname": "c"}}, "c"),
        ({"nodeSelector": {"kubernetes.io/hostname": "z"}}, None),
        (named("a", "c"), "a"),
        (named("z"), None),
        ({"tolerations": [{"operator": "Exists"}]}, "tainted"),
        ({"tolerations": [{"key": "only", "value": "x", "effect": "NoSchedule"}]}, "tainted"),
        ({"tolerations": [{"key": "only", "value": "y"}]}, "b"),
    ],
)
def test_the_least_loaded_node_that_fits(spec: dict[str, Any], node: str | None) -> None:
    """Selector, affinity, taints, readiness and load decide."""
    nodes = [fakes.node(name) for name in ("a", "b", "c", "tainted", "down", "cordoned")]
    nodes[3]["spec"]["taints"] = [{"key": "only", "value": "x", "effect": "NoSchedule"}]
    nodes[4]["status"]["conditions"][0]["status"] = "False"
    nodes[5]["spec"]["unschedulable"] = True
    load = {"a": 1, "b": 0, "c": 2, "tainted": -2, "down": -3, "cordoned": -1}
    assert schedule(fakes.pod("p", **spec), nodes, load) == node
