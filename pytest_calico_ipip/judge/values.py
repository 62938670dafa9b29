"""Taking one value out of parsed JSON whose shape nobody promised."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from pytest_calico_ipip.judge.files import printable


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """A string, made printable; "" for what is none."""
    return printable(value) if isinstance(value, str) else ""


def number(value: object) -> int | None:
    """An int, also where it is written as a string; None for what is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and len(value) < 20:
        try:
            return int(value.strip())
        except ValueError:
            return None
    return None


def boolean(value: object) -> bool | None:
    """A bool, also as Calico's v1 objects and Go's flags write it; None for what is none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            value.strip().lower()
        )
    return None


def address(value: object) -> IPv4Address | None:
    """An IPv4 address; None for what is none."""
    try:
        return IPv4Address(value) if isinstance(value, str) else None
    except ValueError:
        return None


def network(value: object) -> IPv4Network | None:
    """An IPv4 network, host bits cut off; None for what is none."""
    try:
        return IPv4Network(value, strict=False) if isinstance(value, str) else None
    except ValueError:
        return None


def interface(value: object) -> IPv4Interface | None:
    """An IPv4 address with its prefix length; None for what is none, and where the length is not written."""
    try:
        return IPv4Interface(value) if isinstance(value, str) and "/" in value else None
    except ValueError:
        return None
