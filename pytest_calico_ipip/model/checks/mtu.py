"""MTU-1 to MTU-3: the tunnel's MTU and the pods'."""

from __future__ import annotations

import re

from pytest_calico_ipip.model.absent import Absent, Missing
from pytest_calico_ipip.model.checks.case import Case, cluster_check, node_check
from pytest_calico_ipip.model.checks.pairing import POD_DEVICE, Pairing, pair, pairings
from pytest_calico_ipip.model.checks.tunnel import tunnel_device
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE, underlay
from pytest_calico_ipip.model.expected.mtu import IPIP_OVERHEAD, host_mtu, pod_mtu, tunnel_mtu
from pytest_calico_ipip.model.nodestate import Link

_FILE = "ip-addr.json"


def _links(case: Case) -> tuple[Link, ...]:
    """All devices of the node, for Felix's rule; the rule needs them all, and the configuration."""
    case.datastore.need("felixconfigurations", "ippools")
    links = case.state.links
    if isinstance(links, Absent):
        raise Missing(links)
    case.whole(_FILE, "the devices that mtuIfacePattern matches")
    pattern = case.expected.node.configuration.mtu_interface_pattern
    try:
        re.compile(pattern)
    except re.error as error:
        raise Missing(Absent(f"mtuIfacePattern {pattern!r} cannot be read here: {error}", failed=True)) from None
    return links


def _capacity(case: Case) -> int | None:
    """What the underlay NIC can carry inside the outer header; None where the node has no such NIC (NODE-1)."""
    nic = underlay(case.expected.node, case.state)
    return None if nic is None else nic.mtu - IPIP_OVERHEAD


@node_check("MTU-1")
def tunnel(case: Case) -> None:
    """tunl0's MTU is what Felix's rule gives, and never more than the underlay's less 20."""
    link = tunnel_device(case)
    if link is None:
        return
    links = _links(case)
    configuration = case.expected.node.configuration
    rule = tunnel_mtu(case.expected, links)
    if configuration.ipip_mtu:
        why = f"ipipMTU is {rule}"
    else:
        why = f"host MTU {host_mtu(links, configuration.mtu_interface_pattern)} less {IPIP_OVERHEAD}"
    what, reading = f"{case.node} {TUNNEL_DEVICE} MTU", case.reading(_FILE)
    capacity = _capacity(case)
    if link.mtu != rule:
        case.differ(what, str(rule), str(link.mtu), reading, why)
    elif capacity is not None and link.mtu > capacity:
        note = f"{why}, but the underlay NIC carries only {capacity} inside the outer header"
        case.differ(what, f"at most {capacity}", str(link.mtu), reading, note)
    else:
        case.hold()


@node_check("MTU-2")
def workload(case: Case) -> None:
    """A pod's two ends have one MTU, the least over the enabled encapsulations, never more than can be carried."""
    found = pairings(case, namespaces=False)
    for pairing in found:
        _one_mtu(case, pairing)
    if not found:
        return
    links = _links(case)
    rule = pod_mtu(case.expected, links)
    tunnel_link = case.link(TUNNEL_DEVICE)
    capacity = _capacity(case)
    wanted = rule if capacity is None else min(rule, capacity)
    # pods from before IPv6 was encapsulated have more: too much for that, and enough room for IPIP
    room = [pod_mtu(case.expected, links, v6=False), capacity, None if tunnel_link is None else tunnel_link.mtu]
    limit = min(one for one in room if one is not None)
    for pairing in found:
        _rule(case, pairing, wanted, limit)


def _one_mtu(case: Case, pairing: Pairing) -> None:
    """Both ends alike, where both were read. Counted with the rule, so that half of it is not taken for the whole."""
    link, interface = pairing.link, pairing.local.interface
    if link is None:
        case.whole(_FILE, interface)
        case.differ(f"{pairing.pod} {interface} MTU", "a device", "no such device", case.reading(_FILE))
        return
    namespace = pairing.namespace
    if namespace is None or isinstance(namespace.links, Absent):
        if pairing.local.pod.under_test:
            failed = namespace is not None and isinstance(namespace.links, Absent) and namespace.links.failed
            case.lack(Absent(f"{POD_DEVICE} of pod {pairing.pod}", failed=failed))
        return
    inside = namespace.link(POD_DEVICE)
    file = f"netns/{namespace.name}/ip-addr.json"
    if inside is None:
        case.whole(file, POD_DEVICE)
        case.differ(f"{pairing.pod} {POD_DEVICE} MTU", "a device", "no such device", case.reading(file))
    elif inside.mtu != link.mtu:
        note = f"{link.name} has {link.mtu}"
        case.differ(f"{pairing.pod} {POD_DEVICE} MTU", str(link.mtu), str(inside.mtu), case.reading(file), note)


def _rule(case: Case, pairing: Pairing, wanted: int, limit: int) -> None:
    link = pairing.link
    if link is None:
        return
    what, reading = f"{pairing.pod} {link.name} MTU", case.reading(_FILE)
    if link.mtu > limit:
        expected = str(wanted) if limit == wanted else f"at most {limit}"
        case.differ(what, expected, str(link.mtu), reading, f"{TUNNEL_DEVICE} or the underlay carries no more")
    elif link.mtu < wanted:
        note = "smaller than today's: the pod is older than the last change of the MTU, or its interface was changed"
        case.warn(what, str(wanted), str(link.mtu), reading, note)
    else:
        case.hold()


@cluster_check("MTU-3", should=True)
def alike(case: Case) -> None:
    """Pods have the same MTU on all nodes."""
    case.datastore.need("pods")
    found: dict[int, list[str]] = {}
    for name in case.world.selected:
        if name in case.world.expected and name in case.world.nodes:
            for local in case.world.expected[name].pods:
                link = pair(case.world.nodes[name], local).link
                if link is not None:
                    found.setdefault(link.mtu, []).append(name)
    if not found:
        case.not_applicable("there is no live pod with an address in an IPIP pool")
        return
    usual = max(found, key=lambda mtu: (len(found[mtu]), mtu))
    case.hold(sum(map(len, found.values())))
    for mtu, names in found.items():
        if mtu != usual:
            where = ", ".join(dict.fromkeys(names))
            case.warn(f"pod MTU on {where}", f"{usual}, as on most nodes", str(mtu), None)
