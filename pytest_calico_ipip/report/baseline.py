"""A baseline as a small JSON file that people can read and compare: stable order, no times, no pods, no secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from pytest_calico_ipip.model.baseline import Baseline, NodeBaseline
from pytest_calico_ipip.model.names import is_node_name

KIND, VERSION = "calico-ipip-baseline", 1
MOST_BYTES = 32 * 1024 * 1024  # a thousand nodes that send to each other need less


def written(baseline: Baseline) -> str:
    """The file's text."""
    nodes = {
        name: {
            "underlay": node.underlay,
            "underlay mtu": node.underlay_mtu,
            "tunl0 mtu": node.tunnel_mtu,
            "pod mtus": list(node.pod_mtus),
            "routes": None if node.routes is None else {b: list(w) for b, w in sorted(node.routes.items())},
            "sends": dict(sorted(node.sends.items())),
        }
        for name, node in sorted(baseline.nodes.items())
    }
    whole = {
        "kind": KIND,
        "version": VERSION,
        "did not hold": sorted(baseline.broken),
        "blocks": dict(sorted(baseline.blocks.items())),
        "nodes": nodes,
    }
    return json.dumps(whole, indent=2, ensure_ascii=True) + "\n"


def read(text: str) -> Baseline:
    """The opposite of `written`. Raises ValueError with a sentence that says what is wrong."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error})" if isinstance(error, ValueError) else "it is not JSON") from None
    if not isinstance(whole, dict) or whole.get("kind") != KIND:
        raise ValueError(f'it is no baseline: "kind" is not "{KIND}"')
    if whole.get("version") != VERSION:
        raise ValueError(f"it is of version {str(whole.get('version'))[:20]!r}, and this release reads {VERSION}")
    nodes = _mapping(whole, "nodes", "the file")
    for name in nodes:
        if not is_node_name(name):
            raise ValueError(f"{name[:60]!r} is no node's name")
    return Baseline(
        {name: _node(_mapping(nodes, name, "nodes"), name) for name in nodes},
        {
            _block(block): _text(host, f"blocks {block}")
            for block, host in _mapping(whole, "blocks", "the file").items()
        },
        tuple(_text(each, "did not hold") for each in _list(whole, "did not hold", "the file")),
    )


def _node(values: Mapping[str, Any], name: str) -> NodeBaseline:
    routes = values.get("routes")
    return NodeBaseline(
        underlay=None if values.get("underlay") is None else _text(values["underlay"], name),
        underlay_mtu=_mtu(values.get("underlay mtu"), name),
        tunnel_mtu=_mtu(values.get("tunl0 mtu"), name),
        pod_mtus=tuple(mtu for each in _list(values, "pod mtus", name) if (mtu := _mtu(each, name)) is not None),
        routes=None if routes is None else _routes(_mapping(values, "routes", name), name),
        sends={other: _text(way, name) for other, way in _mapping(values, "sends", name).items()},
    )


def _routes(values: Mapping[str, Any], name: str) -> Mapping[str, tuple[str, ...]]:
    return {_block(block): tuple(_text(way, name) for way in _list(values, block, name)) for block in values}


def _mapping(values: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = values.get(key)
    if not isinstance(value, dict):
        raise ValueError(f'"{key[:60]}" of {where} is no object')
    return value


def _list(values: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = values.get(key)
    if not isinstance(value, list):
        raise ValueError(f'"{key[:60]}" of {where} is no list')
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or len(value) > 1000 or not value.isprintable():
        raise ValueError(f"a value of {where} is no line of text")
    return value


def _mtu(value: object, where: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**32):
        return value
    raise ValueError(f"{str(value)[:20]!r} of {where} is no MTU")


def _block(text: str) -> str:
    try:
        return str(IPv4Network(text))
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no IPv4 network") from None
