"""Causes that only packets show: where they die though every table is right, and what they look like on the way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.diagnosis.cause import Found, kubectl, on, tcpdump
from pytest_calico_ipip.model.diagnosis.oddities import in_words, look, rank
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs
from pytest_calico_ipip.model.diagnosis.symptom import Symptom
from pytest_calico_ipip.model.paths import Leg
from pytest_calico_ipip.model.points import Role

Pair = tuple[str, str]
_FROM = ("PATH-2", "PATH-7")  # which addresses a packet has as its pod, or its node, sends it
_FORM = ("PATH-2", "PATH-3", "PATH-4")  # what a packet looks like; not whether it arrives


def between_nodes(signs: Signs) -> Iterator[Found]:
    """Packets leave one NIC and do not reach the other node's: told for a node as a whole where that is so."""
    lost: dict[Pair, list[Symptom]] = defaultdict(list)
    for symptom in [s for s, _ in signs.packets() if s.lost and s.broken is not None and s.broken.on_the_way]:
        broken = symptom.broken
        if broken is not None and broken.after is not None:
            lost[broken.after.point.node, broken.node].append(symptom)
    for pairs in _grouped(signs, set(lost)):
        yield _on_the_way(signs, pairs, [s for pair in pairs for s in lost[pair]])


def _grouped(signs: Signs, lost: set[Pair]) -> Iterator[tuple[Pair, ...]]:
    """One group for all that is lost towards a node, or from one, if it is lost from or to every other node."""
    left = set(lost)
    count = len(signs.world.selected) - 1
    for side in (1, 0):
        for node in signs.world.selected:
            mine = sorted(pair for pair in left if pair[side] == node)
            if count > 1 and len(mine) == count:
                left -= set(mine)
                yield tuple(mine)
    yield from ((pair,) for pair in sorted(left))


def _on_the_way(signs: Signs, pairs: tuple[Pair, ...], symptoms: list[Symptom]) -> Found:
    sources, targets = (tuple(dict.fromkeys(pair[side] for pair in pairs)) for side in (0, 1))
    back = all(_crosses(signs, target, source) for source, target in pairs)
    leg = symptoms[0].leg
    bare = leg is not None and not leg.tunnelled
    what = "A bare packet" if bare else "Protocol 4"
    contrast = ""
    if back:
        contrast = f", while packets of {', '.join(targets)} reach {', '.join(sources)}"
    elif any(_bgp_up(signs, *pair) for pair in pairs):
        contrast = ", while BGP (TCP) between them is established"
    blame = (
        "something drops pods' bare packets" if bare else "the underlay, a security group or a filter drops IP-in-IP"
    )
    sentence = (
        f"{what} leaves {' and '.join(sources)} and does not reach {' and '.join(targets)}{contrast}: "
        f"{blame} towards {', '.join(targets)}"
    )
    evidence = [symptoms[0].fact()]
    if back:
        evidence += [f"packets from {pairs[0][1]} were seen at the NIC of {pairs[0][0]} (packets/)"]
    expression = "ip" if bare else "ip proto 4"
    watch = tcpdump(
        targets[0], signs.nic_name(targets[0]), f"{expression} and host {signs.address(sources[0]) or sources[0]}"
    )
    source, target = pairs[0]
    ping = on(source, "ping", "-c", "3", str(signs.address(target) or target))
    return Found(
        "bare-lost-on-the-way" if bare else "ipip-dropped-on-the-way",
        tuple(f"{a}:{b}" for a, b in pairs),
        sentence,
        tuple(symptoms),
        tuple(evidence),
        (watch, ping),
    )


def _crosses(signs: Signs, source: str, target: str) -> bool:
    """Whether any packet from one node was seen at the other's NIC."""
    if isinstance(signs.world.paths, Absent):
        return False
    for flight in signs.world.paths.flights:
        for leg in (flight.request, flight.reply):
            there = (stop for stop in leg.stops if stop.point.node == target and stop.point.role is Role.UNDERLAY)
            if (leg.source_node, leg.destination_node) == (source, target) and any(stop.packets for stop in there):
                return True
    return False


def _bgp_up(signs: Signs, source: str, target: str) -> bool:
    state, address = signs.state(source), signs.address(target)
    if state is None or isinstance(state.bird, Absent) or isinstance(state.bird.protocols, Absent):
        return False
    return any(one.established and one.peer == address for one in state.bird.protocols)


def unwatched(signs: Signs) -> Iterator[Found]:
    """Packets that do not reach a node, and that no tap of their sender's node could have seen."""
    lost: dict[Pair, list[Symptom]] = defaultdict(list)
    for symptom, leg in signs.packets():
        if symptom.lost and symptom.broken and symptom.broken.after is None and symptom.broken.node != leg.source_node:
            lost[leg.source_node, symptom.broken.node].append(symptom)
    for (source, there), symptoms in lost.items():
        sentence = (
            f"{there} does not get everything that it should from {source}, "
            f"and the taps of {source} do not tell how far it came"
        )
        watch = tcpdump(source, signs.nic_name(source), f"host {signs.address(there) or there}")
        facts = tuple(s.fact() for s in symptoms[:2])
        yield Found("lost-before-arrival", (f"{source}:{there}",), sentence, tuple(symptoms), facts, (watch,))


def inside_node(signs: Signs) -> Iterator[Found]:
    """Packets that die between two devices of one node, grouped by the place, each told with what is done there."""
    groups: dict[tuple[str, Role | None, Role], list[Symptom]] = defaultdict(list)
    for symptom in [s for s, _ in signs.packets() if s.lost and s.broken is not None and not s.broken.on_the_way]:
        if symptom.broken is not None:
            after, at = symptom.broken.roles
            groups[symptom.broken.node, after, at].append(symptom)
    for (node, after, at), symptoms in groups.items():
        ident, said, command = _place(signs, node, after, at, symptoms)
        # where it is not lost from others, or to others: that is half of the answer
        legs = [s.leg for s in symptoms if s.leg is not None]
        peers = sorted(
            {(leg.source_node if leg.destination_node == node else leg.destination_node) for leg in legs} - {node}
        )
        every = len(peers) == len(signs.world.selected) - 1
        only = "" if every or not peers or at is Role.POD else f" (only of traffic with {', '.join(peers)})"
        large = " (large packets only)" if all(s.requirement == "MTU-4" for s in symptoms) else ""
        facts = tuple(s.fact() for s in symptoms[:2])
        yield Found(ident, (node,), f"{said}{only}{large}", tuple(symptoms), facts, (command,))


def _place(signs: Signs, node: str, after: Role | None, at: Role, symptoms: list[Symptom]) -> tuple[str, str, str]:
    nic = signs.nic_name(node)
    rules = on(node, "iptables-save", "-c")
    if after is None:
        return _never_sent(signs, node, symptoms)
    if (after, at) == (Role.UNDERLAY, Role.TUNNEL):
        said = (
            f"IP-in-IP reaches {nic} of {node} and is dropped before tunl0: a rule of its input chain, or its host set"
        )
        return "ipip-dropped-on-arrival", said, rules
    if (after, at) == (Role.TUNNEL, Role.UNDERLAY):
        said = (
            f"Packets enter tunl0 of {node} and do not leave by {nic}: a rule of its output chain or an IPsec policy "
            "drops them, or the next hop does not answer ARP"
        )
        return "ipip-dropped-on-leaving", said, rules
    if Role.POD in (after, at):
        said = f"Packets are lost between a pod's eth0 and its workload interface on {node}"
        return "lost-in-veth", said, on(node, "ip", "-s", "link", "show")
    ways = [inwards for inwards, role in ((True, at), (False, after)) if role is Role.WORKLOAD]
    if denied := _denied(signs, node, ways):
        kinds = f"networkpolicies.networking.k8s.io,globalnetworkpolicies.{signs.store.group}"
        return "policy-denies", denied, kubectl("get", kinds, "-A", "-o", "yaml")
    words = f"between {after.value} and {at.value} of {node}"
    if after is Role.WORKLOAD:
        why = "a policy, a rule, a filter of tc, or no route"
        said = f"{node} does not forward what its pods send: it is lost {words} ({why})"
        return "dropped-from-pods", said, rules
    said = f"{node} takes packets in and does not hand them to its pods: they are lost {words} (a policy, or rp_filter)"
    return "dropped-to-pods", said, rules


def _denied(signs: Signs, node: str, ways: Sequence[bool]) -> str:
    """What a policy's counter says of packets to pods (True) or from them; "" where none rose."""
    state = signs.state(node)
    firewalls = [one for one in (state.firewalls if state is not None else ()) if not isinstance(one, Absent)]
    drops = [drop for one in firewalls for drop in one.policy_drops if drop.inwards in ways]
    if not drops:
        return ""
    total, most = sum(drop.packets for drop in drops), max(drops, key=lambda drop: drop.packets)
    way = "to" if most.inwards else "from"
    return (
        f"A network policy drops packets {way} pods on {node}: during the run its counters rose by {total}, most "
        f"of all that of `{most.text}`. The run's own NetworkPolicy allows them, so one of Calico's that comes before "
        "Kubernetes' (a lower order, an earlier tier) denies them, or the run had no right to create its own"
    )


def _never_sent(signs: Signs, node: str, symptoms: list[Symptom]) -> tuple[str, str, str]:
    replies = [s for s in symptoms if s.leg is not None and s.leg.name == "reply"]
    one = symptoms[0].leg
    address = str(one.source) if one is not None else "?"
    pod = next((p for p in signs.store.pods if str(p.ip) == address), None)
    name = f"{pod.key} ({address})" if pod is not None else address
    command = (
        kubectl("exec", "-n", pod.namespace, pod.name, "--", "ip", "route")
        if pod is not None
        else on(node, "ip", "route", "get", address)
    )
    if len(replies) == len(symptoms):
        said = f"The pod {name} on {node} received echoes and did not answer: its own filter, or its way back"
        return "pod-does-not-answer", said, command
    return "never-sent", f"What {name} on {node} should have sent never left it", command


def translated(signs: Signs) -> Iterator[Found]:
    """A node that gives its pods' packets other addresses: what is then not recognised elsewhere comes from that."""
    for node in signs.nodes:
        own = [
            s
            for s, leg in signs.packets()
            if s.requirement in _FROM
            and leg.source_node == node
            and look(s) == "inner-address-translated"
            # one with another source may also be lost for it: whoever gets it looks for the way back
            and (not s.lost or s.what.endswith("inner source"))
        ]
        if not own:
            continue
        legs = {id(s.leg) for s in own}
        packets = [s for s, leg in signs.packets() if node in (leg.source_node, leg.destination_node)]
        mine = [
            s
            for s in packets
            if look(s) == "inner-address-translated" or s.astray or s.broken_within(node) or id(s.leg) in legs
        ]
        leg = own[0].leg
        there = leg.destination_node if leg is not None else ""
        said = in_words(own[0], node, there)
        rules = on(node, "iptables-save", "-c", "-t", "nat")
        facts = tuple(s.fact() for s in own[:2])
        yield Found("inner-address-translated", (node,), said, (*own, *mine), facts, (rules,))


def damaged(signs: Signs) -> Iterator[Found]:
    """A node whose packets arrive changed: where bits are turned at random, others of them are not recognised at all,
    and are thrown away by whoever checks a checksum first.
    """
    for node in signs.nodes:
        own = [s for s, leg in signs.packets() if leg.source_node == node and look(s) == "payload-changed"]
        gone = [s for s, leg in signs.packets() if s.lost and leg.source_node == node and _behind_tunnel(s, node)]
        if not own or not gone:
            continue
        legs = {id(s.leg) for s in own}
        same = [
            s for s, leg in signs.packets() if id(leg) in legs or (leg.source_node == node and s.requirement in _FORM)
        ]
        leg = own[0].leg
        there = leg.destination_node if leg is not None else ""
        said = in_words(own[0], node, there)
        command = on(node, "tc", "-s", "qdisc", "show")
        facts = tuple(s.fact() for s in (*own[:2], *gone[:1]))
        yield Found("payload-changed", (node,), f"{said}; others are lost", (*own, *gone, *same), facts, (command,))


def _behind_tunnel(symptom: Symptom, node: str) -> bool:
    """Whether a packet was missed from its sender's tunnel on: it may have come there as another."""
    broken = symptom.broken
    return broken is not None and (broken.node != node or broken.at.point.role in (Role.TUNNEL, Role.UNDERLAY))


def looks(signs: Signs) -> Iterator[Found]:
    """Packets that arrive, but not as they must: by what is odd about them, and by the node that made them."""
    groups: dict[tuple[str, str], list[Symptom]] = defaultdict(list)
    for symptom in [s for s, _ in signs.packets() if not s.lost]:
        ident = look(symptom)
        if ident and symptom.leg is not None:
            groups[ident, _maker(symptom, symptom.leg, ident)].append(symptom)
    for (ident, node), symptoms in sorted(groups.items(), key=lambda item: rank(item[0][0])):
        leg = symptoms[0].leg
        if leg is None:
            continue
        same = [s for s, other in signs.packets() if not s.lost and other.source_node == node and _follows(s, symptoms)]
        said = in_words(symptoms[0], node, leg.destination_node)
        command = tcpdump(node, signs.nic_name(node), f"host {leg.destination} or ip proto 4")
        facts = tuple(s.fact() for s in symptoms[:2])
        yield Found(ident, (node,), said, (*symptoms, *same), facts, (command,))


def _maker(symptom: Symptom, leg: Leg, ident: str) -> str:
    """The node that something odd comes from: a request that was doubled has two replies, whoever sends them."""
    request = symptom.flight.request if symptom.flight is not None else leg
    doubled = ident == "seen-twice" and any(len(stop.packets) > 1 for stop in request.stops)
    return request.source_node if doubled else leg.source_node


def _follows(symptom: Symptom, main: list[Symptom]) -> bool:
    """Whether it is said of a packet of which the main thing is already told."""
    legs = {id(each.leg) for each in main}
    return id(symptom.leg) in legs


def link_types(signs: Signs) -> Iterator[Found]:
    """A device whose frames are of another kind than such a device has: it is not what its name says."""
    places = dict.fromkeys(s.what for s in signs.left if s.what.startswith("link type at "))
    for what in places:
        own = tuple(s for s in signs.left if s.what == what)
        node, _, device = what.removeprefix("link type at ").partition(" ")
        sentence = f"{device} of {node} is not the device that its name says: its frames are {own[0].observed}"
        show = on(node, "ip", "-d", "link", "show")
        yield Found("link-type", (node,), sentence, own, (own[0].fact(),), (show,))


RULES: tuple[Rule, ...] = (translated, damaged, between_nodes, unwatched, inside_node, looks, link_types)
