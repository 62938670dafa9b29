"""The guest's memory: how much, and the file system that holds it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError

_MEGABYTE = 1 << 20


_RESERVE = 224  # megabytes beside those of one run


@dataclass(frozen=True)
class Memory:
    """A guest's memory."""

    megabytes: int
    reserve: int  # of them, those that are kept free until processes need them
    directory: Path  # where it lies


def guest_memory(nodes: int, asked: int, environment: Mapping[str, str]) -> Memory:
    """What `asked` says, in MB, or (0) what a guest with so many nodes needs; raises `LabError` without room for it.

    That is enough for one run of the suite, and where there is room a reserve for another one.
    """
    if asked:
        return Memory(asked, 0, memory_directory(asked, environment))
    one_run = 320 + 32 * max(0, nodes - 3)
    try:
        return Memory(one_run + _RESERVE, _RESERVE, memory_directory(one_run + _RESERVE, environment))
    except LabError:
        return Memory(one_run, 0, memory_directory(one_run, environment))


def memory_directory(megabytes: int, environment: Mapping[str, str]) -> Path:
    """A directory whose file system can hold the guest's memory as an executable mapping; raises `LabError`."""
    named = environment.get("TMPDIR")
    fallbacks = [Path(named)] if named else []
    fallbacks += [Path(tempfile.gettempdir()), Path("/var/tmp"), Path.home() / ".cache", Path.home()]  # noqa: S108
    refusals = []
    for directory in [Path("/dev/shm"), *fallbacks]:  # noqa: S108  (a nameless file: User-Mode Linux unlinks it at once)
        refusal = _refusal(directory, megabytes)
        if refusal is None:
            return directory
        refusals.append(f"{directory} {refusal}")
    raise LabError(
        f"no place for the guest's {megabytes} MB of memory: {', '.join(dict.fromkeys(refusals))}.",
        "Set TMPDIR to a directory with that much room, on a file system that is not mounted noexec.",
    )


def _refusal(directory: Path, megabytes: int) -> str | None:
    try:
        state = os.statvfs(directory)
    except OSError as error:
        return f"cannot be used ({error.strerror})"
    if not os.access(directory, os.W_OK | os.X_OK):
        return "is not writable"
    if state.f_flag & os.ST_NOEXEC:
        return "is mounted noexec"
    free = state.f_bavail * state.f_frsize // _MEGABYTE
    return None if free > megabytes + 8 else f"has {free} MB left"
