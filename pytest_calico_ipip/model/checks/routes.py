"""ROUTE-1, 2, 3 and 6: the routes that must be there. (ROUTE-4, what must not be, is in unexplained.py.)"""

from __future__ import annotations

from pytest_calico_ipip.model.absent import Absent, Missing
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.checks.matching import (
    ROUTES,
    as_typed,
    main_routes,
    matches,
    nic_name,
    one_or_a_leftover,
    side_by_side,
    wanted_by,
    whose,
)
from pytest_calico_ipip.model.checks.unexplained import unexplained
from pytest_calico_ipip.model.expected import ExpectedRoute
from pytest_calico_ipip.model.nodestate import Route

__all__ = ["borrowed", "local_pods", "own_blocks", "remote_blocks", "unexplained"]


@node_check("ROUTE-1")
def local_pods(case: Case) -> None:
    """Every local pod has its /32, dev its workload interface, scope link, and no other device for it."""
    case.datastore.need("pods")
    wanted = wanted_by(case, "ROUTE-1")
    if not wanted:
        case.not_applicable(f"there is no live pod with an address in an IPIP pool on {case.node}")
    routes = main_routes(case) if wanted else []
    for expected in wanted:
        found = [route for route in routes if route.destination == expected.destination]
        right = bool(found) and all(matches(expected, route, "") for route in found)
        if right and (len(found) == 1 or side_by_side(case, found)):
            case.hold()
            continue
        beside = [r for r in routes if r not in found and expected.device in [hop.device for hop in r.next_hops]]
        if not found and not beside:
            case.whole(ROUTES, f"the route to {expected.destination.network_address}")
        observed = [*(route.text for route in found), *(_described(case, route) for route in beside)]
        what = f"{case.node} route by {expected.device}" if beside and not found else ""
        _differ(case, expected, "; ".join(observed), what=what)


def _described(case: Case, route: Route) -> str:
    return f"{route.text} ({whose(case, route) or 'no live pod has this address'})"


@node_check("ROUTE-2")
def remote_blocks(case: Case) -> None:
    """Every other node's block has one route with one next hop: that node, by tunl0 or by the underlay NIC."""
    if not _towards(case, "ROUTE-2"):
        case.not_applicable("no other live node has a block of an IPIP pool")


@node_check("ROUTE-6")
def borrowed(case: Case) -> None:
    """A pod whose address is borrowed from another node's block has its own /32 on every other node."""
    case.datastore.need("pods")
    if not _towards(case, "ROUTE-6"):
        case.not_applicable("no live pod of another node has a borrowed address")


def _towards(case: Case, requirement: str) -> bool:
    """Compare the routes to other nodes that one requirement wants; False where it wants none."""
    case.datastore.need("ippools", "ipamblocks")
    if case.expected.node.configuration.wireguard:
        case.not_applicable("wireguardEnabled: WireGuard carries what goes to other nodes")
        return True
    wanted = wanted_by(case, requirement)
    nic = nic_name(case, wanted)
    routes = main_routes(case) if wanted else []
    for expected in wanted:
        if expected.next_hop is None:
            _no_address(case, expected)
            continue
        found = [route for route in routes if route.destination == expected.destination]
        if found and all(matches(expected, route, nic) for route in found) and one_or_a_leftover(case, found):
            case.hold()
            continue
        if not found:
            case.whole(ROUTES, f"the route to {expected.destination}")
        _differ(case, expected, "; ".join(route.text for route in found), nic)
    return bool(wanted)


def _no_address(case: Case, expected: ExpectedRoute) -> None:
    """A node without an IPv4Address annotation has nothing that its block could be routed to."""
    node = case.datastore.nodes[expected.owner]
    if not node.annotated:
        raise Missing(Absent(f"the annotations of node {node.name}", failed=False))
    said = f'says "{node.address_text}"' if node.address_text else "is not set"
    what = f"{case.node} route to {expected.destination}"
    observed = f"projectcalico.org/IPv4Address of {node.name} {said}"
    case.differ(what, f"via the address of {node.name}", observed, case.api("nodes", node.name))


@node_check("ROUTE-3")
def own_blocks(case: Case) -> None:
    """Every own block is a blackhole (not a /32 block)."""
    case.datastore.need("ippools", "ipamblocks")
    wanted = wanted_by(case, "ROUTE-3")
    if not wanted:
        case.not_applicable(f"{case.node} has no confirmed block of an IPIP pool")
    routes = main_routes(case) if wanted else []
    for expected in wanted:
        found = [route for route in routes if route.destination == expected.destination]
        if found and all(route.type == "blackhole" for route in found) and one_or_a_leftover(case, found):
            case.hold()
            continue
        if not found:
            case.whole(ROUTES, f"the blackhole of {expected.destination}")
        _differ(case, expected, "; ".join(route.text for route in found))


def _differ(case: Case, expected: ExpectedRoute, observed: str, nic: str = "", what: str = "") -> None:
    what = what or f"{case.node} route to {expected.destination}"
    case.differ(what, as_typed(expected, nic), observed or "no route", case.reading(ROUTES), expected.why)
