"""Runs the suite as a user does, in a lab or over evidence, and reads its verdict out of the JUnit report."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "conformance"
PREFIX = "virtnest-rook-ceph-"
# What a lab run may take, many times over: a wait with no bound would hang the build instead of failing it.
TIMEOUT = 240.0

# requirement → the subjects for which it ended so: "2" is virtnest-rook-ceph-2, "1:2" the pair from 1 to 2
Subjects = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Verdict:
    """One run of the suite: its exit status, and which requirements ended how, for whom."""

    status: int
    output: str
    outcomes: dict[str, Subjects]  # "failed", "error", "warning", "holds", "not in this evidence" … → subjects
    causes: tuple[str, ...]  # the ids of the causes that were named, each once, sorted

    def of(self, outcome: str) -> Subjects:
        """The subjects of every requirement that ended so."""
        return self.outcomes.get(outcome, {})


def in_lab(work: Path, *lab: str, pytest: Sequence[str] = ()) -> Verdict:
    """`calico-ipip-lab run LAB… -- pytest conformance/ PYTEST…`, evidence kept in work/evidence."""
    return _suite(work / "live.xml", _lab(work, lab), ["--ipip-evidence", str(work / "evidence"), *pytest])


def seen_in_lab(work: Path, *lab: str, observe: Sequence[str] = (), pytest: Sequence[str] = ()) -> Verdict:
    """As `in_lab`, and cheaper: in the lab the suite only observes, and what it saw is judged on this machine itself.

    A lab's kernel is several times slower than the machine's own.
    """
    evidence = work / "evidence"
    # a lab's routes are all there when it is ready: who does not answer at once will not answer later; and it ends with
    # everything in it
    shorter = ("--settle", "2", "--keep")
    observer = [sys.executable, "-m", "pytest_calico_ipip.observation", str(evidence), *shorter, *observe]
    done = _run([*_lab(work, lab), *observer])
    if done.returncode != 0:
        raise AssertionError(f"nothing was observed; the lab ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return on_evidence(work, evidence, pytest=pytest)


def _lab(work: Path, options: Sequence[str]) -> list[str]:
    work.mkdir(parents=True, exist_ok=True)
    return [sys.executable, "-m", "pytest_calico_ipip.lab", "run", "--writable", str(work), *options, "--"]


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # no source of the outer shell may leak in; a second pytest below an xdist worker is a run of its own
    keep = {k: v for k, v in os.environ.items() if k != "KUBECONFIG" and not k.startswith(("PYTEST_", "IPIP_"))}
    keep["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # users do not have what these tests need: hypothesis takes a second
    return subprocess.run(command, cwd=ROOT, env=keep, capture_output=True, text=True, timeout=TIMEOUT, check=False)


def on_evidence(work: Path, evidence: Path, tests: Path = SUITE, *, pytest: Sequence[str] = ()) -> Verdict:
    """`pytest --ipip-replay EVIDENCE conformance/ PYTEST…`, or with other tests in the suite's place."""
    return _suite(work / "replay.xml", [], ["--ipip-replay", str(evidence), *pytest], tests)


def _suite(report: Path, before: Sequence[str], arguments: Sequence[str], tests: Path = SUITE) -> Verdict:
    suite = [
        sys.executable,
        "-m",
        "pytest",
        *("-p", "calico_ipip", "-p", "no:cacheprovider"),
        str(tests),
        f"--junitxml={report}",
        *arguments,
    ]
    report.unlink(missing_ok=True)
    done = _run([*before, *suite])
    output = done.stdout + done.stderr
    if not report.exists():
        raise AssertionError(f"no JUnit report from a run that ended with {done.returncode}:\n{output[-4000:]}")
    return Verdict(done.returncode, output, _outcomes(report), _causes(report))


def _causes(report: Path) -> tuple[str, ...]:
    properties = ElementTree.parse(report).getroot().iterfind("testsuite/properties/property")
    return tuple(
        sorted({item.get("value", "").partition(": ")[0] for item in properties if item.get("name") == "cause"})
    )


def _outcomes(report: Path) -> dict[str, Subjects]:
    found: dict[str, dict[str, set[str]]] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        properties = {item.get("name", ""): item.get("value", "") for item in case.iter("property")}
        subject = (properties.get("node") or properties.get("pair") or "cluster").replace(PREFIX, "")
        of_outcome = found.setdefault(properties.get("outcome", "none"), {})
        of_outcome.setdefault(properties.get("requirement", case.get("name", "")), set()).add(subject)
    return {
        outcome: {requirement: tuple(sorted(subjects)) for requirement, subjects in sorted(of_outcome.items())}
        for outcome, of_outcome in found.items()
    }
