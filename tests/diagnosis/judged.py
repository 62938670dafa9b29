"""Every judgement of a world, and what the diagnosis makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pytest_calico_ipip.model.checks import bgp, firewall, wire_local
from pytest_calico_ipip.model.diagnosis import Cause, diagnose
from pytest_calico_ipip.model.judgement import Judgement
from pytest_calico_ipip.model.world import World
from tests.model.recordings import CHECKS, CLUSTER, LATER
from tests.model.wire_scene import PAIR_CHECKS

NODE_CHECKS: tuple[Callable[[World, str], Judgement], ...] = (
    *{*CHECKS.values(), *LATER.values(), bgp.established, bgp.announced, firewall.host_set, firewall.input_chain},
)


def every_judgement(world: World, *, packets: bool = True) -> Iterator[Judgement]:
    """All requirements on all nodes, on the cluster, and (where there are packets) on all pairs."""
    for node in world.selected:
        yield from (check(world, node) for check in NODE_CHECKS)
    yield from (check(world) for check in CLUSTER.values())
    if packets:
        yield from on_the_wire(world)


def on_the_wire(world: World) -> Iterator[Judgement]:
    """The requirements on packets."""
    for pair in world.pairs():
        yield from (check(world, *pair) for check in PAIR_CHECKS)
    yield from (wire_local.same_node(world, node) for node in world.selected)


def causes(world: World, *, packets: bool = True) -> tuple[Cause, ...]:
    """The likely causes."""
    return diagnose(world, list(every_judgement(world, packets=packets)))
