"""The lab's side of the shim: one client a node, which asks for sandboxes and processes and hears when they end."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_calico_ipip.lab.errors import LabError
from pytest_calico_ipip.lab.kubelet.podspec import PATH

_ROOT = Path(__file__).parents[3]
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from pytest_calico_ipip.lab.kubelet.shim import main; main()"
_LARGEST = 1 << 18
_OPERATION_SECONDS = 30.0
# of the operations that make and end pods so many at once: the shims of twenty nodes would leave the API, which shares
# a guest's one processor with them, a twentieth of it
_HEAVY = frozenset({"sandbox", "start", "remove"})
_AT_ONCE = 3


class Refused(Exception):
    """The shim could not do it; `kind` is the name of the error there."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


class NodeEngine:
    """What the kubelet of one node can have done in that node."""

    def __init__(self, node: str, link: socket.socket, turns: asyncio.Semaphore) -> None:
        self.node = node
        self._link = link
        self._turns = turns
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ends: dict[str, asyncio.Future[int]] = {}
        self._gone = False
        asyncio.get_running_loop().add_reader(link, self._read)

    async def ask(self, operation: str, fds: Sequence[int] = (), **request: Any) -> dict[str, Any]:
        """One request; the descriptors are copied. Raises `Refused`."""
        if operation in _HEAVY:
            async with self._turns:
                return await self._ask(operation, fds, request)
        return await self._ask(operation, fds, request)

    async def _ask(self, operation: str, fds: Sequence[int], request: Mapping[str, Any]) -> dict[str, Any]:
        if self._gone:
            raise Refused(f"the shim of {self.node} has ended", "Gone")
        number = next(self._numbers)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        message = json.dumps({"id": number, "op": operation, **request}).encode()
        socket.send_fds(self._link, [message], list(fds))
        try:
            answer = await asyncio.wait_for(reply, _OPERATION_SECONDS)
        except asyncio.TimeoutError:
            raise Refused(f"{operation} on {self.node} took more than {_OPERATION_SECONDS:.0f} s", "Timeout") from None
        finally:
            self._replies.pop(number, None)
        if "error" in answer:
            raise Refused(answer["error"], answer["kind"])
        result: dict[str, Any] = answer["ok"]
        return result

    async def run(self, operation: str, task: str, fds: Sequence[int], **request: Any) -> asyncio.Future[int]:
        """Start a process (`start` or `exec`) named `task`; the future gives its exit status. Raises `Refused`."""
        end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._ends[task] = end
        try:
            await self.ask(operation, fds, task=task, **request)
        except BaseException:
            self._ends.pop(task, None)
            raise
        return end

    def tell(self, operation: str, **request: Any) -> None:
        """A request whose answer nobody needs; nothing when the shim is gone."""
        if not self._gone:
            message = {"id": 0, "op": operation, **request}
            self._link.send(json.dumps(message).encode())

    def close(self) -> None:
        """End the shim, and with it everything that it started."""
        if not self._gone:
            self._lost()

    def _read(self) -> None:
        while not self._gone:
            try:
                data = self._link.recv(_LARGEST, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            if not data:
                self._lost()
                return
            self._take(json.loads(data))

    def _take(self, message: Mapping[str, Any]) -> None:
        if "exited" in message:
            end = self._ends.pop(message["exited"], None)
            if end is not None and not end.done():
                end.set_result(message["status"])
            return
        reply = self._replies.get(message["id"])
        if reply is not None and not reply.done():
            reply.set_result(dict(message))

    def _lost(self) -> None:
        self._gone = True
        asyncio.get_running_loop().remove_reader(self._link)
        self._link.close()
        for reply in self._replies.values():
            if not reply.done():
                reply.set_result({"error": f"the shim of {self.node} has ended", "kind": "Gone"})
        for end in self._ends.values():
            if not end.done():
                end.set_result(137)
        self._ends.clear()


class Engine:
    """The shim process and its copies in the nodes."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._turns = asyncio.Semaphore(max(_AT_ONCE, os.cpu_count() or 1))
        self.nodes: dict[str, NodeEngine] = {}

    @classmethod
    def start(cls, log: Path) -> Engine:
        """Start the shim; what goes wrong in it is written to `log`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with log.open("ab") as errors:
            process = subprocess.Popen(
                # without `site`: it starts in half the time
                [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM, str(_ROOT), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=[theirs.fileno()],
                cwd="/",
                env={"PATH": PATH},
            )
        theirs.close()
        return cls(process, ours)

    def enter(self, node: str, pid: int) -> NodeEngine:
        """Live in the node whose first process has that pid."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            socket.send_fds(self._control, [json.dumps({"pid": pid}).encode()], [theirs.fileno()])
        except OSError as error:
            raise LabError(f"the kubelets' shim has ended ({error}), exit status {self._process.poll()}") from error
        theirs.close()
        self.nodes[node] = NodeEngine(node, ours, self._turns)
        return self.nodes[node]

    async def close(self) -> None:
        """End everything."""
        for node in self.nodes.values():
            node.close()
        self._control.close()
        try:
            await asyncio.wait_for(asyncio.to_thread(self._process.wait), 5)
        except asyncio.TimeoutError:
            self._process.kill()
            self._process.wait()
