"""The ledger and the verdict as values: counting, order, bounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_calico_ipip.model.judgement import Difference, Outcome, Reading
from pytest_calico_ipip.report.ledger import NOT_ASSERTED, Ledger
from pytest_calico_ipip.report.record import Record
from pytest_calico_ipip.report.shown import broken
from pytest_calico_ipip.report.verdict import Kept, last_line, verdict
from pytest_calico_ipip.report.wording import LONGEST, again, plain

DIFFERENCE = Difference("n1 tunl0 MTU", "1480", "1400", Reading("nodes/n1/ip-addr.json", "ip -j -d addr"))


def record(requirement: str, subject: str, outcome: str, **more: object) -> Record:
    """A record with a sentence, of a live run."""
    kind = "pair" if ":" in subject else "node"
    about = {"level": "MUST", "sentence": "It is so.", "kind": kind, "live": True, **more}
    return Record(requirement=requirement, subject=subject, outcome=outcome, **about)  # type: ignore[arg-type]


def ledger(*records: Record) -> Ledger:
    """A ledger of these, each from a test of its own."""
    made = Ledger()
    for index, each in enumerate(records):
        made.add(str(index), each)
    return made


def lines(made: Ledger, width: int = 100) -> list[str]:
    """The verdict's lines."""
    return [line.text for line in verdict(made, Kept(Path("/tmp/e")), width)]


def test_a_record_travels_as_json() -> None:
    """A record comes back unchanged from the plain data that xdist carries."""
    sent = record("MTU-1", "n1", "failed", differences=(DIFFERENCE,), reasons=("because",), notes=("note",))
    assert Record.from_plain(json.loads(json.dumps(sent.to_plain()))) == sent


def test_the_catalogue_is_the_order() -> None:
    """Causes stand before their effects, and 10 after 2, in whatever order the tests ran."""
    names = ["PATH-10", "ROUTE-2", "PATH-2", "ODD-1", "MTU-1", "POOL-1"]
    made = ledger(*(record(name, "n1", "holds") for name in names))
    assert [tally.requirement for tally in made.tallies()] == [
        *("POOL-1", "MTU-1", "ROUTE-2", "PATH-2", "PATH-10", "ODD-1")
    ]


def test_a_test_that_runs_again_replaces_its_record() -> None:
    """A rerun counts once."""
    made = Ledger()
    made.add("a", record("MTU-1", "n1", "failed"))
    made.add("a", record("MTU-1", "n1", "holds"))
    assert last_line(made, interrupted=False).text == "VERDICT  1 requirement holds on 1 node"


@pytest.mark.parametrize(
    ("outcome", "live", "level", "silent"),
    [
        (NOT_ASSERTED, True, "MUST", True),
        (NOT_ASSERTED, True, "SHOULD", False),
        (Outcome.MISSING.value, True, "MUST", True),
        (Outcome.MISSING.value, False, "MUST", False),
        (Outcome.NOT_APPLICABLE.value, True, "MUST", False),
    ],
)
def test_silence(outcome: str, live: bool, level: str, silent: bool) -> None:
    """Only a MUST of a live run that nothing asserted without an accepted reason spoils a run in which others hold."""
    made = ledger(record("MTU-1", "n1", "holds", live=live), record("PATH-1", "", outcome, live=live, level=level))
    assert [tally.requirement for tally in made.silent()] == (["PATH-1"] if silent else [])


def test_a_replay_of_nothing_is_not_green() -> None:
    """A replay in which nothing at all was asserted is not in order."""
    assert ledger(record("MTU-1", "n1", Outcome.MISSING.value, live=False)).silent()


def test_many_failures_are_bounded() -> None:
    """Of very many failures a part is shown in full, the rest is counted, and the last line stays one line."""
    made = ledger(*(record("PATH-1", f"n{i}:m{i}", "failed", differences=(DIFFERENCE,)) for i in range(380)))
    shown = lines(made)
    assert len(shown) < 200
    assert "  … and 360 more, listed above" in shown
    assert shown[-1] == "VERDICT  BROKEN: PATH-1 on 380 pairs"


def test_many_differences_are_bounded() -> None:
    """Of very many differences of one test a part is shown, the rest is counted."""
    text = str(broken("ROUTE-1", "n1", "Every pod has its route.", [DIFFERENCE] * 500))
    assert text.count("observed") == 20
    assert "… and 480 more differences" in text


def test_requirements_with_the_same_reason_share_a_line() -> None:
    """Why something is not asserted is said once for all requirements that it concerns."""
    made = ledger(
        record("PATH-1", "a:b", "not in this evidence", reasons=("no packets",)),
        record("PATH-2", "a:b", "not in this evidence", reasons=("no packets",)),
        record("MTU-1", "a", "holds"),
    )
    assert "  PATH-1, PATH-2: 1 pair: no packets" in lines(made)


def test_the_table_fits_the_width() -> None:
    """Long sentences are wrapped."""
    made = ledger(record("MTU-1", "n1", "holds", sentence="a word " * 40))
    assert max(len(line) for line in lines(made, 80)[:6]) <= 80


def test_a_long_value_is_cut() -> None:
    """One value of a hostile size is cut and says so."""
    text = plain("x" * 1_000_000)
    assert len(text) < LONGEST + 100
    assert text.endswith("(998000 more characters)")


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x85", "\u202e", "\u2028", "\ufeff", "\ud800", "\r"])
def test_what_steers_a_terminal_is_spelt(character: str) -> None:
    """Control characters, line separators and direction marks are shown as text."""
    assert character not in plain(f"a{character}b")
    assert plain(f"a{character}b").isascii()


def test_names_in_any_script_stay() -> None:
    """Letters, marks of our own and other scripts are left as they are."""
    assert plain("ens192 ✓ → 节点 é") == "ens192 ✓ → 节点 é"


def test_the_command_says_where() -> None:
    """A node's command names the node; the API's does not."""
    assert again(Reading("nodes/n1/netns/cni-1/ip-addr.json", "ip addr")) == "on n1: ip addr"
    assert again(Reading("api/pods.json", "kubectl get pods")) == "kubectl get pods"
