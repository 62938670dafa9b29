"""The pods under test, seen from their own network namespace."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import pods


@pytest.mark.requirement("POD-1")
def test_running_pod(judged: Judged, node: str) -> None:
    """Every node has a pod under test that is Running and Ready, with an address in an IPIP pool."""
    assert judged(pods.running, node)


@pytest.mark.requirement("POD-2")
def test_pod_address(judged: Judged, node: str) -> None:
    """A pod's eth0 carries exactly one IPv4 address: the pod's, as a /32."""
    assert judged(pods.address, node)


@pytest.mark.requirement("POD-3")
def test_pod_default_route(judged: Judged, node: str) -> None:
    """A pod's default route is via 169.254.1.1 on eth0, with the link-scope route to it."""
    assert judged(pods.default_route, node)


@pytest.mark.requirement("POD-4")
def test_pod_gateway(judged: Judged, node: str) -> None:
    """From the pod, 169.254.1.1 resolves to the workload interface's MAC address."""
    assert judged(pods.gateway, node)
