#!/usr/bin/env python3
"""Whether every fault has the same verdict by helper pods as by ssh, on nodes with neither sshd nor tcpdump.

    .venv/bin/python benchmarks/by_pod.py WORK [FAULT…]        (all faults of the catalogue where none is named)

Each fault is put into a lab of its own, two at a time, and judged from what helper pods saw: the requirements that
fail, warn and err, on which nodes and pairs, and the causes that are named must be those of `tests/matrix/table.py`.
The evidence stays in WORK/FAULT/evidence.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.matrix.suite import Subjects, in_lab, seen_in_lab
from tests.matrix.table import TABLE

BARE = ("--no-sshd", "--node-tools", "bare")


def differences(name: str, work: Path) -> list[str]:
    """What the verdict by pods has that the one by ssh has not, and the other way round."""
    expected = TABLE[name]
    lab = (*BARE, "--fault", name)
    try:
        if expected.options:
            verdict = in_lab(work, *lab, pytest=["--ipip-node-access", "pod", *expected.options])
        else:
            verdict = seen_in_lab(work, *lab, observe=["--node-access", "pod"])
    except AssertionError as error:
        return [str(error)]
    wanted: dict[str, Subjects] = {"failed": expected.failed, "warning": expected.warned, "error": {}}
    found: list[str] = []
    for outcome, subjects in wanted.items():
        seen = verdict.of(outcome)
        found += [
            f"{outcome}: {requirement} {'/'.join(seen.get(requirement, ())) or 'nowhere'}, "
            f"by ssh {'/'.join(subjects.get(requirement, ())) or 'nowhere'}"
            for requirement in sorted({*seen, *subjects})
            if seen.get(requirement) != subjects.get(requirement)
        ]
    if verdict.causes != expected.causes:
        found.append(f"causes: {verdict.causes}, by ssh {expected.causes}")
    return found


def main(arguments: Sequence[str]) -> int:
    """Prints each fault as soon as it is known; ends with 1 where any verdict differs."""
    work, *named = arguments
    names = named or list(TABLE)

    def judged(name: str) -> tuple[str, list[str], float]:
        began = time.monotonic()
        found = differences(name, Path(work) / name)
        return name, found, time.monotonic() - began

    bad = 0
    with ThreadPoolExecutor(2) as labs:
        for name, found, seconds in labs.map(judged, names):
            bad += bool(found)
            print("\n    ".join([f"{'DIFFERS' if found else 'same'} {name} ({seconds:.0f} s)", *found]), flush=True)
    print(f"{len(names) - bad} of {len(names)} with the same verdict")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
