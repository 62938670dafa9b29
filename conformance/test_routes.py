"""Routes of the nodes' kernels against what the datastore leads to."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import decisions, owner, routes


@pytest.mark.requirement("ROUTE-1")
def test_local_pods(judged: Judged, node: str) -> None:
    """Every local pod has its /32 on its workload interface, with scope link, and on no other device."""
    assert judged(routes.local_pods, node)


@pytest.mark.requirement("ROUTE-2")
def test_remote_blocks(judged: Judged, node: str) -> None:
    """Every other node's block has one route: through the tunnel to that node, or direct where CrossSubnet says so."""
    assert judged(routes.remote_blocks, node)


@pytest.mark.requirement("ROUTE-3")
def test_own_blocks(judged: Judged, node: str) -> None:
    """Every own block is a blackhole beneath its pods' routes."""
    assert judged(routes.own_blocks, node)


@pytest.mark.requirement("ROUTE-4")
def test_unexplained_routes(judged: Judged, node: str) -> None:
    """Inside the IPIP pools a node has no route that the datastore does not explain."""
    assert judged(routes.unexplained, node)


@pytest.mark.requirement("ROUTE-5")
def test_decided(judged: Judged, node: str) -> None:
    """Asked for a pod's address, the kernel decides the device and next hop that its routes should lead to."""
    assert judged(decisions.decided, node)


@pytest.mark.requirement("ROUTE-6")
def test_borrowed(judged: Judged, node: str) -> None:
    """A pod with an address of another node's block has a /32 of its own on every other node."""
    assert judged(routes.borrowed, node)


@pytest.mark.requirement("ROUTE-7")
def test_owners_protocol(judged: Judged, node: str) -> None:
    """IPIP routes carry their owner's protocol, and none is left from the other owner."""
    assert judged(owner.owners_protocol, node)
