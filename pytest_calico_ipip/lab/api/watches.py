"""Watches: what a reader of the store's changes sees of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from pytest_calico_ipip.lab.api import errors
from pytest_calico_ipip.lab.api.selectors import Object, Predicate

BACKLOG = 8192  # events that wait for one slow watcher before it is sent away to list again


def copied(value: Any) -> Any:
    """A deep copy of JSON values, several times as fast as `copy.deepcopy`."""
    if isinstance(value, dict):
        return {key: copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [copied(inner) for inner in value]
    return value


class Change(NamedTuple):
    """Something that happened to an object."""

    version: int
    type: str  # ADDED, MODIFIED, DELETED
    new: Object
    old: Object | None


class Watch:
    """The changes of one kind, from a moment on: an endless async iterator of (type, object)."""

    def __init__(self, namespace: str | None, selected: Predicate, closed: Callable[[Watch], None]) -> None:
        """Of one namespace or all (`None`); calls `closed` with itself when nobody reads it any more."""
        self._namespace, self._selected, self._on_close = namespace, selected, closed
        self._waiting: asyncio.Queue[tuple[str, Object]] = asyncio.Queue()
        self._closed = False

    def _wants(self, obj: Object | None) -> bool:
        if obj is None or (self._namespace and obj["metadata"].get("namespace") != self._namespace):
            return False
        return self._selected(obj)

    def offer(self, change: Change, *, live: bool = True) -> None:
        """An object that comes into the selection is ADDED for this watcher, one that leaves it DELETED."""
        before, after = self._wants(change.old), change.type != "DELETED" and self._wants(change.new)
        if not before and not after:
            return
        if live and self._waiting.qsize() >= BACKLOG:
            self._waiting.put_nowait(("ERROR", errors.expired(change.version, change.version).status()))
            self.close()
            return
        self._waiting.put_nowait(("MODIFIED" if before and after else "ADDED" if after else "DELETED", change.new))

    @property
    def waiting(self) -> int:
        """How many changes can be read without waiting."""
        return self._waiting.qsize()

    def __aiter__(self) -> Watch:
        """Itself."""
        return self

    async def __anext__(self) -> tuple[str, Object]:
        """The next change; ends after `close` when all that happened before it was read."""
        if self._closed and self._waiting.empty():
            raise StopAsyncIteration
        kind, obj = await self._waiting.get()
        if not kind:
            raise StopAsyncIteration
        return kind, copied(obj)

    def close(self) -> None:
        """No further changes."""
        if not self._closed:
            self._closed = True
            self._on_close(self)
            self._waiting.put_nowait(("", {}))  # wakes a reader that waits

    def __enter__(self) -> Watch:
        """`with store.watch(…) as changes` closes it at the end."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close."""
        self.close()
