"""Reading one evidence file: bounded, and never trusted. What cannot be read becomes an `Absent` that says why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_calico_ipip.model.absent import Absent

MAX_BYTES = 64 * 1024 * 1024  # an IPAM with tens of thousands of addresses stays well below
GZIP = b"\x1f\x8b"
LEFT_OUT = ("<...>", "...")  # in a list: lines were left out here, as the one who made it by hand says


def printable(value: object, limit: int = 300) -> str:
    """A text from a cluster for people's eyes: control characters escaped, and not longer than `limit`."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value)[: limit + 1])
    return text if len(text) <= limit else text[:limit] + "…"


@dataclass(frozen=True)
class Ran:
    """One line of commands.tsv: a command that wrote a file."""

    exit: int | None  # None: not a number
    command: str
    stderr: str


@dataclass(frozen=True)
class Folder:
    """One folder of evidence, with what its commands.tsv says about each file."""

    path: Path
    label: str  # the folder as messages name it: "nodes/virtnest-rook-ceph-1"
    live: bool
    ran: Mapping[str, tuple[Ran, ...]]
    tolerant: frozenset[str] = frozenset()  # files whose commands may fail one by one
    above: Folder | None = None  # a later reading of some of the files: what it has is taken from there

    def text(self, file: str) -> str | Absent:
        """The file's text, or why there is none."""
        if self.above is not None and file in self.above.ran:
            return self.above.text(file)
        where = f"{self.label}/{file}"
        lines = self.ran.get(file, ())
        failed = next((line for line in lines if line.exit != 0), None)
        if failed is not None and file not in self.tolerant:
            said = f": {failed.stderr}" if failed.stderr else ""
            return Absent(f"{where}: `{failed.command}` failed with status {failed.exit}{said}", failed=True)
        path = self.path / file
        try:
            if not path.is_file():
                if lines:
                    return Absent(f"{where} is gone, commands.tsv lists it", failed=True)
                return Absent(where, failed=self.live)
            with path.open("rb") as stream:
                raw = stream.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            return Absent(f"{where} cannot be read: {printable(error)}", failed=True)
        if len(raw) > MAX_BYTES:
            return Absent(f"{where} is larger than {MAX_BYTES // 1024 // 1024} MiB", failed=True)
        if raw.startswith(GZIP):
            return Absent(f"{where} is compressed: unpack it with gunzip", failed=True)
        return raw.decode(errors="replace")

    def json(self, file: str) -> Any | Absent:
        """The file's JSON, or why there is none. The value may have any shape."""
        text = self.text(file)
        if isinstance(text, Absent):
            return text
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            return Absent(f"{self.label}/{file} is not JSON, or cut off: {printable(error)}", failed=True)

    def rows(self, file: str) -> tuple[tuple[dict[str, Any], ...], bool] | Absent:
        """A JSON list of objects, and whether it leaves some out ("<...>"). Empty objects are dropped."""
        data = self.json(file)
        if isinstance(data, Absent):
            return data
        if not isinstance(data, list):
            return Absent(f"{self.label}/{file} is not a list", failed=True)
        partial = any(isinstance(row, str) and row in LEFT_OUT for row in data)
        rows = [row for row in data if not (isinstance(row, str) and row in LEFT_OUT)]
        if not all(isinstance(row, dict) for row in rows):
            return Absent(f"{self.label}/{file} is not a list of objects", failed=True)
        return tuple(row for row in rows if row), partial


def read_commands(path: Path) -> dict[str, tuple[Ran, ...]]:
    """commands.tsv: file → the commands that wrote it, in order. A file that is not there lists nothing."""
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_BYTES).decode(errors="replace")
    except (OSError, ValueError):
        return {}
    found: dict[str, list[Ran]] = {}
    for line in text.split("\n"):
        parts = line.rstrip("\r").split("\t")
        if len(parts) < 3 or not parts[0]:
            continue
        try:
            status: int | None = int(parts[1])
        except ValueError:
            status = None
        stderr = printable(_unescape(parts[3]).strip()) if len(parts) > 3 else ""
        found.setdefault(parts[0], []).append(Ran(status, printable(_unescape(parts[2]), 2000), stderr))
    return {file: tuple(lines) for file, lines in found.items()}


def _unescape(text: str) -> str:
    r"""Tab, newline and backslash are written as \t, \n and \\."""
    result, rest = [], iter(text)
    for character in rest:
        if character != "\\":
            result.append(character)
            continue
        following = next(rest, "")
        result.append({"t": "\t", "n": "\n", "\\": "\\"}.get(following, "\\" + following))
    return "".join(result)
