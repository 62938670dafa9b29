"""ROUTE-4: inside IPIP pools, no route that the datastore does not explain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network

from pytest_calico_ipip.model.absent import present
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.checks.matching import (
    ROUTES,
    as_typed,
    matches,
    nic_name,
    one_or_a_leftover,
    settled,
    side_by_side,
    whose,
)
from pytest_calico_ipip.model.datastore import Pool
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE, ExpectedRoute
from pytest_calico_ipip.model.nodestate import USUAL_TABLES, Route, Rule

_RULES = "ip-rule.json"
_WIREGUARD = "wireguard.cali"
_THROW = "throw"  # ends the look-up in its table, as if there were no route: the next rule decides
_MAIN_PRIORITY = 32766
_OF_PACKETS = ("tos", "ipproto", "sport", "dport", "sport_start", "dport_start")


@node_check("ROUTE-4")
def unexplained(case: Case) -> None:
    """Inside IPIP pools the node has no IPv4 route that the datastore does not explain, in no table that counts."""
    datastore = case.datastore
    datastore.need("ippools", "ipamblocks", "pods")
    rules = present(case.state.rules)
    case.whole(_RULES, "the other rules")
    routes = present(case.state.routes)
    case.whole(ROUTES, "the other routes")
    pools = [pool for pool in datastore.pools if pool.ipip and _for_pods(pool)]
    if not pools:
        case.not_applicable("there is no IPIP pool for workloads or tunnels")
        return
    explained: dict[IPv4Network, list[ExpectedRoute]] = {}
    for expected in case.expected.routes:
        explained.setdefault(expected.destination, []).append(expected)
    nic = nic_name(case, case.expected.routes)
    consulted = {rule.table for rule in rules} | {"local"}
    inside = [r for r in routes if r.table in consulted and any(r.destination.subnet_of(p.cidr) for p in pools)]
    seen: dict[tuple[IPv4Network, str], list[Route]] = {}
    case.hold()
    for route in inside:
        if not settled(case, route.destination) or _wireguard(case, route) or _thrown_back(route):
            continue
        known = explained.get(route.destination, [])
        before = seen.setdefault((route.destination, route.table), [])
        fitting = any(matches(expected, route, nic) for expected in known)
        if fitting and (not before or _together(case, [*before, route])):
            case.hold()
        else:
            _foreign(case, route, known, fitting, nic)
        before.append(route)
    for sentence, rule in _diverting(case, rules, routes, pools, nic):
        case.differ(
            f"{case.node} {sentence}", "no rule that takes an IPIP pool elsewhere", rule.text, case.reading(_RULES)
        )


def _for_pods(pool: Pool) -> bool:
    return not pool.allowed_uses or bool({"Workload", "Tunnel"} & set(pool.allowed_uses))


def _wireguard(case: Case, route: Route) -> bool:
    return case.expected.node.configuration.wireguard and [h.device for h in route.next_hops] == [_WIREGUARD]


def _thrown_back(route: Route) -> bool:
    """Whether a route only hands packets on to the main table: WireGuard's table has such ones for what is not its."""
    return route.type == _THROW and route.table not in USUAL_TABLES


def _together(case: Case, routes: list[Route]) -> bool:
    """Whether several routes for one destination may stand beside each other for a while."""
    if routes[0].type == "local":
        return False
    if routes[0].scope == "link":
        return side_by_side(case, routes)
    return one_or_a_leftover(case, routes)


def _foreign(case: Case, route: Route, known: Sequence[ExpectedRoute], twice: bool, nic: str) -> None:
    wanted = " or ".join(dict.fromkeys(as_typed(one, nic) for one in known)) or "no route"
    note = "a second route for this destination" if twice else whose(case, route)
    case.differ(f"{case.node} route to {route.destination}", wanted, route.text, case.reading(ROUTES), note)


def _diverting(
    case: Case, rules: Sequence[Rule], routes: Sequence[Route], pools: Sequence[Pool], nic: str
) -> Iterable[tuple[str, Rule]]:
    """Rules that come before the main table and take packets between pods elsewhere.

    A mark is somebody's decision on single packets, and what a rule suppresses or negates may leave pods alone.
    """
    prefix = case.expected.node.configuration.interface_prefix

    def met(condition: str) -> bool:
        key, _, device = condition.partition(" ")
        # packets between pods come in by these devices alone; by the NIC (which is "" else) where they are bare
        return key in _OF_PACKETS or (
            key == "iif" and device != "" and (device in (TUNNEL_DEVICE, nic) or device.startswith(prefix))
        )

    main = min(
        (rule.priority for rule in rules if rule.table == "main" and not rule.conditions), default=_MAIN_PRIORITY
    )
    for rule in rules:
        if rule.priority >= main or rule.table in USUAL_TABLES or not all(map(met, rule.conditions)):
            continue
        concerned = [p for p in pools if _may_meet(rule.source, p.cidr) and _may_meet(rule.destination, p.cidr)]
        if not concerned:
            continue
        # a route inside a pool is judged by itself; here only what covers a pool and more
        wide = [route for pool in concerned if (route := _taken(routes, rule.table, pool)) is not None]
        if rule.action:
            yield "policy rule", rule
        elif wide:
            yield f"policy rule to table {rule.table}, whose {wide[0].text} covers an IPIP pool", rule


def _may_meet(selector: IPv4Network | None, pool: IPv4Network) -> bool:
    return selector is None or selector.overlaps(pool)


def _taken(routes: Sequence[Route], table: str, pool: Pool) -> Route | None:
    """What a table decides for a whole pool, by a route that covers it and more; None where it leaves it alone."""
    covering = [route for route in routes if route.table == table and pool.cidr.subnet_of(route.destination)]
    best = max(covering, key=lambda route: route.destination.prefixlen, default=None)
    return None if best is None or best.type == _THROW or best.destination == pool.cidr else best
