"""A process in a container with its standard streams, as the API's `exec` and `attach` use it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pytest_calico_ipip.lab.kubelet.engine import NodeEngine
from pytest_calico_ipip.lab.kubelet.security import Confinement

STDOUT, STDERR = 1, 2
_CHUNK = 65536
# after the program's end: how long to read on while something that it left behind holds its output open
_DRAIN_SECONDS = 0.2


@dataclass
class Streams:
    """Our ends and the program's ends of its standard streams; each is ours to close."""

    ours: dict[int, int]  # 0: where to write; 1, 2: where to read; with a terminal 0 and 1 are one descriptor
    theirs: tuple[int, int, int]
    terminal: bool

    @classmethod
    def open(cls, *, terminal: bool, stdin: bool) -> Streams:
        """A pseudo terminal, or pipes; without stdin the program reads /dev/null."""
        if terminal:
            master, slave = os.openpty()
            return cls({0: master, STDOUT: master}, (slave, slave, slave), True)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        if stdin:
            in_read, in_write = os.pipe()
            return cls({0: in_write, STDOUT: out_read, STDERR: err_read}, (in_read, out_write, err_write), False)
        nothing = os.open("/dev/null", os.O_RDONLY)
        return cls({STDOUT: out_read, STDERR: err_read}, (nothing, out_write, err_write), False)

    def close_theirs(self) -> None:
        """After the program has its copies."""
        for fd in set(self.theirs):
            os.close(fd)

    def close_ours(self) -> None:
        """At the end."""
        for fd in set(self.ours.values()):
            os.close(fd)
        self.ours = {}


class ContainerProcess:
    """A running program; implements the contract `Process`."""

    def __init__(self, engine: NodeEngine, task: str, streams: Streams, end: asyncio.Future[int]) -> None:
        self._engine = engine
        self._task = task
        self._streams = streams
        self._end = end
        for fd in streams.ours.values():
            os.set_blocking(fd, False)

    @classmethod
    async def start(
        cls,
        engine: NodeEngine,
        target: str | None,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        terminal: bool,
        stdin: bool,
        cwd: str = "/",
        confinement: Confinement | None = None,
    ) -> ContainerProcess:
        """A further process beside a container's first one (`target`), or in the node. Raises `Refused`."""
        streams = Streams.open(terminal=terminal, stdin=stdin)
        task = f"exec-{uuid.uuid4()}"
        try:
            end = await engine.run(
                "exec",
                task,
                streams.theirs,
                target=target,
                argv=list(argv),
                env=dict(environment),
                cwd=cwd,
                tty=terminal,
                confinement=None if confinement is None else confinement.for_shim(),
            )
        except BaseException:
            streams.close_ours()
            raise
        finally:
            streams.close_theirs()
        return cls(engine, task, streams, end)

    async def write(self, data: bytes) -> None:
        """Feed its standard input; what it does not want any more is dropped."""
        view = memoryview(data)
        while view and 0 in self._streams.ours:
            fd = self._streams.ours[0]
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                await _ready(fd, writing=True, unless=self._end)
                if self._end.done():
                    return
            except OSError:  # it has closed its input, or has ended
                return

    async def close_stdin(self) -> None:
        """End of its standard input; a terminal is told so by its own end-of-file character."""
        if 0 not in self._streams.ours:
            return
        if self._streams.terminal:
            await self.write(b"\x04")
            return
        os.close(self._streams.ours.pop(0))

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal a new size."""
        if self._streams.terminal and self._streams.ours:
            with suppress(OSError):
                fcntl.ioctl(self._streams.ours[0], termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Channel and data, until both streams are closed or the program has ended and what it wrote is read."""
        waiting: asyncio.Queue[int] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        open_fds = {fd: channel for channel, fd in self._streams.ours.items() if channel}

        def arm(fd: int) -> None:
            def readable() -> None:
                loop.remove_reader(fd)
                waiting.put_nowait(fd)

            loop.add_reader(fd, readable)

        for fd in open_fds:
            arm(fd)
        try:
            while open_fds:
                ready = await self._next(waiting)
                if ready is None:
                    return
                fd = ready
                try:
                    data = os.read(fd, _CHUNK)
                except BlockingIOError:
                    arm(fd)
                    continue
                except OSError:  # a terminal that nobody has open any more
                    data = b""
                if not data:
                    del open_fds[fd]
                    continue
                yield open_fds[fd], data
                arm(fd)
        finally:
            for fd in open_fds:
                loop.remove_reader(fd)

    async def _next(self, waiting: asyncio.Queue[int]) -> int | None:
        """The next readable descriptor; None when the program has ended and nothing more comes."""
        if not waiting.empty():
            return waiting.get_nowait()
        getting = asyncio.ensure_future(waiting.get())
        both: set[asyncio.Future[int]] = {getting, self._end}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                await asyncio.wait({getting}, timeout=_DRAIN_SECONDS)
            return getting.result() if getting.done() else None
        finally:
            getting.cancel()

    async def exit_status(self) -> int:
        """Its exit status, for one who does not own the streams."""
        return await asyncio.shield(self._end)

    async def wait(self) -> int:
        """Its exit status; closes the streams."""
        status = await self.exit_status()
        self._streams.close_ours()
        return status

    def kill(self) -> None:
        """End it and everything that it started; nothing when it has ended."""
        if not self._end.done():
            self._engine.tell("kill", task=self._task)


async def _ready(fd: int, *, writing: bool, unless: asyncio.Future[int]) -> None:
    """Until the descriptor can be written (or read), or the program has ended."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    (loop.add_writer if writing else loop.add_reader)(fd, ready.set)
    waiting = asyncio.ensure_future(ready.wait())
    either: set[asyncio.Future[Any]] = {waiting, unless}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        (loop.remove_writer if writing else loop.remove_reader)(fd)
