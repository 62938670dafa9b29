"""Connections to the nodes by a helper pod on each: testinfra over the API's exec, with no ssh and no kubectl.

The pod shares the node's network and its processes, so process 1 is the node's: its files, and with them the named
network namespaces, are below /proc/1/root. Scripts go in by standard input: a URL has no room for them.

testinfra's own kubectl backend would need kubectl, passes the script in the URL, and knows no time-out; in the lab it
takes 1.0 s a command where this one takes 0.16 s (benchmarks/exec_ways.py).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any, Protocol

from pytest_calico_ipip import remote
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.remote import Answer

GRACE = 15.0  # seconds that this end waits longer than the `timeout` at the other
ROOT = "/proc/1/root"
SHELL = "/bin/sh"
PREFACE = f"root={ROOT}\n"


class Running(Protocol):
    """A program in a pod, its standard input and output. One thread reads."""

    @property
    def stderr(self) -> bytes | bytearray:
        """What it has said there so far."""

    @property
    def status(self) -> int | None:
        """Its exit status, once `read` has come to the end; None where it was never run to one."""

    def read(self, seconds: float) -> bytes:
        """The next piece of its stdout, nothing at its end. Raises `TimeoutError`, or `OSError` where it broke off."""

    def write(self, data: bytes) -> None:
        """Raises `OSError`."""

    def end_input(self) -> None:
        """Nothing more comes. Raises `OSError`."""

    def cut(self) -> None:
        """Make the reader come to an end, from any thread."""

    def close(self) -> None:
        """Leave it."""


Start = Callable[[Sequence[str]], Running]  # a command in one pod; raises `OSError` where that is refused


@dataclass
class PodConnection:
    """One node, reached by its helper pod. Implements `remote.Remote`; safe for several threads."""

    node: str
    pod: str  # namespace/name
    start: Start
    longest: float  # seconds that the shell of `ask` may live
    _talking: threading.Lock = field(default_factory=threading.Lock)
    _running: list[Running] = field(default_factory=list)
    _shell: Running | None = None
    _closed: bool = False

    @property
    def way(self) -> str:
        """See `remote.Remote`."""
        return f"exec in {self.pod}"

    @property
    def missing_tcpdump(self) -> str:
        """See `remote.Remote`."""
        return f"the helper pod's image on {self.node} has no tcpdump: name one that has it with --ipip-helper-image"

    def wrap(self, script: str, seconds: float) -> str:
        """See `remote.Remote`."""
        return remote.wrap(PREFACE + script, seconds)

    def run(self, command: str, timeout: float) -> Answer:
        """See `remote.Remote`."""
        result = self._testinfra.run(command, timeout=timeout + GRACE)
        return Answer(result.rc, result.stdout_bytes, result.stderr_bytes)

    def ask(self, script: str, timeout: float) -> Answer:
        """See `remote.Remote`. The shell is started by the first piece: on its way nothing stays silent for long."""
        end = f"=== {secrets.token_hex(8)} ==="
        text = f"{script}\necho; echo '{end}'\n"
        with self._talking:
            said = bytearray()
            try:
                if self._shell is None:
                    self._shell = self._start(["timeout", "-k", "5", str(round(self.longest)), SHELL, "-s"])
                    text = PREFACE + text
                self._shell.write(text.encode())
                mark, deadline = f"\n{end}\n".encode(), time.monotonic() + timeout
                while len(said) <= remote.LIMIT:
                    piece = self._shell.read(deadline - time.monotonic())
                    said += piece
                    if said.endswith(mark):
                        return Answer(0, bytes(said[: -len(mark)]))
                    if not piece:
                        break
                words = bytes(self._shell.stderr) or b"the shell in the helper pod ended"
            except TimeoutError:
                words = f"no answer from {self.pod} within {timeout:.0f} s".encode()
            except OSError as error:
                words = str(error).encode()
        self.close()
        return Answer(255, bytes(said), words)

    def close(self) -> None:
        """See `remote.Remote`."""
        self._closed = True
        for running in list(self._running):
            running.cut()
        if self._talking.acquire(blocking=False):  # else whoever holds it ends now, and comes here itself
            try:
                if self._shell is not None:
                    self._shell.close()
            finally:
                self._talking.release()

    @cached_property
    def _testinfra(self) -> Any:
        from testinfra.backend.base import BaseBackend
        from testinfra.host import Host

        connection = self

        class Exec(BaseBackend):  # type: ignore[misc,unused-ignore]
            """testinfra's way to run a command, by the API's exec."""

            NAME = "exec"

            def run(self, command: str, *args: str, **kwargs: Any) -> Any:
                line = self.get_command(command, *args)
                answer = connection._execute(line, float(kwargs.get("timeout", 60)))
                return self.result(answer.status, line.encode(), answer.stdout, answer.stderr)

        return Host(Exec(self.pod))

    def _execute(self, line: str, seconds: float) -> Answer:
        """One command line, in a shell of its own."""
        deadline = time.monotonic() + seconds
        said = bytearray()
        try:
            running = self._start([SHELL])
            try:
                running.write(f"{line}\n".encode())
                running.end_input()
                while piece := running.read(deadline - time.monotonic()):
                    said += piece
                    if len(said) > remote.LIMIT:
                        return Answer(255, bytes(said), b"more than one answer may hold")
            finally:
                self._running.remove(running)
                running.close()
        except TimeoutError:
            return Answer(255, bytes(said), f"no end within {seconds:.0f} s".encode())
        except OSError as error:
            return Answer(255, bytes(said), str(error).encode())
        status = running.status
        return Answer(255 if status is None else status, bytes(said), bytes(running.stderr))

    def _start(self, command: Sequence[str]) -> Running:
        if self._closed:
            raise OSError(f"the connection to {self.node} is closed")
        running = self.start(command)
        self._running.append(running)
        if self._closed:  # by another thread, while this one was on its way
            running.cut()
        return running


@dataclass(frozen=True)
class PodConnections:
    """The nodes that have a helper pod, and why the others have none. As a context: leaving it ends them."""

    open: Mapping[str, PodConnection]
    refused: Mapping[str, SetupProblem]

    def __enter__(self) -> PodConnections:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every connection."""
        for connection in self.open.values():
            connection.close()
