"""What BIRD, where it runs, has agreed with its peers."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import bgp


@pytest.mark.requirement("BGP-1")
def test_established(judged: Judged, node: str) -> None:
    """Where BIRD runs, a node's session with every peer is Established."""
    assert judged(bgp.established, node)


@pytest.mark.requirement("BGP-2")
def test_announced(judged: Judged, node: str) -> None:
    """Where BIRD runs, peers hold from a node its own blocks and pods, and nothing else inside IPIP pools."""
    assert judged(bgp.announced, node)
