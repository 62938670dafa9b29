"""The Table that `kubectl get` prints, instead of the objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_calico_ipip.lab.api.columns import COLUMNS, NAME_AND_AGE
from pytest_calico_ipip.lab.api.resources import Resource
from pytest_calico_ipip.lab.api.selectors import Object

_INTEGERS = frozenset({"Desired", "Current", "Up-to-date", "Available", "Data", "Secrets", "Count"})


def table(
    kind: Resource, objects: Iterable[Object], version: str, *, include: str = "Metadata", headed: bool = True
) -> dict[str, Any]:
    """A Table of the objects. `include` is Metadata, Object or None; later tables of one watch are not `headed`."""
    columns, cells = COLUMNS.get(kind.key, NAME_AND_AGE)
    result: dict[str, Any] = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": version}}
    result["columnDefinitions"] = [_definition(column) for column in columns] if headed else None
    result["rows"] = [{"cells": list(cells(obj)), "object": _carried(obj, include)} for obj in objects]
    return result


def _carried(obj: Object, include: str) -> Any:
    if include == "Object":
        return obj
    if include == "None":
        return None
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _definition(column: str) -> dict[str, Any]:
    wide = column.startswith("+")
    name = column.lstrip("+")
    kind = "integer" if name in _INTEGERS else "string"
    form = "name" if name == "Name" else ""
    return {"name": name, "type": kind, "format": form, "description": f"{name} of the object", "priority": int(wide)}
