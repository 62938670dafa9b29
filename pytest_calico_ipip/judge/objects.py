"""One API object → one record of the datastore. `Unreadable` says why an object cannot be one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from pytest_calico_ipip.judge.lists import Item, name_of
from pytest_calico_ipip.judge.values import address, boolean, interface, mapping, network, number, sequence, text
from pytest_calico_ipip.model.datastore import Affinity, Allocation, BgpPeer, Block, ClusterNode, Pod, Pool
from pytest_calico_ipip.model.names import is_node_name

ADDRESS = "projectcalico.org/IPv4Address"
_TUNNEL = "projectcalico.org/IPv4IPIPTunnelAddr"
_REFLECTOR = "projectcalico.org/RouteReflectorClusterID"
_FLOATING = "cni.projectcalico.org/floatingIPs"
TEST_LABEL = ("app", "sleep-curl")


class Unreadable(Exception):
    """An object that cannot be a record, with the reason."""


def pool(item: Item) -> Pool | None:
    """An IPPool; None for IPv6."""
    spec = mapping(item.get("spec"))
    cidr = network(spec.get("cidr"))
    if cidr is None:
        _refuse_unless_six(spec.get("cidr"))
        return None
    size = number(spec.get("blockSize"))
    return Pool(
        name=name_of(item)[1],
        cidr=cidr,
        ipip_mode=text(spec.get("ipipMode")) or "Never",
        vxlan_mode=text(spec.get("vxlanMode")) or "Never",
        block_size=size if size is not None and 0 < size <= 32 else 26,
        disabled=boolean(spec.get("disabled")) or False,
        nat_outgoing=boolean(spec.get("natOutgoing")) or False,
        node_selector=text(spec.get("nodeSelector")),
        allowed_uses=tuple(text(use) for use in sequence(spec.get("allowedUses"))),
        bgp_export=boolean(spec.get("disableBGPExport")) is not True,
    )


def vxlan_v6(item: Item) -> bool:
    """Whether an IPPool is IPv6's and encapsulated in VXLAN. A disabled one counts, as it does for Felix."""
    spec = mapping(item.get("spec"))
    return ":" in text(spec.get("cidr")) and spec.get("vxlanMode") in ("Always", "CrossSubnet")


def _refuse_unless_six(cidr: object) -> None:
    if not (isinstance(cidr, str) and ":" in cidr):
        raise Unreadable(f"its CIDR is {text(cidr) or 'missing'}")


def block(item: Item) -> Block | None:
    """An IPAMBlock; None for IPv6."""
    spec = mapping(item.get("spec"))
    cidr = network(spec.get("cidr"))
    if cidr is None:
        _refuse_unless_six(spec.get("cidr"))
        return None
    attributes = sequence(spec.get("attributes"))
    allocations = []
    for ordinal, index in enumerate(sequence(spec.get("allocations"))[: cidr.num_addresses]):
        place = number(index)
        if place is not None and 0 <= place < len(attributes):
            attribute = mapping(attributes[place])
            allocations.append(
                Allocation(
                    address=cidr.network_address + ordinal,
                    handle=text(attribute.get("handle_id")),
                    attributes=_texts(mapping(attribute.get("secondary"))),
                )
            )
    affinity = text(spec.get("affinity"))
    return Block(cidr, affinity or None, tuple(allocations), boolean(spec.get("deleted")) or False)


def affinity(item: Item) -> Affinity | None:
    """A BlockAffinity; None for IPv6. `deleted` is a string in crd.projectcalico.org/v1 and a bool in v3."""
    spec = mapping(item.get("spec"))
    cidr = network(spec.get("cidr"))
    if cidr is None:
        _refuse_unless_six(spec.get("cidr"))
        return None
    return Affinity(
        cidr=cidr,
        node=text(spec.get("node")),
        state=text(spec.get("state")),
        type=text(spec.get("type")) or "host",
        deleted=boolean(spec.get("deleted")) or False,
    )


def bgp_peer(item: Item) -> BgpPeer | None:
    """A BGPPeer between nodes and routers; None for one that is about workloads, or IPv6."""
    spec = mapping(item.get("spec"))
    peer, selector = (
        address(text(spec.get("peerIP")).rpartition(":")[0] or spec.get("peerIP")),
        spec.get("peerSelector"),
    )
    if spec.get("localWorkloadSelector") or (peer is None and not selector):
        return None
    return BgpPeer(name_of(item)[1], text(spec.get("node")), text(spec.get("nodeSelector")), peer, text(selector))


def bgp_filtered(item: Item) -> bool:
    """Whether a BGPPeer has filters of its own."""
    return bool(sequence(mapping(item.get("spec")).get("filters")))


def node(item: Item) -> ClusterNode | None:
    """A node without its release and configuration; None for one that is not Linux."""
    name = name_of(item)[1]
    if not is_node_name(name):
        raise Unreadable("its name is not a node's name")
    metadata, spec, status = (mapping(item.get(key)) for key in ("metadata", "spec", "status"))
    labels = _texts(mapping(metadata.get("labels")))
    system = labels.get("kubernetes.io/os") or text(mapping(status.get("nodeInfo")).get("operatingSystem"))
    if system not in ("", "linux"):
        return None
    annotations = mapping(metadata.get("annotations"))
    return ClusterNode(
        name=name,
        address=interface(annotations.get(ADDRESS)),
        address_text=text(annotations.get(ADDRESS)),
        tunnel_address=address(annotations.get(_TUNNEL)),
        tunnel_address_text=text(annotations.get(_TUNNEL)),
        internal_ips=tuple(
            ip
            for entry in map(mapping, sequence(status.get("addresses")))
            if entry.get("type") == "InternalIP" and (ip := address(entry.get("address"))) is not None
        ),
        ready=_ready(status),
        schedulable=spec.get("unschedulable") is not True,
        labels=labels,
        route_reflector=bool(annotations.get(_REFLECTOR)),
        annotated="annotations" in metadata,
    )


def pod(item: Item, under_test: bool) -> Pod:
    """A pod."""
    namespace, name = name_of(item)
    metadata, spec, status = (mapping(item.get(key)) for key in ("metadata", "spec", "status"))
    if not namespace or not name:
        raise Unreadable("it has no name or no namespace")
    conditions = [mapping(condition).get("type") for condition in sequence(status.get("conditions"))]
    ips = [address(mapping(entry).get("ip")) for entry in sequence(status.get("podIPs"))]
    ips.insert(0, address(status.get("podIP")))
    found: tuple[IPv4Address, ...] = tuple(dict.fromkeys(ip for ip in ips if ip is not None))
    return Pod(
        namespace=namespace,
        name=name,
        node=text(spec.get("nodeName")),
        ip=found[0] if found else None,
        ips=found,
        host_network=spec.get("hostNetwork") is True,
        phase=text(status.get("phase")),
        ready=_ready(status) and not (conditions and "Ready" not in conditions),
        readiness_told=bool(conditions),
        deleting=metadata.get("deletionTimestamp") is not None,
        under_test=under_test,
        floating=_floating(text(mapping(metadata.get("annotations")).get(_FLOATING))),
    )


def _floating(annotation: str) -> tuple[IPv4Address, ...]:
    """The annotation's JSON list of addresses, IPv4's alone; nothing where it is none."""
    try:
        found = json.loads(annotation) if annotation else []
    except (ValueError, RecursionError):
        return ()
    return tuple(ip for ip in map(address, sequence(found)) if ip is not None)


def leaving(item: Item) -> bool:
    """Whether a pod has ended, or is being deleted."""
    metadata, status = mapping(item.get("metadata")), mapping(item.get("status"))
    return metadata.get("deletionTimestamp") is not None or status.get("phase") in ("Succeeded", "Failed")


def labelled(item: Item) -> bool:
    """Whether a pod carries the label of pods under test."""
    key, value = TEST_LABEL
    return mapping(mapping(item.get("metadata")).get("labels")).get(key) == value


def _ready(status: Mapping[str, Any]) -> bool:
    """The Ready condition; an object that has no such condition is taken as ready."""
    states = [c.get("status") for c in map(mapping, sequence(status.get("conditions"))) if c.get("type") == "Ready"]
    return not states or states[0] == "True"


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {text(key): text(value) for key, value in values.items() if isinstance(value, str)}
