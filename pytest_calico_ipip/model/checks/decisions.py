"""ROUTE-5: what the kernel decides when it is asked, rules and all tables included."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from pytest_calico_ipip.model.absent import Absent, present
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.checks.matching import settled
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE, Way, underlay
from pytest_calico_ipip.model.nodestate import Decision

_FILE = "ip-route-get.json"


@node_check("ROUTE-5")
def decided(case: Case) -> None:
    """For pods under test, borrowed addresses and an address a block the kernel decides what ROUTE-1, 2 and 6 say."""
    case.datastore.need("ippools", "ipamblocks", "pods")
    if case.expected.node.configuration.wireguard:
        case.not_applicable("wireguardEnabled: WireGuard carries what goes to other nodes")
        return
    decisions = present(case.state.decisions)
    asked = dict.fromkeys(decisions)
    for address in _must_be_asked(case):
        asked.setdefault(address)
    for address in asked:
        way = case.expected.way_to(address)
        if way is not None and settled(case, IPv4Network(address)):
            wanted = _wanted(case, address, way)
            if wanted:
                observed = _as_typed(decisions[address]) if address in decisions else "could not be looked up"
                case.compare(f"{case.node} ip route get {address}", wanted, observed, case.reading(_FILE))
    for route in case.expected.routes_for("ROUTE-2"):
        if settled(case, route.destination) and not any(address in route.destination for address in asked):
            case.lack(Absent(f"{case.reading(_FILE).file} for an address in {route.destination}", failed=False))


def _must_be_asked(case: Case) -> Iterator[IPv4Address]:
    """Pods under test and borrowed addresses: where one of these is missing, the look-up failed."""
    for pod in case.datastore.workloads():
        if pod.under_test and pod.ip is not None:
            yield pod.ip
    for route in case.expected.routes_for("ROUTE-6"):
        yield route.destination.network_address


def _wanted(case: Case, address: IPv4Address, way: Way) -> str:
    """What must be decided, as `ip route get` says it; "" where nothing is said about this address."""
    if way.kind == "local":
        return next((f"dev {local.interface}" for local in case.expected.pods if local.address == address), "")
    if way.kind == "tunnel":
        return f"via {way.next_hop} dev {TUNNEL_DEVICE}"
    nic = underlay(case.expected.node, case.state)
    return f"via {way.next_hop} dev {nic.name if nic is not None else '?'}"


def _as_typed(decision: Decision) -> str:
    kind = "" if decision.type == "unicast" else f"{decision.type} "
    via = f"via {decision.gateway} " if decision.gateway is not None else ""
    return f"{kind}{via}dev {decision.device}"
