"""NODE-1 to NODE-4: a node's address, its tunnel address, and what it needs before any of Calico's."""

from __future__ import annotations

from pytest_calico_ipip.model.absent import Absent, Missing, present
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.checks.matching import main_routes
from pytest_calico_ipip.model.checks.pods import GATEWAY
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE, underlay
from pytest_calico_ipip.model.nodestate import Route


@node_check("NODE-1")
def node_address(case: Case) -> None:
    """The IPv4Address annotation is a CIDR, unique, on exactly one up interface of the node."""
    node = case.expected.node
    if not node.annotated:
        raise Missing(Absent(f"the annotations of node {case.node}", failed=False))
    what, reading = f"{case.node} annotation IPv4Address", case.api("nodes", case.node)
    if node.address is None:
        case.differ(what, "an IPv4 address with its prefix length", node.address_text or "not set", reading)
        return
    others = [one.name for one in case.datastore.nodes.values() if one.address and one.address.ip == node.address.ip]
    case.compare(f"{what} {node.address.ip}", case.node, ", ".join(others), reading)
    links = present(case.state.links)
    case.whole("ip-addr.json", f"the device with {node.address.ip}")
    holding = [link.name for link in links if link.up and node.address.ip in [a.ip for a in link.addresses]]
    if len(holding) == 1:
        case.hold()
    else:
        observed = ", ".join(holding) or "none"
        case.differ(f"{case.node} up devices with {node.address.ip}", "one", observed, case.reading("ip-addr.json"))


@node_check("NODE-2", should=True)
def internal_ip(case: Case) -> None:
    """The IPv4Address annotation equals one of the node's InternalIPs."""
    node = case.expected.node
    if node.address is None:
        raise Missing(Absent(f"an IPv4Address annotation of node {case.node} (NODE-1)", failed=False))
    observed = node.address.ip if node.address.ip in node.internal_ips else None
    wanted = " or ".join(map(str, node.internal_ips)) or "an InternalIP"
    what = f"{case.node} annotation IPv4Address"
    case.compare(what, wanted, wanted if observed else str(node.address.ip), case.api("nodes", case.node))


@node_check("NODE-3")
def tunnel_address(case: Case) -> None:
    """The tunnel address is set, unique, inside an IPIP pool, and allocated to the node in IPAM."""
    datastore, node = case.datastore, case.expected.node
    datastore.need("ippools", "ipamblocks")
    if not node.annotated:
        raise Missing(Absent(f"the annotations of node {case.node}", failed=False))
    if not case.expected.has_tunnel_address or not case.expected.ipip:
        case.not_applicable(f"{case.node} needs no tunnel address")
        return
    what, reading = f"{case.node} annotation IPv4IPIPTunnelAddr", case.api("nodes", case.node)
    address = node.tunnel_address
    if address is None:
        case.differ(what, "an IPv4 address", node.tunnel_address_text or "not set", reading)
        return
    others = [one.name for one in datastore.nodes.values() if one.tunnel_address == address]
    case.compare(f"{what} {address}", case.node, ", ".join(others), reading)
    pool = datastore.pool_of(address)
    place = "an IPIP pool" if pool is not None and pool.ipip else f"pool {pool.name}" if pool is not None else "no pool"
    case.compare(f"{what} {address} lies in", "an IPIP pool", place, reading)
    if node.configuration.host_local_ipam:
        return
    allocated = [one for block in datastore.blocks for one in block.allocations if one.address == address]
    handle = f"ipip-tunnel-addr-{case.node}"
    observed = ", ".join(one.handle or "no handle" for one in allocated) or "nobody"
    case.compare(f"IPAM: {address} allocated to", handle, observed, case.api("ipamblocks"))


@node_check("NODE-4")
def forwarding(case: Case) -> None:
    """IPv4 forwarding is on, and a route to 169.254.1.1 does not leave by a workload interface."""
    sysctl = present(case.state.sysctl)
    case.switch(f"{case.node} net.ipv4.ip_forward", "net.ipv4.ip_forward")
    nic = underlay(case.expected.node, case.state)
    for device in (TUNNEL_DEVICE, *([nic.name] if nic is not None else [])):
        key = f"net.ipv4.conf.{device.replace('.', '/')}.forwarding"  # as sysctl spells the dot of a VLAN's name
        if key in sysctl:  # each device has a switch of its own, which ip_forward only sets
            case.switch(f"{case.node} {key}", key)
    taken = _taken(main_routes(case))
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


def _taken(routes: list[Route]) -> Route | None:
    """The main table's most specific route to 169.254.1.1, the least metric first."""
    holding = [route for route in routes if GATEWAY in route.destination]
    return min(holding, key=lambda route: (-route.destination.prefixlen, route.metric), default=None)
