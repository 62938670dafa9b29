"""One container of a pod: starts its main process, keeps its output, starts it again as the restart policy says."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pytest_calico_ipip.lab.api.store import timestamp
from pytest_calico_ipip.lab.kubelet.engine import NodeEngine, Refused
from pytest_calico_ipip.lab.kubelet.logs import Log
from pytest_calico_ipip.lab.kubelet.podspec import PATH
from pytest_calico_ipip.lab.kubelet.process import ContainerProcess, Streams
from pytest_calico_ipip.lab.kubelet.security import Confinement
from pytest_calico_ipip.lab.kubelet.status import ContainerState

_FIRST_BACKOFF, _LONGEST_BACKOFF = 1.0, 10.0
_PULL_BACKOFF, _LONGEST_PULL_BACKOFF = 10.0, 300.0  # a kubelet's
_KILL_SECONDS = 10.0  # a killed process is gone at once, unless the machine is very busy
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
    host_pid: bool
    confinement: Confinement
    volumes: list[dict[str, Any]]
    image: dict[str, Any] | None  # None: the machine's own files
    revealed: list[str]  # programs that the node hides and the image brings


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
        self.program: Program | None = None  # what it was started with; further processes are confined as it is
        self._policy = policy
        self._engine = engine
        self._changed = changed
        self._say = say
        self._stopping = asyncio.Event()
        self._kill_when_started = False
        self._life: asyncio.Task[None] | None = None

    def begin(self, program: Program) -> None:
        """Start its main process, and again as the policy says, until `stop`."""
        self._life = asyncio.create_task(self._live(program))

    def begin_pulling(self, policy: str) -> None:
        """Its image cannot be had: try for ever, or not at all, as `imagePullPolicy` says."""
        if policy == "Never":
            self.refuse(
                "ErrImageNeverPull",
                f'Container image "{self.state.image}" is not present with pull policy of Never',
            )
        else:
            self._life = asyncio.create_task(self._pull())

    async def _pull(self) -> None:
        image = self.state.image
        host = image.split("/", 1)[0]
        failure = (
            f'failed to pull image "{image}": failed to resolve reference "{image}": failed to do request: '
            f'Head "https://{host}/v2/": dial tcp: lookup {host}: no such host'
        )
        backoff = _PULL_BACKOFF
        while not self._stopping.is_set():
            self._say("Pulling", f'Pulling image "{image}"', "Normal")
            self._say("Failed", f'Failed to pull image "{image}": {failure}', "Warning")
            self.refuse("ErrImagePull", failure, said="ErrImagePull")
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1.0)
                return
            self._say("BackOff", f'Back-off pulling image "{image}"', "Normal")
            why = f'Back-off pulling image "{image}": ErrImagePull: {failure}'
            self.refuse("ImagePullBackOff", why, said="ImagePullBackOff")
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff)
            backoff = min(2 * backoff, _LONGEST_PULL_BACKOFF)

    async def ended(self) -> None:
        """Until it has ended for good."""
        if self._life is not None:
            await asyncio.wait({self._life})

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL when it is not gone after `grace` seconds; nothing of it runs when this returns."""
        self._stopping.set()
        if self._life is None:
            return
        if grace > 0:
            self._signal(signal.SIGTERM)
            await asyncio.wait({self._life}, timeout=grace)
        if not self._life.done():
            self._kill_when_started = True
            self.kill()
            await asyncio.wait({self._life}, timeout=_KILL_SECONDS)
        self._life.cancel()
        await asyncio.wait({self._life})
        if not self._life.cancelled() and (error := self._life.exception()):
            raise error

    def kill(self) -> None:
        """SIGKILL, now."""
        if self.task is not None:
            self._engine.tell("kill", task=self.task)

    def _signal(self, number: int) -> None:
        if self.task is not None:
            self._engine.tell("signal", task=self.task, signal=number)

    async def _live(self, program: Program) -> None:
        """Until it has ended for good, or is stopped."""
        self.environment, self.program = program.environment, program
        backoff = _FIRST_BACKOFF
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            code = await self._once(program)
            if self._stopping.is_set() or self._policy == "Never" or (self._policy == "OnFailure" and code == 0):
                return
            if asyncio.get_running_loop().time() - began > _LONGEST_BACKOFF:
                backoff = _FIRST_BACKOFF
            self.state.last_state = self.state.state
            waiting = f"back-off {backoff:.0f}s restarting failed container={self.name}"
            self.state.state = {"waiting": {"reason": "CrashLoopBackOff", "message": waiting}}
            self._changed()
            self._say("BackOff", f"Back-off restarting failed container {self.name}", "Warning")
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF)
            self.state.restarts += 1

    async def _once(self, program: Program) -> int:
        started = timestamp()
        streams = Streams.open(terminal=program.terminal, stdin=program.stdin)
        task = f"container-{uuid.uuid4()}"
        try:
            end = await self._engine.run(
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
                host_pid=program.host_pid,
                confinement=program.confinement.for_shim(),
                volumes=program.volumes,
                image=program.image,
                revealed=program.revealed,
            )
        except Refused as refusal:
            streams.close_ours()
            return self._did_not_start(f"{_CREATE}unable to start container process: {refusal}: unknown", started)
        finally:
            streams.close_theirs()
        self.log = Log()
        self.task = task
        self.process = ContainerProcess(self._engine, task, streams, end)
        self.state.state = {"running": {"startedAt": timestamp()}}
        self._say("Started", f"Started container {self.name}", "Normal")
        self._changed()
        if self._stopping.is_set():  # asked to stop while it started
            self._signal(signal.SIGKILL if self._kill_when_started else signal.SIGTERM)
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

    def refuse(self, reason: str, message: str, said: str | None = None) -> None:
        """It is not created at all: it waits, with the reason; the event says `said`, or the message."""
        self.state.state = {"waiting": {"reason": reason, "message": message}}
        self._say("Failed", f"Error: {said or message}", "Warning")
        self._changed()

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
