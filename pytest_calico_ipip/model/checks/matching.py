"""Comparing one route of the kernel with one that is expected: what has to agree, and what is free."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from pytest_calico_ipip.model.absent import Absent, present
from pytest_calico_ipip.model.checks.case import Case
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE, ExpectedRoute, underlay
from pytest_calico_ipip.model.nodestate import Route, Rule
from pytest_calico_ipip.model.protocols import protocol_name

ROUTES = "ip-route.json"
BIRD = "bird"
_FULL = 32
_FELIX_METRIC = 1024  # from v3.32, for pods' routes and for what BIRD learned


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


def side_by_side(case: Case, routes: list[Route]) -> bool:
    """Two routes for one pod: from v3.32 CNI's and Felix's, with another metric, stand together for a while."""
    return len(routes) == 2 and routes[0].metric != routes[1].metric and _late(case, routes[0].destination)


def _late(case: Case, but: IPv4Network) -> bool:
    """Whether this node runs v3.32 or later: its release says so, or (half-way through an upgrade) other routes do.

    Where no calico-node pod is in the evidence, the release of the whole cluster is that of one node.
    """
    release = case.expected.node.release
    if isinstance(release, str) or release.at_least(3, 32):
        return True
    if any(_of_late(case, route) for route in main_routes(case) if route.destination != but):
        return True
    others = (state.routes for name, state in case.world.nodes.items() if name != case.node)
    return any(_of_late(case, route) for routes in others if not isinstance(routes, Absent) for route in routes)


def _of_late(case: Case, route: Route) -> bool:
    """Whether a route is as only v3.32 or later makes them."""
    if route.protocol in felix_protocols(case):
        return True
    local = route.scope == "link" and route.destination.prefixlen == _FULL and route.metric == _FELIX_METRIC
    return local or (route.protocol == BIRD and route.metric >= _FELIX_METRIC)


def felix_protocols(case: Case) -> tuple[str, ...]:
    """The protocols that Felix marks its routes with: 80, or the configured one."""
    return tuple(dict.fromkeys((protocol_name(case.expected.node.configuration.device_route_protocol), "80")))


def one_or_a_leftover(case: Case, found: list[Route]) -> bool:
    """One route; or two that decide the same, from BIRD and from Felix: the former owner's is ROUTE-7's matter."""
    if len(found) == 1:
        return True
    owners = {"felix" if route.protocol in felix_protocols(case) else route.protocol for route in found}
    return len(found) == 2 and owners == {"felix", BIRD} and found[0].metric != found[1].metric


def wanted_by(case: Case, requirement: str) -> list[ExpectedRoute]:
    """The routes that one requirement wants, less those whose objects changed during the run."""
    return [route for route in case.expected.routes_for(requirement) if settled(case, route.destination)]


def settled(case: Case, destination: IPv4Network) -> bool:
    """Whether the objects behind a destination were the same before and after the run.

    A pod that came or went in a block is nothing to the block's own route: on a busy cluster there is always one.
    """
    return not any(
        destination.overlaps(network) and (network.prefixlen < 32 or destination.prefixlen == 32)
        for network in case.datastore.unsettled
    )


def main_routes(case: Case) -> list[Route]:
    """The main table; nothing where the rules are known and none of them consults it for everything."""
    rules = case.state.rules
    if not isinstance(rules, Absent) and not any(_for_everything(rule, "main") for rule in rules):
        case.whole("ip-rule.json", "the rule for the main table")
        return []
    return [route for route in present(case.state.routes) if route.table == "main"]


def _for_everything(rule: Rule, table: str) -> bool:
    return rule.table == table and rule.source is None and rule.destination is None and not rule.conditions


def nic_name(case: Case, routes: Iterable[ExpectedRoute]) -> str:
    """The underlay NIC's name, asked for only where a route needs it; "" where the node has no such NIC."""
    if not any(route.kind == "underlay" for route in routes):
        return ""
    nic = underlay(case.expected.node, case.state)
    return nic.name if nic is not None else ""


def as_typed(route: ExpectedRoute, nic: str) -> str:
    """An expected route as `ip route` prints it, without what is free."""
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


def whose(case: Case, route: Route) -> str:
    """Which pod a /32 belongs to, for messages; "" where it is none's."""
    address = route.destination.network_address
    if route.destination.prefixlen != 32:
        return ""
    owners = (pod for pod in case.datastore.pods if address in pod.ips and not (pod.host_network or pod.ended))
    return next((f"{address} is {pod.key} on {pod.node}" for pod in owners), "")
