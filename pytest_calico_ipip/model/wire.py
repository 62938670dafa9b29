"""Records of what the wire says: taps, probes and decoded packets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address


@dataclass(frozen=True)
class Tap:
    """One capture point. `netns` is None on the node itself."""

    file: str  # in packets/: "virtnest-rook-ceph-1.tunl0.pcap"
    node: str
    netns: str | None
    interface: str


@dataclass(frozen=True)
class TapReading:
    """A tap and whether it could have seen anything."""

    tap: Tap
    problem: str = ""  # not listening, kernel drops, truncated file …: what it saw is inconclusive
    link_type: str = ""  # EN10MB, RAW … as the file says


@dataclass(frozen=True)
class Probe:
    """One packet that we sent (or one command that sent some), as packets/probes.json has it."""

    id: str
    kind: str  # echo, echo-full, echo-over, echo-same-node, echo-from-node, echo-inside, tcp-transfer, tcp-server
    source: IPv4Address  # the sender's address as it is expected in the packet
    destination: IPv4Address
    node: str  # where the command ran
    command: str = ""
    exit: int | None = None
    stdout: str = ""
    stderr: str = ""
    icmp_id: int | None = None  # None: ping chose it itself, and it is found in the packets
    seqs: tuple[int, ...] = ()
    size: int | None = None  # bytes of ICMP data, or that a TCP transfer must bring


@dataclass(frozen=True)
class Header:
    """One IPv4 header."""

    source: IPv4Address
    destination: IPv4Address
    protocol: int
    length: int  # total length, bytes
    ttl: int
    identification: int
    dont_fragment: bool
    more_fragments: bool
    fragment_offset: int  # bytes
    dscp: int
    ecn: int
    header_length: int = 20  # bytes


@dataclass(frozen=True)
class Icmp:
    """An ICMP message. `quoted_*` are what an error quotes of the packet that it is about."""

    type: int
    code: int
    id: int | None = None
    seq: int | None = None
    data: bytes = b""
    mtu: int | None = None
    quoted_source: IPv4Address | None = None
    quoted_destination: IPv4Address | None = None
    quoted_id: int | None = None
    quoted_seq: int | None = None
    checksum: int | None = None  # over the whole message, also where the capture holds only its beginning


@dataclass(frozen=True)
class Tcp:
    """A TCP segment's header."""

    source_port: int
    destination_port: int
    flags: int
    mss: int | None = None
    payload_length: int = 0


@dataclass(frozen=True)
class Packet:
    """One captured frame: IPv4 headers from the outermost to the innermost, then what they carry."""

    tap: int  # index into Capture.taps
    number: int  # in its file, from 1
    time: float  # seconds since the epoch
    headers: tuple[Header, ...]
    layers: tuple[str, ...]  # as the decoder names them: ("eth", "ip", "ip", "icmp")
    icmp: Icmp | None = None
    tcp: Tcp | None = None

    @property
    def outer(self) -> Header:
        """The outermost header."""
        return self.headers[0]

    @property
    def inner(self) -> Header:
        """The innermost header: the pods' own."""
        return self.headers[-1]


@dataclass(frozen=True)
class Capture:
    """A whole capture round, decoded. `probes` is None where probes.json is missing (they are then derived)."""

    taps: tuple[TapReading, ...]
    packets: tuple[Packet, ...]  # in time order
    probes: tuple[Probe, ...] | None = None
    notes: tuple[str, ...] = ()  # packets that the decoder could not use, each with why

    def at(self, tap: int | None) -> tuple[Packet, ...]:
        """The packets of one tap (an index into `taps`), in time order; none for None."""
        return tuple(self._by_tap.get(tap, ())) if tap is not None else ()

    @cached_property
    def _by_tap(self) -> dict[int, list[Packet]]:
        found: dict[int, list[Packet]] = {}
        for packet in self.packets:
            found.setdefault(packet.tap, []).append(packet)
        return found
