"""A difference on a node counts when both readings of the node show it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.judge import again
from pytest_calico_ipip.judge.load import load
from pytest_calico_ipip.model.again import judged_twice
from pytest_calico_ipip.model.checks import mtu, routes
from pytest_calico_ipip.model.judgement import CHANGED, Judgement, Outcome

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "recorded" / "v3.31.7-always"
NODE = "virtnest-rook-ceph-1"
BLOCKS = ("10.233.109.0/24", "10.233.88.0/24")


class Readings:
    """A recording of real Calico whose first node was read twice."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for part in ("api", "nodes"):
            shutil.copytree(RECORDED / part, root / part)
        self.rows = {file: json.loads((root / "nodes" / NODE / file).read_bytes()) for file in (LINKS, ROUTES)}

    def write(self, folder: str, file: str, rows: Any, status: int = 0) -> None:
        """What one of the two readings has."""
        place = self.root / folder / NODE
        place.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(json.dumps(rows))
        if folder == AGAIN:
            with (place / "commands.tsv").open("a") as table:
                table.write(f"{file}\t{status}\tip -j -d …\t\n")

    def tunnel_mtu(self, value: int) -> Any:
        """The links, with another MTU of tunl0."""
        return [{**row, "mtu": value} if row.get("ifname") == "tunl0" else row for row in self.rows[LINKS]]

    def without(self, *blocks: str) -> Any:
        """The routes, without those to these blocks."""
        return [row for row in self.rows[ROUTES] if row.get("dst") not in blocks]


FIRST, AGAIN = "nodes", "nodes-again"
LINKS, ROUTES = "ip-addr.json", "ip-route.json"


@pytest.fixture
def readings(tmp_path: Path) -> Readings:
    """Twice the same, so far."""
    return Readings(tmp_path)


def judged(readings: Readings, check: Any) -> Judgement:
    """What the suite would say of the first node."""
    return judged_twice(load(readings.root, packets=False), check, NODE)


def test_what_is_gone_at_the_second_look_is_told_and_fails_nothing(readings: Readings) -> None:
    """Calico was at work: the tunnel's MTU was another one for a moment."""
    readings.write(FIRST, LINKS, readings.tunnel_mtu(1400))
    assert judged(readings, mtu.tunnel).outcome is Outcome.FAILED
    readings.write(AGAIN, LINKS, readings.rows[LINKS])
    judgement = judged(readings, mtu.tunnel)
    assert judgement.outcome is Outcome.HOLDS
    (note,) = (note for note in judgement.notes if note.startswith(CHANGED))
    assert NODE in note
    assert "1400" in note


def test_what_both_show_fails(readings: Readings) -> None:
    """Also where the value is not the same twice."""
    readings.write(FIRST, LINKS, readings.tunnel_mtu(1400))
    readings.write(AGAIN, LINKS, readings.tunnel_mtu(1300))
    judgement = judged(readings, mtu.tunnel)
    assert judgement.outcome is Outcome.FAILED
    assert [one.observed for one in judgement.differences] == ["1400"]
    assert not [note for note in judgement.notes if note.startswith(CHANGED)]


def test_what_does_not_differ_is_not_looked_up(readings: Readings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second readings of a node cost nothing where nothing asks for them."""
    readings.write(FIRST, LINKS, readings.rows[LINKS])
    readings.write(AGAIN, LINKS, readings.tunnel_mtu(1400))
    monkeypatch.setattr(again, "read_node_again", lambda *_args, **_more: pytest.fail("parsed all the same"))
    assert judged(readings, mtu.tunnel).outcome is Outcome.HOLDS


def test_of_two_differences_one_may_be_gone(readings: Readings) -> None:
    """The route that is still missing fails, and no other."""
    readings.write(FIRST, ROUTES, readings.without(*BLOCKS))
    readings.write(AGAIN, ROUTES, readings.without(BLOCKS[0]))
    judgement = judged(readings, routes.remote_blocks)
    assert [BLOCKS[0] in one.what for one in judgement.differences] == [True]
    assert [BLOCKS[1] in note for note in judgement.notes if note.startswith(CHANGED)] == [True]


def test_a_second_reading_that_failed_excuses_nothing(readings: Readings) -> None:
    """What cannot be seen is not mended."""
    readings.write(FIRST, LINKS, readings.tunnel_mtu(1400))
    readings.write(AGAIN, LINKS, [], status=1)
    assert judged(readings, mtu.tunnel).outcome is Outcome.FAILED


def test_what_is_only_wrong_afterwards_fails_nothing(readings: Readings) -> None:
    """The first reading is what is judged."""
    readings.write(AGAIN, LINKS, readings.tunnel_mtu(1400))
    assert judged(readings, mtu.tunnel).outcome is Outcome.HOLDS


def test_the_verdict_tells_it(readings: Readings) -> None:
    """A run with such a difference is green, and says what it saw."""
    readings.write(FIRST, LINKS, readings.tunnel_mtu(1400))
    readings.write(AGAIN, LINKS, readings.rows[LINKS])
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "test_tunnel", "conformance"]
    done = subprocess.run(
        [*command, f"--ipip-replay={readings.root}"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
    assert f"{CHANGED}{NODE} tunl0" in " ".join(done.stdout.split())
