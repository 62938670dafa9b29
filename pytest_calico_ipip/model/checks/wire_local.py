"""PATH-6: two pods on one node talk by their workload interfaces alone. Subject: the node."""

from __future__ import annotations

from pytest_calico_ipip.model.checks import wire_leg
from pytest_calico_ipip.model.checks.wire_path import never_sent
from pytest_calico_ipip.model.checks.wire_scope import Verdict, arrived, flights
from pytest_calico_ipip.model.judgement import Judgement
from pytest_calico_ipip.model.points import Role
from pytest_calico_ipip.model.world import World


def same_node(world: World, node: str) -> Judgement:
    """PATH-6: workload interface to workload interface, nothing on tunl0 or the underlay NIC."""
    verdict = Verdict("PATH-6", node, world.live)
    words = f"packets between two pods on {node}"
    for flight in flights(world, verdict, node, node, ("echo-same-node",), words):
        if never_sent(verdict, flight):
            continue
        for leg in (flight.request, flight.reply) if arrived(flight) else (flight.request,):
            wire_leg.seen_once(world, verdict, flight, leg)
            wire_leg.bare(world, verdict, flight, leg, (Role.POD, Role.WORKLOAD))
    return verdict.judgement()
