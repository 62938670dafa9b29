"""ROUTE-1 to ROUTE-4: the routes that must be there, and those that must not. (ROUTE-5 to ROUTE-7 belong here too.)"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from pytest_calico_ipip.model.absent import Absent, Missing, present
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.datastore import Pool
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE, ExpectedRoute, underlay
from pytest_calico_ipip.model.nodestate import Route, Rule

_FILE = "ip-route.json"
_WIREGUARD = "wireguard.cali"
# tables that every kernel consults in this order; other tables come between or before by their rule's priority
_USUAL_TABLES = ("local", "main", "default")


@node_check("ROUTE-1")
def local_pods(case: Case) -> None:
    """Every local pod has its /32, dev its workload interface, scope link, and no other device for it."""
    case.datastore.need("pods")
    wanted = _wanted(case, "ROUTE-1")
    if not wanted:
        case.not_applicable(f"there is no live pod with an address in an IPIP pool on {case.node}")
    routes = _main(case) if wanted else []
    for expected in wanted:
        found = [route for route in routes if route.destination == expected.destination]
        right = [route for route in found if matches(expected, route, "")]
        if found == right and (len(right) == 1 or (len(right) > 1 and _side_by_side(case, right))):
            case.hold()
            continue
        beside = [r for r in routes if r not in found and expected.device in [hop.device for hop in r.next_hops]]
        if not found and not beside:
            case.whole(_FILE, f"the route to {expected.destination.network_address}")
        observed = [*(r.text for r in found), *(f"{r.text} ({_whose(case, r)})" for r in beside)]
        _differ(case, expected, "; ".join(observed) or "no route", beside[0] if beside and not found else None)


def _side_by_side(case: Case, routes: list[Route]) -> bool:
    """From v3.32 CNI's route and Felix's, with another metric, stand beside each other for a while."""
    release = case.expected.node.release
    return (isinstance(release, str) or release.at_least(3, 32)) and len({r.metric for r in routes}) == len(routes) == 2


def _whose(case: Case, route: Route) -> str:
    address = route.destination.network_address
    for pod in case.datastore.pods:
        if address in pod.ips and route.destination.prefixlen == 32:
            return f"{address} is {pod.key} on {pod.node}"
    return f"{address} is no pod's here"


@node_check("ROUTE-2")
def remote_blocks(case: Case) -> None:
    """Every other node's block has one route with one next hop: that node, by tunl0 or by the underlay NIC."""
    case.datastore.need("ippools", "ipamblocks")
    if case.expected.node.configuration.wireguard:
        case.not_applicable("wireguardEnabled: WireGuard carries what goes to other nodes")
        return
    if not _towards(case, "ROUTE-2"):
        case.not_applicable("no other live node has a block of an IPIP pool")


def _towards(case: Case, requirement: str) -> bool:
    """Compare the routes to other nodes that one requirement wants; False where it wants none."""
    wanted = _wanted(case, requirement)
    nic = _nic(case, wanted)
    routes = _main(case) if wanted else []
    for expected in wanted:
        if expected.next_hop is None:
            _no_address(case, expected)
            continue
        found = [route for route in routes if route.destination == expected.destination]
        if found and all(matches(expected, route, nic) for route in found) and _one_or_a_leftover(case, found):
            case.hold()
            continue
        if not found:
            case.whole(_FILE, f"the route to {expected.destination}")
        _differ(case, expected, "; ".join(route.text for route in found) or "no route", nic=nic)
    return bool(wanted)


def _no_address(case: Case, expected: ExpectedRoute) -> None:
    """A node without an IPv4Address annotation has nothing that its block could be routed to."""
    node = case.datastore.nodes[expected.owner]
    name = node.name
    if not node.annotated:
        raise Missing(Absent(f"the annotations of node {name}", failed=False))
    said = f'says "{node.address_text}"' if node.address_text else "is not set"
    what = f"{case.node} route to {expected.destination}"
    observed = f"projectcalico.org/IPv4Address of {name} {said}"
    case.differ(what, f"via the address of {name}", observed, case.api("nodes", name))


def _one_or_a_leftover(case: Case, found: list[Route]) -> bool:
    """One route; or two that decide the same, from BIRD and from Felix: the former owner's is ROUTE-7's matter."""
    if len(found) == 1:
        return True
    felix = ("80", str(case.expected.node.configuration.device_route_protocol))
    owners = {"felix" if r.protocol in felix else r.protocol for r in found}
    return len(found) == 2 and owners == {"felix", "bird"} and found[0].metric != found[1].metric


@node_check("ROUTE-3")
def own_blocks(case: Case) -> None:
    """Every own block is a blackhole (not a /32 block)."""
    case.datastore.need("ippools", "ipamblocks")
    wanted = _wanted(case, "ROUTE-3")
    if not wanted:
        case.not_applicable(f"{case.node} has no confirmed block of an IPIP pool")
    routes = _main(case) if wanted else []
    for expected in wanted:
        found = [route for route in routes if route.destination == expected.destination]
        if found and all(route.type == "blackhole" for route in found) and _one_or_a_leftover(case, found):
            case.hold()
            continue
        if not found:
            case.whole(_FILE, f"the blackhole of {expected.destination}")
        _differ(case, expected, "; ".join(route.text for route in found) or "no route")


@node_check("ROUTE-4")
def unexplained(case: Case) -> None:
    """Inside IPIP pools the node has no IPv4 route that the datastore does not explain, in no table that counts."""
    datastore = case.datastore
    datastore.need("ippools", "ipamblocks", "pods")
    rules = present(case.state.rules)
    case.whole("ip-rule.json", "the other rules")
    routes = present(case.state.routes)
    case.whole(_FILE, "the other routes")
    pools = [pool for pool in datastore.pools if pool.ipip and _for_pods(pool)]
    if not pools:
        case.not_applicable("there is no IPIP pool for workloads or tunnels")
        return
    explained: dict[IPv4Network, list[ExpectedRoute]] = {}
    for expected in case.expected.routes:
        explained.setdefault(expected.destination, []).append(expected)
    nic = _nic(case, case.expected.routes)
    consulted = {rule.table for rule in rules} | {"local"}
    inside = [r for r in routes if r.table in consulted and any(r.destination.subnet_of(p.cidr) for p in pools)]
    reading = case.reading(_FILE)
    seen: list[Route] = []
    for route in inside:
        if _settled(case, route.destination) and not _wireguard(case, route):
            fitting = [e for e in explained.get(route.destination, ()) if matches(e, route, nic)]
            if fitting and not _duplicate(case, route, seen):
                case.hold()
            else:
                _foreign(case, route, explained.get(route.destination, ()), bool(fitting), nic)
            seen.append(route)
    for sentence, rule in _diverting(rules, routes, pools):
        case.differ(f"{case.node} {sentence}", "nothing that catches an IPIP pool first", rule.text, reading)
    if not inside:
        case.hold()


def _for_pods(pool: Pool) -> bool:
    return not pool.allowed_uses or bool({"Workload", "Tunnel"} & set(pool.allowed_uses))


def _wireguard(case: Case, route: Route) -> bool:
    return case.expected.node.configuration.wireguard and [h.device for h in route.next_hops] == [_WIREGUARD]


def _duplicate(case: Case, route: Route, seen: list[Route]) -> bool:
    """A second route for one destination, but for the two that may stand side by side for a while."""
    same = [r for r in seen if (r.destination, r.table) == (route.destination, route.table)]
    if not same or route.type == "local":
        return bool(same)
    together = [*same, route]
    device = route.next_hops[0].device if route.next_hops else ""
    if device.startswith(case.expected.node.configuration.interface_prefix):
        return not _side_by_side(case, together)
    return not _one_or_a_leftover(case, together)


def _foreign(case: Case, route: Route, known: Iterable[ExpectedRoute], twice: bool, nic: str) -> None:
    wanted = " or ".join(dict.fromkeys(_as_expected(one, nic) for one in known)) or "no route"
    note = "a second route for this destination" if twice else ""
    if not note and route.destination.prefixlen == 32:
        owner = _whose(case, route)
        note = "" if "no pod's" in owner else owner
    case.differ(f"{case.node} route to {route.destination}", wanted, route.text, case.reading(_FILE), note)


def _diverting(rules: tuple[Rule, ...], routes: tuple[Route, ...], pools: list[Pool]) -> Iterable[tuple[str, Rule]]:
    """Rules that come before the main table and take packets between pods elsewhere, unconditionally."""
    main = min((rule.priority for rule in rules if rule.table == "main" and not rule.conditions), default=32766)
    for rule in rules:
        if rule.priority >= main or rule.conditions or rule.table in _USUAL_TABLES:
            continue
        if not any(_may_meet(rule.source, p.cidr) and _may_meet(rule.destination, p.cidr) for p in pools):
            continue
        wide = [
            route
            for route in routes
            if route.table == rule.table
            and any(p.cidr != route.destination and p.cidr.subnet_of(route.destination) for p in pools)
        ]
        if rule.action:
            yield "policy rule", rule
        elif wide:
            yield f"policy rule to table {rule.table}, whose {wide[0].text} covers an IPIP pool", rule


def _may_meet(selector: IPv4Network | None, pool: IPv4Network) -> bool:
    return selector is None or selector.overlaps(pool)


def matches(expected: ExpectedRoute, route: Route, nic: str) -> bool:
    """Whether a route decides what is expected: type, one next hop, device. Metric, protocol and MTU are free."""
    if expected.destination != route.destination:
        return False
    hops = [(hop.gateway, hop.device) for hop in route.next_hops]
    if expected.kind == "blackhole":
        return route.type == "blackhole" and route.table == "main"
    if expected.kind == "local":
        device = expected.device or (hops[0][1] if hops else "")
        return route.type == "local" and route.table == "local" and hops == [(None, device)]
    if route.type != "unicast" or route.table != "main":
        return False
    if expected.kind == "workload":
        return route.scope == "link" and hops == [(None, expected.device)]
    if expected.kind == "tunnel":
        onlink = all("onlink" in hop.flags or not hop.flags_known for hop in route.next_hops)
        return onlink and expected.next_hop is not None and hops == [(expected.next_hop, TUNNEL_DEVICE)]
    return expected.next_hop is not None and bool(nic) and hops == [(expected.next_hop, nic)]


def _wanted(case: Case, requirement: str) -> list[ExpectedRoute]:
    return [route for route in case.expected.routes_for(requirement) if _settled(case, route.destination)]


def _settled(case: Case, destination: IPv4Network) -> bool:
    """Whether the objects behind a destination were the same before and after the run."""
    return not any(destination.overlaps(network) for network in case.datastore.unsettled)


def _main(case: Case) -> list[Route]:
    return [route for route in present(case.state.routes) if route.table == "main"]


def _nic(case: Case, routes: Iterable[ExpectedRoute]) -> str:
    """The underlay NIC's name, asked for only where a route needs it."""
    if not any(route.kind == "underlay" for route in routes):
        return ""
    nic = underlay(case.expected.node, case.state)
    return nic.name if nic is not None else ""


def _as_expected(route: ExpectedRoute, nic: str) -> str:
    """The route as `ip route` prints it, without what is free."""
    address = route.destination.network_address if route.destination.prefixlen == 32 else route.destination
    via = f"via {route.next_hop or '?'}"
    forms: dict[str, str] = {
        "blackhole": f"blackhole {address}",
        "local": f"local {address} dev {route.device or TUNNEL_DEVICE} table local",
        "workload": f"{address} dev {route.device} scope link",
        "tunnel": f"{address} {via} dev {TUNNEL_DEVICE} onlink",
        "underlay": f"{address} {via} dev {nic or '<no up device holds the IPv4Address annotation>'}",
    }
    return forms[route.kind]


def _differ(case: Case, expected: ExpectedRoute, observed: str, beside: Route | None = None, nic: str = "") -> None:
    what = f"{case.node} route to {expected.destination}"
    if beside is not None:
        what = f"{case.node} route by {expected.device}"
    case.differ(what, _as_expected(expected, nic), observed, case.reading(_FILE), expected.why)
