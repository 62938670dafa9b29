"""Joins the captures of all taps in one pcapng file, in time order: one tshark then decodes a whole round.

Written here and not left to mergecap: every file is walked for its faults anyway, a start of mergecap costs as much
as that of tshark, and the place of each frame in its own file has to be known afterwards.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from pytest_calico_ipip.packets.pcap import Frame, PcapFile

Place = tuple[int, Frame]  # the tap's index, the frame in that tap's file


def merge(files: Sequence[PcapFile], target: Path) -> list[Place]:
    """Writes `target` and returns where each of its frames came from: frame number n of the result is entry n - 1.

    The interface id of a frame is the index of its file, so that a person who opens the result in Wireshark sees
    the taps apart too. Files without a known link type have no frames here.
    """
    order: list[Place] = [(tap, frame) for tap, file in enumerate(files) for frame in file.frames]
    order.sort(key=lambda place: (place[1].seconds, place[1].nanoseconds, place[0], place[1].number))
    with target.open("wb") as out:
        # section header: byte-order magic, version 1.0, unknown length
        out.write(_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        for file in files:
            link_type = 101 if file.link_name == "RAW" else max(file.link_type, 0)
            # interface description: link type, no snap length; option 9, if_tsresol: times count nanoseconds
            options = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)
            out.write(_block(1, struct.pack("<HHI", link_type, 0, 0) + options))
        for tap, frame in order:
            stamp = frame.seconds * 1_000_000_000 + frame.nanoseconds
            header = struct.pack("<IIIII", tap, stamp >> 32, stamp & 0xFFFFFFFF, len(frame.data), frame.length)
            out.write(_block(6, header + frame.data))
    return order


def _block(kind: int, body: bytes) -> bytes:
    """One pcapng block: its length stands before and after the body, which is padded to a multiple of four."""
    body += b"\0" * (-len(body) % 4)
    length = 12 + len(body)
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)
