"""What Kubernetes' NetworkPolicies let through for one pod: who may reach it, and whom it may reach. Pure.

Of Calico's own kinds a GlobalNetworkPolicy counts that only denies: before Kubernetes' policies are asked, or after
them, where it drops what none of them is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_calico_ipip.lab.api.selectors import by_label_selector

Object = dict[str, Any]

_PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_OVER = ("Succeeded", "Failed")
_KUBERNETES_ORDER = 1000  # where Calico puts Kubernetes' policies among its own; without an order comes last
_EQUALS = re.compile(r"""\s*([\w./-]+)\s*==\s*["']([^"']*)["']\s*""")


@dataclass(frozen=True, order=True)
class Allowed:
    """Packets that a policy lets through; what is empty leaves it open."""

    peer: str = ""  # the network of whoever is at the other end
    protocol: int = 0
    ports: tuple[int, int] | tuple[()] = ()  # the first and the last one of the receiver's


@dataclass(frozen=True, order=True)
class Isolation:
    """What policies let through; None where no policy selects the pod: all may pass."""

    ingress: tuple[Allowed, ...] | None = None
    egress: tuple[Allowed, ...] | None = None


OPEN = Isolation()


def isolation(
    pod: Object,
    policies: Iterable[Object],
    pods: Sequence[Object],
    namespaces: Mapping[str, Object],
    everywhere: Iterable[Object] = (),
) -> Isolation:
    """Of one pod, given every policy, pod, namespace and GlobalNetworkPolicy of the cluster."""
    mine = [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and by_label_selector(policy["spec"].get("podSelector"))(pod)
    ]
    ways: dict[str, tuple[Allowed, ...] | None] = {"Ingress": None, "Egress": None}
    for way in ways:
        chosen = [policy for policy in mine if way in _types(policy["spec"])]
        if chosen:
            rules = [
                (rule, policy["metadata"]["namespace"])
                for policy in chosen
                for rule in policy["spec"].get(way.lower()) or ()
            ]
            found = [
                allowed
                for rule, home in rules
                for allowed in _allowed(rule, "from" if way == "Ingress" else "to", home, pods, namespaces)
            ]
            ways[way] = tuple(dict.fromkeys(found))
    for policy in everywhere:
        spec = policy["spec"]
        if _denies(spec) and _selects(spec.get("selector") or "all()", pod):
            ways.update({way: () for way in _calico_types(spec) if _first(spec, way) or ways[way] is None})
    return Isolation(ways["Ingress"], ways["Egress"])


def _denies(spec: Object) -> bool:
    """Whether it lets nothing through: it has no rule, or rules that deny everything."""
    return all(rule == {"action": "Deny"} for way in ("ingress", "egress") for rule in spec.get(way) or ())


def _first(spec: Object, way: str) -> bool:
    """Whether it drops before Kubernetes' policies could let it through. Without a rule it leaves that to them."""
    order = spec.get("order")
    return order is not None and order < _KUBERNETES_ORDER and bool(spec.get(way.lower()))


def _calico_types(spec: Object) -> Sequence[str]:
    return spec.get("types") or ("Ingress", *(["Egress"] if "egress" in spec else []))


def _selects(selector: str, pod: Object) -> bool:
    """Of Calico's selectors the two simplest: `all()`, and one label with one value."""
    equals = _EQUALS.fullmatch(selector)
    labels = pod["metadata"].get("labels") or {}
    return selector.strip() == "all()" or (equals is not None and labels.get(equals[1]) == equals[2])


def _types(spec: Object) -> Sequence[str]:
    return spec.get("policyTypes") or ("Ingress", *(["Egress"] if "egress" in spec else []))


def _allowed(
    rule: Object, peers: str, home: str, pods: Sequence[Object], namespaces: Mapping[str, Object]
) -> list[Allowed]:
    addresses = [""]  # no peers named: all
    if rule.get(peers):
        addresses = [each for peer in rule[peers] for each in _addresses(peer, home, pods, namespaces)]
    return [Allowed(address, *port) for address in addresses for port in _ports(rule.get("ports"))]


def _addresses(peer: Object, home: str, pods: Sequence[Object], namespaces: Mapping[str, Object]) -> list[str]:
    if "ipBlock" in peer:  # what `except` takes away is not played here: such a policy lets through more than it should
        return [peer["ipBlock"]["cidr"]]
    places = {home}
    if "namespaceSelector" in peer:
        places = {name for name, obj in namespaces.items() if by_label_selector(peer["namespaceSelector"])(obj)}
    return [
        f"{address}/32"
        for pod in pods
        if pod["metadata"]["namespace"] in places
        and not pod["spec"].get("hostNetwork")
        and by_label_selector(peer.get("podSelector"))(pod)
        and pod.get("status", {}).get("phase") not in _OVER
        and (address := pod.get("status", {}).get("podIP"))
    ]


def _ports(ports: Sequence[Object] | None) -> list[tuple[int, tuple[int, int] | tuple[()]]]:
    """Protocol and ports of each entry."""
    if not ports:
        return [(0, ())]
    found: list[tuple[int, tuple[int, int] | tuple[()]]] = []
    for port in ports:
        first = port.get("port")
        span = (first, port.get("endPort") or first) if isinstance(first, int) else ()
        found.append((_PROTOCOLS[port.get("protocol") or "TCP"], span))
    return found
