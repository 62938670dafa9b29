"""A text that nobody shall read: tracebacks with local variables, logs and debuggers show a word in its place."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class Secret(str):
    """A token, a header that holds one, a password."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<hidden>"


@contextmanager
def unlogged() -> Iterator[list[str]]:
    """While it lasts, what goes to the root logger goes into this list, and nowhere else.

    The official client logs there what a credential plugin has said, and pytest would show it.
    """
    said: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False

    root = logging.getLogger()
    root.addFilter(keep)
    try:
        yield said
    finally:
        root.removeFilter(keep)
