"""What each fault breaks, seen in the lab and understood: requirements and subjects, and the causes that are named.

A subject is "2" for virtnest-rook-ceph-2, "1:2" for the pair from the first node to the second, "cluster" for all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.matrix.suite import Subjects


@dataclass(frozen=True)
class Broken:
    """The verdict on one fault."""

    failed: Subjects
    causes: tuple[str, ...]
    warned: Subjects = field(default_factory=dict)
    options: tuple[str, ...] = ()  # what asks the suite for a requirement that is not judged unasked

    def among(self, nodes: int) -> Broken:
        """The verdict in a lab that has only the first so many nodes."""
        there = {"cluster", *(str(number + 1) for number in range(nodes))}

        def kept(subjects: Subjects) -> Subjects:
            found = {
                requirement: tuple(one for one in each if there.issuperset(one.split(":")))
                for requirement, each in subjects.items()
            }
            return {requirement: each for requirement, each in found.items() if each}

        return replace(self, failed=kept(self.failed), warned=kept(self.warned))


HEALTHY_LAB = Path(__file__).with_name("healthy_lab.json")  # what `--ipip-save-baseline` writes in a healthy lab
BEFORE = ("--ipip-baseline", str(HEALTHY_LAB))

TABLE: dict[str, Broken] = {
    "tunnel-mtu-low": Broken(
        {
            "BASE-1": ("2",),
            "MTU-1": ("2",),
            "MTU-2": ("2",),
            "MTU-4": ("2:1", "2:3"),
        },
        ("changed-since-baseline", "tunnel-mtu-low"),
        options=BEFORE,
    ),
    "tunnel-mtu-high": Broken(
        {
            "MTU-1": ("2",),
        },
        ("tunnel-mtu-high",),
    ),
    "tunnel-down": Broken(
        {
            "PATH-1": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-3": ("2:1", "2:3"),
            "PATH-7": ("2:1", "2:3"),
            "PATH-8": ("2:1", "2:3"),
            "PATH-9": ("2",),
            "ROUTE-2": ("2",),
            "ROUTE-5": ("2",),
            "TUN-1": ("2",),
        },
        ("tunnel-down",),
    ),
    "tunnel-address-missing": Broken(
        {
            "PATH-7": ("2:1", "2:3"),
            "TUN-2": ("2",),
        },
        ("tunnel-address-missing",),
    ),
    "tunnel-address-extra": Broken(
        {
            "TUN-2": ("2",),
        },
        ("tunnel-address-extra",),
    ),
    "tunnel-local": Broken(
        {
            "TUN-1": ("2",),
        },
        ("tunnel-bound",),
    ),
    "tunnel-ttl": Broken(
        {
            "PATH-3": ("2:1", "2:3"),
            "PATH-4": ("1:2", "3:2"),
            "PATH-7": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-8": ("2:1", "2:3"),
            "TUN-1": ("2",),
        },
        ("tunnel-bound", "tunnel-ttl"),
    ),
    "node-address-twice": Broken(
        {
            "NODE-1": ("2",),
        },
        ("node-address-twice",),
    ),
    "forwarding-off": Broken(
        {
            "NODE-4": ("2",),
            "PATH-1": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-6": ("2",),
            "POD-4": ("2",),
            "VETH-4": ("2",),
        },
        ("forwarding-off",),
    ),
    "block-route-missing": Broken(
        {
            "PATH-1": ("1:2", "2:1"),
            "PATH-3": ("1:2",),
            "PATH-7": ("1:2",),
            "PATH-8": ("1:2",),
            "PATH-9": ("1",),
            "ROUTE-2": ("1",),
            "ROUTE-5": ("1",),
        },
        ("route-missing",),
    ),
    "block-route-wrong-node": Broken(
        {
            "PATH-1": ("1:2", "2:1"),
            "PATH-3": ("1:2",),
            "PATH-4": ("2:1",),
            "PATH-5": ("1:2", "2:1"),
            "PATH-7": ("1:2", "2:1"),
            "PATH-8": ("1:2",),
            "ROUTE-2": ("1",),
            "ROUTE-4": ("1",),
            "ROUTE-5": ("1",),
        },
        ("route-wrong-node",),
    ),
    "block-route-nowhere": Broken(
        {
            "PATH-1": ("1:2", "2:1"),
            "ROUTE-2": ("1",),
            "ROUTE-4": ("1",),
            "ROUTE-5": ("1",),
        },
        ("route-nowhere",),
    ),
    "block-route-bare": Broken(
        {
            "BASE-1": ("1",),
            "PATH-1": ("1:2", "2:1"),
            "PATH-3": ("1:2",),
            "PATH-7": ("1:2",),
            "PATH-8": ("1:2",),
            "PATH-9": ("1", "2"),
            "ROUTE-2": ("1",),
            "ROUTE-4": ("1",),
            "ROUTE-5": ("1",),
        },
        ("changed-since-baseline", "route-bare"),
        options=BEFORE,
    ),
    "block-route-double": Broken(
        {
            "ROUTE-2": ("1",),
            "ROUTE-4": ("1",),
        },
        ("route-several-ways",),
    ),
    "block-route-foreign": Broken(
        {
            "ROUTE-7": ("1",),
        },
        ("route-owner-leftover",),
    ),
    "borrowed-route-missing": Broken(
        {
            "PATH-1": ("1:2", "2:1"),
            "PATH-3": ("1:2",),
            "PATH-4": ("2:1",),
            "PATH-5": ("1:2", "2:1"),
            "PATH-7": ("1:2",),
            "PATH-8": ("1:2",),
            "ROUTE-5": ("1",),
            "ROUTE-6": ("1",),
        },
        ("route-missing",),
    ),
    "route-of-other-owner": Broken(
        {
            "ROUTE-7": ("1",),
        },
        ("route-owner-leftover",),
    ),
    "policy-rule": Broken(
        {
            "PATH-1": ("1:2", "2:1"),
            "PATH-3": ("1:2",),
            "PATH-7": ("1:2",),
            "PATH-8": ("1:2",),
            "PATH-9": ("1",),
            "ROUTE-4": ("1",),
            "ROUTE-5": ("1",),
        },
        ("policy-rule",),
    ),
    "default-route-missing": Broken(
        {
            "NODE-4": ("2",),
            "PATH-1": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-6": ("2",),
            "POD-4": ("2",),
        },
        ("default-route-missing",),
    ),
    "blackhole-missing": Broken(
        {
            "ROUTE-3": ("2",),
        },
        ("blackhole-missing",),
    ),
    "route-more-specific": Broken(
        {
            "BGP-2": ("1",),
            "ROUTE-4": ("1", "2", "3"),
            "ROUTE-5": ("3",),
        },
        ("route-more-specific",),
    ),
    "route-stale": Broken(
        {
            "BGP-2": ("1",),
            "ROUTE-4": ("1", "2", "3"),
        },
        ("route-stale",),
    ),
    "bgp-session-down": Broken(
        {
            "BGP-1": ("1", "2"),
            "PATH-1": ("1:2", "2:1"),
            "PATH-3": ("1:2", "2:1"),
            "PATH-7": ("1:2", "2:1"),
            "PATH-8": ("1:2", "2:1"),
            "PATH-9": ("1", "2"),
            "ROUTE-2": ("1", "2"),
            "ROUTE-5": ("1", "2"),
        },
        ("bgp-session-down",),
    ),
    "bgp-peer-mute": Broken(
        {
            "BGP-1": ("1", "2", "3"),
        },
        ("bgp-session-down",),
    ),
    "foreign-route-announced": Broken(
        {
            "BGP-2": ("2",),
            "ROUTE-4": ("1", "2", "3"),
        },
        ("route-stale",),
    ),
    "block-not-announced": Broken(
        {
            "BGP-2": ("2",),
            "PATH-1": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-3": ("1:2", "3:2"),
            "PATH-7": ("1:2", "3:2"),
            "PATH-8": ("1:2", "3:2"),
            "PATH-9": ("1", "3"),
            "ROUTE-2": ("1", "3"),
            "ROUTE-5": ("1", "3"),
        },
        ("block-not-announced",),
    ),
    "host-set-extra": Broken(
        {
            "SEC-1": ("2",),
        },
        ("host-set-foreign",),
    ),
    "host-set-missing": Broken(
        {
            "PATH-1": ("1:2", "2:1"),
            "SEC-1": ("2",),
            "SEC-2": ("2",),
        },
        ("host-set-incomplete",),
    ),
    "pods-translated": Broken(
        {
            "PATH-1": ("2:3",),
            "PATH-2": ("2:1", "2:3"),
            "PATH-3": ("2:1", "2:3"),
            "PATH-4": ("2:1", "2:3"),
            "PATH-7": ("2:1", "2:3"),
            "PATH-8": ("2:1", "2:3"),
        },
        ("inner-address-translated",),
    ),
    "ipip-dropped": Broken(
        {
            "PATH-1": ("1:2", "2:1", "2:3", "3:2"),
            "SEC-2": ("2",),
        },
        ("firewall-drops-ipip",),
    ),
    "ipip-dropped-pair": Broken(
        {
            "PATH-1": ("1:2", "2:1"),
            "SEC-2": ("2",),
        },
        ("firewall-drops-ipip",),
    ),
    "ipip-lost-one-way": Broken(
        {
            "PATH-1": ("1:2", "2:1"),
        },
        ("firewall-drops-ipip",),
    ),
    "large-packets-lost": Broken(
        {
            "MTU-4": ("1:2", "2:1", "2:3", "3:2"),
            "MTU-6": ("2:1", "2:3"),
            "SEC-2": ("2",),
        },
        ("firewall-drops-ipip",),
    ),
    "ipip-from-anybody": Broken(
        {
            "SEC-2": ("2",),
            "SEC-3": ("2",),
        },
        ("ipip-from-anybody",),
        options=("--ipip-spoof",),
    ),
    "ipip-from-stranger": Broken(
        {
            "SEC-2": ("2",),
        },
        ("ipip-from-unknown-source",),
    ),
    "forward-rejected": Broken(
        {
            "PATH-1": ("1:2", "2:1", "2:3", "3:2"),
        },
        ("dropped-to-pods",),
    ),
    "outer-source-unknown": Broken(
        {
            "PATH-1": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-3": ("2:1", "2:3"),
            "PATH-4": ("1:2", "3:2"),
            "PATH-7": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-8": ("2:1", "2:3"),
            "SEC-2": ("1", "3"),
        },
        ("ipip-from-unknown-source",),
    ),
    "outer-source-other": Broken(
        {
            "PATH-3": ("2:1", "2:3"),
            "PATH-4": ("1:2", "3:2"),
            "PATH-7": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-8": ("2:1", "2:3"),
            "SEC-1": ("1", "3"),
        },
        ("host-set-foreign", "outer-address-wrong"),
    ),
    "encapsulated-twice": Broken(
        {
            "MTU-4": ("1:2",),
            "PATH-3": ("1:2",),
            "PATH-4": ("2:1",),
            "PATH-7": ("1:2", "2:1"),
            "PATH-8": ("1:2",),
        },
        ("encapsulated-twice", "large-packets-dropped"),
    ),
    "vxlan-between": Broken(
        {
            "MTU-4": ("1:2", "2:1"),
            "PATH-1": ("1:2", "2:1"),
            "PATH-8": ("1:2", "2:1"),
            "ROUTE-2": ("1", "2"),
            "ROUTE-4": ("1", "2"),
            "ROUTE-5": ("1", "2"),
        },
        ("route-vxlan",),
    ),
    "fragmenting-allowed": Broken(
        {
            "PATH-3": ("2:1", "2:3"),
            "PATH-7": ("2:1", "2:3"),
            "PATH-8": ("2:1", "2:3"),
        },
        ("outer-header-odd",),
    ),
    "outer-dscp-set": Broken(
        {
            "PATH-3": ("2:1", "2:3"),
            "PATH-4": ("1:2", "3:2"),
            "PATH-7": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-8": ("2:1", "2:3"),
        },
        ("outer-header-odd",),
    ),
    "tcp-bare": Broken(
        {
            "PATH-8": ("1:2",),
            "PATH-9": ("1", "2"),
            "ROUTE-4": ("1",),
        },
        ("route-in-other-table",),
    ),
    "payload-changed": Broken(
        {
            "PATH-5": ("1:2", "2:1", "2:3", "3:2"),
        },
        ("payload-changed",),
    ),
    "checksum-broken": Broken(
        {
            "MTU-6": ("1:2", "2:1", "2:3", "3:2"),
        },
        ("tcp-lost",),
    ),
    "tcp-lost": Broken(
        {
            "MTU-6": ("1:2", "2:1", "2:3", "3:2"),
        },
        ("tcp-lost",),
    ),
    "tcp-mss-clamped": Broken(
        {
            "MTU-6": ("1:2", "2:1", "2:3", "3:2"),
        },
        ("tcp-mss-rewritten",),
    ),
    "underlay-mtu-small": Broken(
        {
            "MTU-1": ("2",),
            "MTU-2": ("2",),
            "MTU-4": ("1:2", "2:1", "2:3", "3:2"),
        },
        ("tunnel-mtu-high",),
    ),
    "near-encapsulated": Broken(
        {
            "PATH-1": ("1:2", "2:1"),
            "PATH-10": ("1:2",),
            "PATH-7": ("1:2",),
            "ROUTE-2": ("1",),
            "ROUTE-4": ("1",),
            "ROUTE-5": ("1",),
        },
        ("route-encapsulated",),
    ),
    "workload-mac": Broken(
        {
            "VETH-3": ("2",),
        },
        ("workload-mac",),
    ),
    "workload-renamed": Broken(
        {
            "ROUTE-1": ("2",),
            "ROUTE-4": ("2",),
            "ROUTE-5": ("2",),
            "VETH-1": ("2",),
        },
        ("workload-name",),
    ),
    "pod-behind-bridge": Broken(
        {
            "VETH-2": ("2",),
        },
        ("workload-peer",),
    ),
    "workload-route-missing": Broken(
        {
            "PATH-1": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-6": ("2",),
            "POD-4": ("2",),
            "ROUTE-1": ("2",),
            "ROUTE-5": ("2",),
        },
        ("workload-route-missing",),
    ),
    "proxy-arp-off": Broken(
        {
            "PATH-1": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-6": ("2",),
            "POD-4": ("2",),
            "VETH-4": ("2",),
        },
        ("proxy-arp-off",),
    ),
    "pod-mtu": Broken(
        {
            "MTU-2": ("2",),
            "MTU-4": ("2:1", "2:3"),
        },
        ("pod-mtu-high",),
        {
            "MTU-3": ("cluster",),
        },
    ),
    "pod-route-mtu": Broken(
        {
            "MTU-5": ("2:1", "2:3"),
        },
        ("oversize-not-refused",),
    ),
    "pod-second-address": Broken(
        {
            "POD-2": ("2",),
        },
        ("pod-address-extra",),
    ),
    "pod-gateway-route-missing": Broken(
        {
            "POD-3": ("2",),
        },
        ("pod-gateway-route",),
    ),
    "pod-mtu-small": Broken(
        {
            "MTU-4": ("1:2", "3:2"),
        },
        ("large-packets-dropped",),
        {
            "MTU-2": ("2",),
            "MTU-3": ("cluster",),
        },
    ),
    "pod-netmask": Broken(
        {
            "POD-2": ("2",),
        },
        ("pod-address-wrong",),
    ),
    "pod-other-gateway": Broken(
        {
            "POD-3": ("2",),
        },
        ("pod-default-route-wrong",),
    ),
    "pod-gateway-mac": Broken(
        {
            "PATH-1": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-6": ("2",),
            "POD-4": ("2",),
        },
        ("gateway-arp-wrong",),
    ),
    "workload-down": Broken(
        {
            "PATH-1": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-6": ("2",),
            "POD-4": ("2",),
            "ROUTE-1": ("2",),
            "ROUTE-5": ("2",),
            "VETH-3": ("2",),
        },
        ("workload-interface-down",),
    ),
    "pool-disabled": Broken(
        {
            "POOL-1": ("1", "2", "3"),
        },
        ("pool-disabled",),
    ),
    "pool-not-ipip": Broken(
        {
            "POD-1": ("1", "2", "3"),
            "POOL-1": ("1", "2", "3"),
        },
        ("pool-not-ipip",),
    ),
    "policy-denies": Broken(
        {
            "PATH-1": ("1:2", "1:3", "2:1", "2:3", "3:1", "3:2"),
            "PATH-6": ("1", "2", "3"),
        },
        ("policy-denies",),
    ),
    "pools-overlap": Broken(
        {
            "POOL-2": ("cluster",),
        },
        ("pools-overlap",),
    ),
    "pool-block-size": Broken(
        {
            "POOL-2": ("cluster",),
        },
        ("block-misplaced",),
    ),
    "blocks-nested": Broken(
        {
            "POOL-2": ("cluster",),
        },
        ("blocks-overlap",),
    ),
    "block-of-no-node": Broken(
        {
            "POOL-3": ("cluster",),
        },
        ("block-of-no-node",),
    ),
    "block-affinity-pending": Broken(
        {
            "POOL-3": ("cluster",),
        },
        ("affinity-not-confirmed",),
    ),
    "block-affinity-missing": Broken(
        {
            "POOL-3": ("cluster",),
        },
        ("affinity-missing",),
    ),
    "block-announced-twice": Broken(
        {
            "BGP-2": ("3",),
            "PATH-1": ("2:3", "3:2"),
            "POOL-3": ("cluster",),
            "ROUTE-2": ("3",),
            "ROUTE-4": ("3",),
            "ROUTE-5": ("3",),
        },
        ("block-announced-twice",),
    ),
    "two-owners": Broken(
        {
            "POOL-4": ("1", "2", "3"),
            "ROUTE-7": ("1", "2", "3"),
        },
        ("route-owners-disagree",),
    ),
    "route-owners-disagree": Broken(
        {
            "POOL-4": ("1", "2", "3"),
        },
        ("route-owners-disagree",),
    ),
    "node-internal-ip": Broken(
        {},
        (),
        {
            "NODE-2": ("2",),
        },
    ),
    "node-address-stale": Broken(
        {
            "BGP-1": ("1", "3"),
            "NODE-1": ("2",),
            "PATH-3": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-4": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-7": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-8": ("1:2", "2:1", "2:3", "3:2"),
            "ROUTE-2": ("1", "3"),
            "ROUTE-4": ("1", "3"),
            "ROUTE-5": ("1", "3"),
            "SEC-1": ("1", "2", "3"),
        },
        ("node-address-elsewhere",),
        {
            "NODE-2": ("2",),
        },
    ),
    "node-address-of-other": Broken(
        {
            "NODE-1": ("1", "2"),
            "PATH-3": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-4": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-7": ("1:2", "2:1", "2:3", "3:2"),
            "PATH-8": ("1:2", "2:1", "2:3", "3:2"),
            "ROUTE-2": ("1", "3"),
            "ROUTE-4": ("1", "3"),
            "ROUTE-5": ("1", "3"),
            "SEC-1": ("1", "2", "3"),
        },
        ("node-address-duplicate",),
        {
            "NODE-2": ("2",),
        },
    ),
    "tunnel-address-unset": Broken(
        {
            "NODE-3": ("2",),
            "PATH-7": ("2:1", "2:3"),
            "TUN-2": ("2",),
        },
        ("tunnel-address-unset",),
    ),
    "tunnel-address-duplicate": Broken(
        {
            "NODE-3": ("1", "2"),
            "PATH-7": ("1:2", "1:3", "2:1"),
        },
        ("tunnel-address-duplicate",),
    ),
    "tunnel-address-not-allocated": Broken(
        {
            "NODE-3": ("2",),
        },
        ("tunnel-address-not-allocated",),
    ),
}
