"""Calico's objects as its custom resources have them."""

from __future__ import annotations

from typing import Any

GROUP = "crd.projectcalico.org"


def custom(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object of Calico's, fit to be created."""
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
