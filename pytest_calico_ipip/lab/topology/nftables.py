"""The table that Calico v3.31 programs with nftables in IPIP mode, as text for `nft -f -`. Pure.

Felix derives each rule's `cali:` comment from the rule's text: with the same text and order the lab's comments are
Calico's own. All of Calico's chains are in one table; their names begin with the iptables table that they stand for.
Pods are found by two verdict maps, not by a rule for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from ..calico.policy import Allowed
from ..spec import POOL, NodeSpec
from .endpoints import PodRules, profile_chain, rule_marks
from .nftables_chains import ACCEPT_MARK, APPENDED, BASE, CHAINS, FROM_PODS, IF_ACCEPTED, TO_PODS, Chains, Rule

TABLE = "ip calico"
_LONGEST_NAME = 255 - len("filter-")  # the kernel's own limit
_TRANSPORT = {6: "tcp", 17: "udp", 132: "sctp"}


def _match(allowed: Allowed, leaving: bool) -> str:
    words = [f"meta l4proto {allowed.protocol}"] if allowed.protocol else []
    if allowed.peer:
        words.append(f"ip {'daddr' if leaving else 'saddr'} {allowed.peer}")
    if allowed.ports:
        first, last = allowed.ports
        words.append(f"{_TRANSPORT[allowed.protocol]} dport {{ {first if first == last else f'{first}-{last}'} }}")
    return "".join(f"{word} " for word in words)


def _endpoint_chain(pod: PodRules, leaving: bool) -> tuple[Rule, ...]:
    """One direction of one pod: established first, then its namespace's and its account's profile, then nothing."""
    rules = [
        Rule("ct state related,established counter accept"),
        Rule("ct state invalid counter drop"),
        Rule("counter meta mark set mark & 0xfffcffff"),
    ]
    if leaving:
        rules += [
            Rule(
                "meta l4proto 17 udp dport { 4789 } counter drop",
                "Drop VXLAN encapped packets originating in workloads",
            ),
            Rule("meta l4proto 4 counter drop", "Drop IPinIP encapped packets originating in workloads"),
        ]
    if (policies := pod.isolation.egress if leaving else pod.isolation.ingress) is not None:
        # a policy that selects the pod decides: what it does not let through never comes to the profiles. Felix has a
        # chain for each policy; here all of them are one list
        rules += [Rule(f"{_match(allowed, leaving)}{ACCEPT_MARK}") for allowed in policies]
        rules.append(Rule(f"{IF_ACCEPTED} counter return", "Return if policy accepted"))
        return (*rules, Rule("counter drop", "Drop if no policies passed packet"))
    for profile in pod.profiles:
        rules += [
            Rule(f"counter jump {_profile_chain(profile, leaving)}"),
            Rule(f"{IF_ACCEPTED} counter return", "Return if profile accepted"),
        ]
    return (*rules, Rule("counter drop", "Drop if no profiles matched"))


def _profile_chain(profile: str, leaving: bool) -> str:
    return "filter-" + profile_chain("cali-pro-" if leaving else "cali-pri-", profile, _LONGEST_NAME)


def pod_chains(pods: Iterable[PodRules]) -> Chains:
    """Every chain that exists because of pods."""
    chains: Chains = {}
    for pod in sorted(pods):
        for leaving, prefix in ((True, "fw"), (False, "tw")):
            chains[f"filter-cali-{prefix}-{pod.interface}"] = _endpoint_chain(pod, leaving)
            for profile in pod.profiles:
                # a namespace without policies lets everything pass; an account has no rules of its own
                text = ACCEPT_MARK if profile.startswith("kns.") else "continue"
                words = f"Profile {profile} {'egress' if leaving else 'ingress'}"
                chains[_profile_chain(profile, leaving)] = (Rule(text, words),)
    return chains


def _dispatch(pods: Iterable[PodRules]) -> dict[tuple[str, str], str]:
    """What the verdict maps hold: by map and interface the chain that packets go to."""
    entries = {}
    for pod in sorted(pods):
        entries[FROM_PODS, pod.interface] = f"filter-cali-fw-{pod.interface}"
        entries[TO_PODS, pod.interface] = f"filter-cali-tw-{pod.interface}"
    return entries


def _added(name: str, rules: Iterable[Rule], *, appended: bool = False) -> list[str]:
    rules = list(rules)
    marks = rule_marks(f"{name}*appends*" if appended else name, [rule.text for rule in rules])
    return [
        f'add rule {TABLE} {name} {rule.text} comment "{f"cali:{mark}; {rule.words}".strip()[:128]}"'
        for mark, rule in zip(marks, rules, strict=True)
    ]


def _sets(node: NodeSpec, hosts: Iterable[IPv4Address], pools: Iterable[str]) -> list[str]:
    pools = list(pools)
    members: dict[str, list[str]] = {
        "cali40this-host": ["127.0.0.0", "127.0.0.1", str(node.address.ip), str(node.tunnel_address)],
        "cali40network-ip-pools": pools,
        "cali40masq-ipam-pools": pools,
        "cali40all-hosts-net": [str(host) for host in hosts],
        "cali40dscp-src-net": [],
    }
    lines = []
    for name, addresses in members.items():
        flags = "" if name == "cali40this-host" else " flags interval;"
        lines.append(f"add set {TABLE} {name} {{ type ipv4_addr;{flags} }}")
        if addresses:
            lines.append(f"add element {TABLE} {name} {{ {', '.join(addresses)} }}")
    return lines


def table_text(node: NodeSpec, hosts: Iterable[IPv4Address], pools: Iterable[str] = (str(POOL),)) -> str:
    """The whole table of a node that has no pods yet."""
    lines = [f"add table {TABLE}", *_sets(node, hosts, pools)]
    lines += [f"add map {TABLE} {name} {{ type ifname : verdict; }}" for name in (FROM_PODS, TO_PODS)]
    for name, (kind, hook, priority) in BASE.items():
        lines.append(f"add chain {TABLE} {name} {{ type {kind} hook {hook} priority {priority}; policy accept; }}")
    lines += [f"add chain {TABLE} {name}" for name in CHAINS if name not in BASE]
    for name, rules in CHAINS.items():
        lines += _added(name, rules)
    for name, rules in APPENDED.items():
        lines += _added(name, rules, appended=True)
    return "\n".join(lines) + "\n"


def pods_text(before: Iterable[PodRules], after: Iterable[PodRules]) -> str:
    """From the chains of one set of pods to those of another; nft does all of it at once, or nothing."""
    before, after = list(before), list(after)
    old, new = pod_chains(before), pod_chains(after)
    changed = {name: rules for name, rules in new.items() if old.get(name) != rules}
    gone = [name for name in old if name not in new]
    entries, wanted = _dispatch(before), _dispatch(after)
    lines = [f"add chain {TABLE} {name}" for name in changed if name not in old]
    lines += [
        f'delete element {TABLE} {name} {{ "{interface}" }}'
        for name, interface in entries
        if (name, interface) not in wanted
    ]
    lines += [f"flush chain {TABLE} {name}" for name in [*gone, *(name for name in changed if name in old)]]
    for name, rules in changed.items():
        lines += _added(name, rules)
    lines += [
        f'add element {TABLE} {name} {{ "{interface}" : goto {target} }}'
        for (name, interface), target in wanted.items()
        if (name, interface) not in entries
    ]
    lines += [f"delete chain {TABLE} {name}" for name in gone]
    return "\n".join(lines) + "\n"
