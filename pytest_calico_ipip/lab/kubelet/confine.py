"""Giving up power before a container's program starts: user, groups, capabilities. Runs inside the shim's children."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping
from typing import Any

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_VERSION_3 = 0x20080522  # of capset's two 32-bit words
_libc = ctypes.CDLL(None, use_errno=True)


def confine(request: Mapping[str, Any]) -> None:
    """Become what `security.Confinement` says, for good. Raises `OSError`."""
    kept = set(request["capabilities"])
    if not request["privileged"]:
        last = int(_read("/proc/sys/kernel/cap_last_cap"))
        kept &= set(range(last + 1))
        for number in set(range(last + 1)) - kept:
            _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), f"drop capability {number}")
    os.setgroups(request["groups"])
    os.setresgid(request["gid"], request["gid"], request["gid"])
    os.setresuid(request["uid"], request["uid"], request["uid"])  # any but root loses all capabilities by this
    if not request["privileged"]:
        _set(kept if request["uid"] == 0 else set())
    if request["no_new_privileges"]:
        _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _set(kept: set[int]) -> None:
    """Permitted and effective; nothing is inheritable, as runtimes have it since 2022."""
    mask = sum(1 << number for number in kept)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("=Ii", _VERSION_3, 0)
    _check(_libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)), "capset")


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 64).decode()
    finally:
        os.close(fd)
