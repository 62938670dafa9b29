"""What the API says of itself: its version, its groups, and the kinds in each."""

from __future__ import annotations

from typing import Any

from pytest_calico_ipip.lab.api import reviews
from pytest_calico_ipip.lab.api.errors import no_such_path
from pytest_calico_ipip.lab.api.resources import ALL_VERBS, RESOURCES, Resource, groups, in_group

# installations of kubectl that dispatch run the one nearest to this, and exec needs 1.30 or later
GIT_VERSION = "v1.32.4"
_NOT_STORED = dict.fromkeys(reviews.KINDS, ("v1",))

# the kinds and verbs of subresources that are not the resource itself
_SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "exec": ("PodExecOptions", "", "v1", ("create", "get")),
    "attach": ("PodAttachOptions", "", "v1", ("create", "get")),
    "log": ("Pod", "", "", ("get",)),
    "binding": ("Binding", "", "v1", ("create",)),
    "eviction": ("Eviction", "policy", "v1", ("create",)),
    "token": ("TokenRequest", "authentication.k8s.io", "v1", ("create",)),
    "finalize": ("Namespace", "", "", ("update",)),
}


def version() -> dict[str, Any]:
    """The answer to `/version`."""
    return {
        "major": "1",
        "minor": GIT_VERSION.split(".")[1],
        "gitVersion": GIT_VERSION,
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "2025-01-01T00:00:00Z",
        "goVersion": "go1.23",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def core_versions() -> dict[str, Any]:
    """The answer to `/api`."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def group_list() -> dict[str, Any]:
    """The answer to `/apis`."""
    found = [_group(name, versions) for name, versions in {**groups(), **_NOT_STORED}.items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(name: str) -> dict[str, Any]:
    """The answer to `/apis/NAME`. Raises `ApiError` 404."""
    versions = {**groups(), **_NOT_STORED}.get(name)
    if versions is None:
        raise no_such_path()
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def _group(name: str, versions: tuple[str, ...]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def resource_list(name: str, version: str) -> dict[str, Any]:
    """The kinds of one group and version: the answer to `/api/v1` and `/apis/NAME/VERSION`. Raises `ApiError` 404."""
    listed = [row for resource in in_group(name, version) for row in _rows(resource)]
    if name in reviews.KINDS and version == "v1":
        listed = [
            {"name": plural, "singularName": kind.lower(), "namespaced": False, "kind": kind, "verbs": ["create"]}
            for plural, kind in reviews.KINDS[name].items()
        ]
    if not listed:
        raise no_such_path()
    full = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": full, "resources": listed}


def _rows(resource: Resource) -> list[dict[str, Any]]:
    whole: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(ALL_VERBS),
    }
    if resource.short_names:
        whole["shortNames"] = list(resource.short_names)
    if resource.categories:
        whole["categories"] = list(resource.categories)
    rows = [whole]
    for name in resource.subresources:
        row = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
        if name == "status":
            rows.append({**row, "kind": resource.kind, "verbs": ["get", "patch", "update"]})
        else:
            kind, group, version, verbs = _SUBRESOURCES[name]
            origin = {"group": group, "version": version} if group else {}
            rows.append({**row, **origin, "kind": kind, "verbs": list(verbs)})
    return rows


def every_path() -> list[str]:
    """The roots that an OpenAPI index lists: `api/v1`, `apis/apps/v1` …"""
    found = {(resource.group, resource.version): None for resource in RESOURCES.values()}
    return [f"apis/{group}/{version}" if group else f"api/{version}" for group, version in found]
