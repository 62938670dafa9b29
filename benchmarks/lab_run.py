#!/usr/bin/env python3
"""What one run of the suite in the lab costs: wall time, memory, and the guest's share of both.

    .venv/bin/python benchmarks/lab_run.py [RUNS]

Each run is timed whole, as a user starts it (`pytest --ipip-lab conformance/`); its evidence is then judged again on
this machine itself, which is the same judging without the guest. Memory is the largest drop of MemAvailable during the
run, so that what others take at the same time counts against us: read it on a quiet machine. Times of different
machines or moments cannot be compared; ratios within one run can.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.memory import watched  # noqa: E402


def timed(*arguments: str) -> tuple[float, float, str]:
    """Seconds, MB at the peak, and what was printed, of one pytest command."""
    environment = os.environ | {"CALICO_IPIP_LAB_TIMES": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "conformance/", *arguments]
    with watched(0.05) as fell:
        start = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return seconds, fell[0], done.stdout + done.stderr


def main() -> None:
    """Prints one line a run, and the phases of the last one."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    output = ""
    for number in range(1, runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            live, megabytes, output = timed("--ipip-lab", f"--ipip-evidence={folder}/evidence")
            replayed, _, _ = timed(f"--ipip-replay={folder}/evidence")
        print(f"run {number}: {live:.1f} s, {megabytes:.0f} MB; judging alone, without the guest: {replayed:.1f} s")
    ready = re.search(r"ready after .*", output)
    print(f"the lab: {ready[0] if ready else 'its times were not shown'}")
    for line in re.findall(r"calico-ipip: (.*\([\d.]+ s\))", output):
        print(f"the run: {line}")


if __name__ == "__main__":
    main()
