"""Service meshes leave our pods alone: a sidecar answers in a pod's place, and diverts the packets that are judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# what each mesh's injector looks for; where it once was an annotation and is a label now, both are said
_POD_LABELS = {
    "sidecar.istio.io/inject": "false",
    "istio.io/dataplane-mode": "none",  # Istio's ambient mode, which needs no sidecar
    "kuma.io/sidecar-injection": "disabled",
}
_POD_ANNOTATIONS = {
    "sidecar.istio.io/inject": "false",
    "linkerd.io/inject": "disabled",
    "kuma.io/sidecar-injection": "disabled",
    "consul.hashicorp.com/connect-inject": "false",
    "openservicemesh.io/sidecar-injection": "disabled",
}
_NAMESPACE_LABELS = {
    "istio-injection": "disabled",
    "istio.io/dataplane-mode": "none",
    "kuma.io/sidecar-injection": "disabled",
}
_NAMESPACE_ANNOTATIONS = {"linkerd.io/inject": "disabled"}


def of_pod(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A pod's metadata, and that nothing is to be injected."""
    return _with(metadata, _POD_LABELS, _POD_ANNOTATIONS)


def of_namespace(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a namespace."""
    return _with(metadata, _NAMESPACE_LABELS, _NAMESPACE_ANNOTATIONS)


def injected(pod: Mapping[str, Any], own: str) -> list[str]:
    """The containers of a pod of ours that are not ours."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return [str(one.get("name")) for one in containers if one.get("name") != own]


def _with(metadata: Mapping[str, Any], labels: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
    return {
        **metadata,
        "labels": {**labels, **(metadata.get("labels") or {})},
        "annotations": {**annotations, **(metadata.get("annotations") or {})},
    }
