"""The process that enters nodes and starts what runs in pods. Its last argument is a descriptor: the lab's socket.

One program, started once a lab. For each node it forks a copy of itself that lives in that node's namespaces, so that
a pod or an `exec` costs forks of a small process and no further interpreter, and so that a pod's processes belong to
the node's own PID namespace.

Messages are JSON, one a packet, with file descriptors beside it. To the first process: `{"pid": N}` and the node's end
of a socket. To a node's: `{"id", "op", …}`, answered by `{"id", "ok": {…}}` or `{"id", "error": "…"}`;
`{"exited": task, "status": n}` comes unasked. End of file on a socket ends its process, and with it everything that it
started.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pytest_calico_ipip.lab.kubelet import container, sandbox, syscalls, volumes

_LARGEST = 1 << 18
_NODE_NAMESPACES = ("net", "uts", "pid", "mnt")


def main() -> None:
    """Wait for nodes to live in."""
    control = socket.socket(fileno=int(sys.argv[-1]))
    control.set_inheritable(False)
    os.setsid()
    os.chdir("/")
    syscalls.become_subreaper()
    # the kernel reaps the copies: a node's PID namespace only ends when all of its processes are reaped
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()  # what is shared with the copies stays shared
    while True:
        request, fds = _receive(control)
        if request is None:
            break
        _fork_into(request["pid"], socket.socket(fileno=fds[0]), control)
    with suppress(ChildProcessError):
        os.wait()  # until all are gone, and only then this one


def _fork_into(pid: int, link: socket.socket, control: socket.socket) -> None:
    first = os.fork()
    if first:
        link.close()
        with suppress(ChildProcessError):  # reaped by the kernel, but waited for
            os.waitpid(first, 0)
        return
    status = 1
    try:
        control.close()
        syscalls.setns_all(pid, _NODE_NAMESPACES)
        os.chdir("/")
        if os.fork() == 0:
            _Node(link).serve()
        status = 0
    except BaseException as error:
        print(f"shim for node with pid {pid}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


class _Node:
    """The copy that lives in one node."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._tasks: dict[str, int] = {}  # task → pid of its init or watcher
        self._names: dict[int, str] = {}
        self._inits: set[str] = set()  # those that are the first of a PID namespace
        self._beside: dict[str, str] = {}  # an exec's task → its container's
        self._operations: dict[str, Callable[[dict[str, Any], list[int]], dict[str, Any]]] = {
            "hello": lambda _request, _fds: {},
            "sandbox": lambda request, _fds: sandbox.create(request),
            "remove": lambda request, _fds: sandbox.remove(request),
            "forget": lambda request, _fds: volumes.forget(request["uid"]),
            "start": self._start,
            "exec": self._exec,
            "signal": self._signal,
            "kill": self._kill,
        }

    def serve(self) -> None:
        syscalls.become_subreaper()
        syscalls.name("lab-kubelet")
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        poll.register(woken, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if woken in ready:
                with suppress(BlockingIOError):
                    os.read(woken, 4096)
            if self._link.fileno() in ready:
                request, fds = _receive(self._link)
                if request is None:
                    self._end()
                    return
                self._answer(request, fds)
            self._reap()

    def _answer(self, request: dict[str, Any], fds: list[int]) -> None:
        reply: dict[str, Any]
        try:
            reply = {"ok": self._operations[request["op"]](request, fds)}
        except Exception as error:  # the lab is told, whatever it is
            reply = {"error": str(error) or type(error).__name__, "kind": type(error).__name__}
        finally:
            for fd in fds:
                os.close(fd)
        self._send({"id": request["id"], **reply})

    def _start(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        pid = container.start(request, fds)
        if not request["host_pid"]:
            self._inits.add(request["task"])
        return self._remember(request["task"], pid)

    def _exec(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        target = request["target"]
        if target is not None and target not in self._tasks:
            raise container.StartFailed("container not running")
        pid = container.execute(request, fds, None if target is None else self._tasks[target])
        if target is not None:
            self._beside[request["task"]] = target
        return self._remember(request["task"], pid)

    def _remember(self, task: str, pid: int) -> dict[str, Any]:
        self._tasks[task] = pid
        self._names[pid] = task
        return {"pid": pid}

    def _signal(self, request: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
        pid = self._tasks.get(request["task"])
        if pid is not None:
            os.kill(pid, request["signal"])  # not reaped yet, so the number is still its own
        return {}

    def _kill(self, request: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
        task = request["task"]
        pid = self._tasks.get(task)
        if pid is not None:
            if task in self._inits:
                os.kill(pid, signal.SIGKILL)
            else:
                container.kill_tree(pid)
        return {}

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            task = self._names.pop(pid, None)
            if task is None:
                continue  # left behind by a finished exec
            del self._tasks[task]
            self._beside.pop(task, None)
            if task not in self._inits:
                for other in [other for other, its in self._beside.items() if its == task]:
                    container.kill_tree(self._tasks[other])  # no PID namespace has done it
            self._inits.discard(task)
            code = os.waitstatus_to_exitcode(status)
            self._send({"exited": task, "status": code if code >= 0 else 128 - code})

    def _end(self) -> None:
        for task, pid in self._tasks.items():
            if task in self._inits:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            else:
                container.kill_tree(pid)
        os._exit(0)

    def _send(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the lab is gone: end of file follows
            self._link.send(json.dumps(message).encode())


def _receive(link: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    try:
        data, fds, _, _ = socket.recv_fds(link, _LARGEST, 8, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None, []
    return (json.loads(data) if data else None), fds
