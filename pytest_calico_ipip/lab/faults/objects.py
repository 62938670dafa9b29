"""Calico's objects as its custom resources have them."""

from __future__ import annotations

from typing import Any

GROUP = "crd.projectcalico.org"


def custom(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object of Calico's, fit to be created; its kind is the API's to add."""
    return {"metadata": {"name": name}, "spec": spec}
