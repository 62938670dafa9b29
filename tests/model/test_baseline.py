"""BASE-1: an upgrade may change who writes the routes, and nothing of what packets meet."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest

from pytest_calico_ipip.judge import load
from pytest_calico_ipip.model.baseline import Baseline, NodeBaseline, baseline_of
from pytest_calico_ipip.model.checks.baseline import unchanged
from pytest_calico_ipip.model.judgement import Judgement, Outcome
from pytest_calico_ipip.model.world import World
from pytest_calico_ipip.report.baseline import read, written
from tests.model.recordings import ALWAYS, CROSS, FELIX, HEALTHY, N1, N2, N3, RECORDED


@cache
def recording(name: str) -> World:
    """A recording, packets and all."""
    return load(RECORDED / name)


def compared(before: Baseline, now: World, node: str = N1) -> Judgement:
    """BASE-1 of one node."""
    return unchanged(replace(now, baseline=before), node)


def changed(**parts: object) -> Baseline:
    """The baseline of a healthy cluster with something of its first node otherwise."""
    before = baseline_of(recording(ALWAYS))
    return replace(before, nodes={**before.nodes, N1: replace(before.nodes[N1], **parts)})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_changed(name: str) -> None:
    """A cluster is as its own baseline."""
    world = recording(name)
    for node in world.selected:
        judgement = compared(baseline_of(world), world, node)
        assert judgement.outcome is Outcome.HOLDS, judgement
        assert judgement.asserted >= 7


@pytest.mark.parametrize(("before", "after"), [(ALWAYS, FELIX), (FELIX, ALWAYS)])
def test_another_owner(before: str, after: str) -> None:
    """From BIRD's routes to Felix's, with other protocols, flags and MTUs of routes, nothing that counts changed."""
    for node in (N1, N2, N3):
        assert compared(baseline_of(recording(before)), recording(after), node).outcome is Outcome.HOLDS


def test_every_difference_is_listed() -> None:
    """From Always to CrossSubnet another device and another next hop are both named, with both values."""
    judgement = compared(baseline_of(recording(ALWAYS)), recording(CROSS))
    assert [(one.what, one.expected, one.observed) for one in judgement.differences] == [
        (f"{N1} route to 10.233.109.0/24", "via 10.7.120.12 dev tunl0", "via 10.7.120.12 dev ens192"),
        (f"{N1} route to 10.233.88.0/24", "via 10.7.120.13 dev tunl0", "via 10.7.121.13 dev tunl0"),
    ]


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"underlay": "ens224"}, "underlay NIC"),
        ({"underlay_mtu": 9000}, "ens192 MTU"),
        ({"tunnel_mtu": 8980}, "tunl0 MTU"),
        ({"pod_mtus": (1440,)}, "MTU of new pods"),
        ({"routes": {"10.233.109.0/24": ("via 10.7.120.13 dev tunl0",)}}, "route to 10.233.109.0/24"),
        ({"routes": {"10.233.109.0/24": ()}}, "route to 10.233.109.0/24"),
        ({"sends": {N2: "bare"}}, f"packets to pods on {N2}"),
    ],
)
def test_any_single_change_is_found(parts: dict[str, object], what: str) -> None:
    """Whatever one thing was otherwise, it is what is told."""
    judgement = compared(changed(**parts), recording(ALWAYS))
    assert judgement.outcome is Outcome.FAILED
    assert [one.what for one in judgement.differences] == [f"{N1} {what}"]


def test_what_came_or_went_is_not_compared_but_told() -> None:
    """A block or node that is new, gone or moved has no before; a note says so."""
    before = baseline_of(recording(ALWAYS))
    routes = {**(before.nodes[N1].routes or {}), "10.233.64.0/24": ("via 10.7.120.14 dev tunl0",)}
    blocks = {**before.blocks, "10.233.64.0/24": "gone", "10.233.88.0/24": N2}
    del blocks["10.233.109.0/24"]
    other = Baseline({N1: replace(before.nodes[N1], routes=routes), "gone": NodeBaseline()}, blocks, ("ROUTE-2",))
    judgement = compared(other, recording(ALWAYS))
    assert judgement.outcome is Outcome.HOLDS
    assert judgement.notes == (
        f"not compared: block 10.233.88.0/24 of {N2} moved to {N3}",
        "not compared: block 10.233.64.0/24 of gone is gone",
        f"not compared: block 10.233.109.0/24 of {N2} is new",
        "the baseline was made while ROUTE-2 did not hold",
    )
    assert compared(other, recording(ALWAYS), N2).outcome is Outcome.NOT_APPLICABLE


def test_a_baseline_of_another_cluster() -> None:
    """A baseline that has none of the nodes compares nothing, and that is no success."""
    other = Baseline({"elsewhere": NodeBaseline()}, {})
    assert compared(other, recording(ALWAYS)).inconclusive == (
        "the baseline knows none of these nodes: it has elsewhere",
    )


@pytest.mark.parametrize("name", HEALTHY)
def test_a_file_says_it_all(name: str) -> None:
    """What is written is read again, and written again it is the same text."""
    before = baseline_of(recording(name), ("MTU-4",))
    assert read(written(before)) == before
    assert written(read(written(before))) == written(before)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no baseline"),
        ('{"kind": "calico-ipip-baseline", "version": 2}', "version '2'"),
        ('{"kind": "calico-ipip-baseline", "version": 1}', '"nodes" of the file is no object'),
        ('{"kind": "calico-ipip-baseline", "version": 1, "nodes": {"\\u001b[2J": {}}}', "is no node's name"),
        ('{"kind": "calico-ipip-baseline", "version": 1, "nodes": {}, "blocks": {"x": "n"}}', "no IPv4 network"),
    ],
)
def test_what_is_no_baseline(text: str, words: str) -> None:
    """Whatever the file holds, one printable sentence says what is wrong."""
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        read(text)
    assert str(error.value).isprintable()
