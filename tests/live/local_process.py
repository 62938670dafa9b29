"""A process of this machine in the place of one in a pod, with a socket between."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Sequence


class Local:
    """Implements `nodes.in_pod.Running`."""

    def __init__(self, command: Sequence[str]) -> None:
        self.here, there = socket.socketpair()
        self.process = subprocess.Popen([*command], stdin=there, stdout=there, stderr=subprocess.PIPE)
        there.close()
        self.stderr = bytearray()
        self.status: int | None = None

    def read(self, seconds: float) -> bytes:
        self.here.settimeout(max(0.01, seconds))
        piece = self.here.recv(4096)
        if not piece:
            self.close()
        return piece

    def write(self, data: bytes) -> None:
        if self.process.poll() is not None:
            raise BrokenPipeError
        self.here.sendall(data)

    def end_input(self) -> None:
        self.here.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self.here.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        if self.status is None:
            assert self.process.stderr is not None
            with self.process.stderr as words:
                self.stderr += words.read()
            self.status = self.process.wait()
            self.here.close()
