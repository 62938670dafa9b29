"""The lists that everything is expected from, fetched in parallel and kept; byte for byte, but for very long ones."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pytest_calico_ipip.cluster.answers import items
from pytest_calico_ipip.cluster.calico import STORED, CalicoGroup
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.problems import ApiRefusal
from pytest_calico_ipip.cluster.weight import HEAVIEST_READING, weight
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.evidence import Evidence

# file name → path and query
_KUBERNETES: dict[str, tuple[str, dict[str, str]]] = {
    "nodes": ("/api/v1/nodes", {}),
    "pods": ("/api/v1/pods", {}),
    "namespaces": ("/api/v1/namespaces", {}),
    "daemonsets.apps": ("/apis/apps/v1/daemonsets", {"fieldSelector": "metadata.name=calico-node"}),
    "installations.operator.tigera.io": ("/apis/operator.tigera.io/v1/installations", {}),
}
# without these nothing can be expected of any node
_REQUIRED = ("nodes", "pods")
_REQUIRED_OF_CALICO = ("ippools", "ipamblocks", "blockaffinities", "felixconfigurations")


def fetch(
    api: Api, evidence: Evidence, group: CalicoGroup = STORED, *, after: bool = False
) -> tuple[dict[str, bytes], list[str]]:
    """Write every list to api/ (or api-after/); the bodies by file name, and a sentence for each that was refused.

    A kind that the cluster does not have is not written. Raises `SetupProblem` where a required one is refused.
    """
    bodies: dict[str, bytes] = {}
    problems: list[str] = []
    kinds = {**_KUBERNETES, **{group.file(kind): (group.path(kind), {}) for kind in group.kinds}}
    required = (*_REQUIRED, *map(group.file, _REQUIRED_OF_CALICO))
    reading = _Reading(api)
    with ThreadPoolExecutor(4) as threads:
        waiting = {name: threads.submit(reading.get, path, query) for name, (path, query) in kinds.items()}
        for name, future in waiting.items():
            try:
                bodies[name] = future.result()
            except ApiRefusal as refusal:
                if name in required and not after:
                    raise
                if refusal.status != 404:
                    problems.append(f"{name}: {refusal.problem}")
    configmaps, refusals = _configmaps(api, bodies.get("daemonsets.apps", b"{}"))
    problems += refusals
    if configmaps:
        bodies["configmaps"] = json.dumps(
            {"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {}, "items": configmaps}, indent=1
        ).encode()
    for name, body in bodies.items():
        path_of_file = evidence.api(name, after=after)
        path_of_file.parent.mkdir(parents=True, exist_ok=True)
        path_of_file.write_bytes(body)
    return bodies, problems


@dataclass
class _Reading:
    """Several lists, which together may take no more memory than there is."""

    api: Api
    _held: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, path: str, query: Mapping[str, str]) -> bytes:
        """One list. Raises `SetupProblem`."""
        body = self.api.whole(path, query)
        with self._lock:
            self._held += weight(body)
            if self._held > HEAVIEST_READING:
                raise SetupProblem(
                    f"the API server's lists would take more than {HEAVIEST_READING >> 20} MiB of memory, with {path}",
                    "Is this a Kubernetes API? A cluster with larger lists cannot be judged.",
                )
        return body


def _configmaps(api: Api, daemonsets: bytes) -> tuple[Sequence[dict[str, Any]], list[str]]:
    """The ConfigMaps that calico-node's environment refers to, reduced to the keys that it names."""
    wanted: dict[tuple[str, str], set[str]] = {}
    for item in items(daemonsets):
        namespace = item.get("metadata", {}).get("namespace", "")
        spec = item.get("spec", {}).get("template", {}).get("spec", {})
        for container in spec.get("containers") or []:
            for variable in container.get("env") or []:
                reference = (variable.get("valueFrom") or {}).get("configMapKeyRef")
                if reference:
                    wanted.setdefault((namespace, reference["name"]), set()).add(reference["key"])
    found, problems = [], []
    for (namespace, name), keys in wanted.items():
        try:
            configmap = api.send("GET", f"/api/v1/namespaces/{quote(namespace)}/configmaps/{quote(name, safe='')}")
        except ApiRefusal as refusal:
            if refusal.status != 404:
                problems.append(f"configmap {namespace}/{name}: {refusal.problem}")
            continue
        data = {key: value for key, value in (configmap.get("data") or {}).items() if key in keys}
        found.append({"metadata": {"namespace": namespace, "name": name}, "data": data})
    return found, problems
