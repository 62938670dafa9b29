"""One container of a pod: starts its main process, keeps its output, starts it again as the restart policy says."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_calico_ipip.lab.api.store import timestamp
from pytest_calico_ipip.lab.kubelet.engine import NodeEngine, Refused
from pytest_calico_ipip.lab.kubelet.logs import Log
from pytest_calico_ipip.lab.kubelet.podspec import PATH
from pytest_calico_ipip.lab.kubelet.process import ContainerProcess, Streams
from pytest_calico_ipip.lab.kubelet.status import ContainerState

_FIRST_BACKOFF, _LONGEST_BACKOFF = 1.0, 10.0
_CREATE = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
)


@dataclass(frozen=True)
class Program:
    """What the container runs, and where."""

    argv: list[str]
    environment: dict[str, str]
    cwd: str
    netns: str  # empty: the node's own network
    hostname: str
    files: dict[str, str]
    stdin: bool
    terminal: bool
    container_id: str


class Container:
    """One container's life; `changed` is called when its state does, `say` for an event (reason, message, type)."""

    def __init__(
        self,
        spec: Mapping[str, Any],
        policy: str,
        engine: NodeEngine,
        changed: Callable[[], None],
        say: Callable[[str, str, str], None],
    ) -> None:
        self.name: str = spec["name"]
        self.state = ContainerState(spec["name"], spec["image"])
        self.log = Log()
        self.process: ContainerProcess | None = None
        self.task: str | None = None  # the shim's name of the running process
        self.environment: dict[str, str] = {"PATH": PATH, "HOME": "/root"}
        self._policy = policy
        self._engine = engine
        self._changed = changed
        self._say = say
        self._stopping = False
        self._end: asyncio.Future[int] | None = None

    async def run(self, program: Program) -> None:
        """Until it has ended for good, or is stopped."""
        self.environment = program.environment
        backoff = _FIRST_BACKOFF
        while True:
            began = asyncio.get_running_loop().time()
            code = await self._once(program)
            if self._stopping or self._policy == "Never" or (self._policy == "OnFailure" and code == 0):
                return
            if asyncio.get_running_loop().time() - began > _LONGEST_BACKOFF:
                backoff = _FIRST_BACKOFF
            self.state.last_state = self.state.state
            waiting = f"back-off {backoff:.0f}s restarting failed container={self.name}"
            self.state.state = {"waiting": {"reason": "CrashLoopBackOff", "message": waiting}}
            self._changed()
            self._say("BackOff", f"Back-off restarting failed container {self.name}", "Warning")
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF)
            self.state.restarts += 1

    async def _once(self, program: Program) -> int:
        started = timestamp()
        streams = Streams.open(terminal=program.terminal, stdin=program.stdin)
        task = f"container-{uuid.uuid4()}"
        try:
            self._end = await self._engine.run(
                "start",
                task,
                streams.theirs,
                argv=program.argv,
                env=program.environment,
                cwd=program.cwd,
                tty=program.terminal,
                netns=program.netns,
                hostname=program.hostname,
                files=program.files,
            )
        except Refused as refusal:
            streams.close_ours()
            return self._did_not_start(f"{_CREATE}unable to start container process: {refusal}: unknown", started)
        finally:
            streams.close_theirs()
        self.log = Log()
        self.task = task
        self.process = ContainerProcess(self._engine, task, streams, self._end)
        self.state.state = {"running": {"startedAt": timestamp()}}
        self._say("Started", f"Started container {self.name}", "Normal")
        self._changed()
        if self._stopping:  # asked to stop while it started
            self._engine.tell("signal", task=task, signal=signal.SIGTERM)
        async for channel, data in self.process.output():
            self.log.add(channel, data)
        code = await self.process.wait()
        self.task = self.process = None
        self.log.close()
        self.state.state = {
            "terminated": {
                "exitCode": code,
                "reason": "Completed" if code == 0 else "Error",
                "startedAt": started,
                "finishedAt": timestamp(),
            }
        }
        self._changed()
        return code

    def _did_not_start(self, message: str, started: str) -> int:
        self._say("Failed", f"Error: {message}", "Warning")
        code = 128
        self.state.state = {
            "terminated": {
                "exitCode": code,
                "reason": "StartError",
                "message": message,
                "startedAt": started,
                "finishedAt": timestamp(),
            }
        }
        self._changed()
        return code

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL when it is not gone after `grace` seconds."""
        self._stopping = True
        if self.task is None or self._end is None:
            return
        if grace > 0:
            self._engine.tell("signal", task=self.task, signal=signal.SIGTERM)
            await asyncio.wait({self._end}, timeout=grace)
        if not self._end.done():
            self._engine.tell("kill", task=self.task)
            await asyncio.wait({self._end}, timeout=10)
