"""Real Calico, recorded while it was healthy, is the measure: a finding is a false alarm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pytest_calico_ipip.model.judgement import Outcome
from tests.model.recordings import CHECKS, HEALTHY, N1, RECORDED, copied, found, judged, judged_later, world


@pytest.mark.parametrize("recording", HEALTHY)
def test_every_requirement_holds_on_every_node(recording: str) -> None:
    """Everything that the kernels and the datastore of a healthy cluster say is asserted, and holds."""
    judgements = judged(world(RECORDED / recording))
    assert len(judgements) == 3 * len(CHECKS)
    assert [one for one in judgements if one.outcome is not Outcome.HOLDS] == []
    assert [one for one in judgements if one.missing or one.inconclusive or not one.asserted] == []


@pytest.mark.parametrize("recording", HEALTHY)
def test_the_further_requirements_hold_too(recording: str) -> None:
    """All but two: nobody borrowed an address there, and drop counters were read only once."""
    judgements = judged_later(world(RECORDED / recording))
    outcomes = {one.requirement: one.outcome for one in judgements}
    assert {ident for ident, outcome in outcomes.items() if outcome is not Outcome.HOLDS} == {"ROUTE-6", "SEC-2"}
    assert outcomes["ROUTE-6"] is Outcome.NOT_APPLICABLE
    assert outcomes["SEC-2"] is Outcome.MISSING
    assert {len(one.missing) for one in judgements if one.requirement == "SEC-2"} == {1}


@pytest.mark.parametrize("recording", HEALTHY)
def test_packets_are_the_only_thing_left_unread(recording: str) -> None:
    """Everything that the judge reads is there: no list is absent, no object unreadable."""
    subject = world(RECORDED / recording)
    assert subject.datastore.absent == {}  # type: ignore[union-attr]
    assert subject.datastore.unreadable == ()  # type: ignore[union-attr]


def test_a_folder_of_firewall_rules_alone_says_nothing_and_does_not_hurt() -> None:
    """Of the recording that has only one node's nft tables nothing here is asserted, and nothing fails."""
    judgements = judged(world(RECORDED / "v3.31.7-nft"))
    assert {one.outcome for one in judgements} == {Outcome.MISSING}
    assert all(one.missing for one in judgements)


# what a check reads, so what must be named as missing when it is gone
_NEEDS = {
    "api/ippools.crd.projectcalico.org.json": "POOL-1 POD-1 TUN-1 TUN-2 MTU-1 MTU-2 ROUTE-2 ROUTE-3 ROUTE-4",
    "api/ipamblocks.crd.projectcalico.org.json": "ROUTE-2 ROUTE-3 ROUTE-4",
    "api/felixconfigurations.crd.projectcalico.org.json": "MTU-1 MTU-2",
    "nodes/{}/ip-addr.json": "NODE-4 POD-2 POD-3 POD-4 VETH-1 VETH-2 VETH-3 VETH-4 TUN-1 TUN-2 MTU-1 MTU-2",
    "nodes/{}/ip-route.json": "NODE-4 ROUTE-1 ROUTE-2 ROUTE-3 ROUTE-4",
    "nodes/{}/ip-rule.json": "ROUTE-4",
    "nodes/{}/sysctl.txt": "NODE-4 VETH-4",
    "nodes/{}/netns": "POD-2 POD-3 POD-4 VETH-2 VETH-3 MTU-2",
}


@pytest.mark.parametrize("file", _NEEDS)
def test_what_was_never_collected_is_named(file: str, tmp_path: Path) -> None:
    """Without a file, and with no line about it, exactly its requirements are "not in this evidence": none fails."""
    root = copied(HEALTHY[0], tmp_path)
    gone = root / file.format(N1)
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    for table in root.glob("nodes/*/commands.tsv"):
        table.unlink()
    subject = world(root)
    nodes = [N1] if "{}" in file else list(subject.selected)
    expected = {(ident, name) for ident in _NEEDS[file].split() for name in nodes}
    assert found(subject, Outcome.MISSING) == expected
    assert found(subject, Outcome.FAILED, Outcome.WARNING, Outcome.ERROR) == set()


@pytest.mark.parametrize("file", [file for file in _NEEDS if file.startswith("nodes/")])
def test_what_was_collected_and_is_gone_is_an_error(file: str, tmp_path: Path) -> None:
    """Where commands.tsv lists a file that is not there, its requirements are ERRORs, never failures and no skip."""
    root = copied(HEALTHY[0], tmp_path)
    gone = root / file.format(N1)
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    subject = world(root)
    assert {ident for ident, _ in found(subject, Outcome.ERROR)} == set(_NEEDS[file].split())
    assert found(subject, Outcome.FAILED, Outcome.WARNING, Outcome.MISSING) == set()


def test_in_a_live_run_nothing_is_left_out(tmp_path: Path) -> None:
    """What a run of ours should have collected and did not is an ERROR that names the file."""
    root = copied(HEALTHY[0], tmp_path)
    run = {"live": True, "pods": ["sleep-curl/sleep-curl-1"], "selected": [N1]}
    (root / "run.json").write_text(json.dumps(run))
    (root / "nodes" / N1 / "commands.tsv").unlink()
    (root / "nodes" / N1 / "ip-rule.json").unlink()
    subject = world(root)
    assert found(subject, Outcome.ERROR) == {("ROUTE-4", N1)}
    reasons = [one.inconclusive for one in judged(subject, ["ROUTE-4"])]
    assert reasons == [(f"nodes/{N1}/ip-rule.json",)]
