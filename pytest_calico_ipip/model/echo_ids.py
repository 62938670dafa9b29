"""Which ICMP id and sequence numbers the packets of each probe carry."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from ipaddress import IPv4Address

from pytest_calico_ipip.model.sightings import Sightings
from pytest_calico_ipip.model.wire import Capture, Packet, Probe

NOT_SEEN = -1  # stands for the ICMP id of an echo of which no packet was ever seen
HEADERS = 28  # bytes of IP and ICMP header before an echo's data

Numbers = list[tuple[int, int]]  # ICMP id, sequence number


class EchoIds:
    """Tells the probes of one round apart.

    An id that we chose belongs to one probe, unless a ping that chooses its own happens to take it, too: that one is
    known by its addresses, and then both are.
    """

    def __init__(
        self, capture: Capture, probes: Sequence[Probe], sightings: Sightings, pod_addresses: Container[IPv4Address]
    ) -> None:
        self._capture = capture
        self._probes = probes
        self._requests = sightings.requests()
        self._pod_addresses = pod_addresses
        self._taken = {probe.icmp_id for probe in probes}
        self._told = {(probe.icmp_id, probe.source, probe.destination) for probe in probes}
        self.shared: set[int] = set()  # ids that two probes carry: complete after `numbers`
        self._seen = {packet.icmp.id for packet in self._requests if packet.icmp is not None}

    def numbers(self) -> dict[str, Numbers]:
        """By the probe's id; an empty list for one that left no packet and may never have run (a ping inside a pod)."""
        return {probe.id: self._of(probe) for probe in self._probes}

    def _of(self, probe: Probe) -> Numbers:
        if probe.icmp_id is None:
            # ping chose its id itself: inside a pod, or because it is too old to be told one
            numbers = self._free(lambda packet: _carries(packet, probe)) or self._not_free(probe)
            return numbers or ([] if probe.kind == "echo-inside" else [(NOT_SEEN, 1)])
        told = [(probe.icmp_id, seq) for seq in probe.seqs or (1,)]
        if probe.kind == "echo-from-node" and probe.icmp_id not in self._seen:
            # a node whose own address is translated on its way out sends its echo with another id too
            return self._free(lambda packet: self._leaves(packet, probe)) or told
        return told

    def _free(self, matches: Callable[[Packet], bool]) -> Numbers:
        """The first id that no probe has, of requests that match, with all its sequence numbers."""
        return self._first(matches, lambda number: number not in self._taken)

    def _not_free(self, probe: Probe) -> Numbers:
        """An id that another probe has, too: a request with it leaves this pod for where only this probe goes."""

        def leaves_the_pod(packet: Packet) -> bool:
            tap = self._capture.taps[packet.tap].tap
            return tap.node == probe.node and tap.netns is not None and _carries(packet, probe)

        told = self._told
        numbers = self._first(leaves_the_pod, lambda number: (number, probe.source, probe.destination) not in told)
        self.shared.update(number for number, _ in numbers)
        return numbers

    def _first(self, matches: Callable[[Packet], bool], may_be: Callable[[int], bool]) -> Numbers:
        echoes = [packet.icmp for packet in self._requests if matches(packet) and packet.icmp is not None]
        chosen = next((icmp.id for icmp in echoes if icmp.id is not None and may_be(icmp.id)), None)
        if chosen is None:
            return []
        self._taken.add(chosen)
        return [(chosen, seq) for seq in _once(icmp.seq for icmp in echoes if icmp.id == chosen)]

    def _leaves(self, packet: Packet, probe: Probe) -> bool:
        """Whether a packet is on one of the node's own devices, from no pod, on its way to where the probe goes."""
        tap = self._capture.taps[packet.tap].tap
        at_home = tap.node == probe.node and tap.netns is None
        own = at_home and packet.inner.source not in self._pod_addresses
        return own and packet.inner.destination == probe.destination and _has_size(packet, probe)


def _carries(packet: Packet, probe: Probe) -> bool:
    addresses = (packet.inner.source, packet.inner.destination)
    return addresses == (probe.source, probe.destination) and _has_size(packet, probe)


def _has_size(packet: Packet, probe: Probe) -> bool:
    inner = packet.inner
    return probe.size is None or inner.more_fragments or inner.length == probe.size + HEADERS


def _once(numbers: Iterable[int | None]) -> list[int]:
    return list(dict.fromkeys(number for number in numbers if number is not None))
