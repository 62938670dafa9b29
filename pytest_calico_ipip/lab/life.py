"""One lab's life: the cluster is built, the user's command runs in it, and its faults are looked at once more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .environment import command_environment
from .errors import LabError, LabRefusedError
from .kernel.job import Job
from .kernel.namespaces import FORWARDED
from .kernel.paths import STATE
from .kernel.terminal import own_terminal, take_terminal

if TYPE_CHECKING:
    from .spec import Hook
    from .topology import Node

_READY_WITHIN = 60.0  # seconds for BGP and routes, of any number of nodes
_HOOK_WITHIN = 60.0
_GRACE = 10.0  # seconds that a command has to end after it was asked to
_T = TypeVar("_T")


class _Stopped(Exception):
    """A signal came before the command had started."""


class Lab:
    """One lab, from its namespaces to its command's end."""

    def __init__(self, job: Job, log: int, started: int | None) -> None:
        self._job = job
        self._log = log
        self._tell_started = started
        self._times: list[tuple[str, float]] = []
        self._since = job.started
        self._interrupted = False
        self._signals: asyncio.Queue[int] = asyncio.Queue()

    async def live(self) -> int:
        """Build, run, check; the exit status."""
        self._terminal = own_terminal()
        # the group it came with has no number in this PID namespace
        os.setpgid(0, 0)
        if self._terminal is not None:
            take_terminal(self._terminal, os.getpid())
        loop = asyncio.get_running_loop()
        for number in FORWARDED:
            loop.add_signal_handler(number, self._signals.put_nowait, int(number))
        self._phase("kernel")
        try:
            status = await self._build_and_run()
        except _Stopped as stopped:
            return 128 + int(stopped.args[0])
        except Exception as error:
            self._fail(error)
            return 125
        self._phase("command")
        if self._job.environment.get("CALICO_IPIP_LAB_TIMES") == "1":
            print(self._summary(), file=sys.stderr)
        return status

    async def _build_and_run(self) -> int:
        os.chdir(self._job.cwd)
        home = STATE / "home"
        home.mkdir(mode=0o700)
        (home / ".bashrc").write_text("PS1='calico-ipip-lab \\w \\$ '\n")
        if self._job.spec.nodes == 0:
            return await self._command(asyncio.get_running_loop().create_future())
        from .controlplane import ControlPlane
        from .faults import chosen, lost
        from .topology import Topology

        spec = self._job.spec
        faults = chosen(spec)
        topology = await self._unless_stopped(Topology.build(spec, STATE))
        entries = {name: node.enter([]) for name, node in topology.nodes.items()}
        (STATE / "nodes.json").write_text(json.dumps(entries))
        self._phase("topology")
        at_pod = [hook for fault in faults for hook in fault.at_pod]
        changes = [fault.objects for fault in faults if fault.objects is not None]
        starting = ControlPlane.start(spec, topology, STATE, at_pod=at_pod, change_objects=changes)
        control = await self._unless_stopped(starting)
        _before_others()
        self._phase("control plane")
        await self._unless_stopped(topology.ready(_READY_WITHIN))
        self._phase("bgp")
        for hook in (*(hook for fault in faults for hook in fault.at_start), *spec.at_start):
            await self._unless_stopped(_at_start(topology.nodes[hook.node], hook))
        self._phase("hooks")
        status = await self._command(control.failure)
        if not self._interrupted and (sentences := await lost(faults, topology.nodes)):
            raise LabError("\n".join(sentences), "What the command saw was not, or not always, the broken cluster.")
        # nothing is taken down step by step: all of it ends with these namespaces' first process, at once
        return status

    async def _unless_stopped(self, work: Awaitable[_T]) -> _T:
        """The result of `work`, unless a signal comes first."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._signals.get())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            stop.cancel()
            return task.result()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
        raise _Stopped(stop.result())

    async def _command(self, failure: asyncio.Future[None]) -> int:
        """Run the user's command; an exception of `failure` ends it, and is raised."""
        self._note(self._summary())
        terminal = self._terminal
        program, *arguments = self._job.command
        environment = command_environment(self._job.environment, sshd=self._job.spec.sshd)
        found = shutil.which(program, path=environment["PATH"])
        if found is None:
            print(f"calico-ipip-lab: {program}: command not found", file=sys.stderr)
            return 127

        def own_group() -> None:
            os.setpgid(0, 0)
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, 0, 0)
            if terminal is not None:
                take_terminal(terminal, os.getpid())

        if self._tell_started is not None:
            os.write(self._tell_started, b"+")
            os.close(self._tell_started)
        try:
            process = await asyncio.create_subprocess_exec(
                program, *arguments, executable=found, env=environment, preexec_fn=own_group
            )
        except OSError as error:
            print(f"calico-ipip-lab: {program}: {error.strerror}", file=sys.stderr)
            return 126
        forwarding = asyncio.ensure_future(self._forward(process.pid))
        ended = asyncio.ensure_future(process.wait())
        await asyncio.wait((ended, asyncio.shield(failure)), return_when=asyncio.FIRST_COMPLETED)
        forwarding.cancel()
        if terminal is not None:
            take_terminal(terminal, os.getpid())
        if not ended.done():
            _kill_group(process.pid)
            await ended
        if failure.done():
            failure.result()
        status = ended.result()
        return status if status >= 0 else 128 - status

    async def _forward(self, group: int) -> None:
        """Pass signals on; what does not end for SIGTERM or SIGHUP is killed after a while."""
        loop = asyncio.get_running_loop()
        while True:
            number = await self._signals.get()
            self._interrupted = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)
            if number in (signal.SIGTERM, signal.SIGHUP):
                loop.call_later(_GRACE, _kill_group, group)

    def _phase(self, name: str) -> None:
        now = time.time()
        self._times.append((name, now - self._since))
        self._since = now
        self._note(f"{name} done")

    def _note(self, text: str) -> None:
        os.write(self._log, f"{time.time() - self._job.started:8.3f} {text}\n".encode())

    def _summary(self) -> str:
        total = sum(seconds for _, seconds in self._times)
        parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in self._times)
        return f"calico-ipip-lab: ready after {total:.2f} s ({parts})"

    def _fail(self, error: Exception) -> None:
        """Leave the reason where the wrapper finds it, with the logs of what ran here."""
        outside = Path(self._job.outside)
        reason = str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
        self._note("failed: " + (reason if isinstance(error, LabError) else traceback.format_exc()))
        (outside / ("refusal" if isinstance(error, LabRefusedError) else "failure")).write_text(reason)
        logs = outside / "logs"
        logs.mkdir(exist_ok=True)
        for log in STATE.rglob("*.log"):
            shutil.copyfile(log, logs / str(log.relative_to(STATE)).replace("/", "-"))


async def _at_start(node: Node, hook: Hook) -> None:
    done = await node.shell(hook.command, check=False, timeout=_HOOK_WITHIN)
    if done.returncode != 0:
        raise LabError(
            f"a command at the start of {hook.node} ended with {done.returncode}: {hook.command}",
            done.stderr.decode(errors="replace").strip()[:2000],
        )


def _before_others() -> None:
    """The API server gets the processor when it wants it, as on a machine of its own; many nodes are many processes."""
    with contextlib.suppress(OSError):  # an ordinary user's lab in the running kernel has no such right
        os.setpriority(os.PRIO_PROCESS, 0, -10)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
