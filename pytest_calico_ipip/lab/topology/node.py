"""One node of the lab, once it exists: running commands in it, and asking its BIRD."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError
from ..spec import NodeSpec
from . import bird

_LONGEST_REPLY = 1 << 20  # bytes


@dataclass(frozen=True)
class Completed:
    """How a command ended."""

    returncode: int
    stdout: bytes
    stderr: bytes


@dataclass
class Node:
    """A node; `pid` is its first process, seen from the lab."""

    spec: NodeSpec
    pid: int

    @property
    def root(self) -> str:
        """The node's file system, seen from the lab: `/proc/<pid>/root`."""
        return f"/proc/{self.pid}/root"

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The argument vector that runs `argv` in the node's network, mount, UTS and PID namespaces."""
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-n", "-p", "--", *argv]

    async def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 30,
    ) -> Completed:
        """Run a program in the node, bounded; with `check` anything but exit status 0 is a `LabError`."""
        process = await asyncio.create_subprocess_exec(
            *self.enter(argv),
            stdin=asyncio.subprocess.DEVNULL if input is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=None if env is None else dict(env),
            start_new_session=True,  # so that all of it can be ended, on both sides of nsenter
        )
        shown = f"{self.spec.name}: {' '.join(argv)[:200]}"
        try:
            stdout, stderr = await asyncio.wait_for(process.communicate(input), timeout)
        except asyncio.TimeoutError as error:
            raise LabError(f"{shown}: not finished after {timeout:g} s") from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        assert process.returncode is not None
        done = Completed(process.returncode, stdout, stderr)
        if check and done.returncode != 0:
            raise LabError(f"{shown}: exit status {done.returncode}: {stderr.decode(errors='replace').strip()[:2000]}")
        return done

    async def shell(
        self, command: str, *, env: Mapping[str, str] | None = None, check: bool = True, timeout: float = 60
    ) -> Completed:
        """Run a command line with `/bin/sh -c` in the node."""
        return await self.run(["/bin/sh", "-c", command], env=env, check=check, timeout=timeout)

    async def ask_bird(self, command: str, timeout: float = 5) -> str:
        """What `birdcl COMMAND` would print, read from BIRD's own socket: no program is started.

        BIRD answers with numbered lines; a code that begins with 0, 8 or 9 and is followed by a space ends the reply.
        """

        async def talk() -> str:
            reader, writer = await asyncio.open_unix_connection(self.root + bird.SOCKET, limit=_LONGEST_REPLY)
            try:
                await reader.readline()  # "0001 BIRD 2.0.12 ready."
                writer.write(command.encode() + b"\n")
                lines: list[str] = []
                while line := (await reader.readline()).decode(errors="replace").rstrip("\n"):
                    numbered = line[:4].isdigit()
                    lines.append(line[5:] if numbered else line[1:])
                    if numbered and line[0] in "089" and line[4:5] == " ":
                        break
                return "\n".join(lines)
            finally:
                writer.close()

        return await asyncio.wait_for(talk(), timeout)

    def kernel_routes(self) -> dict[str, str]:
        """The main table as destination → device (`*` for a blackhole), from /proc: no program is started."""
        found = {}
        with Path(f"/proc/{self.pid}/net/route").open(encoding="ascii") as table:
            next(table)
            for line in table:
                device, destination, *_, mask = line.split()[:8]
                address = int.from_bytes(bytes.fromhex(destination), "little")
                length = int.from_bytes(bytes.fromhex(mask), "little").bit_count()
                octets = ".".join(str(byte) for byte in address.to_bytes(4, "big"))
                found[f"{octets}/{length}"] = device
        return found
