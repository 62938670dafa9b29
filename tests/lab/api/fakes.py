"""Stand-ins for the kubelets: containers are processes of this machine, pods with a node are Running at once."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from pytest_calico_ipip.lab.api.ages import timestamp
from pytest_calico_ipip.lab.api.errors import ApiError
from pytest_calico_ipip.lab.api.runtime import RuntimeRefusal
from pytest_calico_ipip.lab.api.store import Object, Store

# what would send to a pod's address sends nothing: on this machine there is no such pod
OFFLINE = Path(__file__).parent / "offline"


class LocalProcess:
    """A process of this machine, behind pipes or a terminal."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int | None) -> None:
        self._process, self._terminal = process, terminal
        self.killed = False

    @classmethod
    async def start(cls, command: Sequence[str], *, tty: bool, stdin: bool) -> LocalProcess:
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        terminal = inner = None
        if tty:
            terminal, inner = pty.openpty()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=inner if tty else pipe if stdin else nothing,
                stdout=inner if tty else pipe,
                stderr=inner if tty else pipe,
                start_new_session=True,
                env={**os.environ, "PATH": f"{OFFLINE}:{os.environ['PATH']}"},
            )
        except FileNotFoundError:
            raise RuntimeRefusal(f'exec: "{command[0]}": executable file not found in $PATH') from None
        finally:
            if inner is not None:
                os.close(inner)
        return cls(process, terminal)

    async def write(self, data: bytes) -> None:
        if self._terminal is not None:
            os.write(self._terminal, data)
        elif self._process.stdin is not None:
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    async def close_stdin(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def resize(self, rows: int, columns: int) -> None:
        if self._terminal is not None:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        if self._terminal is not None:
            loop = asyncio.get_running_loop()
            with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
                while data := await loop.run_in_executor(None, os.read, self._terminal, 65536):
                    yield 1, data
            return
        pieces: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()

        async def pump(channel: int, stream: asyncio.StreamReader | None) -> None:
            while stream is not None and (data := await stream.read(65536)):
                pieces.put_nowait((channel, data))
            pieces.put_nowait((channel, b""))

        tasks = [
            asyncio.create_task(pump(1, self._process.stdout)),
            asyncio.create_task(pump(2, self._process.stderr)),
        ]
        try:
            ended = 0
            while ended < 2:
                channel, data = await pieces.get()
                ended += not data
                if data:
                    yield channel, data
        finally:
            for task in tasks:
                task.cancel()

    async def wait(self) -> int:
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        self.killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


class LocalRuntime:
    """Runs each exec on this machine; the logs are what a test puts there."""

    def __init__(self) -> None:
        self.processes: list[LocalProcess] = []
        self.log: list[bytes] = [b"one\n", b"two\n", b"three\n"]
        self.calls: list[tuple[object, ...]] = []

    async def exec(
        self, namespace: str, pod: str, container: str | None, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> LocalProcess:
        self.calls.append((namespace, pod, container, tuple(command), tty, stdin))
        process = await LocalProcess.start(command, tty=tty, stdin=stdin)
        self.processes.append(process)
        return process

    async def attach(self, namespace: str, pod: str, container: str | None, *, stdin: bool) -> LocalProcess:
        self.calls.append((namespace, pod, container))
        process = await LocalProcess.start(["/bin/cat"], tty=False, stdin=True)
        self.processes.append(process)
        return process

    async def logs(
        self, namespace: str, pod: str, container: str | None, *, follow: bool, tail: int | None, timestamps: bool
    ) -> AsyncIterator[bytes]:
        if pod == "waiting":
            raise RuntimeRefusal(f'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating')
        lines = list(self.log) if tail is None else self.log[len(self.log) - tail :]
        for line in lines:
            yield (f"{timestamp()} ".encode() if timestamps else b"") + line
        if follow:
            await asyncio.sleep(0.05)
            yield b"later\n"


def running(pod: Object) -> Object:
    """The status of a pod that runs."""
    now = timestamp()
    conditions = [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    states = [
        {
            "name": one["name"],
            "image": one["image"],
            "imageID": "",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
            "lastState": {},
        }
        for one in pod["spec"]["containers"]
    ]
    return {
        **pod["status"],
        "phase": "Running",
        "podIP": "10.233.107.1",
        "podIPs": [{"ip": "10.233.107.1"}],
        "hostIP": "10.7.120.11",
        "startTime": now,
        "conditions": conditions,
        "containerStatuses": states,
    }


async def kubelet(store: Store, *, grace: float = 0.05) -> None:
    """Make pods with a node Running, and let deleted ones go."""
    async for change, pod in store.watch("pods"):
        meta = pod["metadata"]
        with contextlib.suppress(ApiError):  # gone meanwhile
            if "deletionTimestamp" in meta:
                await asyncio.sleep(grace)
                store.delete("pods", meta["namespace"], meta["name"], grace_period_seconds=0)
            elif pod["spec"].get("nodeName") and pod["status"]["phase"] == "Pending" and change != "DELETED":
                pod["status"] = running(pod)
                store.update("pods", pod, subresource="status")


def node(name: str, number: int = 1) -> Object:
    """A ready node, complete enough for every client."""
    now = timestamp()
    info = {
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
        "kernelVersion": "6.1.176",
        "osImage": "Debian GNU/Linux 12 (bookworm)",
        "containerRuntimeVersion": "lab://1",
        "kubeletVersion": "v1.32.4",
        "kubeProxyVersion": "v1.32.4",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    ready |= {"lastHeartbeatTime": now, "lastTransitionTime": now}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
        "spec": {},
        "status": {
            "conditions": [ready],
            "addresses": [
                {"type": "InternalIP", "address": f"10.7.120.{10 + number}"},
                {"type": "Hostname", "address": name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": info,
        },
    }


def pod(name: str, *, namespace: str = "default", **spec: object) -> Object:
    """A pod of one container."""
    containers = [{"name": "main", "image": "curlimages/curl", "command": ["/bin/sh", "-c", "sleep 100000"]}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"containers": containers, **spec}}
