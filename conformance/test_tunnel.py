"""The tunnel device."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import tunnel


@pytest.mark.requirement("TUN-1")
def test_tunnel_device(judged: Judged, node: str) -> None:
    """tunl0 is an ipip device, from any to any, with the TTL inherited, and up."""
    assert judged(tunnel.device, node)


@pytest.mark.requirement("TUN-2")
def test_tunnel_address(judged: Judged, node: str) -> None:
    """tunl0 carries exactly one IPv4 address: the node's tunnel address, as a /32."""
    assert judged(tunnel.address, node)
