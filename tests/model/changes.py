"""Ways to change a recording: each takes the evidence directory and changes one thing in it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.model.recordings import edit, pod_namespace

Change = Callable[[Path], None]


def link(node: str, device: str, **fields: Any) -> Change:
    """A device's fields; None takes a field away."""

    def change(root: Path) -> None:
        edit(root / "nodes" / node / "ip-addr.json", lambda rows: _set(_named(rows, device), fields))

    return change


def eth0(node: str, address: str, **fields: Any) -> Change:
    """The fields of eth0 in a pod's namespace."""

    def change(root: Path) -> None:
        edit(pod_namespace(root, node, address) / "ip-addr.json", lambda rows: _set(_named(rows, "eth0"), fields))

    return change


def both_ends(node: str, device: str, address: str, **fields: Any) -> Change:
    """The same fields on a workload interface and on its pod's eth0."""

    def change(root: Path) -> None:
        eth0(node, address, **fields)(root)
        link(node, device, **fields)(root)

    return change


def tunnel_data(node: str, **fields: Any) -> Change:
    """tunl0's tunnel attributes."""

    def change(root: Path) -> None:
        edit(
            root / "nodes" / node / "ip-addr.json",
            lambda rows: _set(_named(rows, "tunl0")["linkinfo"]["info_data"], fields),
        )

    return change


def no_link(node: str, device: str) -> Change:
    """A device that is gone."""

    def change(root: Path) -> None:
        edit(root / "nodes" / node / "ip-addr.json", lambda rows: [r for r in rows if r["ifname"] != device])

    return change


def route(node: str, destination: str, **fields: Any) -> Change:
    """The fields of the main table's route to a destination."""

    def change(root: Path) -> None:
        edit(root / "nodes" / node / "ip-route.json", lambda rows: _set(_to(rows, destination), fields))

    return change


def no_route(node: str, destination: str) -> Change:
    """A route that is gone from the main table."""

    def change(root: Path) -> None:
        edit(root / "nodes" / node / "ip-route.json", lambda rows: rows.remove(_to(rows, destination)))

    return change


def another_route(node: str, like: str, **fields: Any) -> Change:
    """One route more: a copy of the route to `like`, with other fields."""

    def change(root: Path) -> None:
        def add(rows: list[dict[str, Any]]) -> None:
            row = copy.deepcopy(_to(rows, like))
            _set(row, fields)
            rows.append(row)

        edit(root / "nodes" / node / "ip-route.json", add)

    return change


def rule(node: str, **fields: Any) -> Change:
    """One policy rule more."""

    def change(root: Path) -> None:
        edit(root / "nodes" / node / "ip-rule.json", lambda rows: rows.insert(1, fields))

    return change


def without_rule(node: str, table: str) -> Change:
    """A table that no policy rule consults any more."""

    def change(root: Path) -> None:
        edit(root / "nodes" / node / "ip-rule.json", lambda rows: [row for row in rows if row["table"] != table])

    return change


def inside(node: str, address: str, file: str, edits: Callable[[list[dict[str, Any]]], Any]) -> Change:
    """A JSON file of a pod's namespace."""

    def change(root: Path) -> None:
        edit(pod_namespace(root, node, address) / file, edits)

    return change


def api(kind: str, edits: Callable[[list[dict[str, Any]]], Any]) -> Change:
    """The items of one of the API's lists."""

    def change(root: Path) -> None:
        edit(root / "api" / f"{kind}.json", lambda data: edits(data["items"]) and None)

    return change


def calico(kind: str, edits: Callable[[list[dict[str, Any]]], Any]) -> Change:
    """The items of one of Calico's lists."""
    return api(f"{kind}.crd.projectcalico.org", edits)


def namespace_ids(node: str, edits: Callable[[list[dict[str, Any]]], Any]) -> Change:
    """The list of a node's named network namespaces."""

    def change(root: Path) -> None:
        edit(root / "nodes" / node / "ip-netns.json", edits)

    return change


def sysctl(node: str, key: str, value: str | None) -> Change:
    """A switch of the kernel; None takes its line away."""

    def change(root: Path) -> None:
        file = root / "nodes" / node / "sysctl.txt"
        lines = [line for line in file.read_text().splitlines() if not line.startswith(f"{key} =")]
        assert len(lines) + 1 == len(file.read_text().splitlines()), key
        file.write_text("\n".join([*lines, *([f"{key} = {value}"] if value is not None else [])]) + "\n")

    return change


def text(node: str, file: str, old: str, new: str) -> Change:
    """The one place in a node's file that says `old` says `new`."""

    def change(root: Path) -> None:
        path = root / "nodes" / node / file
        content = path.read_text()
        assert content.count(old) == 1, (old, content.count(old))
        path.write_text(content.replace(old, new))

    return change


def together(*changes: Change) -> Change:
    """Several changes that make one fault."""

    def change(root: Path) -> None:
        for one in changes:
            one(root)

    return change


def _set(row: dict[str, Any], fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        if value is None:
            row.pop(key)
        else:
            row[key] = value


def _named(rows: list[dict[str, Any]], device: str) -> dict[str, Any]:
    return next(row for row in rows if row["ifname"] == device)


def _to(rows: list[dict[str, Any]], destination: str) -> dict[str, Any]:
    return next(row for row in rows if row["dst"] == destination and row["table"] == "main" and "pref" not in row)
