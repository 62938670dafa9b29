"""Causes in the tunnel device: missing, down, of another kind, with wrong attributes or addresses."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from pytest_calico_ipip.model.diagnosis.cause import Found, on
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs
from pytest_calico_ipip.model.diagnosis.symptom import Symptom
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE
from pytest_calico_ipip.model.nodestate import Link
from pytest_calico_ipip.model.paths import Leg
from pytest_calico_ipip.model.points import Role

_TUNNEL = Role.TUNNEL
_SHOW = ("ip", "-d", "addr", "show", "dev", TUNNEL_DEVICE)


def useless(signs: Signs) -> Iterator[Found]:
    """A device that carries nothing: not there, down, or not of kind ipip."""
    for node in signs.nodes:
        direct = [s for s in signs.of("TUN-1", "TUN-2", "MTU-1", on=node) if _says_useless(s)]
        if not direct:
            continue
        link = signs.link(node, TUNNEL_DEVICE)
        commands: tuple[str, ...]
        if link is None:
            ident, said, evidence = "tunnel-missing", "has no tunl0", f"no tunl0 (nodes/{node}/ip-addr.json)"
            commands = (on(node, "modprobe", "ipip"), on(node, *_SHOW))
        elif link.detailed and link.kind != "ipip":
            ident, said = "tunnel-not-ipip", f"has a tunl0 of kind {link.kind or 'none'}, not ipip"
            evidence, commands = (
                f"tunl0 is of kind {link.kind or 'none'} (nodes/{node}/ip-addr.json)",
                (on(node, *_SHOW),),
            )
        else:
            ident, said = "tunnel-down", "has its tunl0 down"
            evidence = f"flags of tunl0: {','.join(link.flags) or 'none'} (nodes/{node}/ip-addr.json)"
            commands = (on(node, *_SHOW), on(node, "ip", "link", "set", TUNNEL_DEVICE, "up"))
        routes = signs.of("ROUTE-2", "ROUTE-4", "ROUTE-5", "ROUTE-6", "BGP-2", on=node)
        packets = [s for s, leg in signs.packets() if _through(s, leg, node)]
        yield Found(
            ident,
            (node,),
            f"{node} {said}: it can neither send to pods of other nodes nor receive from them",
            (*direct, *routes, *packets),
            (evidence, *(s.fact() for s in packets[:1])),
            commands,
        )


def _says_useless(symptom: Symptom) -> bool:
    return symptom.observed == "no such device" or symptom.what.endswith((" flag UP", f"{TUNNEL_DEVICE} kind"))


def _through(symptom: Symptom, leg: Leg, node: str) -> bool:
    """Whether a packet left its way at this node's tunnel: sent past it, or not taken out of it."""
    broken = symptom.broken
    if broken is None:
        return False
    return broken.node == node and (Role.TUNNEL in broken.roles or (leg.source_node == node and symptom.astray))


def attributes(signs: Signs) -> Iterator[Found]:
    """A tunnel that is bound to one address or peer, or has a TTL of its own."""
    for node in signs.nodes:
        own = {s.last: s for s in signs.of("TUN-1", on=node)}
        link, file = signs.link(node, TUNNEL_DEVICE), f"nodes/{node}/ip-addr.json"
        if link is None:
            continue
        bound = [own[name] for name in ("local", "remote") if name in own]
        shape = f"tunl0: local {link.tunnel_local}, remote {link.tunnel_remote}, ttl {link.tunnel_ttl} ({file})"
        if "TTL" in own:
            outer = [s for s, leg in signs.packets() if leg.source_node == node and "outer TTL" in s.what]
            yield Found(
                "tunnel-ttl",
                (node,),
                f"tunl0 of {node} gives every packet the TTL {link.tunnel_ttl} outside, and must inherit the inner one",
                (own["TTL"], *outer),
                (shape,),
                (on(node, *_SHOW),),
            )
        if bound:
            lost = [s for s, leg in signs.packets() if _through(s, leg, node)]
            yield Found(
                "tunnel-bound",
                (node,),
                f"tunl0 of {node} is bound to local {link.tunnel_local}, remote {link.tunnel_remote}, "
                "and must be open to any peer",
                (*bound, *lost),
                (shape,),
                (on(node, *_SHOW),),
            )


def addresses(signs: Signs) -> Iterator[Found]:
    """tunl0 without the node's tunnel address, with another one, or with more."""
    for symptom in signs.of("TUN-2"):
        node = symptom.subject
        known, link = signs.known(node), signs.link(node, TUNNEL_DEVICE)
        if link is None:
            continue
        wanted = known.tunnel_address if known is not None else None
        held = [address.ip for address in link.addresses]
        has = ", ".join(map(str, link.addresses)) or "no address"
        others = [
            name
            for name in signs.nodes
            if name != node and (one := signs.link(name, TUNNEL_DEVICE)) and {a.ip for a in one.addresses} & set(held)
        ]
        if others:
            ident, said = "tunnel-address-duplicate", f"has {has} on its tunl0, and so has {', '.join(others)}"
        elif not held:
            ident, said = (
                "tunnel-address-missing",
                f"has no address on its tunl0 (it must be {wanted or 'one of a pool'})",
            )
        elif wanted in held and len(held) > 1:
            extra = ", ".join(str(address) for address in link.addresses if address.ip != wanted)
            ident, said = "tunnel-address-extra", f"has another address on its tunl0 beside its own {wanted}: {extra}"
        else:
            ident, said = "tunnel-address-wrong", f"has {has} on its tunl0, and its tunnel address is {wanted}/32"
        # what the node itself sends to pods of other nodes, and what comes back to that address
        own = [s for s in signs.of("PATH-7") if s.subject.startswith(f"{node}:") and ident != "tunnel-address-extra"]
        shared = {a.ip for name in others if (one := signs.link(name, TUNNEL_DEVICE)) for a in one.addresses} & {*held}
        yield Found(
            ident,
            (node, *others),
            f"{node} {said}",
            (symptom, *own, *_routes_of(signs, node, link), *_of_both(signs, shared)),
            (symptom.fact(), *(s.fact() for s in own[:1])),
            (on(node, "ip", "-4", "addr", "show", "dev", TUNNEL_DEVICE),),
        )


def _routes_of(signs: Signs, node: str, link: Link) -> tuple[Symptom, ...]:
    """The routes that the kernel itself makes for these addresses, and what they stand in place of."""
    ends = {end for address in link.addresses for end in (address.ip, address.network.broadcast_address)}
    wide = {address.network for address in link.addresses if address.network.prefixlen < 32}
    mine = signs.of("ROUTE-3", "ROUTE-4", "NODE-3", on=node)
    return tuple(s for s in mine if s.network and (s.network.network_address in ends or s.network in wide))


def _of_both(signs: Signs, shared: set[IPv4Address]) -> Iterator[Symptom]:
    """What comes of an address that two nodes have: both tell the others of it, and each takes what is for both."""
    for symptom in signs.of("ROUTE-4", "BGP-2"):
        destination = symptom.network or _network(symptom.observed)
        if destination is not None and destination.prefixlen == 32 and destination.network_address in shared:
            yield symptom
    for symptom, leg in signs.packets():
        if {leg.source, leg.destination} & shared:
            yield symptom


def _network(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text)
    except ValueError:
        return None


def second(signs: Signs) -> Iterator[Found]:
    """Another ipip device with this very peer: the kernel gives it what comes from there, and tunl0 never sees it."""
    for node in signs.nodes:
        for link in signs.links(node):
            peer = next((n for n in signs.nodes if n != node and str(signs.address(n)) == link.tunnel_remote), None)
            if link.kind != "ipip" or link.name == TUNNEL_DEVICE or not link.up or peer is None:
                continue
            taken = [
                s
                for s, leg in signs.packets()
                if leg.source_node == peer and s.broken_within(node) and s.broken and s.broken.at.point.role is _TUNNEL
            ]
            if taken:
                shape = f"{link.name}: ipip, local {link.tunnel_local}, remote {link.tunnel_remote}"
                yield Found(
                    "tunnel-second-device",
                    (node, link.name),
                    f"{node} has a second tunnel, {link.name}, for what comes from {peer}: tunl0 does not get it",
                    tuple(taken),
                    (f"{shape} (nodes/{node}/ip-addr.json)", taken[0].fact()),
                    (on(node, "ip", "-d", "link", "show", "dev", link.name),),
                )


RULES: tuple[Rule, ...] = (useless, attributes, addresses, second)
