"""The system calls that Python 3.10 has no name for: mount, unshare, prctl, reboot, and an interface brought up.

Each saves a process: in User-Mode Linux a fork and exec costs 8 ms, and a lab's start has dozens of these.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_PR_SET_PDEATHSIG = 1
_ADDR_NO_RANDOMIZE = 0x0040000
_RB_POWER_OFF = 0x4321FEDC
_RNDADDENTROPY = 0x40085203
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """Mount a file system; `OSError` names source and target."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        None if data is None else os.fsencode(data),
    )
    _checked(result, f"mount {kind or 'bind'} {source} on {target}")


def unshare(flags: int) -> None:
    """Give this process (or its next child: PID) namespaces of its own."""
    _checked(_libc.unshare(flags), "unshare")


def die_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process `number` when its parent ends, however that ends."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0), "prctl")


def fix_addresses() -> None:
    """Have the next program of this process loaded at the same addresses every time."""
    if _libc.personality(_ADDR_NO_RANDOMIZE) < 0:
        _checked(-1, "personality")


def power_off() -> None:
    """End this (guest) kernel."""
    _checked(_libc.reboot(_RB_POWER_OFF), "reboot")


def add_entropy(seed: bytes) -> None:
    """Tell this (guest) kernel random bytes that the machine vouches for, so that making keys need not wait."""
    request = struct.pack("ii", len(seed) * 8, len(seed)) + seed
    with open("/dev/random", "wb", buffering=0) as device:  # noqa: PTH123
        fcntl.ioctl(device, _RNDADDENTROPY, request)


def bring_up(interface: str) -> None:
    """`ip link set INTERFACE up` in this network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh", interface.encode(), 0).ljust(40, b"\0")
        (flags,) = struct.unpack_from("16xh", fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh", interface.encode(), flags | _IFF_UP).ljust(40, b"\0"))
