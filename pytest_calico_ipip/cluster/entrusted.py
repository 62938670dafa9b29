"""What a run has entrusted to its survivor: the paths of what it makes in the cluster, told before they are made."""

from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pytest_calico_ipip.cluster import survivor
from pytest_calico_ipip.settings import Settings

DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_SECONDS = 5.0  # that a dismissed survivor may take to end


@dataclass
class Entrusted:
    """A run's side of its survivor. As a context: leaving it dismisses the survivor, or leaves it the rest."""

    settings: Settings
    kept: str = ""  # what `--ipip-keep` leaves in the cluster, as words for `kubectl delete`
    _pid: int = 0
    _pipe: int = -1
    _paths: int = 0

    def __enter__(self) -> Entrusted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def start(self) -> None:
        """Start the survivor, unless there is one."""
        if self._pid:
            return
        reading, self._pipe = os.pipe()
        # -I -S: nothing of this machine's Python is loaded while there is nothing to do
        command = [sys.executable, "-I", "-S", str(Path(survivor.__file__).resolve()), str(os.getpid())]
        files: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_DUP2, reading, 0),
            *((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)),
        ]
        try:
            self._pid = os.posix_spawn(
                sys.executable, command, os.environ, file_actions=files, setsid=True, setsigmask=DEAF_TO
            )
        except OSError:  # no memory, no processes: the run goes on without
            os.close(self._pipe)
            self._pipe = -1
        finally:
            os.close(reading)
        settings = base64.b64encode(pickle.dumps(self.settings)).decode()
        self._tell(json.dumps({"path": sys.path, "settings": settings}))

    def will_make(self, path: str) -> None:
        """Before an object is asked for: the path that deletes it."""
        self._paths += 1
        self._tell(survivor.ASKED + path)

    def made(self, path: str) -> None:
        """The API server has answered: it is there."""
        self._tell(survivor.MADE + path)

    def is_gone(self, path: str) -> None:
        """Its end has been asked for, and the API server has agreed."""
        self._paths -= 1
        self._tell(survivor.GONE + path)

    def leave(self) -> None:
        """The run's end: dismiss the survivor, or where something is still there leave it that. Safe to call twice."""
        if self._pipe < 0:
            return
        if not self._paths:
            self._tell(survivor.DISMISSED)
        os.close(self._pipe)
        self._pipe = -1
        deadline = time.monotonic() + LAST_SECONDS
        while not self._paths and time.monotonic() < deadline and os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            time.sleep(0.01)

    def _tell(self, line: str) -> None:
        rest = f"{line}\n".encode()
        try:
            while rest and self._pipe >= 0:
                rest = rest[os.write(self._pipe, rest) :]
        except BrokenPipeError:  # somebody ended it: the run goes on without
            os.close(self._pipe)
            self._pipe = -1
