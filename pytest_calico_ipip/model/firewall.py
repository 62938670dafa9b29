"""Records of a node's packet filter, as far as IPIP packets meet it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from pytest_calico_ipip.model.absent import Absent

IPIP_PROTOCOL = "4"


@dataclass(frozen=True)
class FilterRule:
    """One rule of iptables or nftables. Its conditions leave out what is true of every packet at that hook."""

    verdict: str = ""  # accept, drop, reject, return, jump, goto; "" where the packet goes on to the next rule
    target: str = ""  # the chain of a jump or goto
    protocol: str = ""  # "4" for IPIP however it is spelt; "" for any
    source_set: str = ""
    destination_set: str = ""
    conditions: tuple[str, ...] = ()  # whatever else must be true: devices, marks, states, addresses …
    packets: int | None = None  # None: it has no counter
    text: str = ""  # as the tool printed it, without its counters

    @property
    def for_all(self) -> bool:
        """Whether every packet fits."""
        return not (self.protocol or self.source_set or self.destination_set or self.conditions)

    @property
    def for_ipip(self) -> bool:
        """Whether every IPIP packet fits."""
        return self.protocol in ("", IPIP_PROTOCOL) and not (self.source_set or self.destination_set or self.conditions)


@dataclass(frozen=True)
class PolicyDrop:
    """A rule of a network policy that dropped packets during the run."""

    text: str  # the rule as the tool printed it
    packets: int  # by how many its counter rose
    inwards: bool  # to a pod; False: from one


Chains = Mapping[str, tuple[FilterRule, ...]]


@dataclass(frozen=True)
class Firewall:
    """What one tool printed: the chains that packets to and from the node pass, and the sets that their rules name."""

    file: str  # "iptables-save.txt", "nft.json"
    inputs: tuple[str, ...] = ()  # the chains at the input hook, in the kernel's order
    outputs: tuple[str, ...] = ()
    chains: Chains = field(default_factory=dict)  # these, and what they lead to without a condition
    sets: Mapping[str, tuple[IPv4Network | str, ...] | Absent] = field(default_factory=dict)  # str: what is no network
    sets_file: str = ""
    calico: bool = False  # Calico's chains are in it, reached or not
    after: Chains | Absent = Absent("a second reading of the firewall", failed=False)  # noqa: RUF009, immutable
    after_file: str = ""
    policy_drops: tuple[PolicyDrop, ...] = ()
