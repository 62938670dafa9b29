"""What a pod gets of its service account: the volume that admission adds, and the way to the API behind it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"
_SECONDS = 3607  # Kubernetes' own number
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True)
class ApiPlace:
    """Where pods reach the API, and the files by which they do: `files(namespace, account)`."""

    host: str
    port: int
    files: Callable[[str, str], Mapping[str, str]]

    def environment(self) -> dict[str, str]:
        """What a kubelet tells every container of the service `kubernetes`."""
        port = str(self.port)
        return {
            "KUBERNETES_SERVICE_HOST": self.host,
            "KUBERNETES_SERVICE_PORT": port,
            "KUBERNETES_SERVICE_PORT_HTTPS": port,
        }


def automount(spec: Object, account: Object) -> None:
    """Add the volume to a new pod's spec, and its mount to each container, as the admission of service accounts does.

    The pod may refuse it, or else the account may.
    """
    wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    without = [one for one in containers if all(m.get("mountPath") != MOUNTED for m in one.get("volumeMounts") or ())]
    if not wanted or not without:
        return
    name = "kube-api-access-" + "".join(secrets.choice(_SUFFIX) for _ in range(5))
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _SECONDS, "path": "token"}},
        {"configMap": authority},
        {"downwardAPI": {"items": [namespace]}},
    ]
    volumes = spec.get("volumes") or []
    spec["volumes"] = [*volumes, {"name": name, "projected": {"sources": sources, "defaultMode": 420}}]
    for one in without:
        mount = {"name": name, "readOnly": True, "mountPath": MOUNTED}
        one["volumeMounts"] = [*(one.get("volumeMounts") or ()), mount]
