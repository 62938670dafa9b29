"""What a node must do for its pods."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import node as node_checks


@pytest.mark.requirement("NODE-4")
def test_forwarding(judged: Judged, node: str) -> None:
    """A node forwards IPv4, and has a route to 169.254.1.1 away from the workload interface."""
    assert judged(node_checks.forwarding, node)
