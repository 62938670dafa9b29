"""As much OpenAPI v3 as kubectl reads: enough to see that the server validates fields, and for `kubectl explain`."""

from __future__ import annotations

from typing import Any

from pytest_calico_ipip.lab.api.discovery import GIT_VERSION, every_path
from pytest_calico_ipip.lab.api.errors import no_such_path
from pytest_calico_ipip.lab.api.resources import Resource, in_group

_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]


def index() -> dict[str, Any]:
    """The answer to `/openapi/v3`: where each group's document is."""
    tag = GIT_VERSION.replace(".", "")
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={tag}"} for path in every_path()}}


def document(path: str) -> dict[str, Any]:
    """The document of `api/v1` or `apis/GROUP/VERSION`. Raises `ApiError` 404."""
    parts = path.strip("/").split("/")
    group, version = ("", parts[-1]) if parts[0] == "api" else ("/".join(parts[1:-1]), parts[-1])
    resources = in_group(group, version)
    if path.strip("/") not in every_path() or not resources:
        raise no_such_path()
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for resource in resources:
        schemas[_schema_name(resource)] = _schema(resource)
        base = f"/{path.strip('/')}/" + ("namespaces/{namespace}/" if resource.namespaced else "") + resource.plural
        paths[base] = {"get": _operation(resource, "list", []), "post": _operation(resource, "post", _PARAMETERS)}
        paths[f"{base}/{{name}}"] = {
            "get": _operation(resource, "get", []),
            "put": _operation(resource, "put", _PARAMETERS),
            "patch": _operation(resource, "patch", [*_PARAMETERS, _FORCE]),
            "delete": _operation(resource, "delete", _PARAMETERS[:1]),
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": GIT_VERSION},
        "paths": paths,
        "components": {"schemas": schemas},
    }


_FORCE = {"name": "force", "in": "query", "schema": {"type": "boolean", "uniqueItems": True}}


def _gvk(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _schema_name(resource: Resource) -> str:
    return f"io.k8s.api.{(resource.group or 'core').split('.')[0]}.{resource.version}.{resource.kind}"


def _operation(resource: Resource, action: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{_schema_name(resource)}"}
    answer = {"description": "OK", "content": {"application/json": {"schema": reference}}}
    return {
        "operationId": f"{action}{resource.kind}",
        "parameters": parameters,
        "responses": {"200": answer},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(resource),
    }


def _schema(resource: Resource) -> dict[str, Any]:
    """The outermost fields; what stands below is open."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties: dict[str, Any] = {
        "apiVersion": {"type": "string", "description": "The version of the schema of this object."},
        "kind": {"type": "string", "description": "What this object is."},
        "metadata": {**free, "description": "Names, labels, annotations, versions."},
        "spec": {**free, "description": "What is wanted."},
    }
    if resource.has_status:
        properties["status"] = {**free, "description": "What is observed."}
    return {
        "type": "object",
        "description": f"{resource.kind} ({resource.api_version}), as this API stores it.",
        "properties": properties,
        "x-kubernetes-group-version-kind": [_gvk(resource)],
    }
