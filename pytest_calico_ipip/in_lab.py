"""`--ipip-lab`: the same pytest command again, as a process inside the embedded lab (never an import of it)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pytest_calico_ipip.errors import UsageProblem
from pytest_calico_ipip.options import Given

# pytest's and other plugins' options that name what is written
WRITTEN = {
    "xmlpath": "--junitxml",
    "log_file": "--log-file",
    "basetemp": "--basetemp",
    "htmlpath": "--html",
    "report_log": "--report-log",
    "json_report_file": "--json-report-file",
}
# the lab has its own: what is written there would not be on the machine
PRIVATE = ("/proc", "/sys", "/dev")
TOO_WIDE = (Path("/"), Path("/run"))  # cannot be opened to the lab as a whole


def run(config: pytest.Config, given: Given) -> int:
    """Run pytest inside the lab and return its exit status; as pytest's own command, become that process."""
    arguments = list(config.invocation_params.args)
    command = lab_command(arguments, given, writable(config, given))
    print("calico-ipip: starting the lab", file=sys.stderr, flush=True)
    sys.stdout.flush()
    if arguments == sys.argv[1:]:
        # nothing is left to do here: signals, terminal and exit status are then the lab's without a go-between
        os.execv(command[0], command)  # noqa: S606
    return _await(command)


def lab_command(arguments: Sequence[str], given: Given, paths: Sequence[Path]) -> list[str]:
    """The command line of the lab around the same pytest command."""
    nodes = given.whole("--ipip-lab-nodes", 1, 50)
    return [
        *(sys.executable, "-m", "pytest_calico_ipip.lab", "run"),
        *(("--nodes", str(nodes)) if nodes is not None else ()),
        *given.words("--ipip-lab-option"),
        *(word for path in paths for word in ("--writable", str(path))),
        *("--", sys.executable, "-m", "pytest", *arguments),
    ]


def _await(command: Sequence[str]) -> int:
    with subprocess.Popen(command) as process:
        # an interrupt from the terminal reaches the lab directly, which then ends by itself
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            status = process.wait()
        finally:
            signal.signal(signal.SIGINT, previous)
    return status if status >= 0 else 128 - status


def writable(config: pytest.Config, given: Given) -> list[Path]:
    """The existing directories that the run inside must be able to write, none inside another.

    Raises UsageProblem for an output that cannot be written from there.
    """
    required = {_directory(path, named) for path, named in _outputs(config, given)}
    useful = {config.invocation_params.dir, config.rootpath, *_mentioned(config)}
    wanted = required | {path for path in useful if path not in TOO_WIDE and os.access(path, os.W_OK | os.X_OK)}
    return sorted(path for path in wanted if not any(parent in wanted for parent in path.parents))


def _outputs(config: pytest.Config, given: Given) -> Iterator[tuple[Path, str]]:
    start = config.invocation_params.dir
    for dest, flag in WRITTEN.items():
        value = getattr(config.option, dest, None)
        if value:
            yield Path(os.path.normpath(start / Path(os.path.expandvars(str(value))).expanduser())), flag
    if evidence := given.path("--ipip-evidence"):
        yield evidence, "--ipip-evidence"
    if baseline := given.path("--ipip-save-baseline"):
        yield baseline, "--ipip-save-baseline"
    if report := given.path("--ipip-report"):
        yield report, "--ipip-report"
    if config.pluginmanager.has_plugin("cacheprovider"):
        cache = Path(os.path.expandvars(str(config.getini("cache_dir")))).expanduser()
        if cache.is_absolute():
            yield cache, "cache_dir"


def _directory(path: Path, named: str) -> Path:
    """The nearest directory that exists, which what is missing will be made in."""
    for private in PRIVATE:
        if path.is_relative_to(private):
            raise UsageProblem(
                f"{named} {path}: the lab has a {private} of its own, so the file would not be on this machine",
                "name a path elsewhere",
            )
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    if not existing.is_dir():
        if existing != path:
            raise UsageProblem(f"{named} {path}: {existing} is no directory", "name a path that can be written")
        existing = path.parent
    if existing in TOO_WIDE or not os.access(existing, os.W_OK | os.X_OK):
        raise UsageProblem(f"{named} {path}: {existing} cannot be written", "name a path that can be written")
    return existing


def _mentioned(config: pytest.Config) -> Iterator[Path]:
    """Directories of whatever else looks like a path on the command line: other plugins write, too."""
    for argument in config.invocation_params.args:
        for word in re.split(r"[=,]|::|(?<=\w):(?=/)", argument):
            path = (
                Path(os.path.normpath(config.invocation_params.dir / Path(word).expanduser())) if "/" in word else None
            )
            if path is not None and not any(path.is_relative_to(private) for private in PRIVATE):
                if path.is_dir():
                    yield path
                elif path.parent.is_dir():
                    yield path.parent
