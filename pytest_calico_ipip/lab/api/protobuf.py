"""Reads the protobuf bodies that kubectl's typed commands send (`create ns`, `auth can-i`, `drain` …) into plain dicts.

The field numbers are those of Kubernetes' generated.proto files. A field that is not in the tables below is refused
and not dropped: an object must not lose what its author wrote.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_calico_ipip.lab.api.errors import ApiError, bad_request

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_IGNORED = "ignored"  # always sent, empty or the server's own

# a message: field number → (name, type); a type is one of the words below, a message, or a list of one type
Message = Mapping[int, tuple[str, Any]]
_STRINGS = ("map", "string")
_BYTES = ("map", "bytes")

_META: Message = {
    1: ("name", "string"),
    2: ("generateName", "string"),
    3: ("namespace", "string"),
    4: ("selfLink", _IGNORED),
    5: ("uid", _IGNORED),
    6: ("resourceVersion", "string"),
    7: ("generation", _IGNORED),
    8: ("creationTimestamp", _IGNORED),
    11: ("labels", _STRINGS),
    12: ("annotations", _STRINGS),
    14: ("finalizers", ["string"]),
    17: ("managedFields", _IGNORED),
}
_SELECTOR: Message = {1: ("matchLabels", _STRINGS)}
_CONTAINER: Message = {
    1: ("name", "string"),
    2: ("image", "string"),
    3: ("command", ["string"]),
    4: ("args", ["string"]),
    5: ("workingDir", "string"),
    6: ("ports", [{2: ("hostPort", "int"), 3: ("containerPort", "int"), 4: ("protocol", "string")}]),
    7: ("env", [{1: ("name", "string"), 2: ("value", "string")}]),
    8: ("resources", _IGNORED),
    13: ("terminationMessagePath", "string"),
    14: ("imagePullPolicy", "string"),
    16: ("stdin", "bool"),
    17: ("stdinOnce", "bool"),
    18: ("tty", "bool"),
    20: ("terminationMessagePolicy", "string"),
}
_POD_SPEC: Message = {
    2: ("containers", [_CONTAINER]),
    3: ("restartPolicy", "string"),
    4: ("terminationGracePeriodSeconds", "int"),
    6: ("dnsPolicy", "string"),
    7: ("nodeSelector", _STRINGS),
    8: ("serviceAccountName", "string"),
    9: ("serviceAccount", "string"),
    10: ("nodeName", "string"),
    11: ("hostNetwork", "bool"),
    12: ("hostPID", "bool"),
    13: ("hostIPC", "bool"),
    14: ("securityContext", _IGNORED),
    16: ("hostname", "string"),
    17: ("subdomain", "string"),
    19: ("schedulerName", "string"),
}
_TEMPLATE: Message = {1: ("metadata", _META), 2: ("spec", _POD_SPEC)}
_WORKLOAD_SPEC: Message = {
    1: ("replicas", "int"),
    2: ("selector", _SELECTOR),
    3: ("template", _TEMPLATE),
    4: ("strategy", _IGNORED),
    5: ("minReadySeconds", "int"),
    7: ("paused", "bool"),
}
_INT_OR_STRING: Message = {1: ("type", "int"), 2: ("intVal", "int"), 3: ("strVal", "string")}
_SERVICE_PORT: Message = {
    1: ("name", "string"),
    2: ("protocol", "string"),
    3: ("port", "int"),
    4: ("targetPort", _INT_OR_STRING),
    5: ("nodePort", "int"),
}
_SERVICE_SPEC: Message = {
    1: ("ports", [_SERVICE_PORT]),
    2: ("selector", _STRINGS),
    3: ("clusterIP", "string"),
    4: ("type", "string"),
    5: ("externalIPs", ["string"]),
    7: ("sessionAffinity", "string"),
    8: ("loadBalancerIP", "string"),
    10: ("externalName", "string"),
    11: ("externalTrafficPolicy", "string"),
    12: ("healthCheckNodePort", "int"),
    13: ("publishNotReadyAddresses", "bool"),
}
_DELETE_OPTIONS: Message = {
    1: ("gracePeriodSeconds", "int"),
    2: ("preconditions", {1: ("uid", "string"), 2: ("resourceVersion", "string")}),
    3: ("orphanDependents", "bool"),
    4: ("propagationPolicy", "string"),
    5: ("dryRun", ["string"]),
}
_RESOURCE_ATTRIBUTES: Message = {
    number: (name, "string")
    for number, name in enumerate(("namespace", "verb", "group", "version", "resource", "subresource", "name"), start=1)
}
_OBJECT_REFERENCE: Message = {
    1: ("kind", "string"),
    2: ("namespace", "string"),
    3: ("name", "string"),
    4: ("uid", "string"),
    5: ("apiVersion", "string"),
    6: ("resourceVersion", "string"),
    7: ("fieldPath", "string"),
}

_KINDS: dict[str, Message] = {
    "Namespace": {1: ("metadata", _META), 2: ("spec", _IGNORED), 3: ("status", _IGNORED)},
    "ConfigMap": {1: ("metadata", _META), 2: ("data", _STRINGS), 3: ("binaryData", _BYTES), 4: ("immutable", "bool")},
    "Secret": {
        1: ("metadata", _META),
        2: ("data", _BYTES),
        3: ("type", "string"),
        4: ("stringData", _STRINGS),
        5: ("immutable", "bool"),
    },
    "ServiceAccount": {1: ("metadata", _META)},
    "Service": {1: ("metadata", _META), 2: ("spec", _SERVICE_SPEC), 3: ("status", _IGNORED)},
    "Pod": {1: ("metadata", _META), 2: ("spec", _POD_SPEC), 3: ("status", _IGNORED)},
    "Deployment": {1: ("metadata", _META), 2: ("spec", _WORKLOAD_SPEC), 3: ("status", _IGNORED)},
    "Binding": {1: ("metadata", _META), 2: ("target", _OBJECT_REFERENCE)},
    "Eviction": {1: ("metadata", _META), 2: ("deleteOptions", _DELETE_OPTIONS)},
    "DeleteOptions": _DELETE_OPTIONS,
    "SelfSubjectAccessReview": {
        1: ("metadata", _META),
        2: (
            "spec",
            {
                1: ("resourceAttributes", {**_RESOURCE_ATTRIBUTES, 8: ("fieldSelector", _IGNORED)}),
                2: ("nonResourceAttributes", {1: ("path", "string"), 2: ("verb", "string")}),
            },
        ),
        3: ("status", _IGNORED),
    },
}


def decoded(body: bytes) -> dict[str, Any]:
    """The object in a protobuf body, with its kind and apiVersion. Raises `ApiError` 400 (broken), 415 (not known)."""
    if not body.startswith(_MAGIC):
        raise bad_request("the body is no Kubernetes protobuf: its first four bytes are wrong")
    envelope: Message = {
        1: ("type", {1: ("apiVersion", "string"), 2: ("kind", "string")}),
        2: ("raw", "raw"),
        3: ("contentEncoding", "string"),
        4: ("contentType", "string"),
    }
    try:
        unknown = _read(body[len(_MAGIC) :], envelope, "Unknown")
        kind = unknown.get("type", {}).get("kind", "")
        if kind not in _KINDS:
            raise _refused(f"a {kind or 'nameless kind'} in protobuf")
        return {**unknown["type"], **_read(unknown.get("raw", b""), _KINDS[kind], kind)}
    except (IndexError, UnicodeDecodeError) as error:
        raise bad_request(f"the protobuf body ends too early or is no protobuf: {error}") from None


def _refused(what: str) -> ApiError:
    message = f"the body of the request was in an unknown format: this lab does not read {what}; send JSON"
    return ApiError(415, "UnsupportedMediaType", message)


def _read(data: bytes, message: Message, where: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for number, raw in _fields(data):
        name, kind = message.get(number, (f"field {number}", None))
        if kind is None:
            if raw not in (b"", 0):
                raise _refused(f"{where}.{name}")
        elif isinstance(kind, tuple):
            entry = _read(_bytes(raw), {1: ("key", "string"), 2: ("value", kind[1])}, f"{where}.{name}")
            empty = ""
            result.setdefault(name, {})[entry.get("key", "")] = entry.get("value", empty)
        elif isinstance(kind, list):
            result.setdefault(name, []).append(_value(raw, kind[0], f"{where}.{name}"))
        elif kind != _IGNORED:
            value = _value(raw, kind, f"{where}.{name}")
            # Go sends empty strings and false where nothing was written
            if value not in ("", False, None) or kind == "raw":
                result[name] = value
    return result


def _value(raw: int | bytes, kind: Any, where: str) -> Any:
    if kind == "int":
        number = _int(raw)
        return number - (1 << 64) if number >> 63 else number
    if kind == "bool":
        return bool(_int(raw))
    if kind == "string":
        return _bytes(raw).decode()
    if kind == "bytes":
        return base64.b64encode(_bytes(raw)).decode()
    if kind == "raw":
        return _bytes(raw)
    if kind is _INT_OR_STRING:
        both = _read(_bytes(raw), kind, where)
        return both.get("strVal", "") if both.get("type") else both.get("intVal", 0) or None
    return _read(_bytes(raw), kind, where)


def _bytes(raw: int | bytes) -> bytes:
    if not isinstance(raw, bytes):
        raise IndexError("a number where bytes belong")
    return raw


def _int(raw: int | bytes) -> int:
    if not isinstance(raw, int):
        raise IndexError("bytes where a number belongs")
    return raw


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The wire format: a varint of number and wire type, then the value."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise IndexError(f"wire type {wire}")
        if at + length > len(data):
            raise IndexError(f"{length} bytes announced, {len(data) - at} left")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError("a number that does not end")
