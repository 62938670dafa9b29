"""The generations of Calico that a lab can look like: what differs between them in the kernel and in the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """One generation."""

    name: str
    version: str  # what ClusterInformation and calico-node's image say
    felix_routes: bool = False  # Felix programs IPIP routes; else BIRD does
    nftables: bool = False  # Felix programs the firewall with nftables; else with iptables and ipset
    metric: int = 0  # of routes to local pods, and of those that BIRD learns from its peers
    bgp_configuration: bool = False  # a default BGPConfiguration exists, with nothing in it
    creation_timestamp: bool = True  # Calico's client stores an unset creationTimestamp, too
    ipam_defaults: bool = False  # start-up writes the IPAMConfig, with a default for KubeVirt's addresses
    affinity_claim_time: bool = False  # a block says since when its node has it


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("bird", "v3.31.7"),
        Profile("nft", "v3.31.7", nftables=True),
        Profile("bird-3.32", "v3.32.1", metric=1024, bgp_configuration=True),
        Profile(
            "felix",
            "v3.34.0",
            felix_routes=True,
            metric=1024,
            bgp_configuration=True,
            creation_timestamp=False,
            ipam_defaults=True,
            affinity_claim_time=True,
        ),
    )
}
