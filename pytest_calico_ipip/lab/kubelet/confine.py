"""Giving up power before a container's program starts: user, groups, capabilities. Runs inside the shim's children."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from typing import Any

from pytest_calico_ipip.lab.kubelet.syscalls import check, libc, read

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_VERSION_3 = 0x20080522  # of capset's two 32-bit words


def confine(request: Mapping[str, Any]) -> None:
    """Become what `security.Confinement` says, for good. Raises `OSError`."""
    kept = set(request["capabilities"])
    if not request["privileged"]:
        last = int(read("/proc/sys/kernel/cap_last_cap"))
        kept &= set(range(last + 1))
        for number in set(range(last + 1)) - kept:
            check(libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), f"drop capability {number}")
    os.setgroups(request["groups"])
    os.setresgid(request["gid"], request["gid"], request["gid"])
    os.setresuid(request["uid"], request["uid"], request["uid"])  # any but root loses all capabilities by this
    if not request["privileged"]:
        _set(kept if request["uid"] == 0 else set())
    if request["no_new_privileges"]:
        check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _set(kept: set[int]) -> None:
    """Permitted and effective; nothing is inheritable, as runtimes have it since 2022."""
    mask = sum(1 << number for number in kept)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("=Ii", _VERSION_3, 0)
    check(libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)), "capset")
