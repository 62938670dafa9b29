"""Kubernetes' quantities, and what pods ask of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

Object = Mapping[str, Any]

_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3")} | {
    letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)
}


def number(quantity: Any) -> Decimal:
    """`"500m"` → 0.5, `"1Ki"` → 1024. Raises `ValueError`, `decimal.InvalidOperation`."""
    text = str(quantity)
    for suffix, factor in (*_BINARY.items(), *_DECIMAL.items()):
        if text.endswith(suffix):
            return Decimal(text[: -len(suffix)]) * factor
    return Decimal(text)


def asked(spec: Object, which: str) -> Counter[str]:
    """What a pod's containers ask for together, by resource, in thousandths for cpu; `which` is requests or limits.

    A container that names a limit only requests as much.
    """
    found: Counter[str] = Counter()
    for container in spec["containers"]:
        resources = container.get("resources") or {}
        named = {**((resources.get("limits") or {}) if which == "requests" else {}), **(resources.get(which) or {})}
        for name, quantity in named.items():
            found[name] += int(number(quantity) * (1000 if name == "cpu" else 1))
    return found
