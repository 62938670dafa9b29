"""Starting programs from the shim without forking it: a fork of Python costs as much as several program starts."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence

# Python ignores these; a program expects them as they are in a shell
_DEFAULTED = (signal.SIGPIPE, signal.SIGXFSZ)


class NotStarted(Exception):
    """There is no such program; worded as a container runtime words it."""


class ProgramFailed(Exception):
    """A program of ours said no."""


def spawn(argv: Sequence[str], environment: Mapping[str, str], fds: Sequence[int], terminal: str | None) -> int:
    """Start a program in a session of its own, with `fds` as its first three descriptors; returns its pid.

    With `terminal` (a path) that is opened for all three instead, and becomes the session's. Raises `NotStarted`.
    """
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = []
    if terminal is None:
        actions += [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(fds)]
    else:
        actions += [(os.POSIX_SPAWN_OPEN, number, terminal, os.O_RDWR, 0) for number in range(3)]
    program = _found(argv[0], environment.get("PATH", os.defpath))
    try:
        return os.posix_spawn(
            program, list(argv), dict(environment), file_actions=actions, setsid=True, setsigdef=_DEFAULTED
        )
    except OSError as error:
        raise NotStarted(f'exec: "{argv[0]}": {(error.strerror or str(error)).lower()}') from None


def ip(batch: str) -> None:
    """Run `ip -batch` with these lines in the network namespace that we are in. Raises `ProgramFailed`."""
    given, said = os.memfd_create("batch"), os.memfd_create("said")
    try:
        os.write(given, batch.encode())
        os.lseek(given, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((given, said, said))]
        pid = os.posix_spawnp("ip", ["ip", "-batch", "-"], os.environ, file_actions=actions, setsigdef=_DEFAULTED)
        _, status = os.waitpid(pid, 0)
        if status:
            raise ProgramFailed(f"ip: {os.pread(said, 2000, 0).decode(errors='replace').strip()}")
    finally:
        os.close(given)
        os.close(said)


def _found(name: str, path: str) -> str:
    places = [name] if "/" in name else [f"{directory}/{name}" for directory in path.split(":") if directory]
    forbidden = False
    for place in places:
        try:
            mode = os.stat(place).st_mode  # noqa: PTH116  a third of pathlib's time, and this runs in a guest
        except OSError:
            continue
        if os.access(place, os.X_OK) and (mode & 0o170000) == 0o100000:
            return place
        forbidden = True
    if forbidden:
        raise NotStarted(f'exec: "{name}": permission denied')
    if "/" in name:
        raise NotStarted(f'exec: "{name}": stat {name}: no such file or directory')
    raise NotStarted(f'exec: "{name}": executable file not found in $PATH')
