"""`--ipip-save-baseline` and `--ipip-baseline`, as a user gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.suite import ROOT

ALWAYS, CROSS = (ROOT / "tests" / "recorded" / name for name in ("v3.31.7-always", "v3.31.7-crosssubnet"))
SUITE = str(ROOT / "conformance")


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> object:
    """A function that runs pytest on the suite, in a directory of its own."""
    monkeypatch.setenv("COLUMNS", "100")
    return lambda *words: pytester.runpytest_subprocess("-p", "no:cacheprovider", *map(str, words))


def test_before_and_after_an_upgrade(run: object, tmp_path: Path) -> None:
    """A first run writes the file; a later one fails where packets go another way, and names what changed."""
    assert callable(run)
    file = tmp_path / "before.json"
    saved = run(f"--ipip-replay={ALWAYS}", f"--ipip-save-baseline={file}", SUITE)
    assert saved.ret == 0
    assert "Baseline for later runs: " in saved.stdout.str()
    same = run(f"--ipip-replay={ALWAYS}", f"--ipip-baseline={file}", SUITE)
    assert same.ret == 0
    same.stdout.fnmatch_lines([" ✓ BASE-1 *3 of 3 nodes*"])
    other = run(f"--ipip-replay={CROSS}", f"--ipip-baseline={file}", SUITE)
    assert other.ret == 1
    shown = other.stdout.str()
    assert "VERDICT  BROKEN: BASE-1 on virtnest-rook-ceph-1, virtnest-rook-ceph-2" in shown
    assert "[changed-since-baseline]" in shown
    again = run(f"--ipip-replay={ALWAYS}", f"--ipip-save-baseline={file}", SUITE)
    assert again.ret == pytest.ExitCode.USAGE_ERROR
    assert "is there already" in again.stderr.str()


@pytest.mark.parametrize("content", [None, b"", b"\xff", b'{"kind": "Pod"}'])
def test_a_bad_file_is_refused(run: object, tmp_path: Path, content: bytes | None) -> None:
    """What is no baseline ends the run with 4 and one sentence, before anything is read."""
    assert callable(run)
    file = tmp_path / "bad.json"
    if content is not None:
        file.write_bytes(content)
    result = run(f"--ipip-replay={ALWAYS}", f"--ipip-baseline={file}", SUITE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--ipip-baseline" in result.stderr.str()
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_without_the_option_it_is_not_collected(run: object) -> None:
    """Nobody asked: the requirement is not in the verdict; alone, it says which option asks for it."""
    assert callable(run)
    result = run(f"--ipip-replay={ALWAYS}", SUITE)
    assert "BASE-1" not in result.stdout.str()
    alone = run(f"--ipip-replay={ALWAYS}", f"{SUITE}/test_baseline.py")
    assert alone.ret == pytest.ExitCode.USAGE_ERROR
    assert "BASE-1: judged only with --ipip-baseline" in alone.stderr.str()
