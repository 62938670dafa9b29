"""What goes into a guest besides raw bytes: standard input with an end, signals, terminal sizes. Pure: bytes to frames.

A frame is one byte of kind, two bytes of length (big endian), and that many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

DATA = b"d"  # standard input; no bytes: its end
SIGNAL = b"s"  # one byte: the signal's number
WINDOW = b"w"  # rows and columns of the terminal, two bytes each
CLOSED = b"c"  # one byte: nobody reads this output (1 or 2) any more
_HEADER = struct.Struct(">cH")
MOST = 4096


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """One frame."""
    return _HEADER.pack(kind, len(payload)) + payload


class Frames:
    """Takes bytes as they come and gives whole frames."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The frames that `data` completes, as kind and payload."""
        self._pending += data
        while len(self._pending) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._pending)
            end = _HEADER.size + length
            if len(self._pending) < end:
                return
            payload, self._pending = self._pending[_HEADER.size : end], self._pending[end:]
            yield kind, payload
