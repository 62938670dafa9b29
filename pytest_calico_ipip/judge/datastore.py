"""The evidence's API lists → one Datastore."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.judge import objects
from pytest_calico_ipip.judge.configuration import Sources
from pytest_calico_ipip.judge.disturbances import disturbances
from pytest_calico_ipip.judge.files import Folder
from pytest_calico_ipip.judge.lists import Item, Listed, Lists, changed_names, name_of
from pytest_calico_ipip.judge.values import address, interface, mapping, network, sequence
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.datastore import Affinity, Block, ClusterNode, Datastore

T = TypeVar("T")


def read_datastore(
    evidence: Evidence,
    *,
    live: bool = False,
    under_test: Collection[str] | None = None,
    ready: Collection[str] = (),
) -> Datastore | Absent:
    """Everything in `api/`, parsed; an `Absent` where there is no list of nodes.

    `under_test` are the keys (`namespace/name`) of the pods under test; None takes those with the label
    `app=sleep-curl`, and where none has it those whose name begins with `sleep-curl`. `ready` are those of them that
    were once seen Ready.
    """
    lists = Lists(evidence, live)
    nodes = lists.core("nodes")
    if nodes.absent is not None and not nodes.items:
        return nodes.absent
    reading = _Reading()
    pods, pools = lists.core("pods"), lists.calico("ippools")
    blocks, affinities = lists.calico("ipamblocks"), lists.calico("blockaffinities")
    felix, bgp = lists.calico("felixconfigurations"), lists.calico("bgpconfigurations")
    information, peers = lists.calico("clusterinformations"), lists.calico("bgppeers")
    daemonsets = lists.core("daemonsets.apps")
    operator = lists.core("installations.operator.tigera.io")
    sources = Sources(daemonsets, pods, lists.core("configmaps"), felix, bgp, information, operator)
    every = (nodes, pods, pools, blocks, affinities, felix, bgp, information, peers)
    for listed in every:
        reading.heed(listed)
    cidrs = _pod_cidrs(nodes)
    owners = _owners(blocks, affinities)
    cluster_nodes = tuple(_nodes(reading.all(nodes, objects.node), sources, cidrs, owners))
    more_blocks, more_affinities = _host_local(cluster_nodes, cidrs)
    tested = _tested(pods.items, under_test)
    disturbed = disturbances(nodes, pods, blocks, tested, ready)
    return Datastore(
        nodes={node.name: node for node in cluster_nodes},
        others=_others(nodes, {node.name for node in cluster_nodes}),
        pods=tuple(reading.all(pods, lambda item: objects.pod(item, "/".join(name_of(item)) in tested))),
        pools=tuple(reading.all(pools, objects.pool)),
        vxlan_v6=any(map(objects.vxlan_v6, pools.items)),
        blocks=(*reading.all(blocks, objects.block), *more_blocks),
        affinities=(*reading.all(affinities, objects.affinity), *more_affinities),
        mesh=sources.mesh(),
        bgp_peers=tuple(reading.all(peers, objects.bgp_peer)),
        bgp_filtered=any(map(objects.bgp_filtered, peers.items)),
        changed_nodes=tuple(dict.fromkeys(name_of(item)[1] for item in nodes.changed)),
        unreadable=tuple(reading.unreadable),
        notes=(*(one.sentence for one in disturbed), *reading.notes, *_environment_note(sources)),
        disturbances=disturbed,
        unsettled=_unsettled(pods, blocks, pools, affinities),
        group=pools.group,
        groups={listed.plural: listed.group for listed in every if listed.group},
        absent=reading.absent,
    )


class _Reading:
    """What was missing, changed or unreadable while the lists were parsed."""

    def __init__(self) -> None:
        self.absent: dict[str, Absent] = {}
        self.notes: list[str] = []
        self.unreadable: list[str] = []

    def heed(self, listed: Listed) -> None:
        if listed.absent is not None:
            self.absent[listed.plural] = listed.absent
        self.notes += changed_names(listed)

    def all(self, listed: Listed, parse: Callable[[Item], T | None]) -> Iterable[T]:
        found = []
        for item in listed.items:
            try:
                record = parse(item)
            except objects.Unreadable as why:
                name = "/".join(part for part in name_of(item) if part)
                sentence = f"{listed.plural} {name or 'without a name'}: {why}"
                self.unreadable.append(sentence)
                if listed.plural not in ("pods", "nodes"):
                    # a pool, block or affinity that cannot be read leaves the expectation without a floor
                    self.absent.setdefault(listed.plural, Absent(f"{sentence}, which cannot be read", failed=True))
                continue
            if record is not None:
                found.append(record)
        return found


def _nodes(
    nodes: Iterable[ClusterNode], sources: Sources, cidrs: Mapping[str, IPv4Network], owners: Collection[str]
) -> Iterable[ClusterNode]:
    """Linux nodes that run Calico, with their release and configuration."""
    for node in nodes:
        runs = bool(node.address_text or node.tunnel_address_text) or sources.runs_calico(node.name)
        # with no calico-node pod in the evidence, a node that Calico left no trace of is none of its nodes
        if runs is False or (runs is None and node.annotated and owners and node.name not in owners):
            continue
        configuration = sources.resolve(node.name, node.labels)
        tunnel = node.tunnel_address
        if configuration.host_local_ipam and node.name in cidrs:
            tunnel = cidrs[node.name].network_address + 1  # not the annotation (backend/k8s/resources/node.go)
        release = sources.release(node.name)
        yield replace(node, release=release, configuration=configuration, tunnel_address=tunnel)


def _owners(blocks: Listed, affinities: Listed) -> set[str]:
    """The nodes that have, or had a moment ago, a block of addresses."""
    specs = [mapping(item.get("spec")) for listed in (blocks, affinities) for item in (*listed.items, *listed.changed)]
    hosts = {str(spec.get("affinity")).partition("host:")[2] for spec in specs}
    return {name for name in (*hosts, *(str(spec.get("node") or "") for spec in specs)) if name}


def _others(nodes: Listed, cluster: Collection[str]) -> dict[str, tuple[IPv4Address, ...]]:
    """The nodes that are not Linux or run no Calico, with every IPv4 address that is known of them."""
    found: dict[str, tuple[IPv4Address, ...]] = {}
    for item in (*nodes.items, *nodes.changed):
        name = name_of(item)[1]
        if name in cluster:
            continue
        annotated = interface(mapping(mapping(item.get("metadata")).get("annotations")).get(objects.ADDRESS))
        entries = map(mapping, sequence(mapping(item.get("status")).get("addresses")))
        told = [address(one.get("address")) for one in entries]
        found[name] = tuple(one for one in (*told, annotated.ip if annotated else None) if one is not None)
    return found


def _pod_cidrs(nodes: Listed) -> dict[str, IPv4Network]:
    found = ((name_of(item)[1], network(mapping(item.get("spec")).get("podCIDR"))) for item in nodes.items)
    return {name: cidr for name, cidr in found if cidr is not None}


def _tested(pods: Iterable[Item], under_test: Collection[str] | None) -> Collection[str]:
    if under_test is not None:
        return under_test
    items = list(pods)
    labelled = [item for item in items if objects.labelled(item)]
    named = labelled or [item for item in items if name_of(item)[1].startswith("sleep-curl")]
    staying = {mapping(item.get("spec")).get("nodeName") for item in named if not objects.leaving(item)}
    # a Job's pod that has ended, or the old one of a Deployment, is not judged beside one that runs
    return {
        "/".join(name_of(item))
        for item in named
        if not objects.leaving(item) or mapping(item.get("spec")).get("nodeName") not in staying
    }


def _host_local(nodes: Iterable[ClusterNode], cidrs: Mapping[str, IPv4Network]) -> tuple[list[Block], list[Affinity]]:
    """With USE_POD_CIDR there is no IPAM of Calico's: a node's block is its podCIDR."""
    found = [(cidrs[n.name], n.name) for n in nodes if n.configuration.host_local_ipam and n.name in cidrs]
    return (
        [Block(cidr, f"host:{name}", host_local=True) for cidr, name in found],
        [Affinity(cidr, name, "confirmed") for cidr, name in found],
    )


def _environment_note(sources: Sources) -> tuple[str, ...]:
    if sources.daemonsets.items or sources.runs_calico("") is not None:
        return ()
    return ("no calico-node DaemonSet in this evidence: calico-node's environment is taken as empty",)


def _unsettled(pods: Listed, blocks: Listed, *with_cidr: Listed) -> tuple[IPv4Network, ...]:
    """The addresses of everything that changed between the two readings, addresses given or taken back included."""
    listed = (blocks, *with_cidr)
    found = [network(mapping(item.get("spec")).get("cidr")) for one in listed for item in one.changed]
    for status in (mapping(item.get("status")) for item in pods.changed):
        told = (status.get("podIP"), *(mapping(one).get("ip") for one in sequence(status.get("podIPs"))))
        found += [network(one) for one in told]
    found += map(IPv4Network, _given(blocks.items) ^ _given(blocks.after))
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _given(blocks: Iterable[Item]) -> set[IPv4Address]:
    """The addresses that IPAM has given away."""
    found = set()
    for item in blocks:
        with contextlib.suppress(objects.Unreadable):
            block = objects.block(item)
            found |= {one.address for one in block.allocations} if block is not None else set()
    return found


def read_run(evidence: Evidence) -> dict[str, object]:
    """`run.json`, {} where there is none (evidence made by hand) or it cannot be read."""
    data = Folder(evidence.root, ".", False, {}).json(evidence.run.name)
    return data if isinstance(data, dict) else {}
