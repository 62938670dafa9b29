"""TCP transfers, and what is bare on the underlay: each change is found by the requirements that state it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from pytest_calico_ipip.model.judgement import Outcome
from pytest_calico_ipip.model.wire import Packet
from tests.model.test_wire_checks import (
    WAY,
    Break,
    bare,
    blind,
    both,
    change,
    failing,
    inner,
    lose,
    outcomes,
    outer,
    probe,
    remove,
    without,
    wrapped,
)
from tests.model.wire_scene import ACK, FIN, SYN, A, B, C, Scene, healthy

NICS = [(A, "ens192"), (B, "ens192")]
TRANSFER, ENCAPSULATED = ("MTU-6", "1:2"), ("PATH-8", "1:2")
NEVER_BARE = {("PATH-9", "1"), ("PATH-9", "2")}
Edit = Callable[[Packet], Packet]


def segment(edit: Edit, flags: int, *at: tuple[str, str], pair: tuple[str, str] = (A, B)) -> Break:
    """Segments from one pod to another with these flags look otherwise at these taps."""

    def breaking(scene: Scene) -> None:
        found = [index for tap in at for index in scene.segments(*pair, flags, tap)]
        assert found
        for index in found:
            scene.packets[index] = edit(scene.packets[index])

    return breaking


def no_segments(*pair: str, at: tuple[str, str] | None = None) -> Break:
    """No segment from one pod to another is seen, at one tap or at any."""

    def breaking(scene: Scene) -> None:
        remove(scene, [i for flags in (SYN, SYN | ACK, FIN | ACK) for i in scene.segments(pair[0], pair[1], flags, at)])

    return breaking


def mss(size: int | None) -> Edit:
    """Another MSS option, or none."""

    def edit(packet: Packet) -> Packet:
        assert packet.tcp is not None
        return replace(packet, tcp=replace(packet.tcp, mss=size))

    return edit


def silent(scene: Scene) -> None:
    """A's transfer to B gets no answer: its SYN is lost between the nodes, and there is nothing else."""
    probe("tcp-transfer", exit=28, stdout="000 0", stderr="curl: (28) Connection timed out")(scene)
    port = next(scene.packets[i].tcp for i in scene.segments(A, B, SYN))
    assert port is not None
    scene.packets = [
        packet
        for packet in scene.packets
        if packet.tcp is None
        or port.source_port not in (packet.tcp.source_port, packet.tcp.destination_port)
        or (packet.tcp.flags == SYN and scene.taps[packet.tap].tap.node == A)
    ]


BROKEN: dict[str, tuple[Break, set[tuple[str, str]], str]] = {
    "TCP alone is dropped on the way": (
        silent,
        {TRANSFER},
        "tunl0 ✓ → ens192 ✓ ⇢ virtnest-rook-ceph-2 ens192 ✗",
    ),
    "the transfer stops half-way": (
        probe("tcp-transfer", exit=28, stdout="200 65536", stderr="curl: (28) Operation timed out"),
        {TRANSFER},
        "exit status 28, HTTP 200, 65536 bytes: curl: (28) Operation timed out",
    ),
    "the transfer is short, though curl is content": (
        probe("tcp-transfer", stdout="200 1048575"),
        {TRANSFER},
        "1048575 bytes",
    ),
    "somebody else answers": (probe("tcp-transfer", stdout="404 1048576"), {TRANSFER}, "HTTP 404"),
    "curl's count cannot be read": (probe("tcp-transfer", stdout="-1"), {TRANSFER}, "HTTP 000, 0 bytes"),
    "refused, though the pod serves": (
        probe("tcp-transfer", exit=7, stdout="000 0", stderr="curl: (7) Connection refused"),
        {TRANSFER},
        "exit status 7",
    ),
    "the client's MSS leaves no room": (
        segment(mss(1460), SYN, *WAY),
        {TRANSFER},
        "1440 (the MTU of the pod's eth0, 1480, less 40) | 1460",
    ),
    "the server's MSS is clamped on the way": (
        segment(mss(1380), SYN | ACK, *WAY[:4], pair=(B, A)),
        {TRANSFER},
        "at virtnest-rook-ceph-1 ens192",
    ),
    "a SYN without an MSS": (segment(mss(None), SYN, (B, "eth0")), {TRANSFER}, "| none |"),
    "a SYN is bare at the NICs": (
        segment(bare, SYN, *NICS),
        {ENCAPSULATED, *NEVER_BARE},
        "TCP SYN from 10.233.107.1:30105",
    ),
    "a FIN is bare at the sender's NIC": (
        segment(bare, FIN | ACK, (A, "ens192")),
        {ENCAPSULATED, ("PATH-9", "1")},
        "TCP FIN, ACK from 10.233.107.1",
    ),
    "TCP is encapsulated twice": (segment(wrapped, SYN, *NICS), {ENCAPSULATED}, "encapsulated 2 times"),
    "TCP from another node address": (
        segment(outer(source=IPv4Address("192.0.2.1")), FIN | ACK, *NICS),
        {ENCAPSULATED},
        "192.0.2.1 > 10.7.120.12",
    ),
    "the outer header of TCP without DF": (
        segment(outer(dont_fragment=False), SYN, *NICS),
        {ENCAPSULATED},
        "set (the inner has it)",
    ),
    "the outer length of TCP": (segment(outer(length=60), SYN, (A, "ens192")), {ENCAPSULATED}, "80 (inner 60 + 20)"),
    "a SYN changed between tunl0 and the NIC": (
        segment(inner(dscp=8), SYN, (A, "ens192")),
        {ENCAPSULATED},
        "inner header at virtnest-rook-ceph-1 ens192",
    ),
    "TCP translated before the NIC": (
        no_segments(A, B, at=(A, "ens192")),
        {ENCAPSULATED},
        "none, although a transfer was completed",
    ),
    "a SYN with another inner address at the sender's NIC": (
        segment(inner(source=IPv4Address("192.0.2.9")), SYN, (A, "ens192")),
        {ENCAPSULATED},
        "not seen, although it arrived",
    ),
    "the client is masqueraded into the tunnel": (
        segment(inner(source=IPv4Address("10.233.107.0")), SYN, *WAY[2:]),
        {ENCAPSULATED},
        "not seen, although it arrived",
    ),
    "the server is another pod, by translation on arrival": (
        segment(inner(destination=IPv4Address("10.233.109.2")), SYN, *WAY[6:]),
        {ENCAPSULATED},
        "as its echoes pass",
    ),
    "a SYN that no NIC saw": (
        both(*(segment(inner(source=IPv4Address("192.0.2.9")), SYN, nic) for nic in NICS)),
        {ENCAPSULATED},
        "TCP SYN from 10.233.107.1",
    ),
    "a stranger's packet between pods is bare": (
        lambda scene: scene.packets.append(
            replace(scene.packets[scene.segments(A, B, SYN, (A, "eth0"))[0]], tap=scene.tap(C, "ens192"), tcp=None)
        ),
        {("PATH-9", "3")},
        "encapsulated: the pool default is in Always mode",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_transfer_fails_its_requirement_and_no_other(name: str) -> None:
    """A difference fails the requirements that it breaks, says what is wrong, and fails nothing else."""
    breaking, expected, says = BROKEN[name]
    scene = healthy()
    breaking(scene)
    found = failing(scene)
    assert set(found) == expected
    assert any(says in text + " |" for text in found.values()), found
    assert outcomes(scene)[Outcome.ERROR] == set()


CROSS: dict[str, tuple[Break, set[tuple[str, str]], str]] = {
    "inside a subnet an echo is encapsulated": (
        both(*(change(node, at, lambda p: wrapped(replace(p, headers=p.headers[-1:]))) for node, at in NICS)),
        {("PATH-10", "1:2")},
        "bare, 10.233.107.1 > 10.233.109.1",
    ),
    "inside a subnet TCP is encapsulated": (
        segment(wrapped, FIN | ACK, *NICS),
        {("PATH-10", "1:2")},
        "bare: both nodes are in one subnet",
    ),
    "across subnets an echo is bare": (
        both(change(A, "ens192", bare, to=C), change(C, "ens192", bare, to=C)),
        {("PATH-3", "1:3"), ("PATH-10", "1:3")},
        "bare, not encapsulated",
    ),
    "across subnets TCP is bare": (
        segment(bare, SYN, (A, "ens192"), pair=(A, C)),
        {("PATH-8", "1:3")},
        "bare, not encapsulated",
    ),
}


@pytest.mark.parametrize("name", CROSS)
def test_cross_subnet_says_where_a_packet_must_be_bare(name: str) -> None:
    """In CrossSubnet mode the two nodes' subnets decide, and each difference is found where they do."""
    breaking, expected, says = CROSS[name]
    scene = healthy("CrossSubnet")
    breaking(scene)
    found = failing(scene)
    assert set(found) == expected
    assert any(says in text for text in found.values()), found


def test_segments_are_never_counted() -> None:
    """Retransmitted, joined and cut segments, and some that no tap saw, change nothing."""
    scene = healthy()
    again = scene.segments(A, B, SYN, (A, "ens192"))[0]
    scene.packets.append(replace(scene.packets[again], number=9000))
    joined = scene.packets[scene.segments(A, B, FIN | ACK, (A, "ens192"))[0]]
    longer = tuple(replace(header, length=header.length + 7140) for header in joined.headers)
    scene.packets.append(replace(joined, number=9001, headers=longer))
    remove(scene, scene.segments(B, A, FIN | ACK, (A, "ens192")))
    remove(scene, scene.segments(A, B, FIN | ACK, (A, "tunl0")))
    assert failing(scene) == {}
    assert outcomes(scene)[Outcome.ERROR] == set()


def test_where_no_echo_is_answered_tcp_has_nothing_to_add() -> None:
    """A pair that is cut off fails PATH-1 alone: the transfer that failed with it is said not to be judged."""
    scene = healthy()
    both(silent, lose(4), lose(4, kind="echo-full"))(scene)
    assert set(failing(scene)) == {("PATH-1", "1:2")}
    assert "see PATH-1" in scene.judgements()[TRANSFER].not_applicable


def test_a_pod_that_cannot_serve_is_no_failure_of_the_network() -> None:
    """Where the server's image has no nc its transfers are an error that names the remedy."""
    scene = healthy()
    assert scene.probes is not None
    probe("tcp-transfer", exit=7, stdout="000 0", stderr="curl: (7) Connection refused")(scene)
    scene.probes = [replace(p, exit=127) if p.id == f"{B} tcp-server" else p for p in scene.probes]
    judgement = scene.judgements()[TRANSFER]
    assert judgement.outcome is Outcome.ERROR
    assert "--ipip-pod-image" in judgement.inconclusive[0]


@pytest.mark.parametrize(("status", "says"), [(None, "exec was refused"), (127, "curl: not found")])
def test_a_transfer_that_was_never_tried_is_an_error(status: int | None, says: str) -> None:
    """Where the API refused the exec, or the image has no curl, nothing is said about the network."""
    scene = healthy()
    probe("tcp-transfer", exit=status, stdout="", stderr=says)(scene)
    judgement = scene.judgements()[TRANSFER]
    assert judgement.outcome is Outcome.ERROR
    assert says in judgement.inconclusive[0]


@pytest.mark.parametrize(("live", "outcome"), [(True, Outcome.ERROR), (False, Outcome.MISSING)])
def test_without_any_tcp(live: bool, outcome: Outcome) -> None:
    """In a live run that is an error; in a replay it is not in this evidence."""
    scene = healthy()
    scene.live = live
    without(("tcp-transfer",))(scene)
    scene.packets = [packet for packet in scene.packets if packet.tcp is None]
    found = scene.judgements()
    assert {found[key].outcome for key in (TRANSFER, ENCAPSULATED)} == {outcome}


def test_a_blind_nic_is_an_error_and_no_failure() -> None:
    """What a NIC's tap may have missed is inconclusive, for TCP and for bare packets alike."""
    scene = healthy()
    blind(A, "ens192")(scene)
    found = outcomes(scene)
    assert found[Outcome.FAILED] == set()
    assert {ENCAPSULATED, ("PATH-9", "1")} <= found[Outcome.ERROR]
    assert TRANSFER in found[Outcome.HOLDS]


@pytest.mark.parametrize(("bpf", "expected"), [(True, set()), (False, {ENCAPSULATED})])
def test_what_ebpf_hands_over_needs_not_pass_the_workload_interface(bpf: bool, expected: set[tuple[str, str]]) -> None:
    """A SYN that is not seen there, where echoes are, is a difference in the other mode alone."""
    scene = healthy(bpf=bpf)
    remove(scene, scene.segments(A, B, SYN, (B, "cali")))
    assert set(failing(scene)) == expected
