"""testinfra's ssh, but for two things.

Its own reads whatever a node sends into memory, and a node may never end. And before a command that is not all ASCII
it asks the node for its encoding, by a python3 there: a login and a program more than we say that we run.
"""

from __future__ import annotations

import os
import selectors
import subprocess
from typing import Any

from testinfra.backend.base import CommandResult
from testinfra.backend.ssh import SshBackend
from testinfra.host import Host

from pytest_calico_ipip import remote


class TooMuch(Exception):
    """A command's output is larger than `remote.LIMIT`; its process has been left to end on a closed pipe."""


class BoundedSsh(SshBackend):  # type: ignore[misc,unused-ignore]
    """Commands on one node through the connection that `ssh_extra_args` name."""

    NAME = "bounded-ssh"

    def get_encoding(self) -> str:
        """Known: our scripts are UTF-8."""
        return "UTF-8"

    def run_local(self, command: str, *args: str) -> CommandResult:
        """As testinfra's own. Raises `TooMuch`."""
        line = self.encode(self.quote(command, *args))
        process = subprocess.Popen(  # noqa: S602 - testinfra has quoted every word
            b"exec " + line,  # so that it is ssh itself that is ended
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process, selectors.DefaultSelector() as pipes:
            said = {process.stdout: bytearray(), process.stderr: bytearray()}
            for pipe in said:
                pipes.register(pipe, selectors.EVENT_READ)  # type: ignore[arg-type]
            while pipes.get_map():
                for key, _ in pipes.select():
                    piece = os.read(key.fd, 1 << 20)
                    if not piece:
                        pipes.unregister(key.fileobj)
                    said[key.fileobj] += piece  # type: ignore[index]
                if sum(map(len, said.values())) > remote.LIMIT:
                    process.kill()
                    raise TooMuch
        return self.result(process.returncode, line, bytes(said[process.stdout]), bytes(said[process.stderr]))


def host(name: str, options: str, seconds: int) -> Any:
    """The node as testinfra's host; `options` are ssh's, quoted; `seconds` to connect."""
    return Host(BoundedSsh(name, ssh_extra_args=options, timeout=seconds))
