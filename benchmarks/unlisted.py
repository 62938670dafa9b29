#!/usr/bin/env python3
"""How many faults that the catalogue does not have the suite finds, and how it names them.

    .venv/bin/python benchmarks/unlisted.py WORK [FAULT…]        (all of `unlisted_faults.py` where none is named)
    .venv/bin/python benchmarks/unlisted.py --replay WORK [FAULT…]        the evidence of an earlier run, judged again

Each fault is put into a lab of its own, two at a time, and observed there once; its evidence, which is then judged,
stays in WORK/FAULT/evidence. A fault counts as found when a requirement that states what is broken fails; one that no
requirement states, when nothing fails. Errors are told apart: they say that something could not be judged, and are no
finding.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.unlisted_faults import FAULTS, Unlisted
from tests.matrix.suite import PREFIX, Verdict, on_evidence, seen_in_lab


def options(fault: Unlisted) -> list[str]:
    """The options of `calico-ipip-lab run` that build and break its cluster."""
    words = list(fault.options)
    for option, commands in (("--at-start", fault.at_start), ("--at-pod", fault.at_pod)):
        for node, command in commands:
            words += [option, PREFIX + node, command]
    return words


def found(fault: Unlisted, verdict: Verdict) -> bool:
    """Whether a requirement that states what is broken says so; or nothing says anything, where none states it."""
    told = set(verdict.of("failed")) | set(verdict.of("warning"))
    return bool(told & set(fault.stated)) if fault.stated else not told and not verdict.of("error")


def line(fault: Unlisted, verdict: Verdict, seconds: float) -> str:
    """One fault's outcome, in a few lines."""
    named = set(verdict.causes) <= set(fault.causes) and bool(verdict.causes) == bool(fault.causes)
    lines = [
        f"{'found' if found(fault, verdict) else 'MISSED'} {'named' if named else 'MISNAMED'} "
        f"{fault.name} ({seconds:.0f} s): {fault.breaks}"
    ]
    for outcome in ("failed", "warning", "error"):
        said = (f"{name} {'/'.join(subjects)}" for name, subjects in verdict.of(outcome).items())
        lines += [f"    {outcome}: {', '.join(said)}"] if verdict.of(outcome) else []
    return "\n".join(lines)


def sentences(work: Path) -> list[str]:
    """The causes as they were named."""
    properties = ElementTree.parse(work / "replay.xml").getroot().iterfind("testsuite/properties/property")  # noqa: S314, our own file
    return [item.get("value", "") for item in properties if item.get("name") == "cause"]


def tried(fault: Unlisted, work: Path, replay: bool) -> tuple[bool, str]:
    """Whether the fault was found and rightly named, and what is to be told of it."""
    start = time.monotonic()
    try:
        verdict = on_evidence(work, work / "evidence") if replay else seen_in_lab(work, *options(fault))
    except AssertionError as error:
        return False, f"BROKEN {fault.name}: {error}"
    text = line(fault, verdict, time.monotonic() - start)
    bad = text.startswith("MISSED") or " MISNAMED " in text.splitlines()[0]
    return not bad, "\n".join([text, *(f"    cause: {said}" for said in sentences(work))])


def main(arguments: Sequence[str]) -> int:
    """Prints each fault's outcome as soon as it is known; ends with 1 where one was missed or misnamed."""
    replay = "--replay" in arguments
    work, *names = [word for word in arguments if word[:1] != "-"]
    chosen = [fault for fault in FAULTS if not names or fault.name in names]
    good = 0
    with ThreadPoolExecutor(2) as labs:
        for right, text in labs.map(lambda fault: tried(fault, Path(work) / fault.name, replay), chosen):
            good += right
            print(text, flush=True)
    print(f"{good} of {len(chosen)} found and rightly named")
    return 0 if good == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
