"""Packets of real Calico are judged healthy, and what is not in those recordings is said to be missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_calico_ipip.judge.load import load
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks import wire_local, wire_mtu, wire_path
from pytest_calico_ipip.model.judgement import Outcome
from pytest_calico_ipip.model.world import World

RECORDED = Path(__file__).parent.parent / "recorded"
ONE, TWO, THREE = (f"virtnest-rook-ceph-{number}" for number in (1, 2, 3))
PAIR = {"v3.31.7-always": (ONE, TWO), "v3.31.7-crosssubnet": (ONE, THREE), "v3.34dev-always": (ONE, TWO)}
CHECKS = [
    wire_path.seen_once,
    wire_path.bare,
    wire_path.encapsulated,
    wire_path.mirrored,
    wire_path.untouched,
    wire_path.from_node,
    wire_mtu.full_size,
]


@pytest.fixture(scope="module", params=sorted(PAIR))
def recording(request: pytest.FixtureRequest) -> tuple[World, tuple[str, str]]:
    """One recording, and the pair whose packets it holds."""
    return load(RECORDED / request.param), PAIR[request.param]


def test_the_recorded_pair_holds(recording: tuple[World, tuple[str, str]]) -> None:
    """Everything that the wire shows of the recorded pair is as it must be."""
    world, pair = recording
    for check in CHECKS:
        judgement = check(world, *pair)
        assert judgement.differences == ()
        assert judgement.outcome is Outcome.HOLDS, judgement
        assert judgement.missing == judgement.inconclusive == ()


def test_every_recorded_echo_is_followed_through_eight_taps(recording: tuple[World, tuple[str, str]]) -> None:
    """Each of the seven echoes of the pods passes eight points there and back, the node's own one passes six."""
    world, pair = recording
    assert not isinstance(world.paths, Absent)
    assert world.paths.derived
    kinds = [flight.kind for flight in world.paths.flights]
    assert sorted(kinds) == ["echo"] * 6 + ["echo-from-node", "echo-full"]
    for flight in world.paths.flights:
        assert flight.nodes == pair
        expected = 6 if flight.kind == "echo-from-node" else 8
        for leg in (flight.request, flight.reply):
            assert leg.hops().count("✓") == expected
            assert leg.elsewhere == ()


def test_the_other_pairs_are_not_in_this_evidence(recording: tuple[World, tuple[str, str]]) -> None:
    """Pairs that were not recorded, same-node traffic and the refused echo are missing, with what is missing."""
    world, pair = recording
    for other in world.pairs():
        for check in [*CHECKS, wire_mtu.one_more] if other != pair else [wire_mtu.one_more]:
            judgement = check(world, *other)
            assert judgement.outcome is Outcome.MISSING
            assert other[0] in judgement.missing[0]
            assert other[1] in judgement.missing[0]
    for node in world.selected:
        judgement = wire_local.same_node(world, node)
        assert (judgement.outcome, judgement.missing) == (
            Outcome.MISSING,
            (f"packets between two pods on {node}",),
        )
