#!/usr/bin/env python3
"""Two runs on one cluster at the same time: both must be green, whatever the other is just doing.

    .venv/bin/python benchmarks/two_at_once.py [-n TIMES] [--seed N]

In one lab of three nodes, TIMES times (10): two runs, the second a random moment after the first, each by ssh or by pod
as it is drawn. Then nothing of either may be left. What the runs said, and their evidence, is in the directory that is
printed.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.remains import remains, until_gone  # noqa: E402
from pytest_calico_ipip.cluster.connection import Api  # noqa: E402
from pytest_calico_ipip.settings import Settings  # noqa: E402

WITHIN = 60.0  # seconds


def run(work: Path, way: str) -> subprocess.Popen[bytes]:
    """The suite, as a user starts it."""
    work.mkdir()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(ROOT / "conformance")]
    command += ["--ipip-node-access", way, "--ipip-evidence", str(work / "evidence")]
    with (work / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


def pairs(times: int, seed: int, work: Path) -> int:
    """All pairs of runs; how many of them were not both green, or left something."""
    api = Api.connect(Settings(kubeconfig=Path(os.environ["KUBECONFIG"])))
    chance = random.Random(seed)  # noqa: S311
    before: set[str] = set()
    bad = 0
    for number in range(times + 1):
        later = chance.uniform(0, 10)
        ways = [chance.choice(("ssh", "pod")) for _ in range(2)] if number else ["ssh", "pod"]
        began = time.monotonic()
        runs = []
        for which, way in enumerate(ways):
            time.sleep(later * which)
            runs.append(run(work / f"{number}-{which + 1}", way))
        statuses = [one.wait() for one in runs]
        seconds = time.monotonic() - began
        if not number:  # makes what is made once
            time.sleep(5)
            before = remains(api)
        took, left = until_gone(api, before, WITHIN)
        right = statuses == [0, 0] and not left
        bad += not right
        print(
            f"{'ok ' if right else 'BAD'} pair {number}: {' and '.join(ways)}, "
            f"{later:.1f} s apart: statuses {statuses} after {seconds:.0f} s, gone after {took:.1f} s",
            *sorted(left),
            *(
                (work / f"{number}-{which}" / "log").read_text("utf-8", "replace")[-2500:]
                for which, status in enumerate(statuses, 1)
                if status
            ),
            sep="\n  ",
            flush=True,
        )
    print(f"{times} pairs, {bad} not as they must be; kept in {work}")
    return bad


def main() -> int:
    """Outside of a lab: the same command in one. Inside: all pairs; 1 where anything was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10, dest="times", help="pairs of runs (10)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    parser.add_argument("-w", type=Path, default=None, dest="work", help="where what is kept goes")
    asked = parser.parse_args()
    if os.environ.get("CALICO_IPIP_LAB"):
        return 1 if pairs(asked.times, asked.seed, asked.work) else 0
    work = asked.work or Path(tempfile.mkdtemp(prefix="two-at-once-"))
    work.mkdir(parents=True, exist_ok=True)
    lab = [sys.executable, "-m", "pytest_calico_ipip.lab", "run", "--writable", str(work), "--"]
    lab += [sys.executable, __file__, *sys.argv[1:], "-w", str(work)]
    return subprocess.run(lab, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
