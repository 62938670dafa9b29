"""Which of the machine's directories a lab sees, and which it may write to: the user's own, at the same paths."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import LabUsageError
from .job import Window

# every lab has its own of these, empty: nothing that a lab's programs put there reaches the machine
PRIVATE = ("/run", "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  (the lab's own, not files of ours in it)
_FOREIGN = ("/proc", "/sys", "/dev")
_SYSTEM = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/boot", "/var/lib")  # programs are named, never written
# where the lab keeps its own state, in its private /run
STATE = Path("/run/calico-ipip-lab")
# for temporary files of the command's: /tmp can be the machine's own, where no socket can be made. Short: for sockets.
TEMPORARY = Path("/run/tmp")


def is_below(path: str, parent: str) -> bool:
    """Whether `path` is `parent` or in it, by name."""
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def is_private(path: str) -> bool:
    """Whether a lab has something of its own where `path` is on the machine."""
    return any(is_below(path, private) for private in PRIVATE)


def windows(
    cwd: str, writable: Sequence[str], environment_path: str, command: Sequence[str] = ()
) -> tuple[Window, ...]:
    """The directories of a lab: `cwd` and `writable` open, Python and the PATH visible. Raises `LabUsageError`.

    So is what `command` names: a report that is written to /tmp/report.xml shall be there afterwards.
    """
    found = [_opened(path) for path in writable]
    found += _named(command)
    if cwd != "/":
        _refuse_foreign(cwd)
        may_write = os.access(cwd, os.W_OK | os.X_OK)
        if may_write or is_private(cwd):
            found.append(Window(cwd, os.path.realpath(cwd), may_write))
    for path in _programs(environment_path):
        real = os.path.realpath(path)
        # one that this user may not see is none to him
        if (is_private(path) or is_private(real)) and os.path.isdir(path):  # noqa: PTH112 - Path's raises
            found.append(Window(path, real, writable=False))
    return tuple(_without_nested(found))


def _named(command: Sequence[str]) -> Iterable[Window]:
    """Windows for the absolute paths among the arguments, `--option=/path` too: those that the lab would hide."""
    for argument in command:
        path = os.path.normpath(argument if argument.startswith("/") else argument.partition("=")[2])
        if not path.startswith("/") or "\n" in path:
            continue
        directory = Path(path)
        while not os.path.isdir(directory):  # noqa: PTH112 - one that this user may not see is none to him
            directory = directory.parent
        name, real = str(directory), os.path.realpath(directory)
        if name == "/" or any(is_below(real, hidden) for hidden in (*_FOREIGN, *_SYSTEM, "/run")):
            continue
        may_write = os.access(directory, os.W_OK | os.X_OK)
        if may_write or is_private(name):
            yield Window(name, real, may_write)


def _opened(named: str) -> Window:
    """A window for a path that the lab shall be able to write to."""
    path = os.path.normpath(Path(named).absolute())
    directory = Path(path)
    while not directory.is_dir():  # a file, or not there yet: what is written is the directory around it
        directory = directory.parent
    _refuse_foreign(os.path.realpath(directory), named)
    if str(directory) == "/":
        raise LabUsageError(
            f"the lab cannot write to {named}: that would open the whole machine to it.",
            "Name a directory below /, for example one in your home.",
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise LabUsageError(
            f"the lab cannot write to {named}: {directory} is not writable for you.",
            "Name a path that you can write to.",
        )
    return Window(str(directory), os.path.realpath(directory), writable=True)


def _refuse_foreign(path: str, named: str = "") -> None:
    what = f"{named} is in {path}" if named and named != path else path
    if path in ("/run", str(STATE)) or (any(is_below(path, kernel) for kernel in _FOREIGN) and not is_private(path)):
        raise LabUsageError(
            f"the lab cannot show you the machine's own {what}: it has a kernel, /dev and /run of its own.",
            "Work in another directory, and name files elsewhere.",
        )


def _programs(environment_path: str) -> Iterable[str]:
    yield from (sys.prefix, sys.base_prefix, str(Path(sys.executable).parent))
    yield from (entry for entry in sys.path if entry.startswith("/"))
    yield from (entry for entry in environment_path.split(":") if entry.startswith("/"))
    yield str(Path(__file__).resolve().parents[3])


def _without_nested(found: Iterable[Window]) -> Iterable[Window]:
    """Windows, outer before inner, without those that an outer one shows as well."""
    kept: list[Window] = []
    for window in sorted(found, key=lambda window: (len(window.path), not window.writable)):
        for outer in kept:
            same_place = is_below(window.path, outer.path) and is_below(window.real, outer.real)
            same_name = window.path[len(outer.path) :] == window.real[len(outer.real) :]
            if same_place and same_name and (outer.writable or not window.writable):
                break
        else:
            kept.append(window)
    return kept
