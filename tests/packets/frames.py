"""Packets by hand: a pcap writer, and a second decoder that shares nothing with tshark (RFC 791, 792, 793)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

ETHERNET, RAW = 1, 101
ETHER = bytes(12) + b"\x08\x00"


def write_pcap(
    path: Path, frames: list[bytes], link_type: int = ETHERNET, *, big: bool = False, nano: bool = False
) -> None:
    """A pcap file: one frame a millisecond, as any byte order and precision has it."""
    order = ">" if big else "<"
    content = struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 262144, link_type)
    for number, frame in enumerate(frames):
        fraction = number * (1_000_000 if nano else 1000)
        content += struct.pack(order + "IIII", 1_795_000_000, fraction, len(frame), len(frame)) + frame
    path.write_bytes(content)


def ipv4(source: str, destination: str, protocol: int, payload: bytes, *, ttl: int = 64, flags: int = 0x4000) -> bytes:
    """An IPv4 packet; `flags` holds DF, MF and the offset as the header does."""
    header = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 7, flags, ttl, protocol, 0,
        IPv4Address(source).packed, IPv4Address(destination).packed,
    )  # fmt: skip
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + payload


def echo(icmp_id: int, seq: int, data: bytes = b"x" * 56, kind: int = 8) -> bytes:
    """An ICMP echo message."""
    body = struct.pack(">BBHHH", kind, 0, 0, icmp_id, seq) + data
    return body[:2] + struct.pack(">H", checksum(body)) + body[4:]


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True)
class Decoded:
    """What the second decoder makes of a frame: tuples in the order of the fields below."""

    headers: tuple[tuple[object, ...], ...]  # source, destination, protocol, length, ttl, id, df, mf, offset, dscp, ecn
    icmp: tuple[object, ...] | None  # type, code, checksum, id, seq, data
    tcp: tuple[object, ...] | None  # ports, flags, MSS, bytes of payload


def decode(frame: bytes, link_type: int) -> Decoded | None:
    """An Ethernet or raw IP frame; None where it carries no IPv4."""
    at = 0
    if link_type == ETHERNET:
        if frame[12:14] != b"\x08\x00":
            return None
        at = 14
    headers = []
    while True:
        first, tos, length, ident, flags, ttl, protocol = struct.unpack_from(">BBHHHBB", frame, at)
        source, destination = (IPv4Address(frame[at + o : at + o + 4]) for o in (12, 16))
        offset = (flags & 0x1FFF) * 8
        fields = (length, ttl, ident, bool(flags & 0x4000), bool(flags & 0x2000), offset, tos >> 2, tos & 3)
        headers.append((source, destination, protocol, *fields))
        end = at + length
        at += (first & 15) * 4
        if protocol != 4:
            break
    payload = frame[at:end]
    if offset:
        return Decoded(tuple(headers), None, None)
    if protocol == 1:
        return Decoded(tuple(headers), (*struct.unpack_from(">BBHHH", payload), payload[8:]), None)
    source_port, destination_port, _, _, data_at, flag_bits = struct.unpack_from(">HHIIBB", payload)
    options, mss = payload[20 : (data_at >> 4) * 4], None
    while options and options[0] != 0:
        if options[0] == 1:
            options = options[1:]
            continue
        if options[0] == 2:
            mss = struct.unpack_from(">H", options, 2)[0]
        options = options[options[1] :]
    carried = length - (first & 15) * 4 - (data_at >> 4) * 4
    return Decoded(tuple(headers), None, (source_port, destination_port, flag_bits, mss, carried))
