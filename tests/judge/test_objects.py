"""Calico's objects in both API groups, and what changed while they were read."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

from tests.judge.test_configuration import Cluster, cluster  # noqa: F401, the fixture

POOL = {"metadata": {"name": "p"}, "spec": {"cidr": "10.233.64.0/18", "ipipMode": "Always", "blockSize": 24}}


def affinity(name: str, deleted: object, **spec: str) -> dict[str, Any]:
    """A BlockAffinity of node a."""
    return {"metadata": {"name": name}, "spec": {"node": "a", "state": "confirmed", "deleted": deleted, **spec}}


def test_either_group_is_read(cluster: Cluster) -> None:  # noqa: F811
    """A cluster with native v3 resources has its lists under projectcalico.org; `deleted` is a bool there."""
    cluster.write("ippools.projectcalico.org", [POOL])
    affinities = [affinity("x", True, cidr="10.233.64.0/24"), affinity("y", False, cidr="10.233.65.0/24")]
    cluster.write("blockaffinities.projectcalico.org", affinities)
    found = cluster.read()
    assert [pool.name for pool in found.pools] == ["p"]
    assert [one.deleted for one in found.affinities] == [True, False]
    assert "ippools" not in found.absent


def test_deleted_is_a_string_in_the_first_group(cluster: Cluster) -> None:  # noqa: F811
    """crd.projectcalico.org/v1 writes "true" and "false"."""
    affinities = [affinity("x", "true", cidr="10.233.64.0/24"), affinity("y", "false", cidr="10.233.65.0/24")]
    cluster.write("blockaffinities.crd.projectcalico.org", affinities)
    assert [one.deleted for one in cluster.read().affinities] == [True, False]


def test_the_storage_group_wins_where_both_have_items(cluster: Cluster) -> None:  # noqa: F811
    """With an aggregated v3 the same objects are in both groups: they are not counted twice."""
    for group in ("crd.projectcalico.org", "projectcalico.org"):
        cluster.write(f"ippools.{group}", [POOL])
    assert len(cluster.read().pools) == 1


def test_allocations_are_addresses_with_their_attributes(cluster: Cluster) -> None:  # noqa: F811
    """A block's ordinals become addresses; an index that points nowhere is left out."""
    spec = {
        "cidr": "10.233.64.0/30",
        "affinity": "host:a",
        "allocations": [0, None, 7, 1, 0, 0, 0],
        "attributes": [
            {"handle_id": "ipip-tunnel-addr-a", "secondary": {"node": "a", "type": "ipipTunnelAddress"}},
            {"handle_id": "k8s-pod", "secondary": {"node": "a", "pod": "x", "namespace": "n"}},
        ],
    }
    cluster.write("ipamblocks.crd.projectcalico.org", [{"metadata": {"name": "b"}, "spec": spec}])
    (block,) = cluster.read().blocks
    assert block.host == "a"
    assert [(str(one.address), one.handle) for one in block.allocations] == [
        ("10.233.64.0", "ipip-tunnel-addr-a"),
        ("10.233.64.3", "k8s-pod"),
    ]


def test_what_changed_during_the_run_is_not_judged(cluster: Cluster) -> None:  # noqa: F811
    """A pod that went, a block that came: both are left out, named, and their addresses are not judged."""
    pod = {"metadata": {"name": "x", "namespace": "n"}, "spec": {"nodeName": "a"},
           "status": {"phase": "Running", "podIP": "10.233.64.5"}}  # fmt: skip
    stays = {"metadata": {"name": "y", "namespace": "n"}, "spec": {"nodeName": "a"},
             "status": {"phase": "Running", "podIP": "10.233.64.6"}}  # fmt: skip
    block = {"metadata": {"name": "b"}, "spec": {"cidr": "10.233.65.0/24", "affinity": "host:a"}}
    cluster.write("ippools.crd.projectcalico.org", [POOL])
    cluster.write("pods", [pod, stays])
    cluster.write("pods", [{**stays, "status": {**stays["status"], "qosClass": "x"}}], after=True)  # type: ignore
    cluster.write("ipamblocks.crd.projectcalico.org", [])
    cluster.write("ipamblocks.crd.projectcalico.org", [block], after=True)
    found = cluster.read()
    assert [one.key for one in found.pods] == ["n/y"]
    assert found.blocks == ()
    assert set(found.unsettled) == {IPv4Network("10.233.64.5/32"), IPv4Network("10.233.65.0/24")}
    assert [note for note in found.notes if "changed during the run" in note] == [
        "changed during the run, so not judged: pods n/x",
        "changed during the run, so not judged: ipamblocks b",
    ]


def test_an_address_given_during_the_run_is_not_judged(cluster: Cluster) -> None:  # noqa: F811
    """A pod that starts between the two readings: its address is in the second one's block alone."""

    def block(*given: int | None) -> dict[str, Any]:
        spec = {"cidr": "10.233.64.0/30", "affinity": "host:a", "allocations": given, "attributes": [{}, {}]}
        return {"metadata": {"name": "b"}, "spec": spec}

    cluster.write("ipamblocks.crd.projectcalico.org", [block(0, None, None, 1)])
    cluster.write("ipamblocks.crd.projectcalico.org", [block(0, None, 1, None)], after=True)
    found = cluster.read()
    assert set(found.unsettled) == {IPv4Network("10.233.64.2/32"), IPv4Network("10.233.64.3/32")}
    assert len(found.blocks) == 1


def test_a_heartbeat_is_no_change(cluster: Cluster) -> None:  # noqa: F811
    """A node whose status and other annotations move is still the same node to Calico."""
    node = {"metadata": {"name": "a", "annotations": {"projectcalico.org/IPv4Address": "10.0.0.1/24"}}}
    cluster.write("nodes", [node])
    later = {"metadata": {"name": "a", "resourceVersion": "9", "annotations": {
        "projectcalico.org/IPv4Address": "10.0.0.1/24", "volumes": "detached"}}, "status": {"phase": "x"}}  # fmt: skip
    cluster.write("nodes", [later], after=True)
    assert list(cluster.read().nodes) == ["a"]


def test_pods_have_their_ipv4_addresses(cluster: Cluster) -> None:  # noqa: F811
    """A dual-stack pod's first address may be IPv6: its IPv4 one counts."""
    status = {"phase": "Running", "podIP": "fd00::5", "podIPs": [{"ip": "fd00::5"}, {"ip": "10.233.64.5"}]}
    metadata = {"name": "x", "namespace": "n", "labels": {"app": "sleep-curl"}}
    cluster.write("pods", [{"metadata": metadata, "spec": {"nodeName": "a"}, "status": status}])
    (pod,) = cluster.read().pods
    assert pod.ip == IPv4Address("10.233.64.5")
    assert pod.under_test
