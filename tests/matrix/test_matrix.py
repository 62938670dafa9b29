"""Every fault trips exactly the requirements that the table names, on those nodes and pairs, and is named itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.mutation import mutants
from pytest_calico_ipip.lab.faults import CATALOGUE
from pytest_calico_ipip.model.catalogue import REQUIREMENTS
from tests.matrix.suite import SUITE, Subjects, Verdict, in_lab, on_evidence, seen_in_lab
from tests.matrix.table import BEFORE, HEALTHY_LAB, TABLE

# judged in the lab, as a user runs the suite, and once more from its evidence; with the others the suite only observes
# there, which takes a third less
LIVE = {"bgp-session-down", "proxy-arp-off", "ipip-from-anybody"}
# what a third node has no part in can only be seen where there is one
THIRD = {"ipip-dropped-pair", "pods-translated", "route-more-specific"}
# faults at once: the last of each hides some of what the others break
TOGETHER = (
    ("blackhole-missing", "workload-mac", "host-set-extra"),
    ("block-route-missing", "tunnel-address-missing", "pod-mtu-small"),
    ("tunnel-address-not-allocated", "tcp-mss-clamped", "ipip-dropped-pair"),
    ("node-address-twice", "policy-rule", "proxy-arp-off"),
)


def same_again(work: Path, live: Verdict, *options: str) -> None:
    """The evidence of a run is judged again to the same verdict, cause for cause."""
    again = on_evidence(work, work / "evidence", pytest=options)
    assert (again.status, again.outcomes, again.causes) == (live.status, live.outcomes, live.causes)


def least(name: str) -> int:
    """The nodes of the smallest lab that shows what is this fault's own."""
    third = CATALOGUE[name].nodes > 2 or name in LIVE | THIRD or TABLE[name].options == BEFORE
    return 3 if third else 2


def _labs() -> Iterator[Any]:
    """Each fault in the smallest lab, which takes half the time; and all in three nodes, where there is time."""
    for name in CATALOGUE:
        yield pytest.param(name, least(name), id=name)
        if least(name) < 3:
            yield pytest.param(name, 3, id=f"{name}-of-3", marks=pytest.mark.thorough)


@pytest.mark.lab
@pytest.mark.parametrize(("name", "nodes"), list(_labs()))
def test_a_fault_trips_exactly_its_requirements_and_is_named(name: str, nodes: int, tmp_path: Path) -> None:
    """A broken lab fails what the table says and nothing else, could judge everything, and names the cause."""
    expected = TABLE[name].among(nodes)
    see = in_lab if name in LIVE else seen_in_lab
    verdict = see(tmp_path, "--nodes", str(nodes), "--fault", name, pytest=expected.options)
    found = (verdict.status, verdict.of("failed"), verdict.of("warning"), verdict.of("error"), verdict.causes)
    status = 1 if expected.failed else 0  # what only a SHOULD asks for is a warning
    assert found == (status, expected.failed, expected.warned, {}, expected.causes), verdict.output[-6000:]
    if name in LIVE:
        same_again(tmp_path, verdict, *expected.options)


@pytest.mark.lab
@pytest.mark.parametrize(
    "names",
    [*TOGETHER[:2], *(pytest.param(names, marks=pytest.mark.thorough) for names in TOGETHER[2:])],
    ids="+".join,
)
def test_several_faults_at_once_are_all_named(names: tuple[str, ...], tmp_path: Path) -> None:
    """Each of them is a cause, nothing else is, and only what one of them breaks fails."""
    verdict = seen_in_lab(tmp_path, *(word for name in names for word in ("--fault", name)))
    expected = {cause for name in names for cause in TABLE[name].causes}
    assert set(verdict.causes) == expected, verdict.output[-6000:]
    assert verdict.of("error") == {}
    broken = [(*TABLE[name].failed.items(), *TABLE[name].warned.items()) for name in names]
    allowed = {(requirement, subject) for items in broken for requirement, subjects in items for subject in subjects}
    # a node's own packets are PATH-7's where PATH-1 has not told of their loss, which another fault may hide
    allowed |= {("PATH-7", subject) for requirement, subject in allowed if requirement == "PATH-1"}
    assert _each(verdict.of("failed")) <= allowed


def _each(subjects: Subjects) -> set[tuple[str, str]]:
    return {(requirement, subject) for requirement, each in subjects.items() for subject in each}


@pytest.mark.lab
def test_a_healthy_lab_trips_nothing(tmp_path: Path) -> None:
    """Without a fault everything holds, nothing warns and no cause is named."""
    baseline = tmp_path / "baseline.json"
    verdict = in_lab(tmp_path, pytest=("--ipip-spoof", "--ipip-save-baseline", str(baseline)))
    assert verdict.status == 0, verdict.output[-6000:]
    assert set(verdict.outcomes) <= {"holds", "not applicable"}
    assert set(verdict.of("not applicable")) <= {"ROUTE-6", "PATH-10"}  # nobody borrows; not CrossSubnet
    assert verdict.causes == ()
    assert verdict.of("holds")["SEC-3"] == ("1", "2", "3")  # and SEC-2 counts none of its packets
    assert baseline.read_text() == HEALTHY_LAB.read_text()
    same_again(tmp_path, verdict, "--ipip-spoof")


@pytest.mark.lab
@pytest.mark.parametrize("name", ["block-route-missing"])
def test_by_helper_pods_the_verdict_is_the_same(name: str, tmp_path: Path) -> None:
    """On nodes with neither sshd nor tcpdump a fault is found and named as it is by ssh."""
    expected = TABLE[name]
    verdict = in_lab(
        tmp_path, "--no-sshd", "--node-tools", "bare", "--fault", name, pytest=["--ipip-node-access", "pod"]
    )
    found = (verdict.status, verdict.of("failed"), verdict.of("warning"), verdict.of("error"), verdict.causes)
    assert found == (1, expected.failed, expected.warned, {}, expected.causes), verdict.output[-6000:]


@pytest.mark.lab
def test_a_fault_that_nobody_listed_is_found(tmp_path: Path) -> None:
    """A tunnel MTU that was changed by hand fails MTU-1 on that node."""
    verdict = seen_in_lab(tmp_path, "--nodes", "2", "--at-start", "virtnest-rook-ceph-2", "ip link set tunl0 mtu 1400")
    assert verdict.status == 1, verdict.output[-6000:]
    assert verdict.of("failed")["MTU-1"] == ("2",)
    assert verdict.causes == ("tunnel-mtu-low",)


def test_every_requirement_is_proved_by_a_fault() -> None:
    """A requirement that no fault trips could be one that cannot fail."""
    seen = [broken.among(least(name)) for name, broken in TABLE.items()]
    tripped = {requirement for broken in seen for requirement in (*broken.failed, *broken.warned)}
    assert sorted(set(REQUIREMENTS) - tripped) == []


def test_every_requirement_has_one_assertion() -> None:
    """What benchmarks/mutation.py takes out, one by one, is all that the suite asserts."""
    assert sorted(each.requirement for each in mutants(SUITE)) == sorted(REQUIREMENTS)


def test_every_fault_is_named_by_its_cause() -> None:
    """There is a cause for each fault that fails something, and never the one that says that none is known."""
    for name, broken in TABLE.items():
        assert broken.causes or not broken.failed, name
        assert "not-explained" not in broken.causes, name


def test_there_are_enough_faults() -> None:
    """The catalogue is as large as the field's failures ask for."""
    assert len(CATALOGUE) >= 45


def test_the_table_and_the_catalogue_agree() -> None:
    """`calico-ipip-lab faults` tells what the matrix proves."""
    stated = {name: sorted(fault.fails) for name, fault in CATALOGUE.items()}
    assert stated == {name: sorted((*broken.failed, *broken.warned)) for name, broken in TABLE.items()}
