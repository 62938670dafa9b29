"""Calico's own objects and annotations, as calico-node v3.31.7 leaves them in a fresh cluster (Kubernetes datastore).

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

from pytest_calico_ipip.lab.spec import BLOCK_PREFIX, POOL, UNDERLAY_NIC, LabSpec, NodeSpec

API_VERSION = "crd.projectcalico.org/v1"
CALICO_VERSION = "v3.31.7"
POOL_NAME = "default-ipv4-ippool"

Object = dict[str, Any]
Placed = tuple[str, Object]  # the resource that it belongs to, the object


def timestamp() -> str:
    """Now, as Kubernetes writes times: `2026-11-22T17:48:37Z`."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def stored(kind: str, name: str, spec: Object, *, own: Object | None = None, labels: Object | None = None) -> Object:
    """A Calico object as its client stores it: the metadata of its own API is kept, as JSON, in an annotation."""
    inner = own if own is not None else {"creationTimestamp": None}
    if labels:
        inner = {**inner, "labels": labels}
    metadata: Object = {"name": name}
    if labels:
        metadata["labels"] = labels
    metadata["annotations"] = {"projectcalico.org/metadata": json.dumps(inner, separators=(",", ":"))}
    return {"kind": kind, "apiVersion": API_VERSION, "metadata": metadata, "spec": spec}


def hostname_hash(node: str) -> str:
    """The label by which Calico finds a node's affinities: SHA3-256, in base 32 without padding.

    A name itself can be too long for a label.
    """
    return b32encode(sha3_256(node.encode()).digest()).decode().rstrip("=")


def cidr_name(cidr: IPv4Network) -> str:
    """`10-233-107-0-24`: the name of the object that holds a block."""
    return str(cidr).replace(".", "-").replace("/", "-")


def block_affinity(node: str, block: IPv4Network) -> Object:
    """The claim of a node on a block, confirmed."""
    labels = {
        "projectcalico.org/affinity-type": "host",
        "projectcalico.org/hostname-hash": hostname_hash(node),
        "projectcalico.org/ip-version": "4",
    }
    # `deleted` is a string here and only here: the stored form predates booleans
    spec = {"state": "confirmed", "node": node, "type": "host", "cidr": str(block), "deleted": "false"}
    return stored("BlockAffinity", f"{node}-{cidr_name(block)}", spec, labels=labels)


def node_annotations(node: NodeSpec) -> dict[str, str]:
    """What calico-node writes on its node: the underlay address with its prefix, the tunnel address without."""
    interfaces = [{"name": UNDERLAY_NIC, "addresses": [str(node.address.ip)]}]
    return {
        "projectcalico.org/IPv4Address": str(node.address),
        "projectcalico.org/IPv4IPIPTunnelAddr": str(node.tunnel_address),
        "projectcalico.org/Interfaces": json.dumps(interfaces, separators=(",", ":")),
    }


def pool(spec: LabSpec) -> Object:
    """The one IPIP pool."""
    return stored(
        "IPPool",
        POOL_NAME,
        {
            "cidr": str(POOL),
            "vxlanMode": "Never",
            "ipipMode": spec.ipip_mode,
            "natOutgoing": True,
            "blockSize": BLOCK_PREFIX,
            "nodeSelector": "all()",
            "allowedUses": ["Workload", "Tunnel"],
            "assignmentMode": "Automatic",
        },
        own={"creationTimestamp": timestamp()},
    )


def felix_configuration() -> Object:
    """The defaults that start-up writes down; none of them is about IPIP."""
    return stored(
        "FelixConfiguration",
        "default",
        {
            "logSeverityScreen": "Info",
            "reportingInterval": "0s",
            "bpfLogLevel": "",
            "bpfConnectTimeLoadBalancing": "TCP",
            "bpfHostNetworkedNATWithoutCTLB": "Enabled",
            "floatingIPs": "Disabled",
        },
        own={"creationTimestamp": timestamp()},
    )


def cluster_information() -> Object:
    """Names the release."""
    return stored(
        "ClusterInformation",
        "default",
        {
            "clusterGUID": uuid4().hex,
            "clusterType": "k8s,bgp,kdd",
            "calicoVersion": CALICO_VERSION,
            "datastoreReady": True,
        },
        own={"creationTimestamp": timestamp()},
    )


def ipam_config() -> Object:
    """How addresses are managed."""
    return stored("IPAMConfig", "default", {"strictAffinity": False, "autoAllocateBlocks": True})


def cluster_wide(spec: LabSpec) -> list[Placed]:
    """What exists once a cluster. There is no BGPConfiguration: absent means the release's default."""
    return [
        ("ippools.crd.projectcalico.org", pool(spec)),
        ("clusterinformations.crd.projectcalico.org", cluster_information()),
        ("felixconfigurations.crd.projectcalico.org", felix_configuration()),
        ("ipamconfigs.crd.projectcalico.org", ipam_config()),
    ]
