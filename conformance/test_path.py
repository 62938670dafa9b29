"""Packets, seen on each interface of their way."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import wire_bare, wire_local, wire_path, wire_tcp


@pytest.mark.requirement("PATH-1")
def test_seen_once(judged: Judged, pair: tuple[str, str]) -> None:
    """Each probe and each reply is seen exactly once at every interface of its way, and nowhere else."""
    assert judged(wire_path.seen_once, *pair)


@pytest.mark.requirement("PATH-2")
def test_bare_inside(judged: Judged, pair: tuple[str, str]) -> None:
    """At eth0, workload interface and tunl0 the packet is bare: from pod to pod."""
    assert judged(wire_path.bare, *pair)


@pytest.mark.requirement("PATH-3")
def test_encapsulated(judged: Judged, pair: tuple[str, str]) -> None:
    """At the underlay NIC it has one outer header: from node to node, protocol 4, 20 bytes longer."""
    assert judged(wire_path.encapsulated, *pair)


@pytest.mark.requirement("PATH-4")
def test_mirrored_reply(judged: Judged, pair: tuple[str, str]) -> None:
    """The reply mirrors the request, outer and inner."""
    assert judged(wire_path.mirrored, *pair)


@pytest.mark.requirement("PATH-5")
def test_untouched(judged: Judged, pair: tuple[str, str]) -> None:
    """The inner TTL falls by one at each of the two nodes; payload, id and seq arrive unchanged."""
    assert judged(wire_path.untouched, *pair)


@pytest.mark.requirement("PATH-6")
def test_same_node(judged: Judged, node: str) -> None:
    """Two pods on one node reach each other without the tunnel and without the underlay NIC."""
    assert judged(wire_local.same_node, node)


@pytest.mark.requirement("PATH-7")
def test_from_node(judged: Judged, pair: tuple[str, str]) -> None:
    """A node reaches a remote pod as its pods do, from its tunnel address where the tunnel is used."""
    assert judged(wire_path.from_node, *pair)


@pytest.mark.requirement("PATH-8")
def test_tcp_encapsulated(judged: Judged, pair: tuple[str, str]) -> None:
    """TCP from pod to pod is encapsulated as every other packet, segment by segment."""
    assert judged(wire_tcp.encapsulated, *pair)


@pytest.mark.requirement("PATH-9")
def test_never_bare(judged: Judged, node: str) -> None:
    """In Always mode no packet between two addresses of IPIP pools is bare at the underlay NIC."""
    assert judged(wire_bare.never_bare, node)


@pytest.mark.requirement("PATH-10")
def test_bare_by_subnet(judged: Judged, pair: tuple[str, str]) -> None:
    """In CrossSubnet mode packets are bare inside one subnet and encapsulated across subnets."""
    assert judged(wire_bare.by_subnet, *pair)
