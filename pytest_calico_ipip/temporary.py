"""Temporary directories that nobody leaves behind: locked while the owner lives, and else taken by the next run.

A killed process cannot remove what it made, but its lock ends with it, whatever ended it and in whatever container.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PREFIX = "ipip-run-"


@dataclass
class Held:
    """A directory of our own (0700), and the lock that says so."""

    path: Path
    lock: int

    def remove(self) -> None:
        """The directory's end. Safe to call twice."""
        if self.lock < 0:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)
        self.lock = -1


def make(kind: str) -> Held:
    """A new directory, `ipip-run-<kind>-…`; its path is short, for a socket's has 104 bytes.

    Until it is locked, another run may take it for one whose owner is dead. Then there is another one.
    """
    while True:
        path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-"))
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return Held(path, lock)
            os.close(lock)


@contextlib.contextmanager
def made(kind: str) -> Iterator[Path]:
    """A new directory for the time of a block."""
    held = make(kind)
    try:
        yield held.path
    finally:
        held.remove()


def remove_abandoned() -> list[str]:
    """Remove the directories of this user whose owners are dead; their names."""
    return [path.name for path in _abandoned()]


def _abandoned() -> Iterator[Path]:
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError):
            yield from _take(path)


def _take(path: Path) -> Iterator[Path]:
    # no link of somebody else's in a directory that all may write
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(lock).st_uid != os.getuid():
            return
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError, an OSError: its owner lives
        yield path
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
