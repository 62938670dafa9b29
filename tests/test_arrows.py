"""Who may import whom: the rooms of the project and the arrows between them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "pytest_calico_ipip"

# a room, and what of ours it may import besides itself
ARROWS = {
    "model": (),
    "report": ("model",),
    "cluster": ("model", "evidence", "errors", "settings", "remote", "temporary"),
    "nodes": ("model", "evidence", "errors", "settings", "remote", "temporary"),
    "packets": ("model", "evidence", "errors", "settings", "remote", "temporary"),
    "judge": ("model", "evidence", "errors", "packets"),
    "observation": ("model", "evidence", "errors", "settings", "remote", "cluster", "nodes", "packets"),
    "lab": (),
    "conformance": ("fixtures", "model"),
}


def files(room: str) -> list[Path]:
    """The Python files of a room."""
    found = sorted((ROOT / "conformance" if room == "conformance" else ROOT / PACKAGE / room).rglob("*.py"))
    assert found, f"the room {room} is empty"
    return found


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything of ours that a file imports, relative imports resolved."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            # `from package import room` names a module by its alias
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room (or top-level module) of everything of ours that a file imports."""
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] == PACKAGE:
            # `from pytest_calico_ipip import __version__` looks into no room
            if len(parts) > 1 and parts[1] != "__version__":
                yield line, parts[1]
        elif parts[0] in ("conformance", "tests"):
            yield line, parts[0]


@pytest.mark.parametrize("room", sorted(ARROWS))
def test_a_room_imports_only_along_its_arrows(room: str) -> None:
    """A room imports of ours only what its arrows lead to."""
    against = [
        f"{path.relative_to(ROOT)}:{line} imports {target}"
        for path in files(room)
        for line, target in rooms(path)
        if target not in (room, *ARROWS[room])
    ]
    assert not against


def test_nobody_imports_the_lab() -> None:
    """The suite shares no code with the lab that it judges, in either direction."""
    outside = [path for path in (ROOT / PACKAGE).rglob("*.py") if "lab" not in path.relative_to(ROOT / PACKAGE).parts]
    against = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in [*outside, *files("conformance")]
        for line, target in rooms(path)
        if target == "lab"
    ]
    assert not against


def test_every_room_has_its_arrows() -> None:
    """A new folder of the package needs an entry in the table above."""
    folders = {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")}
    assert folders <= set(ARROWS)


def test_the_pure_core_does_no_input_or_output() -> None:
    """`model` imports nothing that reads files, runs programs, opens connections or asks the clock; nor pytest."""
    impure = {
        "os",
        "io",
        "pathlib",
        "subprocess",
        "socket",
        "asyncio",
        "time",
        "datetime",
        "random",
        "pytest",
        "logging",
    }
    against = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files("model")
        for line, name in imports(path)
        if name.split(".")[0] in impure
    ]
    assert not against
