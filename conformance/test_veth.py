"""The cable between a pod and its node."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import veth


@pytest.mark.requirement("VETH-1")
def test_workload_interface_name(judged: Judged, node: str) -> None:
    """A workload interface is named by the prefix and 11 hex digits of sha1("namespace.pod")."""
    assert judged(veth.name, node)


@pytest.mark.requirement("VETH-2")
def test_veth_peers(judged: Judged, node: str) -> None:
    """Workload interface and pod eth0 are each other's peer, in the pod's own network namespace."""
    assert judged(veth.peers, node)


@pytest.mark.requirement("VETH-3")
def test_veth_state(judged: Judged, node: str) -> None:
    """A workload interface is a veth, up at both ends, with the MAC address ee:ee:ee:ee:ee:ee."""
    assert judged(veth.state, node)


@pytest.mark.requirement("VETH-4")
def test_veth_sysctls(judged: Judged, node: str) -> None:
    """proxy_arp and forwarding are on for a workload interface."""
    assert judged(veth.sysctls, node)
