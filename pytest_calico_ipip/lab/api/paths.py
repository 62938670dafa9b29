"""From a URL's path to what it names: `/api/v1/namespaces/x/pods/y/log` is the log of pod y in x."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_calico_ipip.lab.api.resources import Resource, at


@dataclass(frozen=True)
class Target:
    """A collection (no name), an object, or a subresource of an object."""

    kind: Resource
    namespace: str | None
    name: str | None
    subresource: str | None


def parse(parts: Sequence[str]) -> Target | None:
    """The target of a path's parts, or `None` where nothing is served."""
    if parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", list(parts[2:])
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], list(parts[3:])
    else:
        return None
    namespace = None
    # /namespaces/x and /namespaces/x/status are about the namespace, longer ones about something in it
    inside = len(rest) > 2 and rest[0] == "namespaces" and not (group == "" and rest[2] in ("status", "finalize"))
    if inside:
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3:
        return None
    kind = at(group, version, rest[0])
    name, subresource = (*rest[1:], None, None)[:2]
    if kind is None or (namespace is not None and not kind.namespaced):
        return None
    if kind.namespaced and namespace is None and name is not None:
        return None  # an object in a namespace, without its namespace
    if subresource is not None and subresource not in kind.subresources:
        return None
    return Target(kind, namespace, name, subresource)
