"""VETH-1 to VETH-4: the workload interface and its pairing with the pod's eth0."""

from __future__ import annotations

from pytest_calico_ipip.model.absent import Absent, Missing, present
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.checks.pairing import (
    POD_DEVICE,
    Pairing,
    leads_to,
    own_namespace,
    pairings,
    pod_device,
)
from pytest_calico_ipip.model.nodestate import Link, NamespaceState

WORKLOAD_MAC = "ee:ee:ee:ee:ee:ee"
_FILE = "ip-addr.json"


def _interface(case: Case, pairing: Pairing) -> Link | None:
    """The pod's workload interface; where it is surely not there, that is a difference."""
    if pairing.link is None:
        case.whole(_FILE, pairing.local.interface)
        what = f"{pairing.pod} workload interface"
        case.differ(what, pairing.local.interface, "no such device", case.reading(_FILE))
    return pairing.link


@node_check("VETH-1")
def name(case: Case) -> None:
    """A pod's workload interface is named cali + the first 11 hex digits of sha1("namespace.pod")."""
    for pairing in pairings(case, namespaces=False):
        link = _interface(case, pairing)
        if link is not None:
            what = f"{pairing.pod} workload interface"
            case.compare(what, pairing.local.interface, link.name, case.reading(_FILE))


@node_check("VETH-2")
def peers(case: Case) -> None:
    """Workload interface and eth0 are each other's peer, by index both ways and by the pod's own namespace."""
    for pairing in pairings(case, namespaces=True):
        namespace = own_namespace(case, pairing)
        if namespace is None:
            continue
        link = _interface(case, pairing)
        device = pod_device(case, namespace, pairing.pod)
        if link is None or device is None:
            continue
        outside, inside = case.reading(_FILE), case.reading(f"netns/{namespace.name}/ip-addr.json")
        what = f"{pairing.pod} peer index of {link.name}"
        case.compare(what, f"{device.index} ({POD_DEVICE})", _index(link, device, POD_DEVICE), outside)
        what = f"{pairing.pod} peer index of {POD_DEVICE}"
        observed = _index(device, link, link.name)
        if device.peer_netnsid is None and not device.peer_namespace and device.peer_index is not None:
            observed = f"{device.peer_index} (a device of the pod's own namespace)"
        case.compare(what, f"{link.index} ({link.name})", observed, inside)
        _same_namespace(case, pairing, link, namespace)


def _index(link: Link, other: Link, name: str) -> str:
    if link.peer_index == other.index:
        return f"{other.index} ({name})"
    return "none" if link.peer_index is None else f"{link.peer_index} (another device)"


def _same_namespace(case: Case, pairing: Pairing, link: Link, namespace: NamespaceState) -> None:
    """The link's other end lies in the namespace that is the pod's own."""
    what, reading = f"{pairing.pod} namespace that {link.name} leads to", case.reading(_FILE)
    led = leads_to(case.state, link)
    if led is None and link.peer_netnsid is not None:
        ids = present(case.state.namespace_ids)
        if namespace.name not in ids.values() and namespace.name not in case.state.unnumbered:
            # a runtime that gives its namespaces no name: the kernel's id for it cannot be looked up
            case.note(f"{pairing.pod}: namespace {namespace.name} has no name on {case.node}, matched by index only")
            return
    observed = led or ("none" if link.peer_netnsid is None else f"netns id {link.peer_netnsid}, which has no name")
    case.compare(what, namespace.name, observed, reading)


@node_check("VETH-3")
def state(case: Case) -> None:
    """A workload interface is up at both ends, a veth (netkit allowed from v3.33), MAC ee:ee:ee:ee:ee:ee."""
    for pairing in pairings(case, namespaces=False):
        link = _interface(case, pairing)
        if link is None:
            continue
        what, reading = f"{pairing.pod} {link.name}", case.reading(_FILE)
        case.compare(f"{what} flag UP", "set", "set" if link.up else "not set", reading)
        case.compare(f"{what} MAC address", WORKLOAD_MAC, link.mac or "none", reading)
        namespace = pairing.namespace if pairing.local.pod.under_test else None
        if pairing.local.pod.under_test and own_namespace(case, pairing) is None:
            continue
        device = pod_device(case, namespace, pairing.pod) if namespace is not None else None
        if namespace is not None and device is not None:
            inside = case.reading(f"netns/{namespace.name}/ip-addr.json")
            observed = "set" if device.up else "not set"
            case.compare(f"{pairing.pod} {POD_DEVICE} flag UP", "set", observed, inside)
        if not link.detailed or (device is not None and not device.detailed):
            raise Missing(Absent(f"nodes/{case.node}/{_FILE} with the details of `ip -d`", failed=False))
        case.compare(f"{what} kind", *_kinds(case, link), reading)
        if device is not None and namespace is not None:
            inside = case.reading(f"netns/{namespace.name}/ip-addr.json")
            case.compare(f"{pairing.pod} {POD_DEVICE} kind", *_kinds(case, device), inside)


def _kinds(case: Case, link: Link) -> tuple[str, str]:
    """(expected, observed): netkit counts where the release has it, or could not be read."""
    release = case.expected.node.release
    if link.kind == "netkit" and (isinstance(release, str) or release.at_least(3, 33)):
        return "netkit", "netkit"
    return "veth", link.kind or "none"


@node_check("VETH-4")
def sysctls(case: Case) -> None:
    """proxy_arp and forwarding are on for every workload interface."""
    found = pairings(case, namespaces=False)
    sysctl = present(case.state.sysctl) if found else {}
    for pairing in found:
        link = _interface(case, pairing)
        if link is None:
            continue
        for key in ("proxy_arp", "forwarding"):
            # the kernel takes proxy_arp as on where either the interface or "all" says so
            if key == "proxy_arp" and sysctl.get(f"net.ipv4.conf.all.{key}") == "1":
                case.hold()
                continue
            names = [f"net.ipv4.conf.{device}.{key}" for device in (link.name, pairing.local.interface)]
            # a device of another name is VETH-1's finding, and may have got it since
            name = next((one for one in names if one in sysctl), names[0])
            case.switch(f"{pairing.pod} {name}", name)
