"""Causes in a node's kernel beside the tunnel: forwarding, and the route that proxy ARP needs."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.diagnosis.cause import Found, on
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs
from pytest_calico_ipip.model.diagnosis.symptom import Symptom
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE
from pytest_calico_ipip.model.points import Role


def forwarding(signs: Signs) -> Iterator[Found]:
    """The whole node, or one of its devices towards other nodes, does not forward."""
    for node in signs.nodes:
        direct = [s for s in signs.of("NODE-4", on=node) if s.what.endswith("forward") or s.what.endswith("forwarding")]
        file = f"nodes/{node}/sysctl.txt"
        whole = signs.sysctl(node, "net.ipv4.ip_forward")
        keys = (f"net.ipv4.conf.{device}.forwarding" for device in (TUNNEL_DEVICE, signs.nic_name(node)))
        off = [key for key in keys if signs.sysctl(node, key) == "0"]
        if whole == "0":
            switches = [s for s in signs.of("VETH-4", on=node) if s.what.endswith(".forwarding")]
            # a node that does not forward does not answer its pods' ARP requests either
            inside = (*signs.of("POD-4", on=node), *_not_forwarded(signs, node))
            yield Found(
                "forwarding-off",
                (node,),
                f"{node} does not forward IPv4: packets die between its tunnel and its pods",
                (*direct, *switches, *inside),
                (f"net.ipv4.ip_forward = 0 ({file})", *(s.fact() for s in _not_forwarded(signs, node)[:1])),
                (on(node, "sysctl", "-w", "net.ipv4.ip_forward=1"),),
            )
        elif off and (direct or _not_forwarded(signs, node)):
            device = off[0].removeprefix("net.ipv4.conf.").removesuffix(".forwarding")
            yield Found(
                "device-forwarding-off",
                (node,),
                f"{node} forwards IPv4 in general, but not what arrives on {device}",
                (*direct, *_not_forwarded(signs, node)),
                tuple(f"{key} = 0 ({file})" for key in off),
                (on(node, "sysctl", *off),),
            )


def _not_forwarded(signs: Signs, node: str) -> tuple[Symptom, ...]:
    """Packets that died where a node forwards, or that its pods never sent (their ARP requests are not answered).

    Not what dies before the tunnel takes it out of its envelope, or after it was put into one: a node does that itself.
    """

    def by_forwarding(symptom: Symptom) -> bool:
        after, at = symptom.broken.roles if symptom.broken is not None else (Role.POD, Role.POD)
        return after is None or (Role.WORKLOAD in (after, at) and Role.POD not in (after, at))

    return tuple(symptom for symptom in signs.broken_at(node) if by_forwarding(symptom))


def main_table(signs: Signs) -> Iterator[Found]:
    """No policy rule consults the main table for everything: whatever routes it has, they do not count."""
    for node in signs.nodes:
        state = signs.state(node)
        rules = () if state is None or isinstance(state.rules, Absent) else state.rules
        whole = [r for r in rules if r.table == "main" and r.source is r.destination is None and not r.conditions]
        if not rules or whole:
            continue
        routes = signs.of("NODE-4", "ROUTE-1", "ROUTE-2", "ROUTE-3", "ROUTE-4", "ROUTE-5", "ROUTE-6", "POD-4", on=node)
        yield Found(
            "main-table-not-consulted",
            (node,),
            f"No policy rule of {node} consults the main table: its routes to blocks and pods do not count",
            (*routes, *signs.broken_at(node)),
            (f"rules: {'; '.join(rule.text for rule in rules)[:200]} (nodes/{node}/ip-rule.json)",),
            (on(node, "ip", "rule", "show"),),
        )


def no_route_to_gateway(signs: Signs) -> Iterator[Found]:
    """Proxy ARP answers for 169.254.1.1 only where the node has a route to it, usually the default route."""
    for symptom in signs.of("NODE-4"):
        if "route to 169.254.1.1" not in symptom.what:
            continue
        node = symptom.subject
        # pods can reach nothing: their own packets and their replies never leave eth0
        mute = [s for s in signs.broken_at(node) if s.broken is not None and s.broken.after is None]
        dropped = ("blackhole", "unreachable", "prohibit", "throw")
        by_pod = " dev " in symptom.observed and not symptom.observed.startswith(dropped)
        ident, said = "default-route-missing", "has no route to 169.254.1.1 (usually its default route)"
        if by_pod:
            ident, said = "gateway-behind-workload", f"reaches 169.254.1.1 by a workload interface: {symptom.observed}"
            mute += [s for s in signs.of("PATH-6", on=node) if s not in mute]
        yield Found(
            ident,
            (node,),
            f"{node} {said}: it does not answer its pods' ARP",
            (symptom, *signs.of("POD-4", on=node), *mute),
            (symptom.fact(),),
            (on(node, "ip", "route", "get", "169.254.1.1"), on(node, "ip", "route", "show", "default")),
        )


def claimed(signs: Signs) -> Iterator[Found]:
    """A node that has another node's address on a device of its own: it talks to itself, and not to that node."""
    for node in signs.nodes:
        for link in signs.links(node):
            for address in link.addresses:
                other = signs.node_with(address.ip)
                if other in (None, node) or signs.address(node) == address.ip:
                    continue
                ends = {node, other}
                direct = [
                    s
                    for s in signs.of("NODE-1", "BGP-1", "ROUTE-2", "ROUTE-5", "ROUTE-6")
                    if s.subject in ends
                    and ({str(address.ip)} & set(s.what.split()) or _towards(signs, s, node, other))
                ]
                packets = [s for s, leg in signs.packets() if {leg.source_node, leg.destination_node} == ends]
                yield Found(
                    "node-address-claimed",
                    (node, link.name, str(other)),
                    f"{node} has the address of {other}, {address.ip}, on its own {link.name}",
                    (*direct, *packets),
                    (f"{link.name}: {address} (nodes/{node}/ip-addr.json)",),
                    (on(node, "ip", "-4", "addr", "show", "dev", link.name),),
                )


def _towards(signs: Signs, symptom: Symptom, node: str, other: str | None) -> bool:
    """Whether a difference is about the way to the other node's blocks, or about the session with either."""
    if symptom.requirement == "BGP-1":
        return any(str(signs.address(one)) in symptom.what.split() for one in (node, other) if one)
    blocks = [block.cidr for block in signs.store.blocks if block.host == other]
    return symptom.subject == node and any(symptom.network and symptom.network.subnet_of(b) for b in blocks)


RULES: tuple[Rule, ...] = (claimed, forwarding, main_table, no_route_to_gateway)
