"""What a container's main process has said: bounded memory, any number of readers that follow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime, timezone

_KEPT_BYTES = 1 << 20
_LONGEST_LINE = 1 << 14
_BACKLOG = 1024  # chunks that a slow reader may be behind before it loses some


class Log:
    """The lines of one container, with the time at which each ended."""

    def __init__(self) -> None:
        self._lines: deque[tuple[str, bytes]] = deque()
        self._size = 0
        self._partial: dict[int, bytes] = {}
        self._followers: set[asyncio.Queue[tuple[int, bytes] | None]] = set()
        self._closed = False

    def add(self, channel: int, data: bytes) -> None:
        """Output as it comes."""
        for follower in self._followers:
            if follower.qsize() < _BACKLOG:
                follower.put_nowait((channel, data))
        *whole, rest = (self._partial.pop(channel, b"") + data).split(b"\n")
        for line in whole:
            self._keep(line + b"\n")
        while len(rest) > _LONGEST_LINE:
            self._keep(rest[:_LONGEST_LINE])
            rest = rest[_LONGEST_LINE:]
        if rest:
            self._partial[channel] = rest

    def close(self) -> None:
        """The process has ended."""
        for rest in self._partial.values():
            self._keep(rest)
        self._partial.clear()
        self._closed = True
        for follower in self._followers:
            follower.put_nowait(None)

    def _keep(self, line: bytes) -> None:
        now = datetime.now(timezone.utc)
        self._lines.append((f"{now:%Y-%m-%dT%H:%M:%S.}{now.microsecond:06d}000Z", line))
        self._size += len(line)
        while self._size > _KEPT_BYTES:
            self._size -= len(self._lines.popleft()[1])

    async def read(self, *, follow: bool, tail: int | None, timestamps: bool) -> AsyncIterator[bytes]:
        """Lines, the last `tail` of them; with `follow` until the process ends."""

        def shown(time: str, line: bytes) -> bytes:
            return time.encode() + b" " + line if timestamps else line

        # register first, so that nothing is lost between what is there and what comes
        queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        following = follow and not self._closed
        if following:
            self._followers.add(queue)
        try:
            lines = list(self._lines)
            lines += [(_now(), rest) for rest in self._partial.values()]
            if tail is not None:
                lines = lines[-tail:] if tail else []
            for time, line in lines:
                yield shown(time, line)
            while following:
                item = await queue.get()
                if item is None:
                    return
                if timestamps:
                    for line in item[1].splitlines(keepends=True):
                        yield shown(_now(), line)
                else:
                    yield item[1]
        finally:
            self._followers.discard(queue)

    async def live(self) -> AsyncIterator[tuple[int, bytes]]:
        """What is said from now on, with its channel, until the process ends."""
        if self._closed:
            return
        queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self._followers.add(queue)
        try:
            while (item := await queue.get()) is not None:
                yield item
        finally:
            self._followers.discard(queue)


def _now() -> str:
    now = datetime.now(timezone.utc)
    return f"{now:%Y-%m-%dT%H:%M:%S.}{now.microsecond:06d}000Z"
