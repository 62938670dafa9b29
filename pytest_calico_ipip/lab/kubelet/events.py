"""Kubernetes events: what `kubectl describe` shows of a pod's life."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pytest_calico_ipip.lab.api.store import ApiError, Store, timestamp


def record(
    store: Store,
    pod: Mapping[str, Any],
    reason: str,
    message: str,
    *,
    component: str = "kubelet",
    host: str | None = None,
    kind: str = "Normal",
    container: str | None = None,
) -> None:
    """Write one event about a pod; none when its namespace is going away."""
    meta, now = pod["metadata"], timestamp()
    about = {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "resourceVersion": meta["resourceVersion"],
    }
    if container:
        about["fieldPath"] = f"spec.containers{{{container}}}"
    source = {"component": component, **({"host": host} if host else {})}
    event = {
        "metadata": {"name": f"{meta['name']}.{time.time_ns():x}", "namespace": meta["namespace"]},
        "involvedObject": about,
        "reason": reason,
        "message": message,
        "source": source,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "type": kind,
        "eventTime": None,
        "reportingComponent": component,
        "reportingInstance": host or "",
    }
    with suppress(ApiError):
        store.create("events", event)
