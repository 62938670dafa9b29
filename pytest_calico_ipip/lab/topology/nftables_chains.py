"""The chains of nftables that every node of Calico v3.31 has in IPIP mode, rule by rule as Felix writes them. Data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

IF_ACCEPTED = "meta mark & 0x10000 == 0x10000"
ACCEPT_MARK = "counter meta mark set mark or 0x10000"
_CLEAR_MARKS = "counter meta mark set mark & 0xffe4ffff"
FROM_PODS, TO_PODS = "filter-cali-from-wl-dispatch", "filter-cali-to-wl-dispatch"  # chains, and maps of the same names


class Rule(NamedTuple):
    """A rule as Felix writes it, and what its comment says besides the mark."""

    text: str
    words: str = ""


Chains = dict[str, tuple[Rule, ...]]

# type, hook, priority
BASE: Mapping[str, tuple[str, str, int]] = {
    "mangle-FORWARD": ("filter", "forward", -150),
    "mangle-OUTPUT": ("route", "output", -150),
    "mangle-POSTROUTING": ("filter", "postrouting", -150),
    "raw-PREROUTING": ("filter", "prerouting", -300),
    "filter-INPUT": ("filter", "input", 0),
    "filter-FORWARD": ("filter", "forward", 0),
    "nat-PREROUTING": ("nat", "prerouting", -100),
    "nat-POSTROUTING": ("nat", "postrouting", 110),
    "mangle-PREROUTING": ("filter", "prerouting", -150),
    "raw-OUTPUT": ("filter", "output", -300),
    "filter-OUTPUT": ("filter", "output", 0),
    "nat-INPUT": ("nat", "input", -100),
    "nat-OUTPUT": ("nat", "output", 110),
    "mangle-INPUT": ("filter", "input", -150),
}

_FILTER: Chains = {
    "filter-INPUT": (Rule("counter jump filter-cali-INPUT"),),
    "filter-FORWARD": (Rule("counter jump filter-cali-FORWARD"),),
    "filter-OUTPUT": (Rule("counter jump filter-cali-OUTPUT"),),
    "filter-cali-FORWARD": (
        Rule("counter meta mark set mark & 0xffe5ffff"),
        Rule("meta mark & 0x10000 == 0 counter jump filter-cali-from-hep-forward"),
        Rule(f"iifname cali* counter jump {FROM_PODS}"),
        Rule(f"oifname cali* counter jump {TO_PODS}"),
        Rule("counter jump filter-cali-to-hep-forward"),
        Rule("counter jump filter-cali-cidr-block"),
    ),
    "filter-cali-INPUT": (
        Rule(
            "meta l4proto 4 ip saddr @cali40all-hosts-net fib daddr type local counter accept",
            "Allow IPIP packets from Calico hosts",
        ),
        Rule("meta l4proto 4 counter drop", "Drop IPIP packets from non-Calico hosts"),
        Rule("iifname cali* counter goto filter-cali-wl-to-host"),
        Rule(f"{IF_ACCEPTED} counter accept"),
        Rule(_CLEAR_MARKS),
        Rule("counter jump filter-cali-from-host-endpoint"),
        Rule(f"{IF_ACCEPTED} counter accept", "Host endpoint policy accepted packet."),
    ),
    "filter-cali-OUTPUT": (
        Rule(f"{IF_ACCEPTED} counter accept"),
        Rule("oifname cali* counter return"),
        Rule(
            "meta l4proto 4 ip daddr @cali40all-hosts-net fib saddr type local counter accept",
            "Allow IPIP packets to other Calico hosts",
        ),
        Rule(_CLEAR_MARKS),
        Rule("ct status != dnat counter jump filter-cali-to-host-endpoint"),
        Rule(f"{IF_ACCEPTED} counter accept", "Host endpoint policy accepted packet."),
    ),
    FROM_PODS: (Rule(f"iifname vmap @{FROM_PODS}"), Rule("counter drop", "Unknown interface")),
    TO_PODS: (Rule(f"oifname vmap @{TO_PODS}"), Rule("counter drop", "Unknown interface")),
    "filter-cali-cidr-block": (),
    "filter-cali-from-hep-forward": (),
    "filter-cali-from-host-endpoint": (),
    "filter-cali-to-hep-forward": (),
    "filter-cali-to-host-endpoint": (),
    "filter-cali-wl-to-host": (
        Rule(f"counter jump {FROM_PODS}"),
        Rule("counter accept", "Configured DefaultEndpointToHostAction"),
    ),
}

_NAT: Chains = {
    "nat-PREROUTING": (Rule("counter jump nat-cali-PREROUTING"),),
    "nat-OUTPUT": (Rule("counter jump nat-cali-OUTPUT"),),
    "nat-cali-OUTPUT": (Rule("counter jump nat-cali-fip-dnat"),),
    "nat-cali-POSTROUTING": (
        Rule("counter jump nat-cali-fip-snat"),
        Rule("counter jump nat-cali-nat-outgoing"),
        Rule(
            "oifname tunl0 fib saddr . oif type != local fib saddr type local counter masquerade fully-random",
        ),
    ),
    "nat-cali-PREROUTING": (Rule("counter jump nat-cali-fip-dnat"),),
    "nat-cali-fip-dnat": (),
    "nat-cali-fip-snat": (),
    "nat-cali-nat-outgoing": (
        Rule(
            "ip saddr @cali40masq-ipam-pools ip daddr != @cali40network-ip-pools counter masquerade fully-random",
        ),
    ),
}

_RAW: Chains = {
    "raw-PREROUTING": (Rule("counter jump raw-cali-PREROUTING"),),
    "raw-OUTPUT": (Rule("counter jump raw-cali-OUTPUT"),),
    "raw-cali-OUTPUT": (
        Rule(_CLEAR_MARKS),
        Rule("counter jump raw-cali-to-host-endpoint"),
        Rule(f"{IF_ACCEPTED} counter accept"),
    ),
    "raw-cali-PREROUTING": (
        Rule(_CLEAR_MARKS),
        Rule("iifname cali* counter meta mark set mark or 0x80000"),
        Rule("meta mark & 0x80000 == 0x80000 counter jump raw-cali-rpf-skip"),
        Rule("meta mark & 0x80000 == 0x80000 fib saddr . mark . iif oif 0 counter drop"),
        Rule("meta mark & 0x80000 == 0 counter jump raw-cali-from-host-endpoint"),
        Rule(f"{IF_ACCEPTED} counter accept"),
    ),
    "raw-cali-from-host-endpoint": (),
    "raw-cali-rpf-skip": (),
    "raw-cali-to-host-endpoint": (),
}

_MANGLE: Chains = {
    "mangle-PREROUTING": (Rule("counter jump mangle-cali-PREROUTING"),),
    "mangle-POSTROUTING": (Rule("counter jump mangle-cali-POSTROUTING"),),
    "mangle-cali-POSTROUTING": (
        Rule(
            "ip saddr @cali40dscp-src-net ip daddr != @cali40network-ip-pools ip daddr != @cali40this-host "
            "counter jump mangle-cali-egress-dscp",
            "set dscp for traffic leaving cluster.",
        ),
        Rule(f"{IF_ACCEPTED} counter return"),
        Rule(_CLEAR_MARKS),
        Rule("ct status dnat counter jump mangle-cali-to-host-endpoint"),
        Rule(f"{IF_ACCEPTED} counter return", "Host endpoint policy accepted packet."),
    ),
    "mangle-cali-PREROUTING": (
        Rule("ct state related,established counter accept"),
        Rule(f"{IF_ACCEPTED} counter accept"),
        Rule("counter jump mangle-cali-from-host-endpoint"),
        Rule(f"{IF_ACCEPTED} counter accept", "Host endpoint policy accepted packet."),
    ),
    "mangle-cali-egress-dscp": (),
    "mangle-cali-from-host-endpoint": (),
    "mangle-cali-to-host-endpoint": (),
}

# what Felix adds to the end of its base chains, whoever else has rules there
APPENDED: Chains = {
    "filter-FORWARD": (
        Rule(f"{IF_ACCEPTED} counter accept", "Policy explicitly accepted packet."),
        Rule(ACCEPT_MARK),
    ),
    "nat-POSTROUTING": (Rule("counter jump nat-cali-POSTROUTING"),),
}

CHAINS: Chains = _FILTER | _NAT | _RAW | _MANGLE
