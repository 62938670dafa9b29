"""The bodies of kubectl's typed commands."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_calico_ipip.lab.api.errors import ApiError
from pytest_calico_ipip.lab.api.protobuf import decoded


def field(number: int, value: bytes | str | int) -> bytes:
    """One field on the wire, for numbers below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def body(version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\0" + field(1, field(1, version) + field(2, kind)) + field(2, raw) + field(3, "") + field(4, "")


def test_a_namespace_as_kubectl_sends_it() -> None:
    """`kubectl create ns sleep-curl`: empty strings and times are nothing."""
    meta = field(1, "sleep-curl") + field(2, "") + field(3, "") + field(7, 0) + field(8, b"")
    meta += field(11, field(1, "a") + field(2, "b"))
    raw = field(1, meta) + field(2, b"") + field(3, field(1, ""))
    assert decoded(body("v1", "Namespace", raw)) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "sleep-curl", "labels": {"a": "b"}},
    }


def test_bytes_become_base64() -> None:
    """A Secret's data, as JSON carries it."""
    raw = field(1, field(1, "s")) + field(2, field(1, "key") + field(2, b"\x00\xff")) + field(3, "Opaque")
    assert decoded(body("v1", "Secret", raw))["data"] == {"key": base64.b64encode(b"\x00\xff").decode()}


def test_a_field_that_is_not_known_is_refused() -> None:
    """Nothing that somebody wrote is dropped silently."""
    with pytest.raises(ApiError, match=r"ObjectMeta|Namespace\.metadata\.field 13") as caught:
        decoded(body("v1", "Namespace", field(1, field(1, "x") + field(13, field(1, "owner")))))
    assert caught.value.code == 415


def test_a_kind_that_is_not_known_is_refused() -> None:
    """With what to do instead."""
    with pytest.raises(ApiError, match="CronJob in protobuf; send JSON") as caught:
        decoded(body("batch/v1", "CronJob", b""))
    assert caught.value.code == 415


@given(st.binary(max_size=80))
def test_rubbish_is_a_bad_request(data: bytes) -> None:
    """Whatever comes: an object or a refusal."""
    for start in (b"", b"k8s\0", body("v1", "Namespace", data)):
        code = 0
        try:
            decoded(start + data)
        except ApiError as error:
            code = error.code
        assert code in (0, 400, 415)
