"""Causes at a pod: its interface's two ends, its address and routes, and who answers its ARP requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from pytest_calico_ipip.model.diagnosis.cause import Found, kubectl, on
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs
from pytest_calico_ipip.model.diagnosis.symptom import Symptom
from pytest_calico_ipip.model.expected import LocalPod
from pytest_calico_ipip.model.points import Role

_ENDS = (Role.POD, Role.WORKLOAD)


def _pods(signs: Signs, node: str) -> dict[str, LocalPod]:
    expectation = signs.world.expected.get(node)
    return {local.pod.key: local for local in expectation.pods} if expectation is not None else {}


def _at_pod(signs: Signs, node: str, addresses: set[IPv4Address]) -> tuple[Symptom, ...]:
    """Packets that were lost between these pods and the first point beyond their interfaces."""

    def near(symptom: Symptom) -> bool:
        broken, leg = symptom.broken, symptom.leg
        if broken is None or leg is None or broken.node != node or not symptom.lost:
            return False
        mute = broken.after is None or broken.roles == (Role.POD, Role.WORKLOAD)
        return (leg.source in addresses and (mute or broken.after is None)) or (
            leg.destination in addresses and broken.at.point.role in _ENDS and not mute
        )

    return tuple(symptom for symptom, _ in signs.packets() if near(symptom))


def _family(
    signs: Signs, node: str, ident: str, own: list[Symptom], said: str, *also: str, command: str = ""
) -> Iterator[Found]:
    """One cause for all pods of a node that have the same trouble. `also`: requirements that it explains with them."""
    pods = _pods(signs, node)
    concerned = {key: pods[key] for s in own if (key := s.what.split(" ")[0]) in pods}
    if not own:
        return
    names = ", ".join(list(concerned)[:3]) + (f" and {len(concerned) - 3} more" if len(concerned) > 3 else "")
    addresses = {local.address for local in concerned.values()}
    lost = _at_pod(signs, node, addresses)
    # what is said of a pod begins with its name, of a route it ends with its address
    others = [
        s
        for s in signs.of(*also, on=node)
        if s.what.split(" ")[0] in concerned or (s.network and s.network.network_address in addresses)
    ]
    local = next(iter(concerned.values()), None)
    device = local.interface if local is not None else "cali"
    yield Found(
        ident,
        (node, *concerned)[:6],
        said.format(node=node, pods=names or node, observed=own[0].observed, device=device),
        (*own, *others, *lost),
        tuple(s.fact() for s in (*own[:2], *lost[:1])),
        (command or on(node, "ip", "-d", "addr", "show", "dev", device),),
    )


def proxy_arp(signs: Signs) -> Iterator[Found]:
    """The node does not answer for the pods' gateway."""
    for node in signs.nodes:
        own = signs.of("VETH-4", on=node)
        arp = [s for s in own if s.what.endswith(".proxy_arp")]
        off = [s for s in own if s.what.endswith(".forwarding")]
        said = "{node} does not answer the ARP requests of {pods} for 169.254.1.1: proxy_arp is off on {device}"
        key = arp[0].last if arp else ""
        yield from _family(signs, node, "proxy-arp-off", arp, said, "POD-4", command=on(node, "sysctl", key))
        said = "{node} does not forward what {pods} send: forwarding is off on {device}"
        key = off[0].last if off else ""
        yield from _and_stopped(
            signs,
            node,
            _family(signs, node, "workload-forwarding-off", off, said, "POD-4", command=on(node, "sysctl", key)),
        )


def _and_stopped(signs: Signs, node: str, causes: Iterator[Found]) -> Iterator[Found]:
    """Causes that explain, too, what this node's pods sent and what came no further than a workload interface of it."""
    for found in causes:
        stopped = [s for s, leg in signs.packets() if leg.source_node == node and _from_workload(s, node)]
        yield replace(found, symptoms=(*found.symptoms, *stopped))


def _from_workload(symptom: Symptom, node: str) -> bool:
    """Whether a packet was seen last at a workload interface of this node."""
    broken = symptom.broken
    return broken is not None and broken.within(node) and broken.roles[0] is Role.WORKLOAD


def interfaces(signs: Signs) -> Iterator[Found]:
    """A workload interface that is missing, down, of another kind, with another MAC address, name or peer."""
    for node in signs.nodes:
        veth = signs.of("VETH-1", "VETH-2", "VETH-3", "MTU-2", on=node)
        gone = [s for s in veth if s.observed == "no such device"]
        said = "{pods} on {node} have no interface: it is gone, or was never made"
        yield from _family(signs, node, "workload-interface-missing", gone, said, "VETH-4", "POD-2", "POD-4", "ROUTE-1")
        down = [s for s in signs.of("VETH-3", on=node) if s.what.endswith("flag UP")]
        inside = [s for s in down if s.what.endswith("eth0 flag UP")]
        outside = [s for s in down if s not in inside]
        also = ("ROUTE-1", "POD-2", "POD-3", "POD-4", "ROUTE-5")
        said = "The workload interface of {pods} on {node} is down ({device})"
        yield from _family(signs, node, "workload-interface-down", outside, said, *also)
        yield from _family(
            signs, node, "pod-interface-down", inside, "eth0 of {pods} on {node} is down, in the pod", *also
        )
        mac = [s for s in signs.of("VETH-3", on=node) if s.what.endswith("MAC address")]
        said = (
            "The workload interface of {pods} on {node} has the MAC address {observed}, not Calico's ee:ee:ee:ee:ee:ee"
        )
        yield from _family(signs, node, "workload-mac", mac, said, "POD-4")
        kind = [s for s in signs.of("VETH-3", on=node) if s.what.endswith(" kind")]
        yield from _family(
            signs, node, "workload-kind", kind, "The interface of {pods} on {node} is a {observed}, no veth"
        )
        said = "The workload interface of {pods} on {node} is named {observed}, not {device} as its pod says"
        yield from _family(
            signs,
            node,
            "workload-name",
            list(signs.of("VETH-1", on=node)),
            said,
            "ROUTE-1",
            "VETH-2",
            "VETH-4",
            "ROUTE-4",
            "ROUTE-5",
        )
        peers = signs.of("VETH-2", on=node)
        astray = {s.what.split(" ")[0] for s in peers if " namespace that " in s.what}
        between = [s for s in peers if s.what.split(" ")[0] not in astray]
        said = "The cable of {pods} on {node} does not end at eth0: another device stands between, as a bridge would"
        yield from _family(signs, node, "workload-peer", between, said)
        said = "The workload interface of {pods} on {node} leads to another pod's namespace, or to none: {observed}"
        yield from _family(signs, node, "workload-peer", [s for s in peers if s not in between], said)


def inside(signs: Signs) -> Iterator[Found]:
    """Inside a pod: no default route, no route to the gateway, a wrong or second address, a wrong neighbour."""
    for node in signs.nodes:
        third = signs.of("POD-3", on=node)
        default = [s for s in third if s.what.endswith("default route")]
        missing = [s for s in default if s.observed == "no such route"]
        look = _in_pod(signs, node, third, "ip", "route")
        said = "{pods} on {node} have no default route: they can send nothing but to their gateway"
        yield from _family(signs, node, "pod-default-route-missing", missing, said, "POD-4", command=look)
        said = "{pods} on {node} have a default route that is not via 169.254.1.1 dev eth0: {observed}"
        wrong = [s for s in default if s not in missing]
        yield from _family(signs, node, "pod-default-route-wrong", wrong, said, "POD-4", command=look)
        link = [s for s in third if s not in default]
        said = "{pods} on {node} have no link route to their gateway 169.254.1.1 (found: {observed})"
        yield from _family(signs, node, "pod-gateway-route", link, said, "POD-4", command=look)
        second = signs.of("POD-2", on=node)
        extra = [s for s in second if s.expected in s.observed.split(", ")]
        look = _in_pod(signs, node, second, "ip", "-4", "addr")
        said = "eth0 of {pods} on {node} has more than the pod's address: {observed}"
        yield from _family(signs, node, "pod-address-extra", extra, said, command=look)
        said = "eth0 of {pods} on {node} does not have the pod's address as a /32: {observed}"
        yield from _family(signs, node, "pod-address-wrong", [s for s in second if s not in extra], said, command=look)
        fourth = signs.of("POD-4", on=node)
        mute = [s for s in fourth if s.observed.startswith("nothing")]
        look = _in_pod(signs, node, fourth, "ip", "neigh")
        said = "Nobody answers the ARP requests of {pods} on {node} for their gateway 169.254.1.1"
        yield from _family(signs, node, "gateway-arp-unanswered", mute, said, command=look)
        said = "{observed} answers the ARP requests of {pods} on {node} for 169.254.1.1, not their workload interface"
        other = [s for s in fourth if s not in mute]
        # frames for another address than the workload interface's come as far as there
        yield from _and_stopped(signs, node, _family(signs, node, "gateway-arp-wrong", other, said, command=look))


def _in_pod(signs: Signs, node: str, own: tuple[Symptom, ...], *words: str) -> str:
    """A command in the network namespace of the first pod concerned, as far as it has a name."""
    pods = _pods(signs, node)
    local = next((pods[key] for s in own if (key := s.what.split(" ")[0]) in pods), None)
    if local is None:
        return ""
    namespace = signs.namespace_of(node, local.address)
    if namespace is not None:
        return on(node, "ip", "netns", "exec", namespace.name, *words)
    return kubectl("exec", "-n", local.pod.namespace, local.pod.name, "--", *words)


def running(signs: Signs) -> Iterator[Found]:
    """Pods under test that do not run, are not Ready, or have an address of no IPIP pool."""
    for symptom in signs.of("POD-1"):
        node = symptom.subject
        if symptom.what.endswith("pods under test"):
            sentence = f"There is no pod under test on {node}"
            describe = kubectl("describe", "node", node)
            yield Found("pod-missing", (node,), sentence, (symptom,), (symptom.fact(),), (describe,))
            continue
        key, _, rest = symptom.what.partition(" ")
        namespace, _, name = key.partition("/")
        if rest == "address":
            sentence = f"The pod {key} on {node} has an address that is in no IPIP pool: {symptom.observed}"
            also = [s for s in signs.of("POOL-1", on=node) if s.what.startswith(f"{key} ")]
            get = kubectl("get", f"ippools.{signs.store.group}", "-o", "wide")
            yield Found("pod-address-outside-pool", (node, key), sentence, (symptom, *also), (symptom.fact(),), (get,))
        else:
            sentence = f"The pod {key} on {node} is not Running and Ready: {symptom.observed}"
            mine = {pod.ip for pod in signs.world.pods if pod.key == key and pod.ip is not None}
            lost = _at_pod(signs, node, mine)
            show = kubectl("describe", "pod", "-n", namespace, name)
            yield Found("pod-not-ready", (node, key), sentence, (symptom, *lost), (symptom.fact(),), (show,))


EARLY: tuple[Rule, ...] = (interfaces,)  # before the routes, which go with a device that goes
RULES: tuple[Rule, ...] = (proxy_arp, inside, running)
