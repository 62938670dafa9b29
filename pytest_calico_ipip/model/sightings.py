"""An index of a capture: which packets are one echo, its reply, its later fragments, or an ICMP error about it."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Address
from typing import Protocol

from pytest_calico_ipip.model.wire import Capture, Packet

ECHO_REPLY, ECHO_REQUEST = 0, 8
ICMP_ERRORS = (3, 4, 5, 11, 12)  # unreachable, source quench, redirect, time exceeded, parameter problem


class Echo(Protocol):
    """What one echo is recognised by."""

    @property
    def icmp_id(self) -> int:
        """The id in its ICMP header."""

    @property
    def seq(self) -> int:
        """The sequence number in its ICMP header."""

    @property
    def source(self) -> IPv4Address:
        """Where it comes from."""

    @property
    def destination(self) -> IPv4Address:
        """Where it goes to."""

    @property
    def strict(self) -> bool:
        """Whether both addresses must match (the id may be another's too), or one of them does."""


class Sightings:
    """Every echo of a capture by its ICMP id and sequence number, every later fragment by its IP header."""

    def __init__(self, capture: Capture) -> None:
        self._echoes: dict[tuple[int, int, int], list[Packet]] = defaultdict(list)
        self._fragments: dict[tuple[int, IPv4Address, IPv4Address, int, int], list[Packet]] = defaultdict(list)
        self._errors: list[Packet] = []
        for packet in capture.packets:
            icmp = packet.icmp
            if packet.inner.fragment_offset:
                self._fragments[self._fragment_key(packet)].append(packet)
            elif icmp is None:
                continue
            elif icmp.type in (ECHO_REQUEST, ECHO_REPLY) and icmp.id is not None and icmp.seq is not None:
                self._echoes[icmp.type, icmp.id, icmp.seq].append(packet)
            elif icmp.type in ICMP_ERRORS:
                self._errors.append(packet)

    @staticmethod
    def _fragment_key(packet: Packet) -> tuple[int, IPv4Address, IPv4Address, int, int]:
        inner = packet.inner
        return packet.tap, inner.source, inner.destination, inner.protocol, inner.identification

    def requests(self) -> tuple[Packet, ...]:
        """Every echo request (whole or first fragment), in time order."""
        found = [packet for key, packets in self._echoes.items() if key[0] == ECHO_REQUEST for packet in packets]
        return tuple(sorted(found, key=lambda packet: (packet.time, packet.tap, packet.number)))

    def echo(self, echo: Echo) -> tuple[tuple[Packet, ...], tuple[Packet, ...]]:
        """The request and the reply of one echo, at every tap that saw them, in time order."""
        request, reply = (
            tuple(
                packet
                for packet in self._echoes.get((kind, echo.icmp_id, echo.seq), ())
                if _matches(packet, source, destination, strict=echo.strict)
            )
            for kind, source, destination in (
                (ECHO_REQUEST, echo.source, echo.destination),
                (ECHO_REPLY, echo.destination, echo.source),
            )
        )
        return request, reply

    def fragments(self, packet: Packet) -> tuple[Packet, ...]:
        """The later fragments of a first fragment, at the same tap."""
        if not packet.inner.more_fragments:
            return ()
        return tuple(self._fragments.get(self._fragment_key(packet), ()))

    def errors(self, echo: Echo) -> tuple[Packet, ...]:
        """The ICMP errors that quote one echo's request."""
        return tuple(packet for packet in self._errors if _quotes(packet, echo))


def _matches(packet: Packet, source: IPv4Address, destination: IPv4Address, *, strict: bool) -> bool:
    """A translated address is still the same probe's packet, and a finding, where the id is that probe's alone."""
    same = (packet.inner.source == source, packet.inner.destination == destination)
    return all(same) if strict else any(same)


def _quotes(packet: Packet, echo: Echo) -> bool:
    icmp = packet.icmp
    return (
        icmp is not None
        and icmp.quoted_destination == echo.destination
        and icmp.quoted_id in (None, echo.icmp_id)
        and icmp.quoted_seq in (None, echo.seq)
        and (icmp.quoted_id is not None or icmp.quoted_source == echo.source)
    )
