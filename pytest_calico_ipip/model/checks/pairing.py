"""Which device of a node and which network namespace belong to a pod: exactly, never by name order or time."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_calico_ipip.model.absent import Absent, present
from pytest_calico_ipip.model.checks.case import Case
from pytest_calico_ipip.model.expected import LocalPod
from pytest_calico_ipip.model.nodestate import Link, NamespaceState, NodeState

POD_DEVICE = "eth0"


@dataclass(frozen=True)
class Pairing:
    """A live pod, its workload interface and its namespace, as far as they were found."""

    local: LocalPod
    link: Link | None  # by name, else the device that leads to the pod's namespace
    namespace: NamespaceState | None  # None: not read

    @property
    def pod(self) -> str:
        """The pod as messages name it."""
        return self.local.pod.key


def pairings(case: Case, *, namespaces: bool) -> tuple[Pairing, ...]:
    """Every live pod of the node. With `namespaces` only the pods under test, whose namespaces were read."""
    case.datastore.need("pods")
    found = tuple(pair(case.state, local) for local in case.expected.pods if not namespaces or local.pod.under_test)
    if not found:
        about = "under test " if namespaces else ""
        on_node = f"a live pod {about}with an address in an IPIP pool on {case.node}"
        if namespaces and _outside(case):
            case.not_applicable(f"no pod under test on {case.node} has an address in an IPIP pool (POD-1)")
        elif namespaces and case.world.live:
            case.lack(Absent(on_node, failed=True))
        elif namespaces:
            case.lack(Absent(on_node, failed=False))
        else:
            case.not_applicable(f"there is no live pod with an address in an IPIP pool on {case.node}")
    return found


def _outside(case: Case) -> bool:
    """Whether there are pods under test on the node, with addresses, and none of these in an IPIP pool."""
    addresses = [pod.ip for pod in case.world.pods if pod.node == case.node and pod.ip is not None]
    pools = [pool for pool in case.datastore.pools if pool.ipip]
    return bool(addresses) and not any(address in pool.cidr for address in addresses for pool in pools)


def pair(state: NodeState, local: LocalPod) -> Pairing:
    """Find the pod's device and namespace in what the node said. Raises `Missing` where it lists no devices."""
    links = present(state.links)
    link = next((one for one in links if one.name == local.interface), None)
    namespace = _namespace(state, local, link)
    if link is None and namespace is not None:
        link = next((one for one in links if leads_to(state, one) == namespace.name), None)
    return Pairing(local, link, namespace)


def leads_to(state: NodeState, link: Link) -> str | None:
    """The namespace that holds the other end of a device; None where it has no name, or names were not read."""
    if link.peer_namespace:
        return link.peer_namespace
    if link.peer_netnsid is None or isinstance(state.namespace_ids, Absent):
        return None
    return state.namespace_ids.get(link.peer_netnsid)


def _namespace(state: NodeState, local: LocalPod, link: Link | None) -> NamespaceState | None:
    """The namespace whose eth0 has the pod's address; where none has it, the one that the pod's device leads to."""
    led = leads_to(state, link) if link is not None else None
    holding = [
        namespace
        for namespace in state.namespaces.values()
        if not isinstance(namespace.links, Absent)
        and any(
            address.ip == local.address
            for device in namespace.links
            if device.name == POD_DEVICE
            for address in device.addresses
        )
    ]
    for namespace in holding:
        if namespace.name == led:
            return namespace
    if holding:
        return holding[0]
    return state.namespaces.get(led) if led is not None else None


def own_namespace(case: Case, pairing: Pairing) -> NamespaceState | None:
    """The pod's namespace; where it was not read, that is recorded and None returned."""
    if pairing.namespace is None:
        case.lack(Absent(f"the network namespace of pod {pairing.pod} on {case.node}", failed=False))
    return pairing.namespace


def pod_device(case: Case, namespace: NamespaceState, pod: str) -> Link | None:
    """eth0 in a pod's namespace; where it is not there, that is a difference."""
    device = namespace.link(POD_DEVICE)
    if device is None:
        file = f"netns/{namespace.name}/ip-addr.json"
        case.whole(file, POD_DEVICE)
        case.differ(f"{pod} {POD_DEVICE}", "a device", "no such device", case.reading(file))
    return device
