"""The spoofed IPIP packets of a run, and where they were seen."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.wire import Capture, Packet, Probe

KIND = "spoof"


def spoofs_to(capture: Capture, node: str) -> tuple[Probe, ...]:
    """What was sent to this node; the probe's own node is the sender."""
    return tuple(
        probe for probe in capture.probes or () if probe.kind == KIND and probe.id == f"{probe.node}:{node} {KIND}"
    )


def seen(capture: Capture, probe: Probe, node: str) -> Iterator[Packet]:
    """The packets of a probe at every tap of a node."""
    for index, reading in enumerate(capture.taps):
        if reading.tap.node == node:
            yield from (packet for packet in capture.at(index) if _is(packet, probe))


def _is(packet: Packet, probe: Probe) -> bool:
    icmp, inner = packet.icmp, packet.inner
    return (
        icmp is not None
        and icmp.type == 8
        and icmp.id == probe.icmp_id
        and (inner.source, inner.destination) == (probe.source, probe.destination)
    )


def wrapped(packet: Packet) -> bool:
    """Whether it is still inside its outer header: on the wire, not let in."""
    return len(packet.headers) > 1


def arrivals(capture: Capture | Absent, node: str) -> int:
    """How many of our own spoofed packets a node's underlay NIC took in; they raise its counter of dropped ones."""
    if isinstance(capture, Absent):
        return 0
    return sum(1 for probe in spoofs_to(capture, node) for packet in seen(capture, probe, node) if wrapped(packet))
