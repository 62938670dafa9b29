"""Observes the lab that it runs in while Kubernetes takes a pod away, and while a node dies, and keeps the evidence."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.pods import RUN_LABEL
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.observation import observe
from pytest_calico_ipip.settings import Settings

SETTINGS = Settings(kubeconfig=Path(os.environ["KUBECONFIG"]), settle=5, node_timeout=10, capture_timeout=10)
VICTIM = "virtnest-rook-ceph-2"
SECONDS = 15.0


def evicted(api: Api, nodes: tuple[str, ...]) -> None:
    """One pod under test goes before the taps open."""
    during(nodes, "evicted", "Opening", lambda: evict(api))


def unready(api: Api, nodes: tuple[str, ...]) -> None:
    """A node dies while the probes are sent: its network is cut, and the control plane notices. It stays dead."""
    during(nodes, "unready", "Sending", lambda: kill(api))


def during(nodes: tuple[str, ...], directory: str, phase: str, act: Callable[[], None]) -> None:
    """An observation in which something happens as a phase begins."""

    def progress(line: str) -> None:
        if line.startswith(phase):
            act()

    observe(SETTINGS, nodes, Evidence(Path(directory)), progress)


def evict(api: Api) -> None:
    """The pair's pod of the victim, by the API that a drain uses; it is gone when this returns."""
    # an earlier run may have left pods of the same names: this run's are the last that were made
    pods = [pod["metadata"] for pod in api.list("/api/v1/pods", {"labelSelector": RUN_LABEL}) if on_victim(pod)]
    run = max(pods, key=lambda one: one["creationTimestamp"])["labels"][RUN_LABEL]
    metadata = min((one for one in pods if one["labels"][RUN_LABEL] == run), key=lambda one: len(one["name"]))
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {key: metadata[key] for key in ("name", "namespace")},
    }
    api.send("POST", f"{path}/eviction", eviction)
    query = {"labelSelector": f"{RUN_LABEL}={run}"}
    bounded(lambda: metadata["uid"] not in [one["metadata"]["uid"] for one in api.list("/api/v1/pods", query)])


def kill(api: Api) -> None:
    """The victim's NIC goes down a moment later, and its Ready condition is unknown from then on."""
    cut = "(sleep 0.3; ip link set ens192 down) >/dev/null 2>&1 </dev/null &"
    subprocess.run(["calico-ipip-lab", "exec", VICTIM, "--", "sh", "-c", cut], check=True)
    node = next(one for one in api.list("/api/v1/nodes") if one["metadata"]["name"] == VICTIM)
    for condition in node["status"]["conditions"]:
        if condition["type"] == "Ready":
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            condition.update(status="Unknown", reason="NodeStatusUnknown", lastTransitionTime=now)
            condition["message"] = "Kubelet stopped posting node status."
    api.send("PUT", f"/api/v1/nodes/{VICTIM}/status", node)


def on_victim(pod: dict[str, Any]) -> bool:
    """Whether a pod is there."""
    return bool(pod["spec"].get("nodeName") == VICTIM)


def bounded(true: Callable[[], bool]) -> None:
    """Wait for something."""
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)
