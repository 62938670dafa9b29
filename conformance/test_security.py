"""Whose IPIP packets a node lets in."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import firewall, spoof


@pytest.mark.requirement("SEC-1")
def test_host_set(judged: Judged, node: str) -> None:
    """The set that the IPIP rules name holds the nodes' addresses and externalNodesList, and nothing else."""
    assert judged(firewall.host_set, node)


@pytest.mark.requirement("SEC-2")
def test_input_chain(judged: Judged, node: str) -> None:
    """The input chain accepts IPIP packets from that set and drops all others, and it dropped none during the run."""
    assert judged(firewall.input_chain, node)


@pytest.mark.requirement("SEC-3")
def test_spoofed(judged: Judged, node: str) -> None:
    """An IPIP packet from outside the host set is not delivered to the pod that it carries."""
    assert judged(spoof.not_delivered, node)
