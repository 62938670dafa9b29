"""A change to one captured frame of real Calico is found by the requirement of the wire that states it.

Most are made to the decoded frames, since decoding takes a second; some to the bytes of a file.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pytest_calico_ipip.judge.load import load
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks import wire_bare, wire_local
from pytest_calico_ipip.model.judgement import Outcome
from pytest_calico_ipip.model.paths import follow
from pytest_calico_ipip.model.wire import Header, Packet
from pytest_calico_ipip.model.world import World
from tests.model.wire_scene import PAIR_CHECKS
from tests.packets.frames import checksum
from tests.packets.test_recordings import RECORDED

ELSEWHERE = IPv4Address("10.7.120.99")
Frames = list[Packet]


@pytest.fixture(scope="module")
def recording() -> World:
    """The recording whose packets are encapsulated, decoded once."""
    return load(RECORDED / "v3.31.7-always")


def failing(subject: World) -> set[str]:
    """The requirements of the wire that do not hold, whatever the reason."""
    judgements = [check(subject, *pair) for pair in subject.pairs() for check in PAIR_CHECKS]
    judgements += [
        check(subject, node) for node in subject.selected for check in (wire_local.same_node, wire_bare.never_bare)
    ]
    return {one.requirement for one in judgements if one.outcome in (Outcome.FAILED, Outcome.ERROR, Outcome.WARNING)}


def with_frames(recording: World, frames: Frames) -> World:
    """The recording with other frames, followed anew."""
    assert not isinstance(recording.capture, Absent)
    assert not isinstance(recording.datastore, Absent)
    capture = replace(recording.capture, packets=tuple(frames))
    paths = follow(recording.datastore, recording.expected, capture, recording.pods, recording.nodes)
    return replace(recording, capture=capture, paths=paths)


def header(packet: Packet, index: int, **fields: object) -> Packet:
    """The packet with another outer (0) or inner (-1) header."""
    headers = list(packet.headers)
    headers[index] = replace(headers[index], **fields)  # type: ignore[arg-type]
    return replace(packet, headers=tuple(headers))


def echoes(recording: World) -> Iterator[tuple[int, Packet]]:
    """Echoes and replies between the pods, but for the sender's eth0: a probe is recognised by what is seen there."""
    assert not isinstance(recording.capture, Absent)
    pods = {pod.ip for pod in recording.pods}
    for place, packet in enumerate(recording.capture.packets):
        if packet.icmp is not None and {packet.inner.source, packet.inner.destination} <= pods and packet.tap != 0:
            yield place, packet


def data(packet: Packet) -> Packet:
    """The packet with other data."""
    assert packet.icmp is not None
    checksum = (packet.icmp.checksum or 0) ^ 1
    return replace(packet, icmp=replace(packet.icmp, data=b"?" + packet.icmp.data[1:], checksum=checksum))


def number(packet: Packet, **fields: int) -> Packet:
    """The packet with another ICMP id or number."""
    assert packet.icmp is not None
    return replace(packet, icmp=replace(packet.icmp, **fields))  # type: ignore[arg-type]


# what is done to a frame → the requirements of which one at least must say so
EVERY: dict[str, tuple[Callable[[Packet], Frames], set[str]]] = {
    "lost": (lambda _: [], {"PATH-1", "MTU-4"}),
    "twice": (lambda packet: [packet, packet], {"PATH-1"}),
    "at the next tap": (lambda packet: [replace(packet, tap=(packet.tap + 1) % 8)], {"PATH-1", "MTU-4"}),
    "from elsewhere": (lambda packet: [header(packet, -1, source=ELSEWHERE)], {"PATH-1", "MTU-4"}),
    "to elsewhere": (lambda packet: [header(packet, -1, destination=ELSEWHERE)], {"PATH-1", "MTU-4"}),
    "TTL lower": (lambda packet: [header(packet, -1, ttl=packet.inner.ttl - 1)], {"PATH-5"}),
    "other data": (lambda packet: [data(packet)], {"PATH-5"}),
    "other id": (lambda packet: [number(packet, id=1)], {"PATH-1", "MTU-4"}),
    "other number": (lambda packet: [number(packet, seq=999)], {"PATH-1", "MTU-4"}),
}
OUTER: dict[str, Callable[[Header], Header]] = {
    "from elsewhere": lambda outer: replace(outer, source=ELSEWHERE),
    "to elsewhere": lambda outer: replace(outer, destination=ELSEWHERE),
    "protocol 94": lambda outer: replace(outer, protocol=94),
    "too long": lambda outer: replace(outer, length=outer.length + 4),
    "TTL higher": lambda outer: replace(outer, ttl=outer.ttl + 1),
}


@pytest.mark.parametrize("change", EVERY)
def test_every_frame_of_an_echo_counts(change: str, recording: World) -> None:
    """At each of the taps after the first, of each echo and reply, of any size: what is done to it is found."""
    make, expected = EVERY[change]
    assert not isinstance(recording.capture, Absent)
    tried = 0
    for place, packet in echoes(recording):
        frames = list(recording.capture.packets)
        frames[place : place + 1] = make(packet)
        found = failing(with_frames(recording, frames))
        assert found & expected, (change, packet.tap, packet.number, found)
        tried += 1
    assert tried > 80


@pytest.mark.parametrize("change", OUTER)
def test_every_outer_header_counts(change: str, recording: World) -> None:
    """What is done to the outer header of an echo, a reply, a fragment or a TCP segment at an underlay NIC is found."""
    assert not isinstance(recording.capture, Absent)
    tried = 0
    for place, packet in enumerate(recording.capture.packets):
        if len(packet.headers) == 2:
            frames = list(recording.capture.packets)
            frames[place] = replace(packet, headers=(OUTER[change](packet.outer), packet.inner))
            found = failing(with_frames(recording, frames))
            assert found & {"PATH-3", "PATH-4", "PATH-7", "PATH-8"}, (change, packet.tap, packet.number)
            tried += 1
    assert tried == 52


def test_a_bare_frame_on_the_underlay_is_found_wherever_it_is(recording: World) -> None:
    """Every encapsulated frame that loses its outer header fails PATH-9, and what states its encapsulation."""
    assert not isinstance(recording.capture, Absent)
    for place, packet in enumerate(recording.capture.packets):
        if len(packet.headers) == 2:
            frames = list(recording.capture.packets)
            frames[place] = replace(packet, headers=packet.headers[1:])
            found = failing(with_frames(recording, frames))
            assert "PATH-9" in found
            assert found & {"PATH-3", "PATH-4", "PATH-7", "PATH-8"}


def test_unchanged_frames_hold(recording: World) -> None:
    """What all these changes are compared with."""
    assert not isinstance(recording.capture, Absent)
    assert failing(with_frames(recording, list(recording.capture.packets))) == set()


# bytes of the first frame at an underlay NIC: Ethernet, the outer header at 14, the inner one at 34, ICMP at 54
BYTES: dict[str, tuple[str, int, bytes, set[str]]] = {
    "outer source": ("4-nic.pcap", 14 + 12, ELSEWHERE.packed, {"PATH-3"}),
    "outer destination": ("5-peer-nic.pcap", 14 + 16, ELSEWHERE.packed, {"PATH-3"}),
    "outer protocol": ("4-nic.pcap", 14 + 9, b"\x5e", {"PATH-1", "PATH-3"}),
    "outer TTL": ("4-nic.pcap", 14 + 8, b"\x07", {"PATH-3"}),
    "outer DF": ("4-nic.pcap", 14 + 6, b"\x00", {"PATH-3"}),
    "inner TTL": ("5-peer-nic.pcap", 34 + 8, b"\x01", {"PATH-5"}),
    "ICMP id": ("4-nic.pcap", 54 + 4, b"\x00\x01", {"PATH-1"}),
    "payload": ("4-nic.pcap", 54 + 40, b"\xff\xfe", {"PATH-5"}),
}


@pytest.mark.parametrize("change", BYTES)
def test_a_changed_byte_is_found(change: str, tmp_path: Path) -> None:
    """The same from the file on: bytes of the first echo request's frame, as a wire would have changed them."""
    file, offset, new, expected = BYTES[change]
    root = tmp_path / "evidence"
    shutil.copytree(RECORDED / "v3.31.7-always", root)
    path = root / "packets" / file
    content = bytearray(path.read_bytes())
    at = next(start for start in starts(bytes(content)) if content[start + 14 + 9] == 4)
    content[at + offset : at + offset + len(new)] = new
    for begin in (14, 34):
        content[at + begin + 10 : at + begin + 12] = b"\0\0"
        content[at + begin + 10 : at + begin + 12] = struct.pack(
            ">H", checksum(bytes(content[at + begin : at + begin + 20]))
        )
    path.write_bytes(bytes(content))
    assert expected & failing(load(root)), failing(load(root))


def starts(content: bytes) -> Iterator[int]:
    """Where the frames of a little-endian pcap begin."""
    place = 24
    while place < len(content):
        (length,) = struct.unpack_from("<I", content, place + 8)
        yield place + 16
        place += 16 + length
