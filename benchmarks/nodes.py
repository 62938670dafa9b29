#!/usr/bin/env python3
"""How the cost of a run grows with the nodes of the lab: seconds, processes in the guest, evidence, output.

    .venv/bin/python benchmarks/nodes.py [-n RUNS] [NODES…]        (3 5 10 20 nodes)
    .venv/bin/python benchmarks/nodes.py --option=--fault=tcp-lost 10        a fault must cost bounded time

Processes are counted by the guest's own kernel from line to line of the run's progress: their number does not depend
on what else the machine does, as seconds do. All nodes of a lab share one processor, so a real cluster is the easier
case. What is told is a ratio to the first number of nodes, beside the ratio of the nodes and that of the pairs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.lab_run import ROOT
from benchmarks.memory import watched

# inside the lab: each line of the run after the seconds and the processes so far
COUNTING = r"""
"$@" 2>&1 | while IFS= read -r line; do
  while read -r key value _; do [ "$key" != processes ] || break; done </proc/stat
  read -r up _ </proc/uptime
  printf '%s %s %s\n' "$up" "$value" "$line"
done
"""
PHASES = {
    "Creating two": "pods",
    "pods under test are Ready; ": "read",
    "Opening the taps": "taps",
    "Sending": "send",
    "Closing": "close",
    "Judging": "judge",
}


@dataclass
class Cost:
    """What one run cost."""

    seconds: float
    megabytes: float
    evidence: float  # MB
    lines: int  # of output
    phases: dict[str, tuple[float, int]]  # seconds and processes
    verdict: str


def measured(nodes: int, options: list[str]) -> Cost:
    """One run, in a lab of its own."""
    with tempfile.TemporaryDirectory() as folder:
        evidence = Path(folder) / "evidence"
        run = [sys.executable, "-u", "-m", "pytest", "-q", "conformance/", f"--ipip-evidence={evidence}"]
        lab = [sys.executable, "-m", "pytest_calico_ipip.lab", "run", "--nodes", str(nodes), *options]
        command = [*lab, "--", "/bin/bash", "-c", COUNTING, "run", *run]
        with watched() as fell:
            start = time.monotonic()
            done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
            seconds = time.monotonic() - start
        found = re.findall(r"^([\d.]+) (\d+) (.*)$", done.stdout, re.MULTILINE)
        if not found:
            sys.exit(f"{nodes} nodes: the lab ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        size = sum(path.stat().st_size for path in evidence.rglob("*") if path.is_file()) / 1e6
    verdict = next((text for _, _, text in found if text.startswith("VERDICT")), "no verdict")
    return Cost(seconds, fell[0], size, len(found), _phases(found), verdict)


def _phases(found: list[tuple[str, str, str]]) -> dict[str, tuple[float, int]]:
    began = [
        (name, float(up), int(count))
        for up, count, text in found
        for words, name in PHASES.items()
        if text.startswith("calico-ipip: ") and words in text
    ]
    began.append(("end", float(found[-1][0]), int(found[-1][1])))
    return {name: (after - at, more - count) for (name, at, count), (_, after, more) in itertools.pairwise(began)}


def main() -> None:
    """Prints a line a run, and its phases with the ratios to the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1, dest="runs", help="runs with each number of nodes (1)")
    parser.add_argument("--option", action="append", default=[], help="a further option of the lab, as one word")
    parser.add_argument("nodes", nargs="*", type=int, default=[3, 5, 10, 20])
    asked = parser.parse_args()
    first: tuple[int, Cost] | None = None
    for nodes in asked.nodes:
        for _ in range(asked.runs):
            cost = measured(nodes, asked.option)
            first = first or (nodes, cost)
            least, base = first
            print(
                f"{nodes} nodes: {cost.seconds:.0f} s, {cost.megabytes:.0f} MB, evidence {cost.evidence:.1f} MB, "
                f"{cost.lines} lines; {cost.verdict}"
            )
            print(
                f"  of {least} nodes: x{nodes / least:.1f} nodes, x{nodes * (nodes - 1) / (least * (least - 1)):.0f} "
                f"pairs, x{cost.seconds / base.seconds:.1f} s, x{cost.megabytes / base.megabytes:.1f} MB"
            )
            for name, (seconds, processes) in cost.phases.items():
                ratio = processes / max(1, base.phases.get(name, (0, 0))[1])
                print(f"  {name}: {seconds:.1f} s, {processes} processes (x{ratio:.1f})", flush=True)


if __name__ == "__main__":
    main()
