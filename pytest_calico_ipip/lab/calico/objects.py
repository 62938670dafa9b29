"""Calico's own objects and annotations, as calico-node leaves them in a fresh cluster (Kubernetes datastore).

Every function returns plain JSON objects without what the API server adds (uid, resourceVersion, creationTimestamp).
"""

from __future__ import annotations

import json
from base64 import b32encode
from datetime import datetime, timezone
from hashlib import sha3_256
from ipaddress import IPv4Network
from typing import Any
from uuid import uuid4

from pytest_calico_ipip.lab.profiles import Profile
from pytest_calico_ipip.lab.spec import (
    BLOCK_PREFIX,
    POOL,
    SECOND_BLOCK_PREFIX,
    SECOND_POOL,
    UNDERLAY_NIC,
    LabSpec,
    NodeSpec,
)

POOL_NAME = "default-ipv4-ippool"
SECOND_POOL_NAME = "second-ipv4-ippool"

Object = dict[str, Any]
Placed = tuple[str, Object]  # the resource that it belongs to, the object


def timestamp() -> str:
    """Now, as Kubernetes writes times: `2026-11-22T17:48:37Z`."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def stored(name: str, spec: Object, *, own: Object, labels: Object | None = None) -> Object:
    """A Calico object as its client stores it: the metadata of its own API is kept, as JSON, in an annotation.

    Kind and version are the API's to add: it serves either of two groups.
    """
    inner = {**own, "labels": labels} if labels else own
    metadata: Object = {"name": name}
    if labels:
        metadata["labels"] = labels
    metadata["annotations"] = {"projectcalico.org/metadata": json.dumps(inner, separators=(",", ":"))}
    return {"metadata": metadata, "spec": spec}


def unborn(profile: Profile) -> Object:
    """The metadata of what was never created through Calico's own API."""
    return {"creationTimestamp": None} if profile.creation_timestamp else {}


def hostname_hash(node: str) -> str:
    """The label by which Calico finds a node's affinities: SHA3-256, in base 32 without padding.

    A name itself can be too long for a label.
    """
    return b32encode(sha3_256(node.encode()).digest()).decode().rstrip("=")


def cidr_name(cidr: IPv4Network) -> str:
    """`10-233-107-0-24`: the name of the object that holds a block."""
    return str(cidr).replace(".", "-").replace("/", "-")


def block_affinity(node: str, block: IPv4Network, profile: Profile, *, native: bool = False) -> Object:
    """The claim of a node on a block, confirmed."""
    labels = {
        "projectcalico.org/affinity-type": "host",
        "projectcalico.org/hostname-hash": hostname_hash(node),
        "projectcalico.org/ip-version": "4",
    }
    # `deleted` is a string here and only here: the older stored form predates booleans
    deleted = False if native else "false"
    spec = {"state": "confirmed", "node": node, "type": "host", "cidr": str(block), "deleted": deleted}
    return stored(f"{node}-{cidr_name(block)}", spec, own=unborn(profile), labels=labels)


def node_annotations(node: NodeSpec) -> dict[str, str]:
    """What calico-node writes on its node: the underlay address with its prefix, the tunnel address without."""
    interfaces = [{"name": UNDERLAY_NIC, "addresses": [str(node.address.ip)]}]
    return {
        "projectcalico.org/IPv4Address": str(node.address),
        "projectcalico.org/IPv4IPIPTunnelAddr": str(node.tunnel_address),
        "projectcalico.org/Interfaces": json.dumps(interfaces, separators=(",", ":")),
    }


def pool(spec: LabSpec, name: str, cidr: IPv4Network, block_prefix: int) -> Object:
    """An IPIP pool."""
    return stored(
        name,
        {
            "cidr": str(cidr),
            "vxlanMode": "Never",
            "ipipMode": spec.ipip_mode,
            "natOutgoing": True,
            "blockSize": block_prefix,
            "nodeSelector": "all()",
            "allowedUses": ["Workload", "Tunnel"],
            "assignmentMode": "Automatic",
        },
        own={"creationTimestamp": timestamp()},
    )


def felix_configuration(profile: Profile) -> Object:
    """The defaults that start-up writes down, none of them about IPIP; and nftables, where somebody chose it."""
    return stored(
        "default",
        {
            "logSeverityScreen": "Info",
            "reportingInterval": "0s",
            "bpfLogLevel": "",
            "bpfConnectTimeLoadBalancing": "TCP",
            "bpfHostNetworkedNATWithoutCTLB": "Enabled",
            "floatingIPs": "Disabled",
            **({"nftablesMode": "Enabled"} if profile.nftables else {}),
        },
        own={"creationTimestamp": timestamp()},
    )


def cluster_information(profile: Profile) -> Object:
    """Names the release."""
    return stored(
        "default",
        {
            "clusterGUID": uuid4().hex,
            "clusterType": "k8s,bgp,kdd",
            "calicoVersion": profile.version,
            "datastoreReady": True,
        },
        own={"creationTimestamp": timestamp()},
    )


def ipam_config(profile: Profile) -> Object:
    """How addresses are managed."""
    spec: Object = {"strictAffinity": False, "autoAllocateBlocks": True}
    if profile.ipam_defaults:
        spec["kubeVirtVMAddressPersistence"] = "Enabled"
    own = {"creationTimestamp": timestamp()} if profile.ipam_defaults else unborn(profile)
    return stored("default", spec, own=own)


def bgp_configuration() -> Object:
    """Everything at its default."""
    return stored("default", {}, own={"creationTimestamp": timestamp()})


def cluster_wide(spec: LabSpec) -> list[Placed]:
    """What exists once a cluster. Where there is no BGPConfiguration, that means the release's default."""
    profile = spec.generation
    placed = [("ippools.crd.projectcalico.org", pool(spec, POOL_NAME, POOL, BLOCK_PREFIX))]
    if SECOND_POOL in spec.pools:
        second = pool(spec, SECOND_POOL_NAME, SECOND_POOL, SECOND_BLOCK_PREFIX)
        placed.append(("ippools.crd.projectcalico.org", second))
    if profile.bgp_configuration:
        placed.append(("bgpconfigurations.crd.projectcalico.org", bgp_configuration()))
    return [
        *placed,
        ("clusterinformations.crd.projectcalico.org", cluster_information(profile)),
        ("felixconfigurations.crd.projectcalico.org", felix_configuration(profile)),
        ("ipamconfigs.crd.projectcalico.org", ipam_config(profile)),
    ]
