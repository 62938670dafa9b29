"""Reads a pcap file as tcpdump writes it: frames with their times, and what is wrong with the file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

# Link types as tcpdump names them (pcap-linktype(7)); 12 and 14 are what some systems write for RAW.
LINK_TYPES = {1: "EN10MB", 12: "RAW", 14: "RAW", 101: "RAW", 113: "LINUX_SLL", 228: "IPV4", 276: "LINUX_SLL2"}
LONGEST_FRAME = 262_144  # bytes; tcpdump's own greatest snap length
LARGEST_FILE = 64 * 2**20  # bytes; a capture of ours is bounded to far less
GZIP = b"\x1f\x8b"
PCAPNG = b"\x0a\x0d\x0d\x0a"


@dataclass(frozen=True)
class Frame:
    """One captured frame. `length` is what was on the wire, `data` what was captured of it (the snap length cuts)."""

    number: int  # in its file, from 1
    seconds: int
    nanoseconds: int
    length: int
    data: bytes


@dataclass(frozen=True)
class PcapFile:
    """One capture file. `problem` is "" where it is whole; the frames before a fault in the file are kept."""

    link_type: int
    frames: tuple[Frame, ...] = ()
    problem: str = ""

    @property
    def link_name(self) -> str:
        """The link type as tcpdump names it; its number where it has no name here; "" where it is unknown."""
        return LINK_TYPES.get(self.link_type, str(self.link_type)) if self.link_type >= 0 else ""


def read_pcap(path: Path) -> PcapFile:
    """Reads every frame of a file in any byte order, in microseconds or nanoseconds. Never raises: see `problem`."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            return PcapFile(-1, problem=f"the file is larger than {LARGEST_FILE // 2**20} MiB")
        content = path.read_bytes()
    except FileNotFoundError:
        return PcapFile(-1, problem="the file is gone")
    except OSError as error:
        return PcapFile(-1, problem=f"the file cannot be read: {error.strerror}")
    return parse_pcap(content)


def parse_pcap(content: bytes) -> PcapFile:
    """The frames in the bytes of a pcap file, as `read_pcap` reads them."""
    if not content:
        return PcapFile(-1, problem="the file is empty: 0 bytes, where tcpdump writes a header at once")
    if content[:4] == PCAPNG:
        return PcapFile(-1, problem="the file is in pcapng format: convert it with editcap -F pcap")
    if content[:2] == GZIP:
        return PcapFile(-1, problem="the file is compressed: unpack it with gunzip")
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}
    endian = order.get(content[:4])
    if endian is None:
        return PcapFile(-1, problem=f"the file is no pcap: it begins with {content[:4].hex(' ')}")
    if len(content) < 24:
        return PcapFile(-1, problem="the file ends inside its own header")
    scale = 1 if content[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d") else 1000
    # the upper bits of the link type's field hold the length of a frame check sequence
    link_type = struct.unpack_from(endian + "I", content, 20)[0] & 0x0FFFFFFF
    record = struct.Struct(endian + "IIII")
    frames: list[Frame] = []
    position = 24
    while position < len(content):
        number = len(frames) + 1
        if position + record.size > len(content):
            return PcapFile(link_type, tuple(frames), f"the file is cut off inside packet {number}")
        seconds, fraction, captured, length = record.unpack_from(content, position)
        position += record.size
        if captured > LONGEST_FRAME:
            return PcapFile(link_type, tuple(frames), f"the file is damaged: packet {number} claims {captured} bytes")
        if position + captured > len(content):
            return PcapFile(link_type, tuple(frames), f"the file is cut off inside packet {number}")
        frames.append(Frame(number, seconds, fraction * scale, length, content[position : position + captured]))
        position += captured
    return PcapFile(link_type, tuple(frames))
