"""MTUs, as configured and as packets meet them."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import mtu, wire_mtu, wire_tcp


@pytest.mark.requirement("MTU-1")
def test_tunnel_mtu(judged: Judged, node: str) -> None:
    """tunl0's MTU is what Felix's rule gives, and leaves room for the outer header."""
    assert judged(mtu.tunnel, node)


@pytest.mark.requirement("MTU-2")
def test_workload_mtu(judged: Judged, node: str) -> None:
    """Workload interface and pod eth0 have one MTU, what Felix's rule gives, and it fits through the tunnel."""
    assert judged(mtu.workload, node)


@pytest.mark.requirement("MTU-3", level="SHOULD")
def test_same_mtu(judged: Judged) -> None:
    """Pods have the same MTU on all nodes."""
    assert judged(mtu.alike)


@pytest.mark.requirement("MTU-4")
def test_full_size_echo(judged: Judged, pair: tuple[str, str]) -> None:
    """An echo of exactly the pod's MTU, not to be fragmented, gets its reply."""
    assert judged(wire_mtu.full_size, *pair)


@pytest.mark.requirement("MTU-5")
def test_one_byte_more(judged: Judged, pair: tuple[str, str]) -> None:
    """One byte more is refused at the sender with the MTU named, and not lost on the way."""
    assert judged(wire_mtu.one_more, *pair)


@pytest.mark.requirement("MTU-6")
def test_tcp_transfer(judged: Judged, pair: tuple[str, str]) -> None:
    """A TCP transfer of a megabyte completes, and both ends announce the pod's MTU less 40 as their MSS."""
    assert judged(wire_tcp.transferred, *pair)
