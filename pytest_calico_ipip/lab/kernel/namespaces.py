"""Private namespaces of the running kernel, in which a lab is built: the one path that every lab takes.

Three processes: the one that asked waits; its child is PID 1 of the new PID namespace, collects orphans, and takes
everything with it when it ends; the grandchild is the lab.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from . import syscalls
from .job import Window
from .paths import PRIVATE, STATE, TEMPORARY, is_private

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_FLAGS = (
    syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
)


def start_in_namespaces(lab: Callable[[], int], windows: Sequence[Window]) -> int:
    """Run `lab` as root of private mount, network, PID, UTS and IPC namespaces; does not wait for it.

    The process id of the namespaces' PID 1. A signal sent to it reaches the lab.
    """
    syscalls.unshare(_FLAGS)
    child = os.fork()
    if child == 0:
        end_with(lambda: _first_process(lab, windows))
    return child


def wait_in_namespaces(child: int) -> int:
    """Pass signals on to the lab until it has ended."""

    def forward(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in FORWARDED:
        signal.signal(number, forward)
    _, status = os.waitpid(child, 0)
    return exit_status(status)


def exit_status(wait_status: int) -> int:
    """A wait status as a shell tells it: the exit code, or 128 + the signal's number."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def end_with(main: Callable[[], int]) -> None:
    status = 125
    try:
        status = main()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _first_process(lab: Callable[[], int], windows: Sequence[Window]) -> int:
    syscalls.die_with_parent(signal.SIGKILL)
    _private_files(windows)
    syscalls.bring_up("lo")
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # none is lost before there is somebody to pass it on to
    child = os.fork()
    if child == 0:
        for number in FORWARDED:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        end_with(lab)

    def forward(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in FORWARDED:
        signal.signal(number, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    while True:  # collects what its parents left behind, too
        ended, status = os.wait()
        if ended == child:
            return exit_status(status)


def _private_files(windows: Sequence[Window]) -> None:
    """A mount view with the lab's own /proc, /sys and temporary directories, and the windows in them."""
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    behind = [(window, os.open(window.real, os.O_PATH | os.O_CLOEXEC)) for window in windows if _is_hidden(window)]
    for path in PRIVATE:
        if Path(path).is_dir():
            syscalls.mount("tmpfs", path, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, _tmpfs_mode(path))
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    syscalls.mount("sysfs", "/sys", "sysfs", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    for window, descriptor in behind:
        for path in {window.real, window.path}:
            if is_private(path):
                Path(path).mkdir(parents=True, exist_ok=True)
                syscalls.mount(f"/proc/self/fd/{descriptor}", path, None, syscalls.MS_BIND)
        os.close(descriptor)
    STATE.mkdir(mode=0o755)
    TEMPORARY.mkdir(exist_ok=True)  # there where a window is below it
    TEMPORARY.chmod(0o1777)


def _is_hidden(window: Window) -> bool:
    return is_private(window.real) or is_private(window.path)


def _tmpfs_mode(path: str) -> str:
    return "mode=0755" if path == "/run" else "mode=1777"
