"""POD-1 to POD-4: the pods under test, from inside."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network

from pytest_calico_ipip.model.absent import Absent, present
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.checks.pairing import POD_DEVICE, own_namespace, pairings, pod_device
from pytest_calico_ipip.model.judgement import Reading
from pytest_calico_ipip.model.nodestate import NamespaceState, Route

GATEWAY = IPv4Address("169.254.1.1")  # on no device: the workload interface answers for it (proxy ARP)
_ANYWHERE = IPv4Network("0.0.0.0/0")


@node_check("POD-1")
def running(case: Case) -> None:
    """A pod under test is on the node, Running and Ready, with an address inside an IPIP pool."""
    datastore = case.datastore
    datastore.need("ippools", "pods")
    pods = [pod for pod in case.world.pods if pod.node == case.node]
    if not pods and case.world.live:
        case.differ(f"{case.node} pods under test", "at least one", "none", case.api("pods"))
    elif not pods:
        case.lack(Absent(f"a pod under test on {case.node}", failed=False))
    for pod in pods:
        reading = case.api("pods", pod.name, pod.namespace)
        state = (pod.phase or "no phase") + (" and Ready" if pod.ready else ", not Ready")
        case.compare(pod.key, "Running and Ready", f"{state}, being deleted" if pod.deleting else state, reading)
        if not pod.readiness_told:
            case.lack(Absent(f"the conditions of pod {pod.key}", failed=False))
        pool = datastore.pool_of(pod.ip) if pod.ip is not None else None
        if pool is not None and pool.ipip:
            case.hold()
        elif pool is not None and one_by_ipip(case):
            case.note(f"{pod.key}: {pod.ip} is in pool {pool.name}, which is not IPIP's: not judged")
        else:
            where = f"in pool {pool.name}, ipipMode {pool.ipip_mode}" if pool is not None else "in no pool"
            observed = f"{pod.ip}, {where}" if pod.ip is not None else "none"
            case.differ(f"{pod.key} address", "an address inside an IPIP pool", observed, reading)


@node_check("POD-2")
def address(case: Case) -> None:
    """A pod's eth0 carries exactly one IPv4 address: its pod IP, as a /32."""
    for pairing in pairings(case, namespaces=True):
        namespace = own_namespace(case, pairing)
        if namespace is None:
            continue
        device = pod_device(case, namespace, pairing.pod)
        if device is not None:
            observed = ", ".join(map(str, device.addresses)) or "none"
            reading = case.reading(f"netns/{namespace.name}/ip-addr.json")
            wanted = f"{pairing.local.address}/32"
            case.compare(f"{pairing.pod} {POD_DEVICE} IPv4 addresses", wanted, observed, reading)


@node_check("POD-3")
def default_route(case: Case) -> None:
    """A pod's default route is via 169.254.1.1 dev eth0, with the link-scope route to it."""
    for pairing in pairings(case, namespaces=True):
        namespace = own_namespace(case, pairing)
        if namespace is None:
            continue
        file = f"netns/{namespace.name}/ip-route.json"
        routes = [route for route in present(namespace.routes) if route.table == "main"]
        case.whole(file, "the pod's routes")
        reading = case.reading(file)
        default = [route for route in routes if route.destination == _ANYWHERE]
        _only(case, f"{pairing.pod} default route", default, _is_default, f"default via {GATEWAY} dev eth0", reading)
        link = [route for route in routes if route.destination == IPv4Network(GATEWAY)]
        what = f"{pairing.pod} route to {GATEWAY}"
        _only(case, what, link, _is_link, f"{GATEWAY} dev eth0 scope link", reading)


def one_by_ipip(case: Case) -> bool:
    """Whether a recorded node has a pod under test in an IPIP pool, so that one in another pool is none of ours.

    A run of ours asks for all of its pods.
    """
    inside = (case.datastore.pool_of(pod.ip) for pod in case.world.pods if pod.node == case.node and pod.ip is not None)
    return not case.world.live and any(pool is not None and pool.ipip for pool in inside)


def _only(
    case: Case, what: str, routes: list[Route], right: Callable[[Route], bool], wanted: str, reading: Reading
) -> None:
    if len(routes) == 1 and right(routes[0]):
        case.hold()
    else:
        case.differ(what, wanted, "; ".join(route.text for route in routes) or "no such route", reading)


def _is_default(route: Route) -> bool:
    hops = [(hop.gateway, hop.device) for hop in route.next_hops]
    return route.type == "unicast" and hops == [(GATEWAY, POD_DEVICE)]


def _is_link(route: Route) -> bool:
    hops = [(hop.gateway, hop.device) for hop in route.next_hops]
    return route.type == "unicast" and route.scope == "link" and hops == [(None, POD_DEVICE)]


@node_check("POD-4")
def gateway(case: Case) -> None:
    """From the pod, 169.254.1.1 resolves to the workload interface's MAC address, whatever the entry's state."""
    elsewhere: list[str] = []
    judged = 0
    for pairing in pairings(case, namespaces=True):
        namespace = own_namespace(case, pairing)
        if namespace is None:
            continue
        file = f"netns/{namespace.name}/ip-neigh.json"
        entries = [n for n in present(namespace.neighbours) if n.address == str(GATEWAY) and n.device == POD_DEVICE]
        if not entries and (why := _other_way(namespace, pairing.local.address)):
            elsewhere.append(f"{pairing.pod} {why}")
            continue
        if not entries:
            # an entry exists only after the first packet: its lack says nothing about proxy ARP
            case.lack(
                Absent(f"a neighbour entry for {GATEWAY} in pod {pairing.pod} (no packet sent yet)", failed=False)
            )
            continue
        if pairing.link is None:
            case.whole("ip-addr.json", pairing.local.interface)
        wanted = pairing.link.mac if pairing.link is not None else "the workload interface's, which is not there"
        observed = entries[0].mac or f"nothing ({entries[0].state})"
        case.compare(f"{pairing.pod} neighbour {GATEWAY}", wanted, observed, case.reading(file))
        judged += 1
    for sentence in elsewhere if judged else ():
        case.note(sentence)
    if elsewhere and not judged:
        case.not_applicable("; ".join(elsewhere))


def _other_way(namespace: NamespaceState, address: IPv4Address) -> str:
    """Why the pod had no need to ask for 169.254.1.1: its packets go past it, which is POD-2's or POD-3's finding."""
    routes = [] if isinstance(namespace.routes, Absent) else [r for r in namespace.routes if r.table == "main"]
    if not any(route.destination == _ANYWHERE and _is_default(route) for route in routes):
        return "has no default route by it (POD-3)"
    near = [r for r in routes if 0 < r.destination.prefixlen < 32 and address in r.destination]
    return "has a route of its own to its neighbours (POD-2)" if near else ""
