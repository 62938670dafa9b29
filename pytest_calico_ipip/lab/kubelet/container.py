"""Processes of containers: the main one under a tiny init in its own namespaces, and further ones beside it.

Runs inside the shim.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import termios
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from pytest_calico_ipip.lab.kubelet import syscalls

_STATUS_BASE = 128  # a shell's way to say "ended by signal n"


class StartFailed(Exception):
    """The process did not start; the text is worded as a container runtime would."""


def start(request: Mapping[str, Any], fds: Sequence[int]) -> int:
    """The container's main process, in new PID, mount and UTS namespaces; returns the pid of its init, our child."""

    def enter() -> None:
        if request["netns"]:
            syscalls.setns(f"/run/netns/{request['netns']}")
        flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID
        syscalls.unshare(flags | syscalls.CLONE_NEWUTS if request["netns"] else flags)

    def prepare() -> None:
        _mounts(request)
        if request["netns"]:
            socket.sethostname(request["hostname"])

    return _spawn(request, fds, enter, prepare, _be_init)


def execute(request: Mapping[str, Any], fds: Sequence[int], init: int | None) -> int:
    """One more process beside the container's init (None: in the node itself); returns the pid of its watcher."""

    def enter() -> None:
        if init is not None:
            syscalls.setns_all(init, ("net", "uts", "pid", "mnt"))
            os.chdir("/")

    return _spawn(request, fds, enter, syscalls.become_subreaper, _be_watcher)


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
    enter: Callable[[], None],
    prepare: Callable[[], None],
    stay: Callable[[int], NoReturn],
) -> int:
    """Fork twice: the first child enters the namespaces, the second is inside them, stays, and starts the program.

    The shim adopts the second child when the first one ends. Its pid and any error come back through one pipe, which
    the program's start closes.
    """
    said, says = os.pipe()
    first = os.fork()
    if first == 0:
        try:
            _plain_signals()
            enter()
            second = os.fork()
            if second:
                os.write(says, b"%d\n" % second)
                os._exit(0)
            prepare()
            program = os.fork()
            if program == 0:
                _exec(request, fds)
            os.closerange(0, 1 << 16)
            stay(program)
        except BaseException as error:
            with suppress(OSError):  # closed when it had started
                os.write(says, f"!{error}\n".encode())
        finally:
            os._exit(1)
    os.close(says)
    os.waitpid(first, 0)
    with os.fdopen(said, encoding="utf-8", errors="replace") as lines:
        answer = lines.read()
    pids = [line for line in answer.splitlines() if line.isdecimal()]
    why = answer.partition("!")[2].strip()
    if why or not pids:
        if pids:
            os.waitpid(int(pids[0]), 0)
        raise StartFailed(why or "the container's init did not start")
    return int(pids[0])


def _exec(request: Mapping[str, Any], fds: Sequence[int]) -> NoReturn:
    argv: list[str] = request["argv"]
    os.setsid()
    if request["tty"]:
        fcntl.ioctl(fds[0], termios.TIOCSCTTY, 0)
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    os.umask(0o022)
    try:
        os.chdir(request["cwd"])
        os.execvpe(argv[0], argv, request["env"])  # noqa: S606  what the pod asks for
    except (FileNotFoundError, NotADirectoryError):
        missing = (
            f"stat {argv[0]}: no such file or directory" if "/" in argv[0] else "executable file not found in $PATH"
        )
        raise StartFailed(f'exec: "{argv[0]}": {missing}') from None
    except PermissionError:
        raise StartFailed(f'exec: "{argv[0]}": permission denied') from None


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
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def _mounts(request: Mapping[str, Any]) -> None:
    """The container's view: the machine's files, but its own /proc, /tmp, /run and name files."""
    quiet = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    _forget_namespaces()
    syscalls.mount("tmpfs", "/run", "tmpfs", quiet, "size=4m,mode=755")
    syscalls.mount("tmpfs", "/tmp", "tmpfs", quiet, "size=64m,mode=1777")  # noqa: S108
    syscalls.mount("proc", "/proc", "proc", quiet | syscalls.MS_NOEXEC)
    if request["netns"]:
        with suppress(PermissionError):  # where sysfs may not be mounted, /sys/class/net shows the node's interfaces
            syscalls.mount("sysfs", "/sys", "sysfs", quiet | syscalls.MS_NOEXEC | syscalls.MS_RDONLY)
    for name, text in request["files"].items():
        source = Path("/run/etc") / name
        source.parent.mkdir(exist_ok=True)
        source.write_text(text, encoding="utf-8")
        target = (Path("/etc") / name).resolve()  # resolv.conf is often a link into /run, which is new and empty
        if not target.exists() and target.is_relative_to("/run"):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        if target.exists():
            syscalls.mount(str(source), str(target), None, syscalls.MS_BIND)


def _forget_namespaces() -> None:
    """Drop our copies of the node's named namespaces, or a deleted pod's would live as long as this one."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    for point in sorted((point for point in points if point.startswith("/run/netns")), reverse=True):
        with suppress(OSError):
            syscalls.detach(point)


def _descendants(root: int) -> list[int]:
    """Living processes below `root`, as this PID namespace numbers them."""
    children: dict[int, list[int]] = {}
    dead: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # ended in between
        pid = int(stat.parent.name)
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
