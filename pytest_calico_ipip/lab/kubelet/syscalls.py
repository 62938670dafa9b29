"""The system calls for namespaces and mounts that Python's `os` lacks on 3.10."""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
_MNT_DETACH = 2

# numbers that all architectures share, as the system calls of the last years have
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC, _MOVE_MOUNT_F_EMPTY_PATH = 1, os.O_CLOEXEC, 4
_MOUNT_ATTR_RDONLY = 1

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise `OSError` with the kernel's reason where a call of `libc` did not answer 0."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def setns(path: str) -> None:
    """Enter the namespace that a file of /proc/PID/ns, or a bind mount of one, names."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns_fd(fd, path)
    finally:
        os.close(fd)


def setns_fd(fd: int, what: str) -> None:
    """Enter the namespace that a descriptor is open on; `what` is for the error."""
    check(libc.setns(fd, 0), f"setns {what}")


def setns_all(pid: int, kinds: tuple[str, ...]) -> None:
    """Enter several namespaces of a process; the files are opened first, since /proc changes on the way."""
    fds = [(kind, os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)) for kind in kinds]
    for kind, fd in fds:
        setns_fd(fd, f"{kind} of {pid}")
        os.close(fd)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    check(libc.unshare(flags), "unshare")


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, options: str | None = None) -> None:
    """Mount a file system, bind a path, or change propagation, as the system call does."""
    arguments = [None if text is None else text.encode() for text in (source, target, kind, options)]
    result = libc.mount(arguments[0], arguments[1], arguments[2], ctypes.c_ulong(flags), arguments[3])
    check(result, f"mount {kind or source or ''} {target}")


def detach(target: str) -> None:
    """Unmount what is at `target` and below, at once, even when it is in use."""
    check(libc.umount2(target.encode(), _MNT_DETACH), f"umount {target}")


def clone_tree(path: str) -> int:
    """A descriptor of a copy of the mounts at `path` and below, attached nowhere yet."""
    flags = ctypes.c_uint(_OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE)
    fd: int = libc.syscall(_OPEN_TREE, _AT_FDCWD, path.encode(), flags)
    check(min(fd, 0), f"open_tree {path}")
    return fd


def attach_tree(fd: int, target: str) -> None:
    """Mount what `clone_tree` gave."""
    result = libc.syscall(_MOVE_MOUNT, fd, b"", _AT_FDCWD, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH)
    check(result, f"mount {target}")


def set_read_only(where: str | int, *, read_only: bool = True) -> None:
    """Every mount at a path and below it, or of a tree that is attached nowhere yet."""
    flag = _MOUNT_ATTR_RDONLY
    wanted = struct.pack("=4Q", flag if read_only else 0, 0 if read_only else flag, 0, 0)
    place, path = (where, b"") if isinstance(where, int) else (_AT_FDCWD, where.encode())
    flags = _AT_RECURSIVE | (_AT_EMPTY_PATH if isinstance(where, int) else 0)
    size = ctypes.c_size_t(len(wanted))
    check(libc.syscall(_MOUNT_SETATTR, place, path, ctypes.c_uint(flags), wanted, size), f"mount_setattr {where}")


def pivot_root(directory: str) -> None:
    """Make a mount the root, and let go of the old root and all that was mounted below it."""
    os.chdir(directory)
    check(libc.pivot_root(b".", b"."), f"pivot_root {directory}")
    detach(".")
    os.chdir("/")


def name(text: str) -> None:
    """How `ps` and `top` call this process."""
    check(libc.prctl(_PR_SET_NAME, text.encode(), 0, 0, 0), "prctl")


def become_subreaper() -> None:
    """Adopt orphaned descendants, so that none of them gets away."""
    check(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def read(path: str) -> str:
    """A small file of the kernel's, in one call."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096).decode()
    finally:
        os.close(fd)
