"""Proves the matrix: puts `True` in the place of each conformance assertion, and shows that a fault then goes unseen.

Usage: python -m benchmarks.mutation EVIDENCE [REQUIREMENT…]

EVIDENCE holds the evidence of faults, EVIDENCE/FAULT/evidence, as `python -m tests.matrix.learn EVIDENCE` leaves it.
The suite with one assertion less judges again the evidence of those faults that the table says trip it, and that the
whole suite finds as the table says. What it then finds differs from the table, or the assertion is a survivor: prints
the survivors and exits 1. For a requirement without any such evidence a fault is run in the lab first.
"""

from __future__ import annotations

import ast
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.matrix.suite import ROOT, Verdict, in_lab, on_evidence, seen_in_lab
from tests.matrix.table import TABLE

AT_ONCE = 2


@dataclass(frozen=True)
class Mutant:
    """One assertion of the suite, and the suite's file without it."""

    requirement: str
    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.requirement}: {self.file.relative_to(ROOT)}:{self.line}"


def mutants(suite: Path) -> Iterator[Mutant]:
    """Every assertion of a directory of tests, with the requirement that its test's marker names."""
    for file in sorted(suite.glob("test_*.py")):
        source = file.read_text(encoding="utf-8")
        tree = ast.parse(source)
        for test in tree.body:
            if not isinstance(test, ast.FunctionDef):
                continue
            for assertion in (each for each in ast.walk(test) if isinstance(each, ast.Assert)):
                yield Mutant(_requirement(test), file, assertion.lineno, _without(source, assertion))


def _requirement(test: ast.FunctionDef) -> str:
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith("mark.requirement"):
            return str(ast.literal_eval(mark.args[0]))
    return test.name


def _without(source: str, assertion: ast.Assert) -> str:
    lines = source.splitlines(keepends=True)
    last = assertion.end_lineno or assertion.lineno
    lines[assertion.lineno - 1 : last] = [f"{' ' * assertion.col_offset}assert True\n"]
    return "".join(lines)


def tripping(requirement: str) -> list[str]:
    """The faults that trip it, those first that trip little else."""
    found = [name for name, broken in TABLE.items() if requirement in (*broken.failed, *broken.warned)]
    return sorted(found, key=lambda name: len(TABLE[name].failed))


def killed_by(mutant: Mutant, evidence: Path) -> str:
    """The first fault whose evidence the mutant judges in another way than the table; "" where it survives."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        work = Path(name)
        suite = work / mutant.file.parent.name
        suite.mkdir()
        for file in mutant.file.parent.glob("*.py"):
            text = mutant.text if file == mutant.file else file.read_text(encoding="utf-8")
            (suite / file.name).write_text(text, encoding="utf-8")
        for fault in tripping(mutant.requirement):
            there, asked = evidence / fault / "evidence", TABLE[fault].options
            if not there.is_dir() or not as_stated(on_evidence(work, there, pytest=asked), fault):
                continue
            if not as_stated(on_evidence(work, there, suite, pytest=asked), fault):
                return fault
    return ""


def as_stated(verdict: Verdict, fault: str) -> bool:
    """Whether a verdict is the one that the matrix asserts."""
    broken = TABLE[fault]
    found = (verdict.status, verdict.of("failed"), verdict.of("warning"), verdict.of("error"), verdict.causes)
    return found == (1 if broken.failed else 0, broken.failed, broken.warned, {}, broken.causes)


def _lacking(chosen: list[Mutant], evidence: Path) -> list[str]:
    """One fault for each mutant that has none with evidence."""
    found: dict[str, None] = {}
    for mutant in chosen:
        faults = tripping(mutant.requirement)
        if faults and not any((evidence / fault / "evidence").is_dir() or fault in found for fault in faults):
            found[faults[0]] = None
    return list(found)


def _seen(fault: str, work: Path) -> Verdict:
    asked = TABLE[fault].options
    return in_lab(work, "--fault", fault, pytest=asked) if asked else seen_in_lab(work, "--fault", fault)


def main(arguments: list[str]) -> int:
    """Try every mutant; the survivors are printed last."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    evidence, only = Path(arguments[0]).resolve(), set(arguments[1:])
    every = [each for each in mutants(ROOT / "conformance") if not only or each.requirement in only]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda fault: _seen(fault, evidence / fault), _lacking(every, evidence)))
        kills: Mapping[Mutant, str] = dict(
            zip(every, threads.map(lambda mutant: killed_by(mutant, evidence), every), strict=True)
        )
    for mutant, fault in kills.items():
        print(f"{mutant}: {'shown by ' + fault if fault else 'SURVIVES'}")
    survivors = [mutant for mutant, fault in kills.items() if not fault]
    print(f"{len(kills)} assertions replaced by True, {len(survivors)} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
