"""The reference experiment's printed transcript: two slips of the pen, found exactly, and nothing else said."""

from __future__ import annotations

import pytest

from pytest_calico_ipip.model.judgement import Judgement, Outcome
from tests.model.recordings import N1, N2, N3, RECORDED, judged, world


@pytest.fixture(scope="module")
def judgements() -> dict[tuple[str, str], Judgement]:
    """Every judgement of the transcript, by requirement and node."""
    return {(one.requirement, one.subject): one for one in judged(world(RECORDED / "reference-experiment"))}


def test_route_1_is_broken_once(judgements: dict[tuple[str, str], Judgement]) -> None:
    """The /32 printed for the first pod's interface is the third node's pod."""
    (difference,) = judgements["ROUTE-1", N1].differences
    assert difference.expected == "10.233.107.250 dev cali747350e5fc9 scope link"
    assert difference.observed == (
        f"10.233.88.225 dev cali747350e5fc9 scope link (10.233.88.225 is sleep-curl/sleep-curl-3 on {N3})"
    )
    assert difference.reading is not None
    assert difference.reading.command == "route -n"


def test_veth_2_is_broken_twice(judgements: dict[tuple[str, str], Judgement]) -> None:
    """The interface's index is not the one that eth0 names, and it leads to another namespace than the entered one."""
    index, namespace = judgements["VETH-2", N1].differences
    assert (index.expected, index.observed) == ("114 (cali747350e5fc9)", "115 (another device)")
    assert namespace.expected.startswith("cni-370b6c07-")
    assert namespace.observed.startswith("cni-9d817ca4-")


def test_address_and_name_hold(judgements: dict[tuple[str, str], Judgement]) -> None:
    """What the transcript prints in full is right: the pod's address and its interface's name."""
    assert judgements["POD-2", N1].outcome is Outcome.HOLDS
    assert judgements["VETH-1", N1].outcome is Outcome.HOLDS


def test_of_the_rest_nothing_is_said(judgements: dict[tuple[str, str], Judgement]) -> None:
    """Everything else is "not in this evidence", with what is missing; the other two nodes as a whole."""
    said = {(ident, N1) for ident in ("ROUTE-1", "VETH-2", "POD-2", "VETH-1")}
    rest = {key: one for key, one in judgements.items() if key not in said}
    assert {one.outcome for one in rest.values()} == {Outcome.MISSING}
    assert all(one.missing for one in rest.values())
    assert {name for _, name in rest} == {N1, N2, N3}
