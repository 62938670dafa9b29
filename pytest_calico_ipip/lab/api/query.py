"""What stands in a request: flags and numbers of its query, the object in its body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pytest_calico_ipip.lab.api import patches, protobuf
from pytest_calico_ipip.lab.api.errors import bad_request, unsupported_media

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"", "0", "f", "F", "false", "FALSE", "False"})
_JSON = "application/json"
_YAML = frozenset({"application/yaml", patches.APPLY})


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean as Go's ParseBool reads it: the Python client before 36 writes `True`. Raises `ApiError` 400."""
    text = query.get(name, "")
    if text not in _TRUE | _FALSE:
        raise bad_request(f"{name}: {text!r} is neither true nor false")
    return text in _TRUE


def number(query: Mapping[str, str], name: str) -> int | None:
    """A whole number, or `None` where there is none. Raises `ApiError` 400."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise bad_request(f"{name}: {text!r} is no number") from None


def body(raw: bytes, content_type: str) -> Any:
    """The object in a body: JSON, YAML or Kubernetes' protobuf; an empty body is `None`. Raises `ApiError` 400, 415."""
    if not raw:
        return None
    kind = content_type.split(";")[0].strip().lower()
    if kind == protobuf.CONTENT_TYPE:
        return protobuf.decoded(raw)
    if kind in _YAML:
        return _yaml(raw)
    if kind in ("", _JSON, "application/octet-stream") or kind.endswith("+json"):
        try:
            return json.loads(raw)
        except ValueError as error:
            raise bad_request(f"the body is no JSON: {error}") from None
    raise unsupported_media(kind, f"{_JSON}, application/yaml, {protobuf.CONTENT_TYPE}")


def _yaml(raw: bytes) -> Any:
    import yaml

    try:
        # YAML knows dates, JSON and the store do not
        return json.loads(json.dumps(yaml.safe_load(raw), default=str))
    except yaml.YAMLError as error:
        raise bad_request(f"the body is no YAML: {error}") from None


def wants_table(accept: str) -> bool:
    """Whether the client's first choice is a Table."""
    first = accept.split(",")[0].replace(" ", "")
    return "as=Table" in first and "v=v1;" in f"{first};"
