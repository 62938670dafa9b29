"""What a requirement of the wire may judge: the echoes of its subject, and what of them could not be seen."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_calico_ipip.model.absent import LACKS, Absent, Missing, present
from pytest_calico_ipip.model.echo_ids import NOT_SEEN
from pytest_calico_ipip.model.judgement import Difference, Judgement, Reading
from pytest_calico_ipip.model.paths import Flight, Leg, Paths, Stop
from pytest_calico_ipip.model.points import Point
from pytest_calico_ipip.model.wire import Capture, Packet
from pytest_calico_ipip.model.world import World

# echoes whose loss is a finding of PATH-1; one of full size may die of its size alone, which MTU-4 judges
ORDINARY = ("echo", "echo-inside")
# echoes whose frames can each be judged by themselves
FRAMES = (*ORDINARY, "echo-full")

COULD_NOT_RUN = (126, 127, 255)  # exit statuses that say that ping itself never ran


@dataclass
class Verdict:
    """Gathers what one requirement finds on one subject, and becomes a Judgement at the end."""

    requirement: str
    subject: str
    live: bool
    asserted: int = 0
    differences: list[Difference] = field(default_factory=list)
    inconclusive: dict[str, None] = field(default_factory=dict)  # in the order found, each once
    missing: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def compare(self, holds: bool, difference: Difference) -> None:
        """Counts one comparison, and keeps `difference` where it does not hold."""
        self.asserted += 1
        if not holds:
            self.differences.append(difference)

    def unseen(self, what: str) -> None:
        """Something was never collected: an error in a run of ours, which should have it."""
        if self.live:
            self.inconclusive[f"{LACKS} {what}"] = None
        else:
            self.missing[what] = None

    def unwatched(self, point: Point) -> None:
        """A point whose tap may have missed the packet, or that had no tap."""
        if point.tap is None:
            self.unseen(f"a tap at {point}")
        elif point.problem:
            self.inconclusive[f"{point}: {point.problem}"] = None

    def judgement(self, nothing: str = "") -> Judgement:
        """The judgement. `nothing` is the reason where there was nothing to compare and nothing is amiss."""
        empty = not (self.asserted or self.differences or self.inconclusive or self.missing)
        return Judgement(
            self.requirement,
            self.subject,
            asserted=self.asserted,
            differences=tuple(self.differences),
            inconclusive=tuple(self.inconclusive),
            missing=tuple(self.missing),
            not_applicable=nothing if empty else "",
            notes=tuple(self.notes),
        )


def pair_verdict(world: World, requirement: str, source: str, destination: str) -> Verdict:
    """An empty verdict on a pair."""
    return Verdict(requirement, f"{source}:{destination}", world.live)


def wireguard(world: World, source: str, destination: str) -> str:
    """Why IPIP's path requirements do not apply between two nodes; "" where they do."""
    if isinstance(world.datastore, Absent):
        return ""
    known = [world.datastore.nodes.get(name) for name in (source, destination)]
    if source != destination and all(node is not None and node.configuration.wireguard for node in known):
        return "WireGuard carries the packets between these nodes, not IPIP"
    return ""


def wire(world: World, verdict: Verdict) -> tuple[Capture, Paths] | None:
    """What the taps saw, unsorted and sorted; where it is not there, the verdict says why."""
    try:
        return present(world.capture), present(world.paths)
    except Missing as missing:
        (verdict.inconclusive if missing.absent.failed else verdict.missing)[missing.absent.reason] = None
        return None


def flights(
    world: World, verdict: Verdict, source: str, destination: str, kinds: Sequence[str], words: str
) -> tuple[Flight, ...]:
    """The echoes of these kinds; where there are none, the verdict says why. `words` names what was looked for."""
    seen = wire(world, verdict)
    if seen is None:
        return ()
    capture, paths = seen
    found = paths.between(source, destination, kinds)
    if not found:
        from_pod = "echo-from-node" not in kinds
        blind = [
            reading
            for reading in capture.taps
            if paths.derived
            and reading.problem
            and reading.tap.node == source
            # where such echoes are found first: eth0 of the pod, or the node's own devices
            and (reading.tap.netns is not None) == from_pod
        ]
        for reading in blind:
            tap = reading.tap
            verdict.inconclusive[f"{tap.node} {tap.interface}: {reading.problem} (packets/{tap.file})"] = None
        if not blind:
            verdict.unseen(words)
    for note in paths.notes:
        if note.startswith(f"probe {source}:{destination} "):
            verdict.inconclusive[note] = None
    return found


def label(flight: Flight, leg: Leg) -> str:
    """The packet in words: `echo (icmp id 4711 seq 1) from 10.233.107.1 to 10.233.109.1`, or `reply to the …`."""
    request = flight.request
    number = "never seen" if flight.icmp_id == NOT_SEEN else f"icmp id {flight.icmp_id} seq {flight.seq}"
    echo = f"echo ({number}) from {request.source} to {request.destination}"
    return echo if leg.name == "request" else f"reply to the {echo}"


def shows(world: World, packet: Packet) -> Reading | None:
    """Where one packet is, and the command that shows it again."""
    if isinstance(world.capture, Absent):
        return None
    file = f"packets/{world.capture.taps[packet.tap].tap.file}"
    return Reading(file, f"tshark -n -r {shlex.quote(file)} -Y 'frame.number == {packet.number}' -V")


def looks_for(world: World, flight: Flight, leg: Leg, point: Point) -> Reading | None:
    """Where a packet should be, and the command that looks for it again."""
    if isinstance(world.capture, Absent) or point.tap is None:
        return None
    file = f"packets/{world.capture.taps[point.tap].tap.file}"
    kind = 8 if leg.name == "request" else 0
    filter_ = f"icmp.type == {kind} && ip.src == {leg.source} && ip.dst == {leg.destination}"
    if flight.icmp_id != NOT_SEEN:
        filter_ = f"icmp.type == {kind} && icmp.ident == {flight.icmp_id} && icmp.seq == {flight.seq}"
    return Reading(file, f"tshark -n -r {shlex.quote(file)} -o ip.defragment:FALSE -Y '{filter_}'")


def way(packet: Packet) -> str:
    """A packet's headers in words: `10.7.120.11 > 10.7.120.12 (proto 4): 10.233.107.1 > 10.233.109.1 (proto 1)`."""
    return ": ".join(f"{h.source} > {h.destination} (proto {h.protocol})" for h in packet.headers)


def icmp_errors(flight: Flight) -> str:
    """What ICMP answered to the request, in words; "" where nothing did."""
    said: dict[str, None] = {}
    for packet in flight.errors:
        icmp = packet.icmp
        if icmp is None:
            continue
        names = {(3, 4): f"fragmentation needed, mtu {icmp.mtu}", (3, 0): "network unreachable"}
        names |= {(3, 1): "host unreachable", (3, 2): "protocol unreachable", (11, 0): "time exceeded"}
        name = names.get((icmp.type, icmp.code), f"ICMP type {icmp.type} code {icmp.code}")
        said[f"{packet.inner.source} answered: {name}"] = None
    return "; ".join(said)


def arrived(flight: Flight) -> bool:
    """Whether a reply is to be expected: the request was seen at its end, or a reply shows that it got there."""
    return not flight.request.lost or flight.reply.seen


def one_subnet(source: str, destination: str) -> str:
    """The reason where ROUTE-2 wants no tunnel between two nodes."""
    return f"CrossSubnet: {destination} is in the subnet of {source}, so nothing is encapsulated"


def nothing_to_judge(stops: Sequence[Stop]) -> str:
    """The reason where no packet came as far as the points that a requirement is about."""
    points = ", ".join(dict.fromkeys(str(stop.point) for stop in stops))
    return f"nothing to judge: no packet came to {points} (see PATH-1)"
