"""The TCP segments of a capture, sorted by the nodes whose pods sent and receive them.

Nobody counts them: a healthy way cuts and joins segments, so their number differs from tap to tap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from ipaddress import IPv4Address

from pytest_calico_ipip.model.datastore import Pod
from pytest_calico_ipip.model.wire import Capture, Packet

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
Segments = Mapping[tuple[str, str], tuple[Packet, ...]]


def segments(capture: Capture, pods: Mapping[IPv4Address, Pod]) -> Segments:
    """(source node, destination node) → every TCP segment from a pod to a pod, at every tap, in time order."""
    found: dict[tuple[str, str], list[Packet]] = defaultdict(list)
    for packet in capture.packets:
        if packet.tcp is None or packet.icmp is not None:
            continue
        source, destination = pods.get(packet.inner.source), pods.get(packet.inner.destination)
        if source is not None and destination is not None:
            found[source.node, destination.node].append(packet)
    return {nodes: tuple(packets) for nodes, packets in found.items()}


def opening(packet: Packet) -> bool:
    """Whether it is the first SYN, the client's."""
    return packet.tcp is not None and packet.tcp.flags & (SYN | ACK) == SYN


def accepting(packet: Packet) -> bool:
    """Whether it is the second SYN, the server's."""
    return packet.tcp is not None and packet.tcp.flags & (SYN | ACK) == SYN | ACK
