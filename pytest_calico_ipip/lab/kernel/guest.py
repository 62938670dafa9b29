"""PID 1 of a User-Mode Linux guest: makes a small system of it, runs the lab there, and powers off.

The consoles are the guest's only wires to the machine (`uml` holds the other ends): tty0 carries standard input in as
frames and standard output out, tty1 standard error out, tty2 signals in and events out, tty3 the lab's log out.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import resource
import select
import shlex
import socket
import struct
import subprocess
import sys
import termios
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .. import inside
from . import frames, namespaces, reserve, syscalls
from .job import Job, Window
from .paths import PRIVATE, is_private

LOG_CONSOLE = "/dev/tty3"
_MODULE_ROOT = Path("/run/m")
_HELPER = Path("/run/modprobe")


@dataclass(frozen=True)
class Boot:
    """What the machine tells its guest."""

    job_file: str
    modules: str  # the directory that holds one directory of modules a release
    terminals: tuple[bool, bool, bool]  # which of the user's three streams are a terminal
    rows: int
    columns: int
    hostname: str
    megabytes: int  # of memory, all in all
    reserve: int  # of them, those that are kept free until processes need them
    seed: str  # random bytes, base64


def main(boot: Boot) -> None:
    """Run the lab of `boot` and end this kernel. A traceback goes to the kernel's log."""
    try:
        control = _console(2, os.O_RDWR)
        job = _make_system(boot)
        if boot.reserve:
            reserve.keep_free(boot.reserve, boot.megabytes)
        status = _Streams(boot, control).carry(lambda started: inside.run(job, Path(LOG_CONSOLE), started))
        os.sync()
        os.write(control, b"status %d\n" % status)
        termios.tcdrain(control)
    finally:
        sys.stderr.flush()
        syscalls.power_off()


def _console(number: int, flags: int) -> int:
    descriptor = os.open(f"/dev/tty{number}", flags | os.O_NOCTTY | os.O_CLOEXEC)
    tty.setraw(descriptor)
    return descriptor


def _make_system(boot: Boot) -> Job:
    plain = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("proc", "/proc", "proc", plain | syscalls.MS_NOEXEC)
    syscalls.mount("sysfs", "/sys", "sysfs", plain | syscalls.MS_NOEXEC)
    for directory in ("/dev/pts", "/dev/shm"):  # noqa: S108
        Path(directory).mkdir(exist_ok=True)
    syscalls.mount("devpts", "/dev/pts", "devpts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, "mode=620,ptmxmode=666")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        Path("/dev", name).symlink_to(f"/proc/self/fd{target}")
    job = Job.read(Path(boot.job_file))  # before its directory is hidden
    for path in PRIVATE:
        if Path(path).is_dir():
            syscalls.mount("tmpfs", path, "tmpfs", plain, "mode=1777")
    for window in job.windows:  # before anything else: this program may live in one
        _open_window(window)
    socket.sethostname(boot.hostname)
    syscalls.add_entropy(base64.b64decode(boot.seed))
    resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536))
    _make_room_for_neighbours()
    _load_modules(boot.modules)
    return job


def _make_room_for_neighbours() -> None:
    """All namespaces share one neighbour table, and every node has every other in it: 1024, the default, is few."""
    for name, entries in (("gc_thresh3", 65536), ("gc_thresh2", 32768), ("gc_thresh1", 16384)):
        Path("/proc/sys/net/ipv4/neigh/default", name).write_text(str(entries))


def _load_modules(modules: str) -> None:
    """Load the ones that every lab needs, and let the kernel load others by itself when they are first used."""
    (_MODULE_ROOT / "lib").mkdir(parents=True)
    (_MODULE_ROOT / "lib/modules").symlink_to(modules)
    _HELPER.write_text(f'#!/bin/sh\nexec modprobe -d {shlex.quote(str(_MODULE_ROOT))} "$@"\n')
    _HELPER.chmod(0o755)
    Path("/proc/sys/kernel/modprobe").write_text(str(_HELPER))
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    from ..topology.modules import MODULES

    subprocess.run(["modprobe", "-d", str(_MODULE_ROOT), "-a", *MODULES], check=True)


def _open_window(window: Window) -> None:
    flags = 0 if window.writable else syscalls.MS_RDONLY
    for path in {window.real, window.path}:
        if is_private(path):
            Path(path).mkdir(parents=True, exist_ok=True)
        elif path != window.real or not window.writable:
            continue  # the guest's root shows it already
        syscalls.mount("none", path, "hostfs", flags, window.real)


@dataclass
class _Outlet:
    """Bytes on their way from a pipe or terminal of the command's to a console."""

    source: int
    console: int
    pending: bytes = b""
    ended: bool = False

    def pump(self) -> None:
        """Take what there is and hand on what goes; both ends are non-blocking."""
        if not self.pending and not self.ended:
            try:
                self.pending = os.read(self.source, 4096)
                self.ended = not self.pending
            except BlockingIOError:
                pass
            except OSError:  # EIO: the last process has left the terminal
                self.ended = True
        if self.pending:
            with contextlib.suppress(BlockingIOError):
                self.pending = self.pending[os.write(self.console, self.pending) :]

    def close(self) -> None:
        """Nobody reads it: whoever writes gets SIGPIPE."""
        if not self.ended:
            os.close(self.source)
        self.pending, self.ended = b"", True


@dataclass
class _Streams:
    """The command's three streams, made like the user's (terminal or pipe), and carried over the consoles."""

    boot: Boot
    control: int
    outlets: dict[int, _Outlet] = field(default_factory=dict)
    terminal: int | None = None  # the master's side
    inlet: int | None = None  # where standard input goes
    input_pending: bytearray = field(default_factory=bytearray)
    input_ended: bool = False

    def carry(self, lab: Callable[[int], int]) -> int:
        """Run `lab` with the streams; it is given the descriptor to write to when the command starts."""
        console_in_out = _console(0, os.O_RDWR | os.O_NONBLOCK)
        console_error = _console(1, os.O_WRONLY | os.O_NONBLOCK)
        _console(3, os.O_WRONLY)  # stays open, and raw
        ends = self._make_ends(console_in_out, console_error)
        started, tell_started = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(started)
            namespaces.end_with(lambda: self._lab(lab, ends, tell_started))
        os.close(tell_started)
        for end in set(ends):
            os.close(end)
        return self._until_ended(child, console_in_out, started)

    def _make_ends(self, console_in_out: int, console_error: int) -> tuple[int, int, int]:
        """The lab's ends of the streams."""
        slave: int | None = None
        if any(self.boot.terminals):
            self.terminal, slave = os.openpty()
            os.set_blocking(self.terminal, False)
            self.resize(self.boot.rows, self.boot.columns)
            shown = console_in_out if self.boot.terminals[1] else console_error
            self.outlets[1 if self.boot.terminals[1] else 2] = _Outlet(self.terminal, shown)
        ends = []
        if self.boot.terminals[0] and slave is not None:
            self.inlet = self.terminal
            ends.append(slave)
        else:
            reading, self.inlet = os.pipe()
            os.set_blocking(self.inlet, False)
            ends.append(reading)
        for number, console in ((1, console_in_out), (2, console_error)):
            if self.boot.terminals[number] and slave is not None:
                ends.append(slave)
            else:
                reading, writing = os.pipe()
                os.set_blocking(reading, False)
                self.outlets[number] = _Outlet(reading, console)
                ends.append(writing)
        if slave is not None and slave not in ends:
            os.close(slave)
        return ends[0], ends[1], ends[2]

    def _lab(self, lab: Callable[[int], int], ends: tuple[int, int, int], tell_started: int) -> int:
        os.setsid()
        if self.terminal is not None:
            slave = next(end for end, terminal in zip(ends, self.boot.terminals, strict=True) if terminal)
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for number, end in enumerate(ends):
            os.dup2(end, number)
        sources = [outlet.source for outlet in self.outlets.values()]
        for descriptor in (self.inlet, self.terminal, *sources, *ends):
            if descriptor is not None and descriptor > 2:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        return lab(tell_started)

    def _until_ended(self, child: int, console: int, started: int) -> int:
        stdin, orders = frames.Frames(), frames.Frames()
        watch = os.pidfd_open(child)
        os.set_blocking(self.control, False)
        status: int | None = None
        while status is None or not all(outlet.ended and not outlet.pending for outlet in self.outlets.values()):
            ready = self._wait(console, started, watch if status is None else None)
            if watch in ready and status is None:
                status = namespaces.exit_status(os.waitpid(child, 0)[1])
            if started in ready:
                if os.read(started, 1):
                    os.write(self.control, b"started\n")
                os.close(started)
                started = -1
            if ready.get(self.control, 0) & select.POLLIN:
                for kind, payload in orders.feed(os.read(self.control, 4096)):
                    self._obey(kind, payload, child if status is None else None)
            if ready.get(console, 0) & select.POLLIN and len(self.input_pending) < 2 * frames.MOST:
                for _, payload in stdin.feed(os.read(console, 4096)):
                    self.input_pending += payload
                    self.input_ended = not payload
            self._feed_input()
            for outlet in self.outlets.values():
                if not outlet.ended or outlet.pending:
                    outlet.pump()
        termios.tcdrain(console)
        os.set_blocking(self.control, True)
        return status

    def _wait(self, console: int, started: int, watch: int | None) -> dict[int, int]:
        """Wait for anything to do; the events of each descriptor that has some."""
        events: dict[int, int] = {self.control: select.POLLIN}
        if watch is not None:
            events[watch] = select.POLLIN
            if len(self.input_pending) < frames.MOST and not self.input_ended:
                events[console] = select.POLLIN
        if started >= 0:
            events[started] = select.POLLIN
        if self.inlet is not None and self.input_pending:
            events[self.inlet] = select.POLLOUT
        for outlet in self.outlets.values():
            if outlet.pending:
                events[outlet.console] = events.get(outlet.console, 0) | select.POLLOUT
            elif not outlet.ended:
                events[outlet.source] = events.get(outlet.source, 0) | select.POLLIN
        poll = select.poll()
        for descriptor, wanted in events.items():
            poll.register(descriptor, wanted)
        return dict(poll.poll())

    def _feed_input(self) -> None:
        if self.inlet is None:
            self.input_pending.clear()
            return
        try:
            if self.input_pending:
                del self.input_pending[: os.write(self.inlet, self.input_pending)]
            if self.input_ended and not self.input_pending:
                self._close_input()
        except BlockingIOError:
            pass
        except OSError:  # EPIPE: the command reads no more
            self._close_input()

    def _close_input(self) -> None:
        """The end of a pipe; a terminal only ends when it hangs up."""
        if self.inlet is not None and self.inlet == self.terminal:
            self._hang_up()
        elif self.inlet is not None:
            os.close(self.inlet)
        self.inlet = None

    def _hang_up(self) -> None:
        """Take the terminal away: whoever uses it gets SIGHUP."""
        for outlet in self.outlets.values():
            if outlet.source == self.terminal:
                outlet.close()
        if self.inlet == self.terminal:
            self.inlet = None
        self.terminal = None

    def _obey(self, kind: bytes, payload: bytes, child: int | None) -> None:
        if kind == frames.SIGNAL and child is not None:
            os.kill(child, payload[0])
        elif kind == frames.WINDOW:
            self.resize(*struct.unpack(">HH", payload))
        elif kind == frames.CLOSED and payload[0] in self.outlets:
            if self.outlets[payload[0]].source == self.terminal:
                self._hang_up()
            else:
                self.outlets[payload[0]].close()

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal a size, as far as there is one."""
        if self.terminal is not None:
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
