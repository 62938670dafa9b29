"""NODE-4: what a node needs before any of Calico's. (NODE-1 to NODE-3 belong here too.)"""

from __future__ import annotations

from pytest_calico_ipip.model.absent import present
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.checks.pods import GATEWAY
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE, underlay
from pytest_calico_ipip.model.nodestate import Route


@node_check("NODE-4")
def forwarding(case: Case) -> None:
    """IPv4 forwarding is on, and a route to 169.254.1.1 does not leave by a workload interface."""
    sysctl = present(case.state.sysctl)
    reading = case.reading("sysctl.txt")
    case.compare(f"{case.node} net.ipv4.ip_forward", "1", sysctl.get("net.ipv4.ip_forward", "not there"), reading)
    nic = underlay(case.expected.node, case.state)
    for device in (TUNNEL_DEVICE, *([nic.name] if nic is not None else [])):
        key = f"net.ipv4.conf.{device}.forwarding"
        if key in sysctl:  # each device has a switch of its own, which ip_forward only sets
            case.compare(f"{case.node} {key}", "1", sysctl[key], reading)
    taken = _taken(present(case.state.routes))
    what, reading = f"{case.node} route to {GATEWAY}", case.reading("ip-route.json")
    prefix = case.expected.node.configuration.interface_prefix
    devices = [hop.device for hop in taken.next_hops] if taken is not None else []
    if taken is not None and taken.type == "unicast" and devices and not devices[0].startswith(prefix):
        case.hold()
        return
    case.whole("ip-route.json", f"a route to {GATEWAY}")
    note = "proxy ARP answers pods only where the node itself has such a route"
    observed = taken.text if taken is not None else "no route"
    case.differ(what, "one that does not leave by a workload interface", observed, reading, note)


def _taken(routes: tuple[Route, ...]) -> Route | None:
    """The main table's most specific route to 169.254.1.1, the least metric first."""
    holding = [route for route in routes if route.table in ("main", "default") and GATEWAY in route.destination]
    return min(holding, key=lambda route: (-route.destination.prefixlen, route.metric), default=None)
