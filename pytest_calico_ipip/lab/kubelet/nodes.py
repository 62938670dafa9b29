"""The Kubernetes nodes as their kubelets report them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pytest_calico_ipip.lab.api.store import timestamp
from pytest_calico_ipip.lab.calico.objects import node_annotations
from pytest_calico_ipip.lab.spec import NodeSpec

KUBELET_VERSION = "v1.32.4"
_SIZE = {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "20Gi"}  # nominal; nothing measures pods


def _os_name() -> str:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "Linux"
    names = dict(line.split("=", 1) for line in lines if "=" in line)
    return names.get("PRETTY_NAME", "Linux").strip('"')


def node(spec: NodeSpec) -> dict[str, Any]:
    """A Ready node with Calico's annotations."""
    now = timestamp()
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": spec.name,
            "labels": {"kubernetes.io/hostname": spec.name, "kubernetes.io/os": "linux"},
            "annotations": node_annotations(spec),
        },
        "spec": {},
        "status": {
            "capacity": dict(_SIZE),
            "allocatable": dict(_SIZE),
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": now,
                    "reason": "KubeletReady",
                }
            ],
            "addresses": [
                {"type": "InternalIP", "address": str(spec.address.ip)},
                {"type": "Hostname", "address": spec.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
                "kernelVersion": os.uname().release,
                "osImage": _os_name(),
                "containerRuntimeVersion": "",
                "kubeletVersion": KUBELET_VERSION,
                "kubeProxyVersion": KUBELET_VERSION,
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }
