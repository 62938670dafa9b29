"""Connections to the nodes: testinfra over ssh, all commands of a node through one connection of ours.

The connection (a master in ssh's words) is a child process with a pipe as its stdin: it ends when we end it, and also
when we are killed. Its socket lies in a private directory that is removed at the end.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pytest_calico_ipip import remote, temporary
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.nodes.refusals import refusal
from pytest_calico_ipip.remote import Answer
from pytest_calico_ipip.settings import Settings

CONNECT_SECONDS = 10
LOGIN_SECONDS = 30.0  # until the node has logged us in: slow PAM modules exist
GRACE = 15.0  # seconds that the local end waits longer than the remote `timeout`


class Ending(Enum):
    """How the reading of an answer ended."""

    WHOLE = "its end mark came"
    CLOSED = "the other side closed"
    LATE = "time was up"


@dataclass
class Connection:
    """One node, reached as root. Implements `remote.Remote`; safe for several threads.

    The master's own session is the shell that `ask` talks to; `run` opens a session of its own each time.
    """

    node: str
    host: str  # what ssh is given: the node's name, or its address
    settings: Settings
    socket: Path
    log: IO[bytes]  # the master's stderr
    _master: subprocess.Popen[bytes] | None = None
    _testinfra: Any = None
    _talking: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    way = "ssh"

    @property
    def missing_tcpdump(self) -> str:
        """See `remote.Remote`."""
        return f"{self.node} has no tcpdump: install it there, or use --ipip-node-access pod"

    def login(self) -> None:
        """Log in and see that we are root there. Raises `SetupProblem` with the remedy."""
        s = self.settings
        sudo = "sudo -n " if s.ssh_sudo else ""
        shell = f"exec {sudo}timeout -k 5 {round(s.longest)} /bin/sh -s"
        self._master = subprocess.Popen(
            ["ssh", *self._options(master=True), "--", self.host, shell],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            start_new_session=True,  # Ctrl-C is ours to answer, in order
        )
        if self._closed:  # by another thread, while this one was on its way
            self.close()
        answer = self.ask('echo; echo "uid $(id -u)"', LOGIN_SECONDS)
        if answer.failed_to_run:
            raise refusal(self.node, self.host, answer)
        uid = answer.stdout.decode("ascii", "replace").rpartition("uid ")[2].strip()
        if uid != "0":
            self.close()
            raise SetupProblem(
                f"ssh to {self.node} ({self.host}): logged in as user id {uid}, not as root",
                "Add --ipip-ssh-sudo (with sudo that needs no password), or log in with --ipip-ssh-user root.",
            )
        from pytest_calico_ipip.nodes import bounded_ssh  # testinfra loads only where a node is reached

        options = " ".join(map(shlex.quote, self._options(master=False)))
        self._testinfra = bounded_ssh.host(self.host, options, CONNECT_SECONDS)

    def wrap(self, script: str, seconds: float) -> str:
        """See `remote.Remote`."""
        return remote.wrap(script, seconds, sudo=self.settings.ssh_sudo)

    def run(self, command: str, timeout: float) -> Answer:
        """See `remote.Remote`."""
        if not self.alive:
            return Answer(255, b"", f"the connection to {self.node} is closed".encode())
        # testinfra's run knows no time-out: cutting the connection ends every session on it
        guard = threading.Timer(timeout + GRACE, self.close)
        guard.daemon = True
        guard.start()
        from pytest_calico_ipip.nodes.bounded_ssh import TooMuch

        try:
            result = self._testinfra.run(command)
        except TooMuch:
            self.close()  # which ends the command on the node, too
            return Answer(255, b"", f"{self.node} said more than one answer may hold".encode())
        except RuntimeError as error:  # how testinfra tells ssh's own 255
            failed = error.args[0] if error.args else None
            return Answer(255, getattr(failed, "stdout_bytes", b""), getattr(failed, "stderr_bytes", b""))
        finally:
            guard.cancel()
        return Answer(result.rc, result.stdout_bytes, result.stderr_bytes)

    def ask(self, script: str, timeout: float) -> Answer:
        """See `remote.Remote`."""
        end = f"=== {secrets.token_hex(8)} ==="
        with self._talking:
            master = self._master
            # one that ended by itself is asked all the same: why it ended is in its log
            if master is None or master.stdin is None or master.stdout is None or self._closed:
                return Answer(255, b"", f"the connection to {self.node} is closed".encode())
            said, ending = b"", Ending.CLOSED
            try:
                master.stdin.write(f"{script}\necho; echo '{end}'\n".encode())
                master.stdin.flush()
                said, ending = _read_until(master.stdout, f"\n{end}\n".encode(), timeout)
            except (OSError, ValueError):
                pass  # it has ended, or another thread has closed the connection
            if ending is Ending.WHOLE:
                return Answer(0, said)
            if ending is Ending.CLOSED:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    master.wait(2)  # so that its last words are in the log
        self.close()
        words = b""
        with contextlib.suppress(ValueError):  # another thread has ended everything
            self.log.seek(0)
            words = self.log.read(65536)
        if ending is Ending.LATE:
            words += f"\nssh timed out: no answer from {self.node} within {timeout:.0f} s".encode()
        return Answer(255, said, words or b"the connection ended without a word")

    @property
    def alive(self) -> bool:
        """Whether the connection still stands."""
        return self._master is not None and self._master.poll() is None

    def close(self) -> None:
        """End the connection and every session on it. Safe to call twice and from any thread."""
        self._closed = True
        master = self._master
        if master is None:
            return
        if master.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                master.stdin.close()
        if master.poll() is None:
            master.terminate()
            try:
                master.wait(3)
            except subprocess.TimeoutExpired:
                master.kill()
                master.wait(3)

    def _options(self, *, master: bool) -> list[str]:
        s = self.settings
        options = ["-F", str(s.ssh_config)] if s.ssh_config else []
        if s.ssh_user:
            options += ["-o", f"User={s.ssh_user}"]
        if s.ssh_port:
            options += ["-o", f"Port={s.ssh_port}"]
        if s.ssh_identity:
            options += ["-i", str(s.ssh_identity)]
        fixed = {
            "BatchMode": "yes",
            "ConnectTimeout": str(CONNECT_SECONDS),
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "3",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "ControlPath": str(self.socket),
            "ControlMaster": "yes" if master else "no",
            "ControlPersist": "no",
            "RequestTTY": "no",
            "RemoteCommand": "none",
            "LogLevel": "INFO" if master else "ERROR",
        }
        for name, value in fixed.items():
            options += ["-o", f"{name}={value}"]
        return options


@dataclass
class Connections:
    """All nodes' connections. As a context: leaving it closes them and removes their sockets."""

    settings: Settings
    open: dict[str, Connection] = field(default_factory=dict)
    refused: dict[str, SetupProblem] = field(default_factory=dict)
    _held: temporary.Held | None = None
    _all: list[Connection] = field(default_factory=list)
    _beginning: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    def __enter__(self) -> Connections:
        self._held = temporary.make("ssh")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self, addresses: Mapping[str, str | None]) -> None:
        """Log in to every node (name → InternalIP) in parallel; who refuses is in `refused` with the reason."""
        if shutil.which("ssh") is None:
            problem = SetupProblem("This machine has no ssh", "Install the OpenSSH client (openssh-client).")
            self.refused.update(dict.fromkeys(addresses, problem))
            return
        with ThreadPoolExecutor(16) as threads:
            waiting = {
                node: threads.submit(self._login, number, node, address)
                for number, (node, address) in enumerate(addresses.items())
            }
            for node, future in waiting.items():
                try:
                    self.open[node] = future.result()
                except SetupProblem as problem:
                    self.refused[node] = problem

    def close(self) -> None:
        """End every connection, and let none begin any more: an interrupt comes while others log in."""
        with self._beginning:
            self._closed = True
        for connection in self._all:
            connection.close()
            connection.log.close()
        if self._held is not None:
            self._held.remove()

    def _login(self, number: int, node: str, address: str | None) -> Connection:
        assert self._held is not None
        directory = self._held.path
        host = host_for(node, address, self.settings.ssh_config)
        with self._beginning:
            if self._closed:
                raise SetupProblem(f"ssh to {node}: the run was ended before it began", "Run it again.")
            log = (directory / f"{number}.log").open("w+b")
            connection = Connection(node, host, self.settings, directory / str(number), log)
            self._all.append(connection)
        connection.login()
        return connection


def host_for(node: str, address: str | None, config: Path | None) -> str:
    """What ssh is given: the node's name where the ssh config has a HostName for it, else the node's address."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if _plainly_named(node, (config or Path("~/.ssh/config").expanduser()).read_text(encoding="utf-8")):
            return node  # what follows would say so too, for the price of a process
    options = ["-F", str(config)] if config else []
    try:
        told = subprocess.run(
            ["ssh", *options, "-G", "--", node], capture_output=True, timeout=20, check=False, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        told = b""
    for line in told.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(" ")
        if key == "hostname" and value != node:
            return node
    return address or node


def _plainly_named(node: str, config: str) -> bool:
    """Whether an ssh config has a block for exactly this name, among others, that has a HostName."""
    inside = False
    for line in config.splitlines():
        words = line.replace("=", " ", 1).split()
        key = words[0].lower() if words else ""
        if key in ("host", "match"):
            inside = key == "host" and node in words[1:] and not any(word.startswith("!") for word in words)
        elif key == "hostname" and inside:
            return True
    return False


def _read_until(pipe: IO[bytes], end: bytes, seconds: float) -> tuple[bytes, Ending]:
    """What comes before `end`, and how the reading ended; more than an answer may have counts as no end."""
    deadline = time.monotonic() + seconds
    said = bytearray()
    while len(said) <= remote.LIMIT:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            break
        piece = os.read(pipe.fileno(), 1 << 20)
        if not piece:
            return bytes(said), Ending.CLOSED
        said += piece
        if said.endswith(end):
            return bytes(said[: -len(end)]), Ending.WHOLE
    return bytes(said), Ending.LATE
