"""What the API server answers with, read: JSON that is bounded in depth and in memory."""

from __future__ import annotations

import json
from typing import Any

from pytest_calico_ipip.cluster.weight import HEAVIEST_LIST, HEAVIEST_OBJECT, weight
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.remote import one_line


def decoded(body: bytes, heaviest: int = HEAVIEST_OBJECT) -> Any:
    """The JSON of an answer.

    Raises `SetupProblem`: it is none, is cut off, nests deeper than anybody can read, or would take too much memory.
    """
    if (heavy := weight(body)) > heaviest:
        raise SetupProblem(
            f"the API server's answer would take {heavy >> 20} MiB of memory, more than {heaviest >> 20}: "
            f"{one_line(body[:60])}",
            "Is this a Kubernetes API, or does something between answer for it?",
        )
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise SetupProblem(
            f"the API server's answer is no JSON that can be read: {one_line(body[:60])}",
            "Is this a Kubernetes API, or does something between answer for it?",
        ) from None


def items(body: bytes) -> list[dict[str, Any]]:
    """The items of a list as the API server wrote it; `items: null` is an empty list."""
    return objects(decoded(body, HEAVIEST_LIST))


def objects(data: Any) -> list[dict[str, Any]]:
    """The objects of a list that has been decoded; what else may stand in their place is none."""
    listed = data.get("items") if isinstance(data, dict) else None
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
