"""The way into a lab's namespaces, and out of them with the command's exit status.

`python -m pytest_calico_ipip.lab.inside --job FILE --log FILE --owner PID` takes the last step of `--kernel host`; in
a guest `kernel.guest` calls `run` with the same job. The process that called waits outside of the namespaces.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from .kernel import namespaces, syscalls
from .kernel.job import Job


def main() -> int:
    """The command line of `--kernel host`."""
    import argparse  # a guest has no use for it

    parser = argparse.ArgumentParser(prog="python -m pytest_calico_ipip.lab.inside")
    parser.add_argument("--job", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--owner", type=int, required=True)
    options = parser.parse_args()
    # a user namespace has cleared what the owner had arranged
    syscalls.die_with_parent(signal.SIGTERM)
    if os.getppid() != options.owner:
        return 125
    return run(Job.read(options.job), options.log, None)


def run(job: Job, log: Path, started: int | None) -> int:
    """Run the lab of `job` in private namespaces; a byte is written to `started` when the command starts."""
    lines = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_CLOEXEC, 0o600)

    def lab() -> int:
        import asyncio  # not before the forks: in User-Mode Linux a small process forks in half of the time

        from .life import Lab

        # not asyncio.run: it waits for every task that is left (pods on their way out, clients' watches), and one that
        # does not heed its cancellation would keep the lab for ever; all of them end with this process
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(Lab(job, lines, started).live())

    child = namespaces.start_in_namespaces(lab, job.windows)
    if started is not None:
        os.close(started)
    return namespaces.wait_in_namespaces(child)


if __name__ == "__main__":
    sys.exit(main())
