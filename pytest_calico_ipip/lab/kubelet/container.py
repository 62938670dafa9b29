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

from pytest_calico_ipip.lab.kubelet import syscalls
from pytest_calico_ipip.lab.kubelet.programs import spawn

_STATUS_BASE = 128  # a shell's way to say "ended by signal n"
_OWN_PID = "/proc/self/ns/pid"
_QUIET = syscalls.MS_NOSUID | syscalls.MS_NODEV
# files of /etc may be links to here: nc is one by way of /etc/alternatives
_BEHIND = "/run/calico-ipip-lab/behind"


class StartFailed(Exception):
    """The process did not start."""


def start(request: Mapping[str, Any], fds: Sequence[int]) -> int:
    """The container's main process, in new PID, mount and UTS namespaces; returns the pid of its init, our child."""

    def enter() -> None:
        own_network = bool(request["netns"])
        if own_network:
            syscalls.setns(f"/run/netns/{request['netns']}")
        syscalls.unshare(syscalls.CLONE_NEWNS | (syscalls.CLONE_NEWUTS if own_network else 0))
        _mounts(request)
        if own_network:
            socket.sethostname(request["hostname"])

    return _spawn(request, fds, lambda: syscalls.unshare(syscalls.CLONE_NEWPID), enter, _be_init)


def execute(request: Mapping[str, Any], fds: Sequence[int], init: int | None) -> int:
    """One more process beside the container's init (None: in the node itself); returns the pid of its watcher."""

    def new_pids() -> None:
        if init is not None:
            syscalls.setns(f"/proc/{init}/ns/pid")

    def enter() -> None:
        if init is not None:
            syscalls.setns_all(init, ("net", "uts", "mnt"))
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
    syscalls.name("lab-init")
    _wait_for(program)


def _be_watcher(program: int) -> NoReturn:
    """Stay while the program runs, then end as it did; what it leaves behind goes to the container's init."""
    syscalls.name("lab-exec")
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


def _mounts(request: Mapping[str, Any]) -> None:
    """The container's view: the machine's files, but its own /proc, /tmp, /run and name files."""
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    _forget_namespaces()
    behind = os.open(_BEHIND, os.O_PATH | os.O_CLOEXEC) if os.access(_BEHIND, os.F_OK) else -1
    syscalls.mount("tmpfs", "/run", "tmpfs", _QUIET, "size=4m,mode=755")
    syscalls.mount("tmpfs", "/tmp", "tmpfs", _QUIET, "size=64m,mode=1777")  # noqa: S108
    syscalls.mount("proc", "/proc", "proc", _QUIET | syscalls.MS_NOEXEC)
    if behind >= 0:
        os.makedirs(_BEHIND)  # noqa: PTH103
        syscalls.mount(f"/proc/self/fd/{behind}", _BEHIND, None, syscalls.MS_BIND | syscalls.MS_REC)
        os.close(behind)
    if request["netns"]:
        with suppress(PermissionError):  # where sysfs may not be mounted, /sys/class/net shows the node's interfaces
            syscalls.mount("sysfs", "/sys", "sysfs", _QUIET | syscalls.MS_NOEXEC | syscalls.MS_RDONLY)
    for name, text in request["files"].items():
        source = f"/run/{name}"
        _create(source, text)
        target = os.path.realpath(f"/etc/{name}")  # resolv.conf is often a link into /run, which is new and empty
        if target.startswith("/run/") and not os.access(target, os.F_OK):
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
            _create(target, "")
        if os.access(target, os.F_OK):
            syscalls.mount(source, target, None, syscalls.MS_BIND)


def _create(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.write(fd, text.encode())
    os.close(fd)


def _forget_namespaces() -> None:
    """Drop our copies of the node's named namespaces, or a deleted pod's would live as long as this one."""
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:  # noqa: PTH123
        points = [line.split(" ", 5)[4] for line in lines if " /run/netns" in line]
    for point in sorted((point for point in points if point.startswith("/run/netns")), reverse=True):
        with suppress(OSError):
            syscalls.detach(point)


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
