"""What the control plane's node controllers do: taints for nodes that are not ready, evictions from tainted nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pytest_calico_ipip.lab.api.scheduler import tolerated
from pytest_calico_ipip.lab.api.store import ApiError, Store, timestamp
from pytest_calico_ipip.lab.kubelet import events

Object = Mapping[str, Any]

_UNREADY = {"False": "node.kubernetes.io/not-ready", "Unknown": "node.kubernetes.io/unreachable"}
_PATIENCE = 300.0  # seconds: what a cluster gives every pod on a node that is not ready, unless the pod says otherwise


class NodeControllers:
    """Watches nodes and pods; nothing else in the lab waits for it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._leaving: dict[str, asyncio.Task[None]] = {}  # pods to be evicted, by uid
        self._tasks = [asyncio.create_task(self._nodes()), asyncio.create_task(self._pods())]

    def stop(self) -> None:
        """End it."""
        for task in (*self._tasks, *self._leaving.values()):
            task.cancel()

    async def _nodes(self) -> None:
        async for change, node in self._store.watch("nodes"):
            if change != "DELETED" and not self._taint(node):
                for pod in self._on(node["metadata"]["name"]):
                    self._judge(pod, node)

    async def _pods(self) -> None:
        async for change, pod in self._store.watch("pods"):
            if change == "DELETED":
                self._stay(pod["metadata"]["uid"])
            elif change == "ADDED" and pod["spec"].get("nodeName"):
                with suppress(ApiError):
                    self._judge(pod, self._store.get("nodes", None, pod["spec"]["nodeName"]))

    def _on(self, node: str) -> list[dict[str, Any]]:
        return self._store.list("pods", field_selector=f"spec.nodeName={node}")[0]

    def _taint(self, node: Object) -> bool:
        """Give the node the taints of its Ready condition; whether they have changed, and a further event follows."""
        conditions = {one["type"]: one["status"] for one in node.get("status", {}).get("conditions") or ()}
        key = _UNREADY.get(conditions.get("Ready", "True"))
        before = node.get("spec", {}).get("taints") or []
        others = [taint for taint in before if taint["key"] not in _UNREADY.values()]
        wanted = [{"key": key, "effect": effect} for effect in ("NoSchedule", "NoExecute")] if key else []
        mine = [{"key": taint["key"], "effect": taint["effect"]} for taint in before if taint not in others]
        if mine == wanted:
            return False
        if key:
            wanted[1]["timeAdded"] = timestamp()
        self._store.patch("nodes", None, node["metadata"]["name"], {"spec": {"taints": [*others, *wanted] or None}})
        if key:
            for pod in self._on(node["metadata"]["name"]):
                self._not_ready(pod)
        return True

    def _not_ready(self, pod: Object) -> None:
        conditions = [
            {**one, "status": "False", "lastTransitionTime": timestamp()}
            if one["type"] == "Ready" and one["status"] != "False"
            else one
            for one in pod.get("status", {}).get("conditions") or ()
        ]
        place = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        with suppress(ApiError):
            self._store.patch("pods", *place, {"status": {"conditions": conditions}}, subresource="status")
        events.record(
            self._store, pod, "NodeNotReady", "Node is not ready", component="node-controller", kind="Warning"
        )

    def _judge(self, pod: Object, node: Object) -> None:
        """Begin to evict a pod, or let it stay, by the node's NoExecute taints."""
        uid = pod["metadata"]["uid"]
        taints = [taint for taint in node.get("spec", {}).get("taints") or () if taint.get("effect") == "NoExecute"]
        seconds = [_patience(taint, pod["spec"].get("tolerations") or ()) for taint in taints]
        bounds = [each for each in seconds if each is not None]
        if not bounds:
            self._stay(uid)
        elif uid not in self._leaving and "deletionTimestamp" not in pod["metadata"]:
            self._leaving[uid] = asyncio.create_task(self._evict(pod, min(bounds)))

    def _stay(self, uid: str) -> None:
        if task := self._leaving.pop(uid, None):
            task.cancel()

    async def _evict(self, pod: Object, after: float) -> None:
        await asyncio.sleep(after)
        place = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        message = f"Marking for deletion Pod {place[0]}/{place[1]}"
        events.record(self._store, pod, "TaintManagerEviction", message, component="taint-eviction-controller")
        told = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": timestamp(),
        }
        with suppress(ApiError):
            current = self._store.get("pods", *place)
            conditions = [*(current["status"].get("conditions") or ()), told]
            self._store.patch("pods", *place, {"status": {"conditions": conditions}}, subresource="status")
            self._store.delete("pods", *place, uid=pod["metadata"]["uid"])


def _patience(taint: Object, tolerations: Any) -> float | None:
    """Seconds that a pod may stay on a node with this taint; None for ever."""
    fitting = [one for one in tolerations if tolerated(taint, [one])]
    if not fitting:
        return _PATIENCE if taint["key"] in _UNREADY.values() else 0.0
    bounds = [float(one["tolerationSeconds"]) for one in fitting if one.get("tolerationSeconds") is not None]
    return max(0.0, min(bounds)) if bounds else None
