"""Reads the protobuf bodies that kubectl's typed commands send (`create ns`, `auth can-i`, `drain` …) into plain dicts.

A field that `protobuf_kinds` does not know is refused and not dropped: an object must not lose what its author wrote.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from pytest_calico_ipip.lab.api.errors import ApiError, bad_request
from pytest_calico_ipip.lab.api.protobuf_kinds import IGNORED, INT_OR_STRING, KINDS, Message

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"


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
        if kind not in KINDS:
            raise _refused(f"a {kind or 'nameless kind'} in protobuf")
        return {**unknown["type"], **_read(unknown.get("raw", b""), KINDS[kind], kind)}
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
        elif kind != IGNORED:
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
    if kind is INT_OR_STRING:
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
