"""The iptables rules and ipsets that Calico v3.31 programs in IPIP mode, as text for one restore call each. Pure.

Rules are written the way Felix writes them, because Felix derives each rule's `cali:` comment from that text: with the
same text and order the lab's comments are Calico's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address

from ..calico.policy import Allowed
from ..spec import POOL, NodeSpec
from .endpoints import PodRules, profile_chain, rule_marks

_MAX_CHAIN_NAME = 28  # iptables' own limit
_ACCEPTED = "0x10000/0x10000"

Chains = dict[str, tuple[str, ...]]


def _said(comment: str) -> str:
    return f'-m comment --comment "{comment}"'


def _marks(chain: str, rules: Sequence[str]) -> list[str]:
    return rule_marks(chain, [f"-A {chain} HASH {rule}" for rule in rules])


_NAT: Chains = {
    "PREROUTING": ("--jump cali-PREROUTING",),
    "OUTPUT": ("--jump cali-OUTPUT",),
    "cali-OUTPUT": ("--jump cali-fip-dnat",),
    "cali-POSTROUTING": (
        "--jump cali-fip-snat",
        "--jump cali-nat-outgoing",
        "--out-interface tunl0 -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL "
        "--jump MASQUERADE --random-fully",
    ),
    "cali-PREROUTING": ("--jump cali-fip-dnat",),
    "cali-fip-dnat": (),
    "cali-fip-snat": (),
    "cali-nat-outgoing": (
        "-m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40network-ip-pools dst "
        "--jump MASQUERADE --random-fully",
    ),
}

_FILTER: Chains = {
    "INPUT": ("--jump cali-INPUT",),
    "OUTPUT": ("--jump cali-OUTPUT",),
    "cali-FORWARD": (
        "--jump MARK --set-mark 0/0x1a0000",
        "-m mark --mark 0/0x10000 --jump cali-from-hep-forward",
        "--in-interface cali+ --jump cali-from-wl-dispatch",
        "--out-interface cali+ --jump cali-to-wl-dispatch",
        "--jump cali-to-hep-forward",
        "--jump cali-cidr-block",
    ),
    "cali-INPUT": (
        f"{_said('Allow IPIP packets from Calico hosts')} -p 4 -m set --match-set cali40all-hosts-net src "
        "-m addrtype --dst-type LOCAL --jump ACCEPT",
        f"{_said('Drop IPIP packets from non-Calico hosts')} -p 4 --jump DROP",
        "--in-interface cali+ --goto cali-wl-to-host",
        f"-m mark --mark {_ACCEPTED} --jump ACCEPT",
        "--jump MARK --set-mark 0/0x1b0000",
        "--jump cali-from-host-endpoint",
        f"{_said('Host endpoint policy accepted packet.')} -m mark --mark {_ACCEPTED} --jump ACCEPT",
    ),
    "cali-OUTPUT": (
        f"-m mark --mark {_ACCEPTED} --jump ACCEPT",
        "--out-interface cali+ --jump RETURN",
        f"{_said('Allow IPIP packets to other Calico hosts')} -p 4 -m set --match-set cali40all-hosts-net dst "
        "-m addrtype --src-type LOCAL --jump ACCEPT",
        "--jump MARK --set-mark 0/0x1b0000",
        "-m conntrack ! --ctstate DNAT --jump cali-to-host-endpoint",
        f"{_said('Host endpoint policy accepted packet.')} -m mark --mark {_ACCEPTED} --jump ACCEPT",
    ),
    "cali-cidr-block": (),
    "cali-from-hep-forward": (),
    "cali-from-host-endpoint": (),
    "cali-to-hep-forward": (),
    "cali-to-host-endpoint": (),
    "cali-wl-to-host": (
        "--jump cali-from-wl-dispatch",
        f"{_said('Configured DefaultEndpointToHostAction')} --jump ACCEPT",
    ),
}

# The end of the kernel's own chains, and one jump, carry marks that this derivation does not give: as recorded.
_FORWARD = (
    ("wUHhoiAYhphO9Mso", "--jump cali-FORWARD"),
    ("S93hcgKJrXEqnTfs", f"{_said('Policy explicitly accepted packet.')} -m mark --mark {_ACCEPTED} --jump ACCEPT"),
    ("mp77cMpurHhyjLrM", f"--jump MARK --set-mark {_ACCEPTED}"),
)
_NAT_POSTROUTING = (("0i8pjzKKPyA34aQD", "--jump cali-POSTROUTING"),)

_RAW: Chains = {
    "PREROUTING": ("--jump cali-PREROUTING",),
    "OUTPUT": ("--jump cali-OUTPUT",),
    "cali-OUTPUT": (
        "--jump MARK --set-mark 0/0x1b0000",
        "--jump cali-to-host-endpoint",
        f"-m mark --mark {_ACCEPTED} --jump ACCEPT",
    ),
    "cali-PREROUTING": (
        "--jump MARK --set-mark 0/0x1b0000",
        "--in-interface cali+ --jump MARK --set-mark 0x80000/0x80000",
        "-m mark --mark 0x80000/0x80000 --jump cali-rpf-skip",
        "-m mark --mark 0x80000/0x80000 -m rpfilter --invert --validmark --jump DROP",
        "-m mark --mark 0/0x80000 --jump cali-from-host-endpoint",
        f"-m mark --mark {_ACCEPTED} --jump ACCEPT",
    ),
    "cali-from-host-endpoint": (),
    "cali-rpf-skip": (),
    "cali-to-host-endpoint": (),
}

_MANGLE: Chains = {
    "PREROUTING": ("--jump cali-PREROUTING",),
    "POSTROUTING": ("--jump cali-POSTROUTING",),
    "cali-POSTROUTING": (
        f"{_said('set dscp for traffic leaving cluster.')} -m set --match-set cali40dscp-src-net src "
        "-m set ! --match-set cali40network-ip-pools dst -m set ! --match-set cali40this-host dst "
        "--jump cali-egress-dscp",
        f"-m mark --mark {_ACCEPTED} --jump RETURN",
        "--jump MARK --set-mark 0/0x1b0000",
        "-m conntrack --ctstate DNAT --jump cali-to-host-endpoint",
        f"{_said('Host endpoint policy accepted packet.')} -m mark --mark {_ACCEPTED} --jump RETURN",
    ),
    "cali-PREROUTING": (
        "-m conntrack --ctstate RELATED,ESTABLISHED --jump ACCEPT",
        f"-m mark --mark {_ACCEPTED} --jump ACCEPT",
        "--jump cali-from-host-endpoint",
        f"{_said('Host endpoint policy accepted packet.')} -m mark --mark {_ACCEPTED} --jump ACCEPT",
    ),
    "cali-egress-dscp": (),
    "cali-from-host-endpoint": (),
    "cali-to-host-endpoint": (),
}


def _match(allowed: Allowed, leaving: bool) -> str:
    words = [f"{'--destination' if leaving else '--source'} {allowed.peer}"] if allowed.peer else []
    if allowed.protocol:
        words.append(f"-p {allowed.protocol}")
    if allowed.ports:
        first, last = allowed.ports
        words.append(f"-m multiport --destination-ports {first if first == last else f'{first}:{last}'}")
    return "".join(f"{word} " for word in words)


def _endpoint_chain(prefix: str, pod: PodRules, profile_prefix: str, leaving: bool) -> tuple[str, tuple[str, ...]]:
    """One direction of one pod: established first, then its namespace's and its account's profile, then nothing."""
    rules = [
        "-m conntrack --ctstate RELATED,ESTABLISHED --jump ACCEPT",
        "-m conntrack --ctstate INVALID --jump DROP",
        "--jump MARK --set-mark 0/0x30000",
    ]
    if leaving:
        rules += [
            f"{_said('Drop VXLAN encapped packets originating in workloads')} -p 17 -m multiport "
            "--destination-ports 4789 --jump DROP",
            f"{_said('Drop IPinIP encapped packets originating in workloads')} -p 4 --jump DROP",
        ]
    if (allowed := pod.isolation.egress if leaving else pod.isolation.ingress) is not None:
        # a policy that selects the pod decides: what it does not let through never comes to the profiles. Felix has a
        # chain for each policy; here all of them are one list
        rules += [f"{_match(each, leaving)}--jump MARK --set-mark {_ACCEPTED}" for each in allowed]
        rules.append(f"{_said('Return if policy accepted')} -m mark --mark {_ACCEPTED} --jump RETURN")
        rules.append(f"{_said('Drop if no policies passed packet')} --jump DROP")
        return prefix + pod.interface, tuple(rules)
    for profile in pod.profiles:
        rules += [
            f"--jump {profile_chain(profile_prefix, profile, _MAX_CHAIN_NAME)}",
            f"{_said('Return if profile accepted')} -m mark --mark {_ACCEPTED} --jump RETURN",
        ]
    rules.append(f"{_said('Drop if no profiles matched')} --jump DROP")
    return prefix + pod.interface, tuple(rules)


def _dispatch(direction: str, option: str, target: str, pods: Iterable[PodRules]) -> Chains:
    rules = [f"{option} {pod.interface} --goto {target}{pod.interface}" for pod in sorted(pods)]
    rules.append(f"{_said('Unknown interface')} --jump DROP")
    return {f"cali-{direction}-wl-dispatch": tuple(rules)}


def pod_chains(pods: Iterable[PodRules]) -> Chains:
    """Every filter chain that exists because of pods, dispatch chains included (those exist without pods, too)."""
    known = sorted(pods)
    chains: Chains = {}
    chains |= _dispatch("from", "--in-interface", "cali-fw-", known)
    chains |= _dispatch("to", "--out-interface", "cali-tw-", known)
    for pod in known:
        chains |= [_endpoint_chain("cali-fw-", pod, "cali-pro-", leaving=True)]
        chains |= [_endpoint_chain("cali-tw-", pod, "cali-pri-", leaving=False)]
        for profile in pod.profiles:
            # a namespace without policies lets everything pass; an account has no rules of its own
            mark = f" --jump MARK --set-mark {_ACCEPTED}" if profile.startswith("kns.") else ""
            chains[profile_chain("cali-pri-", profile, _MAX_CHAIN_NAME)] = (
                f"{_said(f'Profile {profile} ingress')}{mark}",
            )
            chains[profile_chain("cali-pro-", profile, _MAX_CHAIN_NAME)] = (
                f"{_said(f'Profile {profile} egress')}{mark}",
            )
    return chains


def _marked(chain: str, mark: str, rule: str) -> str:
    return f'-A {chain} -m comment --comment "cali:{mark}" {rule}'


def _rules(chain: str, rules: Sequence[str]) -> list[str]:
    return [_marked(chain, mark, rule) for mark, rule in zip(_marks(chain, rules), rules, strict=True)]


def _table(name: str, chains: Mapping[str, Sequence[str]], extra: Iterable[str] = ()) -> list[str]:
    lines = [f"*{name}"]
    lines += [f":{chain} - [0:0]" for chain in chains if chain.startswith("cali-")]
    for chain, rules in chains.items():
        lines += _rules(chain, rules)
    return [*lines, *extra, "COMMIT"]


def iptables_text(pods: Iterable[PodRules] = ()) -> str:
    """Input for `iptables-legacy-restore`: all four tables of a node with these pods."""
    forward = [_marked("FORWARD", mark, rule) for mark, rule in _FORWARD]
    postrouting = [_marked("POSTROUTING", mark, rule) for mark, rule in _NAT_POSTROUTING]
    lines = [
        *_table("raw", _RAW),
        *_table("mangle", _MANGLE),
        *_table("filter", _FILTER | pod_chains(pods), forward),
        *_table("nat", _NAT, postrouting),
    ]
    return "\n".join(lines) + "\n"


def pods_text(before: Iterable[PodRules], after: Iterable[PodRules]) -> str:
    """Input for `iptables-legacy-restore --noflush`: from the chains of one set of pods to those of another."""
    old, new = pod_chains(before), pod_chains(after)
    changed = {chain: rules for chain, rules in new.items() if old.get(chain) != rules}
    gone = [chain for chain in old if chain not in new]
    lines = ["*filter"]
    lines += [f":{chain} - [0:0]" for chain in [*changed, *gone]]  # naming a chain empties it
    for chain, rules in changed.items():
        lines += _rules(chain, rules)
    lines += [f"-X {chain}" for chain in gone]
    return "\n".join([*lines, "COMMIT"]) + "\n"


def ipset_text(node: NodeSpec, hosts: Iterable[IPv4Address], pools: Iterable[str] = (str(POOL),)) -> str:
    """Input for `ipset restore`: the five sets that the rules name."""
    pools = list(pools)
    members: dict[tuple[str, str], list[str]] = {
        ("cali40masq-ipam-pools", "hash:net"): pools,
        ("cali40all-hosts-net", "hash:net"): [str(host) for host in hosts],
        ("cali40this-host", "hash:ip"): ["127.0.0.0", "127.0.0.1", str(node.address.ip), str(node.tunnel_address)],
        ("cali40network-ip-pools", "hash:net"): pools,
        ("cali40dscp-src-net", "hash:net"): [],
    }
    lines = []
    for (name, kind), addresses in members.items():
        lines.append(f"create {name} {kind} family inet hashsize 1024 maxelem 1048576")
        lines += [f"add {name} {address}" for address in addresses]
    return "\n".join(lines) + "\n"
