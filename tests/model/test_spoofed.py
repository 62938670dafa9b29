"""SEC-3: what a node makes of an IPIP packet from outside the host set, judged from its taps."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pytest_calico_ipip.judge import load
from pytest_calico_ipip.model.checks import firewall
from pytest_calico_ipip.model.checks.spoof import not_delivered
from pytest_calico_ipip.model.firewall import Firewall
from pytest_calico_ipip.model.judgement import Judgement, Outcome
from pytest_calico_ipip.model.wire import Capture, Header, Icmp, Packet, Probe, Tap, TapReading
from pytest_calico_ipip.model.world import World
from pytest_calico_ipip.packets.probes import Sender, Station
from pytest_calico_ipip.packets.spoofed import Spoof, foreign, plan, sending, told
from pytest_calico_ipip.remote import Answer
from tests.model.recordings import ALWAYS, N1, N2, RECORDED
from tests.packets.frames import write_pcap

FROM, TO = IPv4Address("10.233.107.1"), IPv4Address("10.233.109.1")
NODES = {N1: IPv4Address("10.7.120.11"), N2: IPv4Address("10.7.120.12")}
STRANGER = IPv4Address("192.0.2.199")
PLACES = ((N1, "ens192"), (N2, "ens192"), (N2, "tunl0"), (N2, "cali8e6ddf62423"))
INNER = Header(FROM, TO, 1, 63, 64, 1, False, False, 0, 0, 0)
OUTER = Header(STRANGER, NODES[N2], 4, 83, 64, 1, False, False, 0, 0, 0)
SENT = Probe(f"{N1}:{N2} spoof", "spoof", FROM, TO, N1, "python3 …", 0, icmp_id=4711, seqs=(1, 2))


def scene(*seen: int, probe: Probe = SENT, problem: str = "") -> World:
    """A recording in which the packet was seen at these of PLACES; `problem` is that of the receiver's NIC."""
    taps = tuple(
        TapReading(Tap(f"{node}.{name}.pcap", node, None, name), problem if at == 1 else "")
        for at, (node, name) in enumerate(PLACES)
    )
    packets = tuple(
        Packet(at, 1, 0.0, (OUTER, INNER) if at < 2 else (INNER,), ("eth", "ip"), Icmp(8, 0, 4711, 1)) for at in seen
    )
    world = load(RECORDED / ALWAYS, packets=False)
    return replace(world, capture=Capture(taps, packets, (probe,)), live=True, selected=(N1, N2))


def judged(world: World) -> Judgement:
    """SEC-3 on the receiver."""
    return not_delivered(world, N2)


def test_dropped() -> None:
    """Seen at the NIC and nowhere behind it: that is what must be."""
    assert judged(scene(0, 1)).outcome is Outcome.HOLDS


@pytest.mark.parametrize("behind", [2, 3])
def test_let_in(behind: int) -> None:
    """Seen at tunl0 or at a workload interface, it was let in, and the packet is named."""
    judgement = judged(scene(0, 1, behind))
    assert judgement.outcome is Outcome.FAILED
    assert f"seen at {PLACES[behind][1]} as {FROM} > {TO}" in judgement.differences[0].observed


def test_dropped_on_the_way() -> None:
    """A network that drops foreign sources leaves nothing to judge, and the reason says so."""
    judgement = judged(scene(0))
    assert judgement.outcome is Outcome.NOT_APPLICABLE
    assert "did not reach" in judgement.not_applicable


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (scene(probe=replace(SENT, exit=97, stderr="neither python3 nor perl")), "install python3 or perl"),
        (scene(probe=replace(SENT, exit=1, stderr="Operation not permitted")), "Operation not permitted"),
        (scene(), "could not send"),
        (scene(0, problem="kernel dropped 5 packets"), "kernel dropped 5 packets"),
        (scene(0, 1, problem="kernel dropped 5 packets"), "kernel dropped 5 packets"),
        (scene(probe=replace(SENT, kind="echo")), "--ipip-spoof"),
    ],
)
def test_unseen_is_no_success(world: World, words: str) -> None:
    """What was not sent, or could have been missed, is an ERROR with its reason."""
    judgement = judged(world)
    assert judgement.outcome is Outcome.ERROR
    assert words in judgement.inconclusive[0]


@pytest.mark.parametrize(("rise", "outcome"), [(0, Outcome.HOLDS), (1, Outcome.HOLDS), (2, Outcome.FAILED)])
def test_our_own_packets_are_not_counted(rise: int, outcome: Outcome) -> None:
    """SEC-2: the drop counter may rise by as many as the node took in of ours, and by no more."""
    world = scene(0, 1)
    state = world.nodes[N2]
    rules = next(one for one in state.firewalls if isinstance(one, Firewall) and firewall.find_gate(one, one.chains))
    gate = firewall.find_gate(rules, rules.chains)
    assert gate is not None
    assert gate.drop is not None
    assert gate.drop.packets is not None
    later = replace(gate.drop, packets=gate.drop.packets + rise)
    after = {
        chain: tuple(later if rule is gate.drop else rule for rule in listed) for chain, listed in rules.chains.items()
    }
    nodes = {**world.nodes, N2: replace(state, firewalls=(replace(rules, after=after, after_file="x"),))}
    assert firewall.input_chain(replace(world, nodes=nodes), N2).outcome is outcome


def test_who_sends_to_whom() -> None:
    """Each node gets packets from the next one, with pods under test inside and a source that is nobody's."""
    stations = [Station(node, [Sender("a/b", ip, None, None)], {}) for node, ip in ((N1, FROM), (N2, TO))]
    there, back = plan(stations, NODES, 65535)
    assert (there.sender, there.receiver, there.icmp_id) == (N2, N1, 65535)
    assert (back.sender, back.receiver, back.icmp_id) == (N1, N2, 1)
    assert back.outer_source == STRANGER
    assert plan(stations[:1], NODES, 1) == []
    assert foreign([IPv4Address("192.0.2.7")]) == IPv4Address("198.51.100.199")


def test_what_the_shell_says() -> None:
    """The exit status and words of each sender are kept; one that never answered has none."""
    some = [Spoof(N1, node, STRANGER, address, FROM, TO, 1) for node, address in NODES.items()]
    first, second = told(some, Answer(0, b"\nspoofed: 1 Operation not permitted\n"))
    assert (first.exit, first.stderr) == (1, "Operation not permitted")
    assert (second.exit, second.stderr) == (None, "the packets were not sent")


def test_the_packets_are_whole(tmp_path: Path) -> None:
    """Tshark reads what is sent: two IPv4 headers and an echo, every checksum right."""
    (packet, _) = Spoof(N1, N2, STRANGER, NODES[N2], FROM, TO, 4711).packets()
    file = tmp_path / "spoofed.pcap"
    write_pcap(file, [packet], 101)  # raw IP
    preferences = ["ip.check_checksum:TRUE", "ip.defragment:FALSE"]
    words = [word for one in preferences for word in ("-o", one)]
    fields = ["ip.src", "ip.dst", "ip.proto", "ip.checksum.status", "icmp.checksum.status", "icmp.ident"]
    asked = [word for field in fields for word in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-n", "-r", str(file), *words, "-T", "fields", *asked], capture_output=True, text=True, check=True
    )
    assert done.stdout.rstrip("\n").split("\t") == [
        f"{STRANGER},{FROM}", f"{NODES[N2]},{TO}", "4,1", "1,1", "1", "4711",
    ]  # fmt: skip
    assert packet.hex() in sending([Spoof(N1, N2, STRANGER, NODES[N2], FROM, TO, 4711)])
