"""The directory of a run on the machine: locked by it, gone after it, and after a kill removed by the next."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType

_PREFIX = f"calico-ipip-lab-{os.getuid()}-"
_OWNER = "owner"
_KEPT = "failed"
_KEEP_FAILED_FOR = 24 * 3600.0


class RunDirectory:
    """A private directory in the temporary directory, for as long as the `with` block lasts (longer after `keep`)."""

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent or Path(tempfile.gettempdir())
        self._kept = False
        self.path = Path()

    def __enter__(self) -> RunDirectory:
        remove_stale(self._parent)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
        self._lock = os.open(self.path / _OWNER, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def keep(self) -> None:
        """Leave it on the machine, for a person to read; runs after a day remove it."""
        self._kept = True
        (self.path / _KEPT).touch()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if not self._kept:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def remove_stale(parent: Path) -> None:
    """Remove the directories of this user's runs that nobody owns any more."""
    now = time.time()
    for path in parent.glob(_PREFIX + "*"):
        try:
            age = now - path.lstat().st_mtime
            if path.is_symlink() or path.lstat().st_uid != os.getuid():
                continue
            lock = os.open(path / _OWNER, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            if age > 60:  # a younger one may be about to be locked
                shutil.rmtree(path, ignore_errors=True)
            continue
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not (path / _KEPT).exists() or age > _KEEP_FAILED_FOR:
                shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass  # its owner lives
        finally:
            os.close(lock)
