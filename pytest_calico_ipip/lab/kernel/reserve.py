"""Memory that a guest keeps free until its processes ask for it.

A kernel fills what it has with the files that it has read, and a guest's memory is the machine's. So it is told to keep
a part free, which costs the machine nothing before it is used: one run of the suite does not miss it. Where processes
take more, two runs at once for example, all of it is theirs.
"""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

_MEMORY = Path("/proc/meminfo")
_FREE = Path("/proc/sys/vm/min_free_kbytes")
_EVERY = 0.5  # seconds
# the kernel begins to clear at 5/4 of what it is told to keep
_KEPT = 4 / 5
_ENOUGH = 0.7  # of what is not kept free: what processes may take before they get the rest


def keep_free(megabytes: int, of: int) -> None:
    """Keep `megabytes` of the kernel's memory, `of` so many, free from now on, until processes need them.

    Only for a kernel of one's own: it is the whole kernel's setting.
    """
    usual = _FREE.read_text()
    _FREE.write_text(str(round(megabytes * 1024 * _KEPT)))
    most = (of - megabytes) * 1024 * _ENOUGH
    threading.Thread(target=_give_back, args=(usual, most), daemon=True).start()


def _give_back(usual: str, most: float) -> None:
    while _anonymous() < most:
        time.sleep(_EVERY)
    _FREE.write_text(usual)


def _anonymous() -> int:
    """KB that are processes' own, no file's."""
    found = re.search(r"^AnonPages:\s+(\d+) kB$", _MEMORY.read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
