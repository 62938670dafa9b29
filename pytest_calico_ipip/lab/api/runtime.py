"""What the API server asks of the kubelets: the one arrow from `exec`, `attach` and `logs` to running processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol


class RuntimeRefusal(Exception):
    """The container cannot do that (not found, not running, no such program): the text is what the user reads."""


class Process(Protocol):
    """A process in a container."""

    async def write(self, data: bytes) -> None:
        """Feed its standard input."""

    async def close_stdin(self) -> None:
        """End of its standard input."""

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal a new size; nothing without a terminal."""

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Pairs of channel (1 stdout, 2 stderr) and data, until both are closed."""

    async def wait(self) -> int:
        """Its exit status, after `output` has ended."""

    def kill(self) -> None:
        """End it and everything that it started."""


class Runtime(Protocol):
    """All kubelets of the lab, seen from the API server."""

    async def exec(
        self, namespace: str, pod: str, container: str | None, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> Process:
        """Start a command in a container; raises `RuntimeRefusal`."""

    async def attach(self, namespace: str, pod: str, container: str | None, *, stdin: bool) -> Process:
        """Join the container's main process; raises `RuntimeRefusal`."""

    def logs(
        self, namespace: str, pod: str, container: str | None, *, follow: bool, tail: int | None, timestamps: bool
    ) -> AsyncIterator[bytes]:
        """The main process's output; raises `RuntimeRefusal` at the first step."""
