"""The two readings of nodes and pods → what happened to them in between."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pytest_calico_ipip.judge.lists import Item, Listed, name_of
from pytest_calico_ipip.judge.values import address, interface, mapping, number, sequence, text
from pytest_calico_ipip.model.disturbance import Disturbance

_WORDS = 200  # characters of what Kubernetes says of it
_ADDRESSES = ("projectcalico.org/IPv4Address", "projectcalico.org/IPv4IPIPTunnelAddr")
_PEERS = ("Mesh", "Node", "Global")  # what Calico's BIRD calls its sessions, with the peer's address


def disturbances(
    nodes: Listed, pods: Listed, blocks: Listed, tested: Collection[str], ready: Collection[str]
) -> tuple[Disturbance, ...]:
    """Nodes that came to be not Ready, rebooted or gone; pods under test that ended, moved or were restarted.

    `ready` are the keys of the pods that the observer saw Ready before it read anything.
    """
    before = {"/".join(name_of(item)): item for item in pods.before if "/".join(name_of(item)) in tested}
    began = min((text(mapping(one.get("metadata")).get("creationTimestamp")) for one in before.values()), default="")
    return (*_nodes(nodes, pods, blocks, began), *_pods(before, pods.after, ready))


def _nodes(nodes: Listed, pods: Listed, blocks: Listed, began: str) -> Iterator[Disturbance]:
    after = {name_of(item)[1]: item for item in nodes.after}
    for item in nodes.before:
        name = name_of(item)[1]
        happened = _happened(item, after.get(name), began)
        if happened:
            marks = (name, *_addresses(item), *_blocks(name, blocks), *_pods_of(name, pods))
            yield Disturbance(name, f"{name} {happened}", marks, whole=True)


def _happened(before: Item, after: Item | None, began: str) -> str:
    if after is None:
        return "was deleted from the cluster during the run"
    old, new = _condition(before), _condition(after)
    unready = new if new.get("status") not in (None, "True") else old if old.get("status") not in (None, "True") else {}
    # one that was not Ready all along was named by the user, who wants to know what is wrong with it
    if unready and (old.get("status") == "True" or text(unready.get("lastTransitionTime")) > (began or "9")):
        return f"went NotReady during the run ({_said(unready)})"
    if not unready and old.get("lastTransitionTime") != new.get("lastTransitionTime"):
        return "was not Ready for a while during the run"
    boots = [text(mapping(mapping(one.get("status")).get("nodeInfo")).get("bootID")) for one in (before, after)]
    return "was rebooted during the run" if boots[0] != boots[1] else ""


def _condition(node: Item) -> Mapping[str, object]:
    conditions = map(mapping, sequence(mapping(node.get("status")).get("conditions")))
    return next((one for one in conditions if one.get("type") == "Ready"), {})


def _said(of: Mapping[str, object]) -> str:
    words = ": ".join(filter(None, (text(of.get("reason")), text(of.get("message")))))
    return words[:_WORDS] or "no reason is given"


def _addresses(node: Item) -> Iterator[str]:
    """The node's own, as addresses and in the names of its neighbours' BGP sessions."""
    annotations = mapping(mapping(node.get("metadata")).get("annotations"))
    annotated = [found.ip for key in _ADDRESSES if (found := interface(annotations.get(key))) is not None]
    entries = map(mapping, sequence(mapping(node.get("status")).get("addresses")))
    told = [ip for entry in entries if (ip := address(entry.get("address"))) is not None]
    for one in dict.fromkeys((*annotated, *told)):
        yield str(one)
        yield from (f"{peer}_{str(one).replace('.', '_')}" for peer in _PEERS)


def _blocks(node: str, blocks: Listed) -> list[str]:
    specs = (mapping(item.get("spec")) for item in (*blocks.items, *blocks.changed))
    return [text(spec.get("cidr")) for spec in specs if spec.get("affinity") == f"host:{node}"]


def _pods_of(node: str, pods: Listed) -> Iterator[str]:
    for item in pods.before:
        if mapping(item.get("spec")).get("nodeName") == node and not mapping(item.get("spec")).get("hostNetwork"):
            yield from _pod_marks(item)


def _pod_marks(pod: Item) -> tuple[str, ...]:
    return tuple(filter(None, ("/".join(name_of(pod)), name_of(pod)[1], *_ips(pod))))


def _ips(pod: Item) -> tuple[str, ...]:
    """Of IPv4, which is what IPIP carries."""
    status = mapping(pod.get("status"))
    told = [status.get("podIP"), *(mapping(entry).get("ip") for entry in sequence(status.get("podIPs")))]
    return tuple(dict.fromkeys(str(found) for one in told if (found := address(one)) is not None))


def _pods(before: Mapping[str, Item], after: Collection[Item], ready: Collection[str]) -> Iterator[Disturbance]:
    now = {"/".join(name_of(item)): item for item in after}
    for key in dict.fromkeys((*before, *ready)):
        old, new = before.get(key), now.get(key)
        happened = _ended(old, new, seen_ready=key in ready) or _changed(old, new)
        if happened:
            known = old or new or {}
            node = text(mapping(known.get("spec")).get("nodeName"))
            marks = {*(_pod_marks(old) if old else ()), *(_pod_marks(new) if new else ()), key}
            yield Disturbance(node, f"pod {key} on {node or 'its node'} {happened}", tuple(sorted(marks)))


def _ended(old: Item | None, new: Item | None, *, seen_ready: bool) -> str:
    if not seen_ready and (old is None or mapping(old.get("status")).get("phase") != "Running"):
        return ""  # it never came up, which POD-1 says
    if new is None:
        return "was deleted during the run, by somebody else (an eviction, for example)"
    status = mapping(new.get("status"))
    conditions = map(mapping, sequence(status.get("conditions")))
    disruption = next((one for one in conditions if one.get("type") == "DisruptionTarget"), {})
    if status.get("phase") in ("Failed", "Succeeded"):
        verb = "was evicted" if status.get("reason") == "Evicted" else "ended"
        return f"{verb} during the run ({_said(status)})"
    if mapping(new.get("metadata")).get("deletionTimestamp") is not None:
        return f"was deleted during the run ({_said(disruption) if disruption else 'by somebody else'})"
    return ""


def _changed(old: Item | None, new: Item | None) -> str:
    if old is None or new is None:
        return ""
    if _ips(old) and _ips(old) != _ips(new):
        return f"had another address at the end of the run: {', '.join(_ips(new)) or 'none'} for {', '.join(_ips(old))}"
    restarted = [_restarts(one) for one in (old, new)]
    return "was restarted during the run" if restarted[1] > restarted[0] else ""


def _restarts(pod: Item) -> int:
    statuses = map(mapping, sequence(mapping(pod.get("status")).get("containerStatuses")))
    return sum(number(one.get("restartCount")) or 0 for one in statuses)
