"""Lists of large clusters: read page by page, and without what nobody judges.

A list that fits into one page stays byte for byte what the server sent. Of a longer one each object leaves out its
managedFields (half of a pod), a node its images, and a pod that is neither Calico's nor ours everything but where it
runs and how it is: 64 MiB then hold some 40 000 pods, and not 6500.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pytest_calico_ipip.cluster.answers import decoded, objects
from pytest_calico_ipip.cluster.problems import ApiRefusal
from pytest_calico_ipip.cluster.weight import HEAVIEST_LIST
from pytest_calico_ipip.errors import SetupProblem

PAGE = 500  # objects; what kubectl asks for, too
LIMIT = 64 * 1024 * 1024  # bytes of one answer, and of what is kept of a list; the judges read no larger file
_EXPIRED = 410  # a continue token lives for minutes
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OF_NODE_STATUS = ("images", "volumesAttached", "volumesInUse")
_OF_POD_SPEC = ("nodeName", "hostNetwork")
_OF_POD_STATUS = ("phase", "podIP", "podIPs", "hostIP", "conditions", "reason", "message")
_WHOLE = (("k8s-app", "calico-node"), ("app", "sleep-curl"))  # labels of pods that are judged themselves

Get = Callable[[str, Mapping[str, str]], bytes]
Object = dict[str, Any]


def whole_list(get: Get, path: str, query: Mapping[str, str]) -> bytes:
    """The list's JSON. `get` gives the body of one page; what it raises is passed on, and `SetupProblem` of our own."""
    try:
        return _pages(get, path, query)
    except ApiRefusal as refusal:
        if refusal.status != _EXPIRED:
            raise
        return _pages(get, path, query)


def _pages(get: Get, path: str, query: Mapping[str, str]) -> bytes:
    asked = {**query, "limit": str(PAGE)}
    body = get(path, asked)
    if b'"continue"' not in body or not (token := _continued(page := _page(body))):
        return body
    head = {key: page.get(key) for key in ("kind", "apiVersion", "metadata")}
    kept: list[bytes] = []
    size = 0
    while True:
        size += len(token)  # empty pages come to an end, too
        for item in objects(page):
            kept.append(json.dumps(slim(path, item), separators=(",", ":")).encode())
            size += len(kept[-1]) + 2
        if size > LIMIT:
            raise SetupProblem(
                f"the list {path} is larger than {LIMIT} bytes, also without what nobody judges",
                "Is this a Kubernetes API? A larger list cannot be judged.",
            )
        if not token:
            break
        page = _page(get(path, {**asked, "continue": token}))
        token = _continued(page)
    head["metadata"] = {key: value for key, value in (head["metadata"] or {}).items() if key == "resourceVersion"}
    text = json.dumps(head, separators=(",", ":")).encode()
    return text[:-1] + b',"items":[\n' + b",\n".join(kept) + b"\n]}\n"


def _page(body: bytes) -> Object:
    page = decoded(body, HEAVIEST_LIST)
    return page if isinstance(page, dict) else {}


def _continued(page: Object) -> str:
    metadata = page.get("metadata")
    token = metadata.get("continue") if isinstance(metadata, dict) else None
    return token if isinstance(token, str) else ""


def slim(path: str, item: Any) -> Any:
    """An object of a long list without what nobody judges; pure. `path` is the list's."""
    if not isinstance(item, dict):
        return item
    found = dict(item)
    metadata = _without(found.get("metadata"), "managedFields")
    if isinstance(metadata, dict) and "annotations" in metadata:
        metadata["annotations"] = _without(metadata["annotations"], _LAST_APPLIED)
    found["metadata"] = metadata
    if path.endswith("/nodes"):
        found["status"] = _without(found.get("status"), *_OF_NODE_STATUS)
    elif path.endswith("/pods") and not _judged(metadata):
        found["spec"] = _only(found.get("spec"), *_OF_POD_SPEC)
        found["status"] = _only(found.get("status"), *_OF_POD_STATUS)
    return found


def _judged(metadata: Any) -> bool:
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return isinstance(labels, dict) and any(labels.get(key) == value for key, value in _WHOLE)


def _without(value: Any, *names: str) -> Any:
    return {key: each for key, each in value.items() if key not in names} if isinstance(value, dict) else value


def _only(value: Any, *names: str) -> Any:
    return {key: each for key, each in value.items() if key in names} if isinstance(value, dict) else value
