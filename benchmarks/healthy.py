#!/usr/bin/env python3
"""How often the suite says anything against a healthy lab: it never should.

    .venv/bin/python benchmarks/healthy.py [-n RUNS] [-w WORK] [PROFILE…]        (20 runs of every profile)
    .venv/bin/python benchmarks/healthy.py -n 1 5-nodes 10-nodes 20-nodes        larger labs: time and memory

Every run is a lab of its own. A run is clean when the suite ends with 0 and nothing failed, warned, erred, was blamed.
One that is not keeps its evidence in WORK/PROFILE-NUMBER. Run it on a busy machine: that is the harder test.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.memory import watched
from tests.matrix.suite import Verdict, in_lab

PROFILES: dict[str, tuple[str, ...]] = {
    "bird": (),
    "bird-3.32": ("--profile", "bird-3.32"),
    "felix": ("--profile", "felix"),
    "cross-subnet": ("--ipip-mode", "CrossSubnet", "--subnets", "2"),
    "borrowed": ("--borrow", "virtnest-rook-ceph-1"),
    "second-pool": ("--second-pool",),
}
LARGE: dict[str, tuple[str, ...]] = {f"{count}-nodes": ("--nodes", str(count)) for count in (5, 10, 20)}
_AGAINST = ("failed", "warning", "error", "none")  # "none": a test that ended before it had an outcome


def said(verdict: Verdict) -> list[str]:
    """Everything that a run said against a healthy cluster."""
    lines = [
        f"{outcome}: {requirement} {'/'.join(subjects)}"
        for outcome in _AGAINST
        for requirement, subjects in verdict.of(outcome).items()
    ]
    lines += [f"cause: {cause}" for cause in verdict.causes]
    return lines if lines or not verdict.status else [f"it ended with {verdict.status}: {verdict.output[-800:]}"]


def main() -> int:
    """Prints a line a run and the sums of each profile; ends with 1 where any run was not clean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=20, dest="runs", help="runs of each profile (20)")
    parser.add_argument("-w", type=Path, default=None, dest="work", help="where what is kept goes")
    parser.add_argument("profiles", nargs="*", metavar="PROFILE", help=", ".join({**PROFILES, **LARGE}))
    asked = parser.parse_args()
    work = asked.work or Path(tempfile.mkdtemp(prefix="healthy-"))
    unclean: Counter[str] = Counter()
    for name in asked.profiles or PROFILES:
        for number in range(1, asked.runs + 1):
            place = work / f"{name}-{number}"
            start = time.monotonic()
            try:
                with watched() as megabytes:
                    lines = said(in_lab(place, *{**PROFILES, **LARGE}[name]))
            except AssertionError as error:  # no report at all
                lines = [str(error)]
            seconds = time.monotonic() - start
            print(
                f"{name} {number}: {'; '.join(lines) or 'clean'} ({seconds:.0f} s, {megabytes[0]:.0f} MB)", flush=True
            )
            unclean[name] += bool(lines)
            if not lines:
                shutil.rmtree(place)
        print(f"{name}: {asked.runs - unclean[name]} of {asked.runs} clean", flush=True)
    return 1 if unclean.total() else 0


if __name__ == "__main__":
    sys.exit(main())
