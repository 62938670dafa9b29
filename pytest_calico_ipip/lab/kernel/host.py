"""The running kernel as the lab's: private namespaces, where it can make an ipip link in them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from ..errors import LabError
from . import syscalls
from .job import Job
from .namespaces import FORWARDED, exit_status
from .rundir import RunDirectory
from .terminal import own_terminal, take_terminal

# everything that a lab's start needs of a kernel, in namespaces that end with the probe
_PROBE = (
    "mount -t tmpfs none /run && mount -t proc none /proc && mount -t sysfs none /sys && ip link set lo up && "
    "ip link add probe0 type ipip local 127.0.0.1 remote 127.0.0.2 && ip link add probe1 type veth peer name probe2 && "
    "ip link add probe3 type bridge"
)


def become_root() -> list[str]:
    """The words before a command that make an ordinary user root of a user namespace; none for root."""
    return [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--map-auto", "--"]


def refusal() -> str | None:
    """Why a lab cannot be made here: a line, or None when it can."""
    if shutil.which("unshare") is None:
        return "unshare (util-linux) is not installed"
    private = ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--"]
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    try:
        done = subprocess.run(
            [*become_root(), *private, "sh", "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            env={**os.environ, "PATH": path, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return "a trial in private namespaces did not end in 20 s"
    if done.returncode == 0:
        return None
    text = done.stderr.decode(errors="replace").strip().splitlines()
    return text[-1] if text else f"a trial in private namespaces ended with {done.returncode}"


def run(job: Job, directory: RunDirectory) -> int:
    """Run `job` in namespaces of this kernel: its exit status."""
    job_file = directory.path / "job.json"
    job.write(job_file)
    argv = [
        *become_root(),
        *(sys.executable, "-m", "pytest_calico_ipip.lab.inside"),
        *("--job", str(job_file), "--log", str(directory.path / "lab.log"), "--owner", str(os.getpid())),
    ]
    package = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join([package, *(entry for entry in sys.path if entry.startswith("/"))])
    terminal = own_terminal()
    try:
        process = subprocess.Popen(
            argv,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=not os.isatty(0),
            preexec_fn=lambda: syscalls.die_with_parent(signal.SIGTERM),
        )
    except OSError as error:
        raise LabError(f"the lab could not be started: {error}", "Install util-linux.") from error

    def forward(number: int, _frame: FrameType | None) -> None:
        if process.poll() is None:
            process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        return exit_status(os.waitpid(process.pid, 0)[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if terminal is not None:
            take_terminal(terminal, os.getpgrp())
