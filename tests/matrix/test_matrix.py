"""Every fault trips exactly the requirements that the table names, on those nodes and pairs, and is named itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_calico_ipip.lab.faults import CATALOGUE
from pytest_calico_ipip.model.catalogue import REQUIREMENTS
from tests.matrix.suite import Verdict, in_lab, on_evidence
from tests.matrix.table import HEALTHY_LAB, TABLE


def same_again(work: Path, live: Verdict, *options: str) -> None:
    """The evidence of a run is judged again to the same verdict, cause for cause."""
    again = on_evidence(work, work / "evidence", pytest=options)
    assert (again.status, again.outcomes, again.causes) == (live.status, live.outcomes, live.causes)


@pytest.mark.lab
@pytest.mark.parametrize("name", CATALOGUE)
def test_a_fault_trips_exactly_its_requirements_and_is_named(name: str, tmp_path: Path) -> None:
    """A broken lab fails what the table says and nothing else, could judge everything, and names the cause."""
    expected = TABLE[name]
    verdict = in_lab(tmp_path, "--fault", name, pytest=expected.options)
    found = (verdict.status, verdict.of("failed"), verdict.of("warning"), verdict.of("error"), verdict.causes)
    status = 1 if expected.failed else 0  # what only a SHOULD asks for is a warning
    assert found == (status, expected.failed, expected.warned, {}, expected.causes), verdict.output[-6000:]
    same_again(tmp_path, verdict, *expected.options)


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
def test_a_fault_that_nobody_listed_is_found(tmp_path: Path) -> None:
    """A tunnel MTU that was changed by hand fails MTU-1 on that node."""
    verdict = in_lab(tmp_path, "--at-start", "virtnest-rook-ceph-2", "ip link set tunl0 mtu 1400")
    assert verdict.status == 1, verdict.output[-6000:]
    assert verdict.of("failed")["MTU-1"] == ("2",)
    assert verdict.causes == ("tunnel-mtu-low",)


def test_every_requirement_is_proved_by_a_fault() -> None:
    """A requirement that no fault trips could be one that cannot fail."""
    tripped = {requirement for broken in TABLE.values() for requirement in (*broken.failed, *broken.warned)}
    assert sorted(set(REQUIREMENTS) - tripped) == []


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
