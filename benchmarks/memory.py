"""What something costs in memory: how far this machine's MemAvailable falls while it lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def available() -> float:
    """MemAvailable, in MB."""
    (line,) = (line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) / 1024


@contextmanager
def watched(every: float = 0.1) -> Iterator[list[float]]:
    """What MemAvailable fell by, in MB, once the block is left: others' share counts against us."""
    stop, before, found = threading.Event(), available(), [0.0]

    def watch() -> None:
        while not stop.wait(every):
            found[0] = max(found[0], before - available())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        stop.set()
        watcher.join()
