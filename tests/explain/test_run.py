"""The lesson, the languages and the notes in a run of pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pytest_calico_ipip.report.ledger import Ledger
from pytest_calico_ipip.report.record import Record
from pytest_calico_ipip.report.verdict import MOST_NOTES, Kept, verdict
from tests.model.recordings import ALWAYS, RECORDED

ROOT = Path(__file__).resolve().parents[2]
NOTE = "no calico-node DaemonSet in this evidence"


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    """The suite on real Calico's evidence: exit status and output."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("IPIP_", "PYTEST_", "KUBECONFIG"))
    }
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:asyncio", "-p", "no:cacheprovider", "conformance/", *arguments],
        cwd=ROOT,
        env={**clean, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


REPLAY = ("--ipip-replay", str(RECORDED / ALWAYS))


def test_the_lesson_stands_above_the_verdict() -> None:
    """With --ipip-explain the lesson is printed, and the verdict stays the end of the run."""
    status, output = run(*REPLAY, "--ipip-explain", "-k", "MTU or mtu")
    assert status == 0, output
    lesson, verdict_ = output.index("How one packet travels"), output.index("Calico IPIP conformance")
    assert lesson < output.index("outer      10.7.120.11 → 10.7.120.12") < verdict_ < output.index("VERDICT")


def test_silent_without_the_option() -> None:
    """Nobody gets a lesson who did not ask for one."""
    assert "How one packet travels" not in run(*REPLAY, "-k", "mtu")[1]


def test_chinese_by_the_environment() -> None:
    """IPIP_LANG=zh makes lesson and verdict Chinese; ids and commands stay."""
    _, output = run(*REPLAY, IPIP_LANG="zh", IPIP_EXPLAIN="1")
    for text in (
        "一个包是怎样走的",
        "Calico IPIP 一致性检查",
        "附注：",
        "没有检查：",
        "VERDICT  ",
        "MTU-1",
        "ip route get 10.233.109.1",
    ):
        assert text in output


def test_workers_send_their_notes() -> None:
    """With pytest-xdist the controller tells the lesson and what the workers' judges noted, once."""
    status, output = run(*REPLAY, "--ipip-explain", "-n", "2")
    assert status == 0, output
    assert "How one packet travels" in output
    assert output.count(NOTE) == 1


def test_an_unknown_language_is_a_wrong_option() -> None:
    """A language that nobody wrote is refused with exit status 4 and the ones that there are."""
    status, output = run(*REPLAY, "--ipip-lang", "fr")
    assert status == 4
    assert "--ipip-lang is 'fr'" in output
    assert "say one of: en, zh" in output


def ledger() -> Ledger:
    """One requirement that holds on one node, and one that is broken on another."""
    made = Ledger()
    made.add("a", Record("MTU-1", "MUST", "It fits.", "node", "n1", "holds"))
    return made


def noted(count: int, left_out: tuple[str, ...] = ()) -> list[str]:
    """The verdict's lines after its heading for notes."""
    kept = Kept(None, notes=tuple(f"note {number}" for number in range(count)), left_out=left_out)
    lines = [line.text for line in verdict(ledger(), kept, 100)]
    return lines[lines.index("Noted:") + 1 :] if "Noted:" in lines else []


def test_notes_are_told_and_bounded() -> None:
    """What the judges noted stands at the end of the verdict; of very many notes the rest is counted."""
    assert noted(0) == []
    assert noted(2, ("pod a: no name",))[:3] == ["  note 0", "  note 1", "  left out: pod a: no name"]
    many = noted(500)
    assert many[MOST_NOTES] == f"  … and {500 - MOST_NOTES} more"
    assert many[-1] == "VERDICT  1 requirement holds on 1 node"


def test_a_note_is_harmless() -> None:
    """A note quotes the cluster, and cannot steer the terminal."""
    assert noted(0, ("pod \x1b[2J",))[0] == "  left out: pod \\x1b[2J"


def test_the_verdict_in_chinese() -> None:
    """Headings, counts and the requirement are Chinese; the id is the same."""
    lines = [line.text for line in verdict(ledger(), Kept(None), 100, language="zh")]
    assert lines[0] == " ✓ MTU-1  MUST  1/1 个节点  tunl0 的 MTU 符合 Felix 的规则，底层网卡也容得下"
    assert lines[-1] == "VERDICT  1 条要求在 1 个节点上成立"
