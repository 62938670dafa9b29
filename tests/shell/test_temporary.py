"""Temporary directories: what a killed run leaves, the next one takes, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from pytest_calico_ipip import temporary

OWNER = """
from pytest_calico_ipip import temporary
held = temporary.make("evidence")
(held.path / "pod").write_text("x")
print(held.path, flush=True)
input()
"""


def test_the_dead_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A living run keeps its directory; after SIGKILL the next run removes it; foreign files and links stay."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / f"{temporary.PREFIX}link").symlink_to(precious)
    (tmp_path / "calico-ipip-lab-0-abc").mkdir()
    mine = temporary.make("mine")
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        theirs = Path(owner.stdout.readline().strip())
        assert temporary.remove_abandoned() == []
        assert (theirs / "pod").exists()
        owner.kill()
    assert temporary.remove_abandoned() == [theirs.name]
    assert not theirs.exists()
    assert precious.exists()
    mine.remove()
    mine.remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "calico-ipip-lab-0-abc", f"{temporary.PREFIX}link", "precious",
    ]  # fmt: skip


def test_what_a_run_made_and_did_not_come_to_lock_goes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at that moment, its owner is as dead as any."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"{temporary.PREFIX}ssh-abc").mkdir()
    assert temporary.remove_abandoned() == [f"{temporary.PREFIX}ssh-abc"]


def test_nobody_loses_a_directory_to_one_who_clears_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even in the moment between the making and the lock."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = threading.Event()
    taken: list[str] = []

    def clear_up() -> None:
        while not done.is_set():
            taken.extend(temporary.remove_abandoned())

    clearing = threading.Thread(target=clear_up)
    clearing.start()
    try:
        held = [temporary.make("here") for _ in range(300)]
    finally:
        done.set()
        clearing.join()
    assert all((one.path / "..").exists() for one in held)
    for one in held:
        one.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_taken_before_its_lock_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner has another one, and holds that."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = tempfile.mkdtemp
    stolen: list[Path] = []

    def make_and_lose_the_first(prefix: str) -> str:
        path = made(prefix=prefix)
        if not stolen:
            stolen.append(Path(path))
            assert temporary.remove_abandoned() == [stolen[0].name]
        return path

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_lose_the_first)
    held = temporary.make("here")
    assert held.path != stolen[0]
    assert held.path.is_dir()
    assert temporary.remove_abandoned() == []
    held.remove()
