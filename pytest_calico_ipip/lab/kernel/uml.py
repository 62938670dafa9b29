"""Boots User-Mode Linux, a kernel that is an ordinary process, and carries the user's streams to and from it.

The guest's root is the machine's own file system, read-only; `guest` is its first process.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from ..errors import LabError
from . import frames, syscalls
from .cpu import claim_cpu
from .job import Job
from .memory import Memory, guest_memory
from .namespaces import FORWARDED
from .rundir import RunDirectory

_INSTALL = "Install it: apt-get install user-mode-linux kmod"
_MODULES = Path("/usr/lib/uml/modules")
POWER_OFF_SECONDS = 5.0  # a guest needs a tenth of a second
# the kernel times its RAID routines for 0.9 s, half of its boot; nothing here uses them
_SKIPPED = "initcall_blacklist=raid6_select_algo,calibrate_xor_blocks"


def kernel_binary() -> Path:
    """The guest's kernel; raises `LabError` where there is none."""
    found = os.environ.get("CALICO_IPIP_LAB_UML") or shutil.which("linux.uml") or shutil.which("/usr/bin/linux.uml")
    if not found or not os.access(found, os.X_OK):
        raise LabError("User-Mode Linux is not installed: there is no linux.uml on the PATH.", _INSTALL)
    return Path(found)


def modules_directory(kernel: Path) -> Path:
    """Where that kernel's modules are, also for a package that was only unpacked."""
    for directory in (kernel.resolve().parent.parent / "lib/uml/modules", _MODULES):
        if directory.is_dir():
            return directory
    raise LabError(f"the modules of {kernel} are missing: no {_MODULES}.", _INSTALL)


def run(job: Job, directory: RunDirectory) -> int:
    """Run `job` in a guest: its exit status. Raises `LabError` when the guest did not live to tell one."""
    kernel = kernel_binary()
    memory = guest_memory(job.spec.nodes, job.spec.memory, os.environ)
    claim = claim_cpu()
    try:
        with _Guest(job, directory.path, kernel) as guest:
            status = guest.live(memory, claim.cpu)
    finally:
        claim.release()
    if status is None:
        raise LabError(f"the guest kernel ended (status {guest.ended_with}) before the command had.")
    return status


class _Guest:
    """One guest: its process, and the four wires to it."""

    def __init__(self, job: Job, directory: Path, kernel: Path) -> None:
        self._job = job
        self._directory = directory
        self._kernel = kernel
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None  # ends the guest if this process is killed
        self._terminals = tuple(_is_terminal(number) for number in (0, 1, 2))
        self._saved: list[object] | None = None  # the terminal's settings
        self._stopped_by: int | None = None
        self._started = False
        self._end_by: float | None = None
        self.ended_with: int | None = None

    def __enter__(self) -> _Guest:
        self._pipes = [os.pipe() for _ in range(5)]
        (self._in_guest, self._in), (self._out, self._out_guest), (self._err, self._err_guest) = self._pipes[:3]
        (self._orders_guest, self._orders), (self._events, self._events_guest) = self._pipes[3:]
        for descriptor in (self._in, self._orders):
            os.set_blocking(descriptor, False)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore_terminal()
        self._kill()
        if self._process is not None:
            self._process.wait()
            os.close(self._watch)
        if self._watchdog is not None:
            self._watchdog.communicate(b"ended\n")
        for descriptor in (self._in, self._out, self._err, self._orders, self._events):
            os.close(descriptor)

    def live(self, memory: Memory, cpu: int) -> int | None:
        """Boot, and carry the streams until the guest has ended: the status that it told, if it did."""
        with self._signals():
            self._boot(memory, cpu)
            return self._carry()

    def _boot(self, memory: Memory, cpu: int) -> None:
        self._job.write(self._directory / "job.json")
        init = self._directory / "init.py"
        init.write_text(self._init(memory), encoding="utf-8", errors="surrogateescape")
        log = os.open(self._directory / "kernel.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        lab_log = os.open(self._directory / "lab.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        argv = [
            str(self._kernel),
            f"mem={memory.megabytes}M",
            *("rootfstype=hostfs", "rootflags=/", "ro", "quiet", "loglevel=5", "selinux=0"),
            _SKIPPED,
            *("con=null", f"con0=fd:{self._in_guest},fd:{self._out_guest}", f"con1=null,fd:{self._err_guest}"),
            *(f"con2=fd:{self._orders_guest},fd:{self._events_guest}", f"con3=null,fd:{lab_log}"),
            *("ssl=null", f"ssl0=null,fd:{log}", "console=ttyS0"),
            *("umid=guest", f"uml_dir={self._directory}/"),
            *(f'init="{sys.executable}"', "--", "-ES", f'"{init}"'),
        ]
        guest_ends = [self._in_guest, self._out_guest, self._err_guest, self._orders_guest, self._events_guest]
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(*guest_ends, log, lab_log),
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(self._directory), "TMPDIR": str(memory.directory)},
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the command; the wrapper hears it and passes it on
            preexec_fn=lambda: _prepare(cpu),
        )
        for descriptor in (*guest_ends, log, lab_log):
            os.close(descriptor)
        self._watch = os.pidfd_open(self._process.pid)
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", f"read -r line || kill -s KILL -- -{self._process.pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        if self._stopped_by is not None:  # a signal came while there was no process yet
            self._kill()

    def _kill(self) -> None:
        """End the guest at once: its kernel, and the helpers that a kernel which is told to end can leave behind."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # it began a session: the group is all of it

    def _init(self, memory: Memory) -> str:
        rows, columns = _terminal_size(self._terminals)
        boot = {
            "job_file": str(self._directory / "job.json"),
            "modules": str(modules_directory(self._kernel)),
            "terminals": self._terminals,
            "rows": rows,
            "columns": columns,
            "hostname": socket.gethostname(),
            "megabytes": memory.megabytes,
            "reserve": memory.reserve,
            "seed": base64.b64encode(os.urandom(64)).decode(),
        }
        path = [str(Path(__file__).resolve().parents[3]), *(entry for entry in sys.path if entry.startswith("/"))]
        return (
            f"import sys\nsys.dont_write_bytecode = True\nsys.path[:] = {path!r}\n"
            f"from pytest_calico_ipip.lab.kernel import guest\nguest.main(guest.Boot(**{boot!r}))\n"
        )

    def _carry(self) -> int | None:
        status: int | None = None
        pending_input = b""
        input_open = True
        events = b""
        dead = False
        sources = {self._out: 1, self._err: 2, self._events: 0}
        while sources:
            poll = select.poll()
            for descriptor in sources:
                poll.register(descriptor, select.POLLIN)
            if pending_input:
                poll.register(self._in, select.POLLOUT)
            elif self._started and input_open and status is None:
                poll.register(0, select.POLLIN)
            if not dead:
                poll.register(self._watch, select.POLLIN)
            if self._overdue(status):
                self._kill()
            for descriptor, _ in poll.poll(None if status is None else 500):
                if descriptor == self._watch:
                    dead = True
                    self._kill()  # what its kernel left would hold the streams open
                elif descriptor == self._in:
                    try:
                        pending_input = pending_input[os.write(self._in, pending_input) :]
                    except BlockingIOError:
                        pass
                    except BrokenPipeError:
                        pending_input, input_open = b"", False
                elif descriptor == 0 and 0 not in sources:
                    data = _read_input()
                    input_open = bool(data)
                    pending_input = frames.frame(frames.DATA, data)
                else:
                    data = os.read(descriptor, 65536)
                    if not data:
                        del sources[descriptor]
                    elif descriptor == self._events:
                        events += data
                        status = self._event(events, status)
                    else:
                        self._show(sources[descriptor], data)
        assert self._process is not None
        self.ended_with = self._process.wait()
        return status if status is not None or self._stopped_by is None else 128 + self._stopped_by

    def _overdue(self, status: int | None) -> bool:
        """Whether a guest that has told its status should have powered off long ago."""
        if status is None:
            return False
        self._end_by = self._end_by or time.monotonic() + POWER_OFF_SECONDS
        return time.monotonic() >= self._end_by

    def _event(self, told: bytes, status: int | None) -> int | None:
        for line in told.split(b"\n")[:-1]:
            word, _, rest = line.partition(b" ")
            if word == b"started" and not self._started:
                self._started = True
                self._make_raw()
            elif word == b"status":
                status = int(rest)
        return status

    def _show(self, number: int, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(number, data) :]
        except OSError:  # the reader has gone (EPIPE), or the terminal (EIO)
            self._order(frames.CLOSED, bytes([number]))

    def _order(self, kind: bytes, payload: bytes) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._orders, frames.frame(kind, payload))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def forward(number: int, _frame: FrameType | None) -> None:
            if not self._started:
                # not asked to end: a kernel in the middle of its boot can miss that, and there is nothing to lose yet
                self._stopped_by = number
                self._kill()
                return
            self._order(frames.SIGNAL, bytes([number]))

        def resized(_number: int, _frame: FrameType | None) -> None:
            self._order(frames.WINDOW, struct.pack(">HH", *_terminal_size(self._terminals)))

        before = {number: signal.signal(number, forward) for number in FORWARDED}
        before[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, resized)
        before[signal.SIGPIPE] = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _make_raw(self) -> None:
        """From now on every key belongs to the command, Ctrl-C too: its terminal is in the guest."""
        if self._terminals[0]:
            self._saved = termios.tcgetattr(0)
            tty.setraw(0, termios.TCSADRAIN)  # what was typed during the boot is the command's, too

    def _restore_terminal(self) -> None:
        if self._saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]
            self._saved = None


def _prepare(cpu: int) -> None:
    syscalls.die_with_parent(signal.SIGTERM)
    os.sched_setaffinity(0, {cpu})
    syscalls.fix_addresses()


def _read_input() -> bytes:
    try:
        return os.read(0, frames.MOST)
    except OSError:  # closed, or a terminal that is gone
        return b""


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False


def _terminal_size(terminals: tuple[bool, ...]) -> tuple[int, int]:
    for number, terminal in enumerate(terminals):
        if terminal:
            with contextlib.suppress(OSError):
                rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(number, termios.TIOCGWINSZ, b"\0" * 8))
                return rows or 24, columns or 80
    return 24, 80
