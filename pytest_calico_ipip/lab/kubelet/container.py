"""Processes of containers: the main one under a tiny init in its own namespaces, and further ones beside it.

Runs inside the shim. Each costs one fork, of the process that stays with the program (its init or its watcher).
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from pytest_calico_ipip.lab.kubelet import syscalls, view, volumes
from pytest_calico_ipip.lab.kubelet.confine import confine
from pytest_calico_ipip.lab.kubelet.programs import spawn

_STATUS_BASE = 128  # a shell's way to say "ended by signal n"
_OWN_PID = "/proc/self/ns/pid"


class StartFailed(Exception):
    """The process did not start."""


def start(request: Mapping[str, Any], fds: Sequence[int]) -> int:
    """The container's main process in its own namespaces; returns the pid of its init, our child.

    With `host_pid` it is a process of the node: its init is then a watcher, which `kill_tree` ends.
    """
    volumes.prepare(request["volumes"])

    def new_pids() -> None:
        if not request["host_pid"]:
            syscalls.unshare(syscalls.CLONE_NEWPID)

    def enter() -> None:
        own_network = bool(request["netns"])
        if own_network:
            syscalls.setns(f"/run/netns/{request['netns']}")
        syscalls.unshare(syscalls.CLONE_NEWNS | (syscalls.CLONE_NEWUTS if own_network else 0))
        syscalls.name("lab-init")
        view.build(request)
        if own_network:
            socket.sethostname(request["hostname"])
        if request["host_pid"]:
            syscalls.become_subreaper()

    return _spawn(request, fds, new_pids, enter, _be_init)


def execute(request: Mapping[str, Any], fds: Sequence[int], init: int | None) -> int:
    """One more process beside the container's init (None: in the node itself); returns the pid of its watcher."""

    def new_pids() -> None:
        if init is not None:
            syscalls.setns(f"/proc/{init}/ns/pid")

    def enter() -> None:
        if init is not None:
            syscalls.setns_all(init, ("net", "uts", "mnt"))
        syscalls.name("lab-exec")
        syscalls.become_subreaper()

    return _spawn(request, fds, new_pids, enter, _be_watcher)


def kill_tree(watcher: int) -> None:
    """End everything that a watcher's process has started; it adopts orphans, so all of it is below."""
    with suppress(ProcessLookupError):
        os.kill(watcher, signal.SIGSTOP)  # so that it does not end, and let go of the rest, in between
    for _ in range(100):  # a new generation each round at worst
        living = _descendants(watcher)
        if not living:
            break
        for pid in living:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(watcher, signal.SIGKILL)


def _spawn(
    request: Mapping[str, Any],
    fds: Sequence[int],
    new_pids: Callable[[], None],
    enter: Callable[[], None],
    stay: Callable[[int], NoReturn],
) -> int:
    """Fork into another PID namespace; the child enters the rest, starts the program, and stays with it."""
    said, says = os.pipe()
    own_pids = os.open(_OWN_PID, os.O_RDONLY | os.O_CLOEXEC)
    new_pids()  # concerns children only
    child = os.fork()
    if child == 0:
        try:
            _plain_signals()
            enter()
            os.umask(0o022)
            _go_to(request["cwd"])
            terminal = os.ttyname(fds[0]) if request["tty"] else None
            if request["confinement"] is not None:
                if terminal is not None:
                    os.fchown(fds[0], request["confinement"]["uid"], -1)
                confine(request["confinement"])
            program = spawn(request["argv"], request["env"], fds, terminal)
            os.closerange(0, 1 << 16)
            stay(program)
        except BaseException as error:
            with suppress(OSError):
                os.write(says, str(error).encode())
        finally:
            os._exit(1)
    syscalls.setns_fd(own_pids, "the node's processes")
    os.close(own_pids)
    os.close(says)
    why = os.read(said, 4096).decode(errors="replace")  # until the child has closed its end
    os.close(said)
    if why:
        os.waitpid(child, 0)
        raise StartFailed(why)
    return child


def _go_to(directory: str) -> None:
    try:
        os.chdir(directory)
    except OSError as error:
        why = (error.strerror or "").lower()
        raise StartFailed(f'chdir to cwd ("{directory}") set in config.json failed: {why}') from None


def _be_init(program: int) -> NoReturn:
    """PID 1: reap everything, hand SIGTERM on, end with the main process (and the kernel ends the rest)."""

    def forward(_number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(program, signal.SIGTERM)

    signal.signal(signal.SIGTERM, forward)
    _wait_for(program)


def _be_watcher(program: int) -> NoReturn:
    """Stay while the program runs, then end as it did; what it leaves behind goes to the container's init."""
    _wait_for(program)


def _wait_for(program: int) -> NoReturn:
    while True:
        pid, status = os.wait()
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else _STATUS_BASE - code)


def _plain_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def _descendants(root: int) -> list[int]:
    """Living processes below `root`, as this PID namespace numbers them."""
    children: dict[int, list[int]] = {}
    dead: set[int] = set()
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:  # noqa: PTH123
                state, parent = stat.read().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # ended in between
        pid = int(name)
        children.setdefault(int(parent), []).append(pid)
        if state in "ZX":
            dead.add(pid)
    found: list[int] = []
    rest = [root]
    while rest:
        below = children.get(rest.pop(), [])
        found += below
        rest += below
    return [pid for pid in found if pid not in dead]
