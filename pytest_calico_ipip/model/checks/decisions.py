"""ROUTE-5: what the kernel decides when it is asked, rules and all tables included."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from pytest_calico_ipip.model.absent import Absent, present
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.checks.matching import nic_name, settled, wanted_by
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE
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
    asked = dict.fromkeys((*decisions, *case.state.undecided))
    for address in _must_be_asked(case):
        asked.setdefault(address)
    for address in asked:
        wanted = _wanted(case, address)
        if wanted:
            said = case.state.undecided.get(address) or "could not be looked up"
            observed = _as_typed(decisions[address]) if address in decisions else said
            case.compare(f"{case.node} ip route get {address}", wanted, observed, case.reading(_FILE))
    for route in wanted_by(case, "ROUTE-2"):
        if not any(address in route.destination for address in asked):
            case.lack(Absent(f"{case.reading(_FILE).file} for an address in {route.destination}", failed=False))
    if not asked:
        case.not_applicable(f"{case.node} has no way to another pod")


def _must_be_asked(case: Case) -> Iterator[IPv4Address]:
    """Pods under test and borrowed addresses: where one of these is missing, the look-up failed."""
    for pod in case.datastore.workloads():
        if pod.under_test and pod.ip is not None:
            yield pod.ip
    for route in case.expected.routes_for("ROUTE-6"):
        yield route.destination.network_address


def _wanted(case: Case, address: IPv4Address) -> str:
    """What must be decided, as `ip route get` says it; "" where no requirement says anything about this address."""
    if not settled(case, IPv4Network(address)):
        return ""
    covering = [r for r in case.expected.routes if address in r.destination and r.kind not in ("blackhole", "local")]
    if not covering:
        return ""
    best = max(covering, key=lambda route: route.destination.prefixlen)
    if not any(
        r.requirement and (r.kind, r.next_hop, r.device) == (best.kind, best.next_hop, best.device) for r in covering
    ):
        return ""  # it may be there or not, so what it shadows may be decided too
    if best.kind == "workload":
        return f"dev {best.device}"
    if best.next_hop is None:
        return ""  # a node without an address: ROUTE-2 and NODE-1 say so
    return f"via {best.next_hop} dev {TUNNEL_DEVICE if best.kind == 'tunnel' else nic_name(case, [best]) or '?'}"


def _as_typed(decision: Decision) -> str:
    kind = "" if decision.type == "unicast" else f"{decision.type} "
    via = f"via {decision.gateway} " if decision.gateway is not None else ""
    return f"{kind}{via}dev {decision.device}"
