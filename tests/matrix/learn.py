"""Runs faults and prints what they break, in the form of `table.py`: to be read and understood before it is kept.

Usage: python -m tests.matrix.learn WORK [FAULT…]        (all faults of the catalogue where none is named)
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.matrix.suite import Verdict, in_lab


def main() -> None:
    """Two labs at a time; each fault's verdict is printed as soon as it is known."""
    from pytest_calico_ipip.lab.faults import CATALOGUE

    work, names = Path(sys.argv[1]), sys.argv[2:] or list(CATALOGUE)

    def learn(name: str) -> tuple[str, Verdict]:
        return name, in_lab(work / name, "--fault", name)

    with ThreadPoolExecutor(2) as labs:
        for name, verdict in labs.map(learn, names):
            stated = set(CATALOGUE[name].fails)
            failed = verdict.of("failed")
            print(f"    {name!r}: {{  # exit {verdict.status}, errors {verdict.of('error')}, {verdict.of('warning')}")
            for requirement, subjects in failed.items():
                print(f"        {requirement!r}: {subjects},{'' if requirement in stated else '  # NOT STATED'}")
            print(f"    }},  # stated but holds: {sorted(stated - set(failed))}", flush=True)


if __name__ == "__main__":
    main()
