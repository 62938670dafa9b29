"""Temporary directories: what a killed run leaves, the next one takes, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
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
