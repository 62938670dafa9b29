"""The four ways to change a part of an object: JSON patch, merge patch, strategic merge patch, server-side apply."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_calico_ipip.lab.api.errors import ApiError, bad_request, unsupported_media
from pytest_calico_ipip.lab.api.resources import Resource

JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

# lists that a strategic patch merges item by item, and the field that names an item; other lists are replaced
_NAMED_BY = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
    "secrets": "name",
    "hostAliases": "ip",
    "podIPs": "ip",
    "hostIPs": "ip",
    "conditions": "type",
    "addresses": "type",
    "taints": "key",
    "ownerReferences": "uid",
    "topologySpreadConstraints": "topologyKey",
}
# ports have another name in a container than in a service
_PORTS = ("containerPort", "port")
# lists of plain values that are sets
_SETS = frozenset({"finalizers"})


def patched(kind: Resource, obj: dict[str, Any], patch: Any, content_type: str) -> dict[str, Any]:
    """`obj` with the patch applied (it may be changed in place). Raises `ApiError` 400, 415, 422."""
    if content_type == JSON:
        if not isinstance(patch, list):
            raise bad_request("a JSON patch is a list of operations")
        result = _json_patch(obj, patch)
    elif not isinstance(patch, Mapping):
        raise bad_request("a merge patch is an object")
    elif content_type == STRATEGIC and not kind.custom:
        result = strategic(obj, patch)
    elif content_type in (MERGE, APPLY):
        result = strategic(obj, patch) if content_type == APPLY and not kind.custom else merged(obj, patch)
    else:
        accepted = (JSON, MERGE, APPLY) if kind.custom else (JSON, MERGE, STRATEGIC, APPLY)
        raise unsupported_media(content_type, ", ".join(accepted))
    if not isinstance(result, dict):
        raise bad_request("the patch leaves no object")
    return result


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386: null deletes, objects merge, everything else is replaced."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def strategic(target: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    """Kubernetes' merge: as `merged`, but named lists item by item, with its `$…` directives."""
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    result: dict[str, Any] = dict(target) if isinstance(target, Mapping) else {}
    if patch.get("$patch") == "delete":
        return {}
    if "$retainKeys" in patch:
        result = {key: value for key, value in result.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [item for item in result.get(name) or [] if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = strategic(result.get(key), value)
        elif isinstance(value, list):
            result[key] = _merged_list(key, result.get(key) or [], value)
        else:
            result[key] = value
    return result


def _merged_list(field: str, target: list[Any], patch: list[Any]) -> list[Any]:
    if field in _SETS:
        return [*target, *(item for item in patch if item not in target)]
    name = _NAMED_BY.get(field)
    if field == "ports":
        name = next((port for port in _PORTS if any(port in item for item in patch)), None)
    if name is None or not all(isinstance(item, Mapping) for item in [*target, *patch]):
        return copy.deepcopy(patch)
    if any(item.get("$patch") == "replace" for item in patch):
        return [copy.deepcopy(item) for item in patch if item.get("$patch") != "replace"]
    result = list(target)
    for item in patch:
        at = next((index for index, old in enumerate(result) if old.get(name) == item.get(name)), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del result[at]
        elif at is None:
            result.append(strategic({}, item))
        else:
            result[at] = strategic(result[at], item)
    return result


def _refused(why: str) -> ApiError:
    return ApiError(422, "Invalid", f"the server rejected our request due to an error in our request: {why}")


def _json_patch(obj: Any, operations: Sequence[Any]) -> Any:
    """RFC 6902, all six operations."""
    for operation in operations:
        if not isinstance(operation, Mapping) or "op" not in operation or not isinstance(operation.get("path"), str):
            raise bad_request("an operation of a JSON patch has an op and a path")
        name, path = operation["op"], _pointer(operation["path"])
        if name in ("add", "replace", "test") and "value" not in operation:
            raise bad_request(f"JSON patch operation {name!r} has no value")
        if name == "test":
            if _read(obj, path) != operation["value"]:
                raise _refused(f"testing value {operation['path']} failed")
        elif name in ("move", "copy"):
            source = _pointer(str(operation.get("from", "")))
            value = copy.deepcopy(_read(obj, source))
            obj = _edit(_edit(obj, source, "remove", None) if name == "move" else obj, path, "add", value)
        elif name in ("add", "replace", "remove"):
            obj = _edit(obj, path, name, copy.deepcopy(operation.get("value")))
        else:
            raise bad_request(f"unexpected kind of JSON patch operation: {name!r}")
    return obj


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise _refused(f"{text!r} is no JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _read(obj: Any, path: Sequence[str]) -> Any:
    for part in path:
        try:
            obj = obj[int(part)] if isinstance(obj, list) else obj[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise _refused(f"/{'/'.join(path)}: no such path") from None
    return obj


def _edit(obj: Any, path: Sequence[str], name: str, value: Any) -> Any:
    if not path:
        return value
    holder, last = _read(obj, path[:-1]), path[-1]
    where = "/" + "/".join(path)
    if isinstance(holder, list):
        if name == "add" and last == "-":
            holder.append(value)
            return obj
        if not last.isdigit() or int(last) > len(holder) - (name != "add"):
            raise _refused(f"{where}: no such index")
        if name == "add":
            holder.insert(int(last), value)
        elif name == "replace":
            holder[int(last)] = value
        else:
            del holder[int(last)]
    elif isinstance(holder, dict):
        if name != "add" and last not in holder:
            raise _refused(f"{where}: no such path")
        if name == "remove":
            del holder[last]
        else:
            holder[last] = value
    else:
        raise _refused(f"{where}: nothing can be put there")
    return obj
