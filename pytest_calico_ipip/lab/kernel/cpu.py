"""Which processor a guest runs on: one of those allowed, and another one than other labs have.

User-Mode Linux moves between its kernel and its processes at every system call; across processors each move is an
interrupt and a wake-up. Pinned to one processor a guest is five times as fast.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from itertools import count


class CpuClaim:
    """A claim on a processor; it ends with `release`, or with the process, however that ends."""

    def __init__(self, cpu: int, lock: socket.socket | None) -> None:
        self.cpu = cpu
        self._lock = lock

    def release(self) -> None:
        """Leave the processor to others."""
        if self._lock is not None:
            self._lock.close()


def claim_cpu(allowed: Sequence[int] | None = None) -> CpuClaim:
    """Claim the processor with the fewest labs of `allowed` (default: this process's), the last ones first.

    The claim is the name of a socket in the abstract namespace: it is the same for all users, leaves no file, and the
    kernel takes it back when its owner dies.
    """
    cpus = sorted(os.sched_getaffinity(0) if allowed is None else allowed, reverse=True)
    for level in count():
        for cpu in cpus:
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                lock.bind(f"\0calico-ipip-lab/cpu-{cpu}/{level}")
            except OSError:
                lock.close()
                if level >= 64:  # not a matter of other labs: such names cannot be taken here at all
                    return CpuClaim(cpus[os.getpid() % len(cpus)], None)
                continue
            return CpuClaim(cpu, lock)
    raise AssertionError("count() does not end")
