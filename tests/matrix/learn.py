"""Runs faults and prints what they break, in the form of `table.py`: to be read and understood before it is kept.

Usage: python -m tests.matrix.learn WORK [FAULT…]        (all faults of the catalogue where none is named)

FAULT+FAULT is several at once. WORK/FAULT/evidence stays there, for `--ipip-replay` and for benchmarks/mutation.py.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.matrix.suite import Subjects, Verdict, in_lab, seen_in_lab
from tests.matrix.table import TABLE


def entry(name: str, verdict: Verdict, stated: set[str]) -> str:
    """The table's lines; what the catalogue does not say yet is marked, and so is what erred."""
    failed, warned = verdict.of("failed"), verdict.of("warning")
    lines = [f"    {name!r}: Broken(", "        {", *_lines(failed, stated), "        },", f"        {verdict.causes},"]
    if warned:
        lines += ["        {", *_lines(warned, stated), "        },"]
    lines.append("    ),")
    if missing := stated - set(failed) - set(warned):
        lines.append(f"    # stated, and holds: {sorted(missing)}")
    if verdict.of("error"):
        lines.append(f"    # errors: {verdict.of('error')}")
    return "\n".join(lines)


def _lines(subjects: Subjects, stated: set[str]) -> list[str]:
    mark = "  # not stated"
    return [f"            {key!r}: {value},{'' if key in stated else mark}" for key, value in subjects.items()]


def main() -> None:
    """Two labs at a time; each fault's verdict is printed as soon as it is known."""
    from pytest_calico_ipip.lab.faults import CATALOGUE

    work, names = Path(sys.argv[1]), sys.argv[2:] or list(CATALOGUE)

    def learn(name: str) -> str:
        try:
            faults = name.split("+")
            options = [word for fault in faults for word in ("--fault", fault)]
            stated = {requirement for fault in faults for requirement in CATALOGUE[fault].fails}
            asked = TABLE[name].options if name in TABLE else ()
            run = in_lab(work / name, *options, pytest=asked) if asked else seen_in_lab(work / name, *options)
            return entry(name, run, stated)
        except AssertionError as error:
            return f"    # {name}: {error}"

    with ThreadPoolExecutor(2) as labs:
        for text in labs.map(learn, names):
            print(text, flush=True)


if __name__ == "__main__":
    main()
