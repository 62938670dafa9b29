"""SEC-1 and SEC-2: whose IPIP packets a node lets in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses

from pytest_calico_ipip.model.absent import Absent, Missing
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.firewall import IPIP_PROTOCOL, Chains, FilterRule, Firewall
from pytest_calico_ipip.model.spoofed import arrivals

MAX_RULES = 20_000  # met on the way through one hook
_ENDS = ("accept", "drop", "reject")
_LOSES = ("drop", "reject")


@dataclass(frozen=True)
class Gate:
    """The place in the input chain where Calico lets its hosts' IPIP packets in, and the way to it."""

    firewall: Firewall
    accept: FilterRule
    before: tuple[FilterRule, ...]  # what decides about IPIP packets earlier
    between: tuple[FilterRule, ...]  # what accepts more of them before the rest is dropped
    drop: FilterRule | None


@node_check("SEC-1")
def host_set(case: Case) -> None:
    """The set that the IPIP rules name holds exactly the nodes' addresses and externalNodesList."""
    if not _applies(case):
        return
    named = [(firewall, name) for firewall in _readable(case) if (name := _set_name(firewall))]
    if not named:
        _nothing_found(case, "a set in the rule that accepts IPIP packets")
    for firewall, name in named:
        _compare_members(case, firewall, name)


@node_check("SEC-2")
def input_chain(case: Case) -> None:
    """The input chain accepts protocol 4 from that set, drops the rest, and dropped none during the run."""
    if not _applies(case):
        return
    readable = _readable(case)
    gates = [gate for firewall in readable if (gate := find_gate(firewall, firewall.chains)) is not None]
    if not gates:
        _nothing_found(case, "a rule that accepts protocol 4 from Calico's hosts")
    for gate in gates:
        _judge_gate(case, gate)
    with_gate = [id(gate.firewall) for gate in gates]
    for firewall in readable:
        for chain in () if id(firewall) in with_gate else firewall.inputs:
            for rule in _losing(firewall.chains, chain):
                _before(case, firewall, rule)


def _applies(case: Case) -> bool:
    expected = case.expected
    case.datastore.need("ippools")
    if expected.node.configuration.bpf:
        case.not_applicable("bpfEnabled: Calico's eBPF programs decide, not the input chain")
    elif not expected.ipip:
        case.not_applicable("IPIP is off: no pool has an ipipMode other than Never")
    else:
        return True
    return False


def _readable(case: Case) -> list[Firewall]:
    return [one for one in case.state.firewalls if not isinstance(one, Absent)]


def _nothing_found(case: Case, what: str) -> None:
    """No such rule: a difference where Calico's chains were read, or every tool's rules."""
    if not case.state.firewalls:
        raise Missing(Absent(f"the firewall of {case.node}", failed=False))
    with_calico = [one.file for one in _readable(case) if one.calico]
    for one in case.state.firewalls:
        if isinstance(one, Absent) and not with_calico:
            raise Missing(one)
    file = next(iter(with_calico), "iptables-save.txt")
    rules = [rule.text for one in _readable(case) for rule in _of_ipip(one)]
    observed = "; ".join(rules[:4]) or "no rule about protocol 4"
    case.differ(f"{case.node} input chain", what, observed, case.reading(file))


def _of_ipip(firewall: Firewall) -> Iterator[FilterRule]:
    for chain in firewall.inputs:
        yield from (rule for rule in walk(firewall.chains, chain) if rule.protocol == IPIP_PROTOCOL)


def _set_name(firewall: Firewall) -> str:
    """The set as the rule for arriving packets names it, else as the one for leaving packets does."""
    gate = find_gate(firewall, firewall.chains)
    if gate is not None:
        return gate.accept.source_set
    leaving = (rule for chain in firewall.outputs for rule in walk(firewall.chains, chain))
    return next((r.destination_set for r in leaving if r.protocol == IPIP_PROTOCOL and r.destination_set), "")


def _compare_members(case: Case, firewall: Firewall, name: str) -> None:
    members = firewall.sets.get(name)
    if isinstance(members, Absent):
        raise Missing(members)
    what, reading = f"{case.node} members of {name.rpartition('/')[2]}", case.reading(firewall.sets_file)
    if members is None:
        case.differ(what, "a set, as a rule names it", "no such set", reading)
        return
    wanted = list(dict.fromkeys(_hosts(case)))
    found = [one for one in members if not isinstance(one, str)]
    missing = _less(wanted, found)
    more: list[IPv4Network | str] = []
    if not case.datastore.changed_nodes:  # a node that came or went during the run may be in it or not
        more += _less(found, [*wanted, *_may_be_hosts(case)])
        more += [one for one in members if isinstance(one, str)]
    case.hold(len(wanted))
    if missing or more:
        words = [f"without {_shown(missing)}"] if missing else []
        words += [f"with {_shown(more)} too"] if more else []
        note = "IPIP packets from a node that is missing are dropped" if missing else "IPIP packets from it are let in"
        case.differ(what, f"exactly {_shown(wanted)}", ", ".join(words), reading, note)


def _hosts(case: Case) -> Iterator[IPv4Network]:
    for node in case.datastore.nodes.values():
        if not node.annotated:
            raise Missing(Absent(f"the annotations of node {node.name}", failed=False))
        if node.address is not None:
            yield IPv4Network(node.address.ip)
    for external in case.expected.node.configuration.external_nodes:
        try:
            yield IPv4Network(external, strict=False)
        except ValueError:
            continue  # IPv6 has a set of its own


def _may_be_hosts(case: Case) -> Iterator[IPv4Network]:
    """Felix takes a node without an IPv4Address annotation (Windows, BGP off) by the address that Kubernetes has."""
    for addresses in case.datastore.others.values():
        yield from map(IPv4Network, addresses)


def _less(networks: list[IPv4Network], others: list[IPv4Network]) -> list[IPv4Network]:
    """What of some networks lies in none of the others."""
    left = list(collapse_addresses(networks))
    for other in collapse_addresses(others):
        left = [
            part
            for one in left
            for part in (() if one.subnet_of(other) else one.address_exclude(other) if other.subnet_of(one) else (one,))
        ]
    return left


def _shown(networks: Sequence[IPv4Network | str]) -> str:
    words = [str(n.network_address) if isinstance(n, IPv4Network) and n.prefixlen == 32 else str(n) for n in networks]
    return ", ".join(words[:20]) + (f" and {len(words) - 20} more" if len(words) > 20 else "")


def walk(chains: Chains, chain: str, *, past_ends: bool = False) -> Iterator[FilterRule]:
    """The rules that an IPIP packet meets from one chain on; what depends on more than its protocol is not followed.

    With `past_ends` also those that it would meet if an earlier rule had not ended its way.
    """
    stack = [iter(chains.get(chain, ()))]
    for _ in range(MAX_RULES):
        while stack:
            rule = next(stack[-1], None)
            if rule is not None:
                break
            stack.pop()
        if not stack or rule is None:
            return
        yield rule
        if not rule.for_ipip:
            continue
        if rule.verdict in _ENDS and not past_ends:
            return
        if rule.verdict == "return":
            stack.pop()
        elif rule.verdict in ("jump", "goto") and rule.target in chains and len(stack) < 32:
            if rule.verdict == "goto":
                stack.pop()
            stack.append(iter(chains[rule.target]))


def find_gate(firewall: Firewall, chains: Chains) -> Gate | None:
    """Calico's gate; None where no rule of the input hook accepts IPIP from a set."""
    for chain in firewall.inputs:
        rules = list(walk(chains, chain, past_ends=True))
        at = next((number for number, rule in enumerate(rules) if _opens(rule)), None)
        if at is None:
            continue
        drops = (n for n, rule in enumerate(rules) if n > at and rule.for_ipip and rule.verdict in _LOSES)
        end = next(drops, None)
        after = rules[at + 1 : end]
        others = [c for c in firewall.inputs if c != chain]
        return Gate(
            firewall=firewall,
            accept=rules[at],
            before=(
                *(rule for other in others for rule in _losing(chains, other)),
                *_deciding(rules[:at]),
            ),
            between=tuple(r for r in after if r.verdict == "accept" and (r.protocol == IPIP_PROTOCOL or r.for_all)),
            drop=rules[end] if end is not None else None,
        )
    return None


def _opens(rule: FilterRule) -> bool:
    return rule.protocol == IPIP_PROTOCOL and rule.verdict == "accept" and bool(rule.source_set) and not rule.conditions


def _deciding(rules: list[FilterRule]) -> Iterator[FilterRule]:
    """Rules that end the way of IPIP packets, of all or of some."""
    for rule in rules:
        if rule.verdict in _ENDS and (rule.protocol == IPIP_PROTOCOL or rule.for_all):
            yield rule


def _losing(chains: Chains, chain: str) -> Iterator[FilterRule]:
    """Rules of another chain at the hook that lose IPIP packets for certain."""
    uncertain = False
    for rule in walk(chains, chain):
        if rule.verdict in _LOSES and (rule.protocol == IPIP_PROTOCOL or (rule.for_all and not uncertain)):
            yield rule
        depends = bool(rule.conditions or rule.source_set or rule.destination_set)
        uncertain = uncertain or (depends and rule.verdict in ("accept", "jump", "goto", "return"))


def _judge_gate(case: Case, gate: Gate) -> None:
    reading = case.reading(gate.firewall.file)
    for rule in gate.before:
        _before(case, gate.firewall, rule)
    for rule in gate.between:
        case.differ(f"{case.node} IPIP packets from others", "dropped", f"accepted: {rule.text}", reading)
    case.hold()
    if gate.drop is None:
        case.differ(f"{case.node} IPIP packets from others", "dropped by a rule", "no such rule", reading)
        return
    case.hold()
    _counter(case, gate, gate.drop)


def _before(case: Case, firewall: Firewall, rule: FilterRule) -> None:
    wanted = "Calico's rules decide first about protocol 4"
    case.differ(f"{case.node} input chain", wanted, rule.text, case.reading(firewall.file))


def _counter(case: Case, gate: Gate, drop: FilterRule) -> None:
    """The drop counter may not have risen; a hand-made or single reading does not say."""
    firewall = gate.firewall
    if isinstance(firewall.after, Absent):
        case.lack(firewall.after)
        return
    second = find_gate(firewall, firewall.after)
    later = second.drop.packets if second is not None and second.drop is not None else None
    if drop.packets is None or later is None:
        case.lack(Absent(f"a counter of the rule {drop.text}, before and after the run", failed=case.world.live))
    elif later < drop.packets:
        case.lack(Absent(f"the rise of a counter that was reset during the run: {drop.text}", failed=case.world.live))
    else:
        note = "IPIP packets arrive from an address that is not in the set"
        # those that SEC-3 sent itself may have met this rule, or an earlier obstacle
        ours = min(arrivals(case.world.capture, case.node), later - drop.packets)
        what = f"{case.node} packets dropped by {drop.text}"
        case.compare(what, str(drop.packets + ours), str(later), case.reading(firewall.after_file), note)
