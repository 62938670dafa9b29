"""IPIP packets with an outer source that is no node's (SEC-3): made here, sent by a node through a raw socket.

A raw socket needs CAP_NET_RAW and nothing else: no device, address or route is made, so nothing is left behind however
the sender ends. The outer source is from a network for documentation (RFC 5737), which nobody is reached by.
"""

from __future__ import annotations

import shlex
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pytest_calico_ipip.packets.probes import Station
from pytest_calico_ipip.remote import Answer, Remote

KIND = "spoof"
COUNT = 2  # packets for each node: one may be lost by chance
NO_SENDER = 97  # the exit status of a node without an interpreter
_NETWORKS = tuple(IPv4Network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))
_HOST = 199
_TTL = 64
_DATA = b"pytest-calico-ipip: must be dropped"
_MARK = "spoofed: "
# both take DESTINATION PACKET… with each packet in hexadecimal; 255 is IPPROTO_RAW, with our own header
_PYTHON = (
    "import socket,sys\ns=socket.socket(2,3,255)\nfor p in sys.argv[2:]: s.sendto(bytes.fromhex(p),(sys.argv[1],0))"
)
_PERL = (
    r'socket(S,2,3,255)||die"$!\n";my $to=pack("Sna4x8",2,0,pack("C4",split(/\./,shift)));'
    r'for(@ARGV){send(S,pack("H*",$_),0,$to)||die"$!\n"}'
)


@dataclass(frozen=True)
class Spoof:
    """The packets for one node, before and after they were sent."""

    sender: str  # the node that sends
    receiver: str  # the node that must drop them
    outer_source: IPv4Address
    outer_destination: IPv4Address
    source: IPv4Address  # a pod under test on the sender
    destination: IPv4Address  # a pod under test on the receiver
    icmp_id: int
    exit: int | None = None
    stderr: str = ""

    def packets(self) -> list[bytes]:
        """Each packet, from its outer header on."""
        return [self._packet(seq) for seq in range(1, COUNT + 1)]

    def _packet(self, seq: int) -> bytes:
        blank = struct.pack("!BBHHH", 8, 0, 0, self.icmp_id, seq) + _DATA
        echo = blank[:2] + struct.pack("!H", _checksum(blank)) + blank[4:]
        inner = _header(self.source, self.destination, 1, len(echo), self.icmp_id) + echo
        return _header(self.outer_source, self.outer_destination, 4, len(inner), self.icmp_id) + inner

    def command(self) -> str:
        """Sends them with the first interpreter that the node has."""
        words = " ".join([str(self.outer_destination), *(packet.hex() for packet in self.packets())])
        return (
            f"if command -v python3 >/dev/null 2>&1; then python3 -c {shlex.quote(_PYTHON)} {words}; "
            f"elif command -v perl >/dev/null 2>&1; then perl -e {shlex.quote(_PERL)} {words}; "
            f"else echo 'neither python3 nor perl to send a raw packet with' >&2; (exit {NO_SENDER}); fi"
        )

    def entry(self) -> dict[str, Any]:
        """An element of probes.json; its id names the pair, sender first."""
        return {
            "id": f"{self.sender}:{self.receiver} {KIND}",
            "kind": KIND,
            "source": str(self.source),
            "destination": str(self.destination),
            "node": self.sender,
            "command": self.command(),
            "exit": self.exit,
            "stdout": "",
            "stderr": self.stderr,
            "icmp_id": self.icmp_id,
            "seqs": list(range(1, COUNT + 1)),
            "size": len(_DATA),
            "df": False,
        }


def plan(stations: Sequence[Station], addresses: dict[str, IPv4Address], first_id: int) -> list[Spoof]:
    """For each node packets from the next one; nothing where only one node has pods and an address."""
    able = [one for one in stations if one.pods and one.node in addresses]
    source = foreign(addresses.values())
    return [
        Spoof(
            sender.node,
            receiver.node,
            source,
            addresses[receiver.node],
            sender.pods[0].ip,
            receiver.pods[0].ip,
            (first_id + number - 1) % 65535 + 1,
        )
        for number, (receiver, sender) in enumerate(zip(able, [*able[1:], *able[:1]], strict=True))
        if sender is not receiver
    ]


def foreign(nodes: Collection[IPv4Address]) -> IPv4Address:
    """An address for documentation, in a network that no node is in."""
    return next((net for net in _NETWORKS if not any(one in net for one in nodes)), _NETWORKS[0])[_HOST]


def sending(spoofs: Sequence[Spoof]) -> str:
    """The piece for one node's shell; it prints an exit status and a line of stderr for each."""
    return "\n".join(f'said=$({{ {one.command()}; }} 2>&1 </dev/null); echo "{_MARK}$? "$said' for one in spoofs)


def send(remote: Remote, spoofs: Sequence[Spoof], timeout: float) -> list[Spoof]:
    """Send one node's packets, and what came of it."""
    return told(spoofs, remote.ask(sending(spoofs), timeout)) if spoofs else []


def told(spoofs: Sequence[Spoof], answer: Answer) -> list[Spoof]:
    """Each with its exit status and words."""
    lines = [line for line in answer.stdout.decode("utf-8", "replace").splitlines() if line.startswith(_MARK)]
    result = []
    for number, one in enumerate(spoofs):
        status, _, words = (lines[number] if number < len(lines) else "").removeprefix(_MARK).partition(" ")
        known = status.isdecimal()
        words = words[:400] if known else answer.words() or "the packets were not sent"
        result.append(
            Spoof(
                one.sender, one.receiver, one.outer_source, one.outer_destination, one.source, one.destination,
                one.icmp_id, int(status) if known else None, words,
            )
        )  # fmt: skip
    return result


def _header(source: IPv4Address, destination: IPv4Address, protocol: int, payload: int, identification: int) -> bytes:
    addresses = source.packed + destination.packed
    blank = struct.pack("!BBHHHBBH", 0x45, 0, 20 + payload, identification, 0, _TTL, protocol, 0) + addresses
    return blank[:10] + struct.pack("!H", _checksum(blank)) + blank[12:]


def _checksum(content: bytes) -> int:
    """The Internet's (RFC 1071)."""
    padded = content + b"\0" * (len(content) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
