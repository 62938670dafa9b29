"""Which pods a node's kubelet rejects, and which it evicts: reason and message as a kubelet words them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_calico_ipip.lab.api.quantities import asked, number
from pytest_calico_ipip.lab.api.scheduler import is_ready, selected, tolerated

Object = dict[str, Any]
Verdict = tuple[str, str]  # reason, message

_OVER = ("Succeeded", "Failed")
_CRITICAL = ("system-node-critical", "system-cluster-critical")
_PRESSURES = {"MemoryPressure": "memory", "DiskPressure": "ephemeral-storage", "PIDPressure": "pids"}


def rejection(pod: Object, node: Object, others: Iterable[Object]) -> Verdict | None:
    """Why the kubelet of `node`, which runs `others`, does not take a pod; None when it does."""
    spec = pod["spec"]
    if not selected(spec, node):
        why = "node(s) didn't match Pod's node affinity/selector"
        return "NodeAffinity", f"Predicate NodeAffinity failed: {why}"
    taints = [taint for taint in node.get("spec", {}).get("taints") or () if taint.get("effect") == "NoExecute"]
    if not all(tolerated(taint, spec.get("tolerations") or ()) for taint in taints):
        return "TaintToleration", "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
    living = [other for other in others if other.get("status", {}).get("phase") not in _OVER]
    allocatable = node.get("status", {}).get("allocatable") or {}
    wanted = asked(spec, "requests")
    for resource in ("pods", "cpu", "memory"):
        if resource not in allocatable:
            continue
        more = 1 if resource == "pods" else wanted[resource]
        used = sum(1 if resource == "pods" else asked(other["spec"], "requests")[resource] for other in living)
        capacity = int(number(allocatable[resource]) * (1000 if resource == "cpu" else 1))
        if more and used + more > capacity:
            figures = f"requested: {more}, used: {used}, capacity: {capacity}"
            return f"OutOf{resource}", f"Node didn't have enough resource: {resource}, {figures}"
    return None


def eviction(pod: Object, node: Object) -> Verdict | None:
    """Why the kubelet ends a pod that runs: the node's pressure conditions; None when it stays."""
    if pod["spec"].get("priorityClassName") in _CRITICAL:
        return None
    for condition in node.get("status", {}).get("conditions") or ():
        resource = _PRESSURES.get(condition["type"])
        if resource and condition["status"] == "True":
            return "Evicted", f"The node was low on resource: {resource}. "
    return None


def ready(node: Object | None) -> bool:
    """Whether pods on a node can be Ready at all."""
    return node is not None and is_ready(node)
