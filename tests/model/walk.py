"""Walks over a recording: every single change of four kinds that can be made to any of its files.

A field dropped (a key of a JSON object, a line of a text), a route moved (to another device, or another gateway), a
device renamed, an address swapped (for another one of the cluster).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DROPPED, MOVED, RENAMED, SWAPPED = "field dropped", "route moved", "device renamed", "address swapped"
KINDS = (DROPPED, MOVED, RENAMED, SWAPPED)
ADDRESS = re.compile(r"(?<![\w.])(10\.(?:7|233)\.\d{1,3}\.\d{1,3})(?![\w.]*\d)")
# who takes whose place: nodes, pods, tunnel addresses and blocks each for another of their own kind
OTHERS = {
    "10.7.120.11": "10.7.120.12",
    "10.7.120.12": "10.7.120.13",
    "10.7.120.13": "10.7.120.11",
    "10.7.121.13": "10.7.120.12",
    "10.233.107.0": "10.233.109.0",
    "10.233.109.0": "10.233.88.0",
    "10.233.88.0": "10.233.107.0",
    "10.233.107.1": "10.233.109.1",
    "10.233.107.2": "10.233.88.1",
    "10.233.109.1": "10.233.88.1",
    "10.233.88.1": "10.233.107.1",
}
_LINKS, _ROUTES = "ip-addr.json", ("ip-route.json", "ip-route-get.json")
_UNTOLD = ("managedFields", "f:")


@dataclass(frozen=True)
class Step:
    """One change: of a file, somewhere in it; `place` is alike for changes that are alike on other nodes."""

    kind: str
    file: Path
    place: str
    apply: Callable[[], str]  # the file's new content


def steps(root: Path, *nodes: str) -> Iterator[Step]:
    """Every change to the API's lists, and to these nodes' files."""
    for path in sorted((root / "api").glob("*.json")):
        yield from _json_steps(path, f"api/{path.name.split('.')[0]}")
    for node in nodes:
        folder = root / "nodes" / node
        for path in sorted(folder.rglob("*")):
            inside = "netns/" if path.parent != folder else ""
            if path.suffix == ".json":
                yield from _json_steps(path, f"{inside}{path.name}")
            elif path.suffix == ".txt":
                yield from _text_steps(path, f"{inside}{path.name}")


def _json_steps(path: Path, label: str) -> Iterator[Step]:
    data = json.loads(path.read_text())
    for trail, holder, key in _places(data, []):
        place = f"{label} {_named(data, trail)}"
        value = holder[key]
        if isinstance(holder, dict):
            yield Step(DROPPED, path, place, _changed(data, holder, key, None))
        if isinstance(value, str):
            if key in ("dev", "gateway") and label.endswith(_ROUTES):
                other = OTHERS.get(value, "ens192" if value != "ens192" else "tunl0")
                yield Step(MOVED, path, place, _changed(data, holder, key, other))
            elif key == "ifname" and label.endswith(_LINKS):
                yield Step(RENAMED, path, place, _changed(data, holder, key, "other0"))
            elif (found := ADDRESS.search(value)) and found[1] in OTHERS:
                other = value.replace(found[1], OTHERS[found[1]])
                yield Step(SWAPPED, path, place, _changed(data, holder, key, other))


def _places(value: Any, trail: list[str | int]) -> Iterator[tuple[list[str | int], Any, Any]]:
    """Every key and every index, with what holds it."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        if str(key).startswith(_UNTOLD) or value[key] is None or (key == "allocations"):
            continue
        yield [*trail, key], value, key
        yield from _places(value[key], [*trail, key])


def _named(data: Any, trail: list[str | int]) -> str:
    """The way to a value, with what an index stands for instead of the index."""
    words: list[str] = []
    at = data
    for key in trail:
        words.append(str(key) if isinstance(key, str) else "[]")
        at = at[key]
        if isinstance(key, int) and isinstance(at, dict):
            words[-1] = f"[{_kind_of(at)}]"
    return ".".join(words)


def _kind_of(row: dict[str, Any]) -> str:
    """What a row is about, without names that differ from node to node."""
    name = str(row.get("ifname") or row.get("dev") or "")
    name = "cali" if name.startswith("cali") else name
    if "dst" in row:
        words = [str(row.get("type", "")), str(row.get("table", "")), "v6" if "pref" in row else "", name]
        if row["dst"] in ("default", "169.254.1.1"):
            words.append(row["dst"])
        elif "table" in row and str(row["dst"]).startswith("10.7."):
            words.append("subnet")
        return " ".join(filter(None, words))
    if "family" in row:
        return str(row["family"])
    return name or str(row.get("type", ""))


def _changed(data: Any, holder: Any, key: Any, new: str | None) -> Callable[[], str]:
    def apply() -> str:
        old = dict(holder) if isinstance(holder, dict) else list(holder)
        if new is None:
            del holder[key]
        else:
            holder[key] = new
        content = json.dumps(data)
        if isinstance(holder, dict):
            holder.clear()
            holder.update(old)
        else:
            holder[:] = old
        return content

    return apply


def _text_steps(path: Path, label: str) -> Iterator[Step]:
    lines = path.read_text().splitlines(keepends=True)
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        place = f"{label} {_line_kind(line)}"
        yield Step(DROPPED, path, place, _lines(lines, number, ""))
        if (found := ADDRESS.search(line)) and found[1] in OTHERS:
            other = line.replace(found[1], OTHERS[found[1]], 1)
            yield Step(SWAPPED, path, place, _lines(lines, number, other))


def _lines(lines: list[str], number: int, new: str) -> Callable[[], str]:
    return lambda: "".join([*lines[:number], new, *lines[number + 1 :]])


def _line_kind(line: str) -> str:
    """A line without what differs from node to node: counters, hashes, addresses, names of interfaces."""
    words = re.sub(r"\[\d+:\d+\] |cali:\S{16}|\b\d+:\d+:\d+\b", "", line.strip())
    words = re.sub(r"\bcali[0-9a-f]{11}\b", "cali", words)
    words = re.sub(r"\b10[._]\d+[._]\d+[._]\d+(/\d+)?\b", "ADDRESS", words)
    return " ".join(words.split())[:110]
