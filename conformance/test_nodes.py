"""What a node is called, and what it must do for its pods."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import node as node_checks


@pytest.mark.requirement("NODE-1")
def test_node_address(judged: Judged, node: str) -> None:
    """A node's IPv4Address annotation is a CIDR, its own alone, and on exactly one device that is up."""
    assert judged(node_checks.node_address, node)


@pytest.mark.requirement("NODE-2", level="SHOULD")
def test_internal_ip(judged: Judged, node: str) -> None:
    """The IPv4Address annotation is one of the node's InternalIPs."""
    assert judged(node_checks.internal_ip, node)


@pytest.mark.requirement("NODE-3")
def test_tunnel_address_allocated(judged: Judged, node: str) -> None:
    """A node's tunnel address is set, its own alone, inside an IPIP pool, and allocated to it in IPAM."""
    assert judged(node_checks.tunnel_address, node)


@pytest.mark.requirement("NODE-4")
def test_forwarding(judged: Judged, node: str) -> None:
    """A node forwards IPv4, and has a route to 169.254.1.1 away from the workload interface."""
    assert judged(node_checks.forwarding, node)
