"""SEC-3: an IPIP packet from outside the host set is not delivered to the pod that it carries. Opt-in, active."""

from __future__ import annotations

from ipaddress import IPv4Network

from pytest_calico_ipip.model.absent import Absent, present
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.checks.wire_scope import shows, way
from pytest_calico_ipip.model.judgement import Reading
from pytest_calico_ipip.model.spoofed import seen, spoofs_to, wrapped
from pytest_calico_ipip.model.wire import Capture, Packet, Probe

_SENT = "packets/probes.json"


@node_check("SEC-3")
def not_delivered(case: Case) -> None:
    """The node takes the packet in at its NIC, and nothing of it comes out of tunl0."""
    configuration = case.expected.node.configuration
    if not case.expected.ipip:
        case.not_applicable("IPIP is off: no pool has an ipipMode other than Never")
        return
    if len(case.world.selected) < 2:
        case.not_applicable("no second node to send a packet with a foreign outer source")
        return
    capture = present(case.world.capture)
    probes = spoofs_to(capture, case.node)
    if not probes:
        case.lack(Absent(f"a packet with a foreign outer source to {case.node} (--ipip-spoof)", failed=False))
    for probe in probes:
        _judge(case, capture, probe, configuration.external_nodes)


def _judge(case: Case, capture: Capture, probe: Probe, external: tuple[str, ...]) -> None:
    there = list(seen(capture, probe, case.node))
    arrived = [packet for packet in there if wrapped(packet)]
    inside = [packet for packet in there if not wrapped(packet)]
    if arrived and any(arrived[0].outer.source in network for network in _networks(external)):
        case.not_applicable(f"externalNodesList lets {arrived[0].outer.source} in")
        return
    if inside:
        _let_in(case, capture, probe, inside)
        return
    blind = [reading for reading in capture.taps if reading.tap.node == case.node and reading.problem]
    for reading in blind:
        case.lack(Absent(f"{case.node} {reading.tap.interface}: {reading.problem}", failed=True))
    if arrived:
        case.hold(len(arrived))
        return
    if blind:
        return
    left = [packet for packet in seen(capture, probe, probe.node) if wrapped(packet)]
    if probe.exit == 0 and left:
        outer = left[0].outer
        case.not_applicable(
            f"packets from {outer.source} left {probe.node} and did not reach {case.node}: the network between them"
            " drops a foreign source address"
        )
        return
    said = f": {probe.stderr}" if probe.stderr else ""
    remedy = "; install python3 or perl there" if probe.exit == 97 else ""
    case.lack(Absent(f"{probe.node} could not send a packet with a foreign outer source{said}{remedy}", failed=True))


def _let_in(case: Case, capture: Capture, probe: Probe, inside: list[Packet]) -> None:
    taps = list(dict.fromkeys(capture.taps[packet.tap].tap.interface for packet in inside))
    case.differ(
        f"{case.node} IPIP packet from outside the host set to {probe.destination}",
        "dropped on arrival",
        f"let in: seen at {', '.join(taps)} as {way(inside[-1])}",
        shows(case.world, inside[-1]) or Reading(_SENT, probe.command),
        "whoever reaches the node can send packets into its pods, past every policy",
    )


def _networks(texts: tuple[str, ...]) -> list[IPv4Network]:
    found = []
    for text in texts:
        try:
            found.append(IPv4Network(text, strict=False))
        except ValueError:
            continue  # IPv6
    return found
