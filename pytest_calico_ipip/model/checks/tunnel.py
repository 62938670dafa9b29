"""TUN-1 and TUN-2: the tunnel device and its address."""

from __future__ import annotations

from pytest_calico_ipip.model.absent import Absent, Missing
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE
from pytest_calico_ipip.model.nodestate import Link

_FILE = "ip-addr.json"
_ANY = ("any", "0.0.0.0")  # noqa: S104, an unset endpoint as iproute2 prints it


def tunnel_device(case: Case) -> Link | None:
    """tunl0 of the node. None where IPIP does not apply to it, or where it is missing (a difference)."""
    case.datastore.need("ippools")
    expected = case.expected
    if not expected.ipip:
        case.not_applicable("IPIP is off: no pool has an ipipMode other than Never")
        return None
    if not expected.has_tunnel_address and not expected.node.configuration.bpf:
        case.not_applicable(f"no IPIP pool gives {case.node} a tunnel address")
        return None
    link = case.link(TUNNEL_DEVICE)
    if link is None:
        case.differ(f"{case.node} {TUNNEL_DEVICE}", "a device", "no such device", case.reading(_FILE))
    return link


@node_check("TUN-1")
def device(case: Case) -> None:
    """tunl0 is of kind ipip, local any, remote any, TTL inherit, and flagged UP (operstate UNKNOWN is normal)."""
    link = tunnel_device(case)
    if link is None:
        return
    what, reading = f"{case.node} {TUNNEL_DEVICE}", case.reading(_FILE)
    case.compare(f"{what} flag UP", "set", "set" if link.up else f"not set ({','.join(link.flags)})", reading)
    if not link.detailed:
        raise Missing(Absent(f"nodes/{case.node}/{_FILE} with the details of `ip -d`", failed=False))
    case.compare(f"{what} kind", "ipip", link.kind or "none", reading)
    if link.kind != "ipip":
        return
    for name, value in (("local", link.tunnel_local), ("remote", link.tunnel_remote)):
        case.compare(f"{what} {name}", "any", "any" if value in _ANY else value or "not told", reading)
    ttl = "not told" if link.tunnel_ttl is None else str(link.tunnel_ttl)
    case.compare(f"{what} TTL", "inherit", "inherit" if link.tunnel_ttl == 0 else ttl, reading)


@node_check("TUN-2")
def address(case: Case) -> None:
    """tunl0 carries exactly one IPv4 address: the node's tunnel address, as a /32."""
    link = tunnel_device(case)
    if link is None:
        return
    expected = case.expected
    node = expected.node
    observed = ", ".join(sorted(map(str, link.addresses))) or "none"
    wanted = f"{expected.tunnel_address}/32"
    note = ""
    if not expected.has_tunnel_address:
        wanted = "none"
    elif expected.tunnel_address is None:
        if not node.annotated:
            raise Missing(Absent(f"the annotations of node {case.node}", failed=False))
        said = f'says "{node.tunnel_address_text}"' if node.tunnel_address_text else "is not set"
        wanted, note = "the node's tunnel address, as a /32", f"annotation projectcalico.org/IPv4IPIPTunnelAddr {said}"
    case.compare(f"{case.node} {TUNNEL_DEVICE} IPv4 addresses", wanted, observed, case.reading(_FILE), note)
