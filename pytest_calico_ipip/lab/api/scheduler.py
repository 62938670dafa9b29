"""Which node a pod without one goes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_calico_ipip.lab.api.ages import timestamp
from pytest_calico_ipip.lab.api.selectors import Object, by_labels, expression_text

if TYPE_CHECKING:
    from pytest_calico_ipip.lab.api.store import Store

_KEEPS_AWAY = ("NoSchedule", "NoExecute")
_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def schedule(pod: Object, nodes: Iterable[Object], load: Mapping[str, int] | None = None) -> str | None:
    """The name of the least loaded ready node that the pod's selector, required affinity and tolerations admit.

    `load` is the number of pods by node name; equal load goes by the order of `nodes`. `None` when no node fits.
    """
    load = load or {}
    fitting = [node["metadata"]["name"] for node in nodes if _fits(pod["spec"], node)]
    return min(fitting, key=lambda name: load.get(name, 0), default=None)


def place(store: Store, pod: Object) -> str | None:
    """`schedule` with the nodes and the load of a store."""
    nodes = [node for _, node in sorted(store.held("nodes").items())]
    load = Counter(other["spec"].get("nodeName") for other in store.held("pods").values())
    return schedule(pod, nodes, load)


def condition(store: Store, pod: Object) -> Object:
    """The pod's `PodScheduled` condition, as it stands."""
    common = {"type": "PodScheduled", "lastProbeTime": None, "lastTransitionTime": timestamp()}
    if pod["spec"].get("nodeName"):
        return {**common, "status": "True"}
    count = len(store.held("nodes"))
    why = f"0/{count} nodes are available: none is ready and matches the pod's node selector, affinity and tolerations."
    return {**common, "status": "False", "reason": "Unschedulable", "message": why}


def retry(store: Store) -> None:
    """Nodes have changed: bind the pods that found none before."""
    for (namespace, name), pod in list(store.held("pods").items()):
        if not pod["spec"].get("nodeName") and "deletionTimestamp" not in pod["metadata"]:
            node = place(store, pod)
            if node is not None:
                store.bind(namespace, name, node)


def _fits(spec: Mapping[str, Any], node: Object) -> bool:
    return (
        is_ready(node)
        and selected(spec, node)
        and all(tolerated(taint, spec.get("tolerations") or ()) for taint in _taints(node))
    )


def is_ready(node: Object) -> bool:
    """Whether the node's kubelet says that it takes pods."""
    conditions = node.get("status", {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def selected(spec: Mapping[str, Any], node: Object) -> bool:
    """Whether a pod's node selector and required affinity admit a node."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    # the terms are alternatives; what stands within one must all hold
    return required is None or any(_matches(term, node) for term in required.get("nodeSelectorTerms") or ())


def _matches(term: Mapping[str, Any], node: Object) -> bool:
    expressions: Sequence[Mapping[str, Any]] = term.get("matchExpressions") or ()
    fields: Sequence[Mapping[str, Any]] = term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    name_only = {"metadata": {"labels": {"metadata.name": node["metadata"]["name"]}}}
    return all(by_labels(expression_text(one))(node) for one in expressions) and all(
        by_labels(expression_text(one))(name_only) for one in fields
    )


def _taints(node: Object) -> list[Mapping[str, Any]]:
    spec = node.get("spec") or {}
    taints = [taint for taint in spec.get("taints") or () if taint.get("effect") in _KEEPS_AWAY]
    return [*taints, _UNSCHEDULABLE] if spec.get("unschedulable") else taints


def tolerated(taint: Mapping[str, Any], tolerations: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of a pod's tolerations is for a taint."""
    for toleration in tolerations:
        if toleration.get("effect") not in (None, "", taint.get("effect")):
            continue
        if toleration.get("operator") == "Exists":
            if toleration.get("key") in (None, "", taint["key"]):
                return True
        elif toleration.get("key") == taint["key"] and (toleration.get("value") or "") == (taint.get("value") or ""):
            return True
    return False
