"""Each way to break a packet's path is found by the requirement that it breaks, and by no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks import wire_path
from pytest_calico_ipip.model.judgement import Outcome
from pytest_calico_ipip.model.paths import Sight
from pytest_calico_ipip.model.wire import Header, Icmp, Packet
from tests.model.wire_scene import ADDRESSES, A, B, C, Scene, healthy, host_end, pod, send

Break = Callable[[Scene], None]
WAY = [(A, "eth0"), (A, "cali"), (A, "tunl0"), (A, "ens192"), (B, "ens192"), (B, "tunl0"), (B, "cali"), (B, "eth0")]


def remove(scene: Scene, places: Iterable[int]) -> None:
    """Take packets out of the captures."""
    for index in sorted(places, reverse=True):
        del scene.packets[index]


def lose(from_stop: int, leg: str = "request", kind: str = "echo", pair: tuple[str, str] = (A, B)) -> Break:
    """The packet is not seen any more from one point of its way on (and a lost request has no reply)."""

    def breaking(scene: Scene) -> None:
        for name in ("request", "reply"):
            way = [(pair[0] if node == A else pair[1], at) for node, at in WAY]
            way = way if name == "request" else way[::-1]
            if name == leg:
                way = way[from_stop:]
            elif name == "request":
                continue
            for node, at in way:
                remove(scene, scene.select(kind, *pair, name, node, at))

    return breaking


def change(
    node: str, at: str, new: Callable[[Packet], Packet], leg: str = "request", kind: str = "echo", to: str = B
) -> Break:
    """The packet looks otherwise at one tap."""

    def breaking(scene: Scene) -> None:
        found = scene.select(kind, A, to, leg, node, at)
        assert found
        for index in found:
            scene.packets[index] = new(scene.packets[index])

    return breaking


def everywhere(new: Callable[[Packet], Packet], kind: str = "echo", since: int = 0, to: str = B) -> Break:
    """The request looks otherwise at every tap from one point of its way on."""

    def breaking(scene: Scene) -> None:
        for node, at in WAY[since:]:
            for index in scene.select(kind, A, to, "request", node, at):
                scene.packets[index] = new(scene.packets[index])

    return breaking


def outer(**fields: object) -> Callable[[Packet], Packet]:
    """The outer header with other values."""
    return lambda packet: replace(packet, headers=(replace(packet.outer, **fields), *packet.headers[1:]))  # type: ignore[arg-type]


def inner(**fields: object) -> Callable[[Packet], Packet]:
    """The innermost header with other values."""
    return lambda packet: replace(packet, headers=(*packet.headers[:-1], replace(packet.inner, **fields)))  # type: ignore[arg-type]


def carries(**fields: object) -> Callable[[Packet], Packet]:
    """The ICMP message with other values."""

    def new(packet: Packet) -> Packet:
        assert packet.icmp is not None
        return replace(packet, icmp=replace(packet.icmp, **fields))  # type: ignore[arg-type]

    return new


def bare(packet: Packet) -> Packet:
    """Without its outer header."""
    return replace(packet, headers=packet.headers[-1:])


def wrapped(packet: Packet) -> Packet:
    """With one more outer header."""
    more = replace(packet.outer, protocol=4, length=packet.outer.length + 20)
    return replace(packet, headers=(more, *packet.headers))


def both(*breaks: Break) -> Break:
    """One after the other."""

    def breaking(scene: Scene) -> None:
        for each in breaks:
            each(scene)

    return breaking


def also_at(
    node: str, at: str, like: tuple[str, str], kind: str = "echo", pair: tuple[str, str] = (A, B), netns: str = ""
) -> Break:
    """The request is seen at one more tap, as it was at `like`."""

    def breaking(scene: Scene) -> None:
        packet = scene.packets[scene.select(kind, *pair, "request", *like)[0]]
        tap = scene.tap(node, at, netns or None)
        scene.packets.append(replace(packet, tap=tap, number=9000, time=9.0))

    return breaking


def at_taps(taps: list[tuple[str, str]], new: Callable[[Packet], Packet], leg: str = "request") -> Break:
    """The packet looks otherwise at several taps."""
    return both(*(change(node, at, new, leg) for node, at in taps))


def by_another_way(scene: Scene) -> None:
    """The block's route leads through the underlay NIC: bare there, and not at tunl0 of either node."""
    at_taps([(A, "ens192"), (B, "ens192")], bare)(scene)
    for node in (A, B):
        remove(scene, scene.select("echo", A, B, "request", node, "tunl0"))


def by_the_third_node(scene: Scene) -> None:
    """The block's route leads to the third node, which sends the packet on to the right one."""
    third, right = IPv4Address(ADDRESSES[C]), IPv4Address(ADDRESSES[B])
    change(A, "ens192", outer(destination=third))(scene)
    change(B, "ens192", outer(source=third))(scene)
    for node, at in WAY[4:]:
        for index in scene.select("echo", A, B, "request", node, at):
            packet = scene.packets[index]
            headers = tuple(replace(header, ttl=header.ttl - 1) for header in packet.headers)
            scene.packets[index] = replace(packet, headers=headers)
    arrived = scene.packets[scene.select("echo", A, B, "request", A, "ens192")[0]]
    sent_on = scene.packets[scene.select("echo", A, B, "request", B, "ens192")[0]]
    assert sent_on.outer.destination == right
    for number, packet in enumerate((arrived, bare(arrived), bare(sent_on), sent_on)):
        tap = scene.tap(C, "tunl0" if len(packet.headers) == 1 else "ens192")
        scene.packets.append(replace(packet, tap=tap, number=9000 + number))


def probe(kind: str, **fields: object) -> Break:
    """What the command of a probe answered."""

    def breaking(scene: Scene) -> None:
        assert scene.probes is not None
        for index, each in enumerate(scene.probes):
            if each.id == f"{A}:{B} {kind}":
                scene.probes[index] = replace(each, **fields)  # type: ignore[arg-type]

    return breaking


def link_type(node: str, interface: str, name: str) -> Break:
    """The tap's file has another link type."""

    def breaking(scene: Scene) -> None:
        index = scene.tap(node, interface)
        scene.taps[index] = replace(scene.taps[index], link_type=name)

    return breaking


def fragmented(scene: Scene) -> None:
    """The request is fragmented by its sender, and every tap sees both pieces."""
    for packet in list(scene.packets):
        if packet.icmp is not None and packet.icmp.type == 8 and packet.icmp.id == scene_id(scene, "echo"):
            index = scene.packets.index(packet)
            first = replace(packet.inner, more_fragments=True, length=1476, dont_fragment=False)
            second = replace(packet.inner, fragment_offset=1456, length=25, dont_fragment=False)
            headers = [(*packet.headers[:-1], h) for h in (first, second)]
            if len(packet.headers) == 2:
                headers = [(replace(h[0], length=h[1].length + 20, dont_fragment=False), h[1]) for h in headers]
            scene.packets[index] = replace(packet, headers=headers[0])
            later = replace(packet, number=packet.number + 5000, headers=headers[1], icmp=None)
            scene.packets.append(later)


def scene_id(scene: Scene, kind: str) -> int | None:
    """The ICMP id of the probe from A to B."""
    return next(p.icmp_id for p in scene.probes or () if p.id == f"{A}:{B} {kind}")


def lost_fragment(scene: Scene) -> None:
    """The second fragment is not seen at the peer's tunl0."""
    fragmented(scene)
    tap = scene.tap(B, "tunl0")
    scene.packets = [p for p in scene.packets if not (p.tap == tap and p.inner.fragment_offset)]


def needs_fragmentation(scene: Scene) -> None:
    """The full-size echo dies at tunl0, and the node says so."""
    lose(2, kind="echo-full")(scene)
    said = Header(IPv4Address(ADDRESSES[A]), pod_ip(A), 1, 56, 64, 7, False, False, 0, 48, 0)
    quoted = Icmp(3, 4, mtu=1400, quoted_source=pod_ip(A), quoted_destination=pod_ip(B))
    tap = scene.tap(A, "eth0", "cni-1-1")
    scene.packets.append(
        Packet(tap, 9001, 9.0, (said,), ("eth", "ip", "icmp"), replace(quoted, quoted_id=scene_id(scene, "echo-full")))
    )


def pod_ip(node: str) -> IPv4Address:
    """The address of a node's first pod under test."""
    address = pod(node).ip
    assert address is not None
    return address


def drop_same_node(scene: Scene) -> None:
    """The echo to the other pod of the node does not come out of its workload interface."""
    tap = scene.tap(A, host_end(pod(A, 2)))
    inside = scene.tap(A, "eth0", "cni-1-2")
    icmp_id = next(p.icmp_id for p in scene.probes or () if p.id == f"{A}:{A} echo-same-node")
    scene.packets = [
        p
        for p in scene.packets
        if p.icmp is None or p.icmp.id != icmp_id or (p.icmp.type == 8 and p.tap not in (tap, inside))
    ]


def same_node_reply_by_nic(scene: Scene) -> None:
    """The reply between two pods of one node is seen encapsulated at the NIC."""
    icmp_id = next(p.icmp_id for p in scene.probes or () if p.id == f"{A}:{A} echo-same-node")
    reply = next(p for p in scene.packets if p.icmp is not None and (p.icmp.id, p.icmp.type) == (icmp_id, 0))
    scene.packets.append(replace(wrapped(reply), tap=scene.tap(A, "ens192"), number=9002))


ONE_TWO = "1:2"
ALL_OF_A = ("1:2", "1:3", "2:1", "3:1")
NICS = [(A, "ens192"), (B, "ens192")]
P1, P2, P3, P4, P5, P7 = (f"PATH-{n}" for n in (1, 2, 3, 4, 5, 7))
OTHERS = ("MTU-6", "PATH-8", "PATH-9", "PATH-10")  # not judged by echoes, or not in this mode
TUNNEL_ADDRESS = IPv4Address("10.233.107.0")

BROKEN: dict[str, tuple[Break, set[tuple[str, str]], str]] = {
    # what is done: (how, which requirements fail, what the first difference must say)
    "lost at eth0 of the sender": (lose(0), {(P1, ONE_TWO)}, "virtnest-rook-ceph-1 eth0 ✗"),
    "lost at the sender's workload interface": (lose(1), {(P1, ONE_TWO)}, "eth0 ✓ → cali"),
    "lost at the sender's tunl0": (lose(2), {(P1, ONE_TWO)}, "→ tunl0 ✗"),
    "lost at the sender's NIC": (lose(3), {(P1, ONE_TWO)}, "→ ens192 ✗"),
    "lost between the nodes": (
        lose(4),
        {(P1, ONE_TWO)},
        f"virtnest-rook-ceph-1 eth0 ✓ → {host_end(pod(A))} ✓ → tunl0 ✓ → ens192 ✓ ⇢ virtnest-rook-ceph-2 ens192 ✗",
    ),
    "protocol 4 dropped at the receiver": (lose(5), {(P1, ONE_TWO)}, "⇢ virtnest-rook-ceph-2 ens192 ✓ → tunl0 ✗"),
    "lost at the receiver's workload interface": (lose(6), {(P1, ONE_TWO)}, f"tunl0 ✓ → {host_end(pod(B))} ✗"),
    "lost at eth0 of the receiver": (lose(7), {(P1, ONE_TWO)}, f"{host_end(pod(B))} ✓ → eth0 ✗"),
    "no reply": (lose(0, "reply"), {(P1, ONE_TWO)}, "the pod did not answer"),
    "reply lost between the nodes": (lose(4, "reply"), {(P1, ONE_TWO)}, "⇢ virtnest-rook-ceph-1 ens192 ✗"),
    "seen twice at the receiver's NIC": (also_at(B, "ens192", (B, "ens192")), {(P1, ONE_TWO)}, "seen 2 times"),
    "seen at a third node's NIC": (also_at(C, "ens192", (A, "ens192")), {(P1, ONE_TWO)}, "virtnest-rook-ceph-3 ens192"),
    "seen at a third node's tunl0": (also_at(C, "tunl0", (A, "tunl0")), {(P1, ONE_TWO)}, "virtnest-rook-ceph-3 tunl0"),
    "seen at another pod's eth0": (
        also_at(B, "eth0", (B, "eth0"), netns="cni-2-2"),
        {(P1, ONE_TWO)},
        "not on its way",
    ),
    "a fragment lost": (lost_fragment, {(P1, ONE_TWO)}, "later fragments at virtnest-rook-ceph-2 tunl0"),
    "by the NIC instead of tunl0": (
        by_another_way,
        {(P1, ONE_TWO), (P3, ONE_TWO), ("PATH-9", "1"), ("PATH-9", "2")},
        "it took another way: seen again at virtnest-rook-ceph-1 ens192",
    ),
    "to the wrong node": (by_the_third_node, {(P1, ONE_TWO), (P3, ONE_TWO), (P5, ONE_TWO)}, "virtnest-rook-ceph-3"),
    "bare at the NICs": (
        at_taps(NICS, bare),
        {(P3, ONE_TWO), ("PATH-9", "1"), ("PATH-9", "2")},
        "bare, not encapsulated: 10.233.107.1",
    ),
    "encapsulated twice": (at_taps(NICS, wrapped), {(P3, ONE_TWO)}, "encapsulated 2 times"),
    "another outer protocol": (at_taps(NICS, outer(protocol=17)), {(P3, ONE_TWO)}, "4 (ipip-proto-4)"),
    "wrong outer source": (
        at_taps(NICS, outer(source=IPv4Address("192.0.2.1"))),
        {(P3, ONE_TWO)},
        "10.7.120.11 > 10.7.120.12",
    ),
    "wrong outer destination": (
        at_taps(NICS, outer(destination=IPv4Address("10.7.121.13"))),
        {(P3, ONE_TWO)},
        "10.7.120.11 > 10.7.121.13",
    ),
    "outer TTL not the inner's": (change(A, "ens192", outer(ttl=64)), {(P3, ONE_TWO)}, "63 (the inner's)"),
    "outer TTL risen on the way": (change(B, "ens192", outer(ttl=64)), {(P3, ONE_TWO)}, "at most 63"),
    "outer DF not set": (at_taps(NICS, outer(dont_fragment=False)), {(P3, ONE_TWO)}, "set (the inner has it)"),
    "outer length not the inner's + 20": (at_taps(NICS, outer(length=100)), {(P3, ONE_TWO)}, "104 (inner 84 + 20)"),
    "outer header with options": (
        at_taps(NICS, outer(length=104, header_length=24)),
        {(P3, ONE_TWO)},
        "108 (inner 84 + 24)",
    ),
    "DSCP set by the sending node": (at_taps(NICS, outer(dscp=46)), {(P3, ONE_TWO)}, "0 (DSCP is not copied)"),
    "DSCP copied": (
        both(everywhere(inner(dscp=46)), at_taps(NICS, outer(dscp=46))),
        {(P3, ONE_TWO)},
        "0 (the inner's 46 is not copied)",
    ),
    "ECN not copied": (everywhere(inner(ecn=2)), {(P3, ONE_TWO)}, "2 (copied from the inner's 2)"),
    "inner header changed in the tunnel": (change(B, "ens192", inner(identification=9)), {(P3, ONE_TWO)}, "id 9"),
    "inner source translated from tunl0 on": (
        everywhere(inner(source=TUNNEL_ADDRESS), since=2),
        {(P2, ONE_TWO), (P3, ONE_TWO)},
        "10.233.107.0 > 10.233.109.1",
    ),
    "encapsulated already at tunl0": (
        change(A, "tunl0", wrapped),
        {(P2, ONE_TWO)},
        "headers at virtnest-rook-ceph-1 tunl0",
    ),
    "tunl0 with the link type of Ethernet": (
        link_type(A, "tunl0", "EN10MB"),
        {(P2, pair) for pair in ALL_OF_A},
        "link type at virtnest-rook-ceph-1 tunl0",
    ),
    "eth0 with the link type of raw IP": (
        link_type(A, "eth0", "RAW"),
        {(P2, pair) for pair in ALL_OF_A},
        "link type at virtnest-rook-ceph-1 eth0",
    ),
    "reply bare at the NIC": (
        change(A, "ens192", bare, "reply"),
        {(P4, ONE_TWO), ("PATH-9", "1")},
        "bare, not encapsulated",
    ),
    "reply from another node address": (
        at_taps(NICS, outer(source=IPv4Address("192.0.2.2")), "reply"),
        {(P4, ONE_TWO)},
        "10.7.120.12 > 10.7.120.11",
    ),
    "reply encapsulated at the workload interface": (
        change(B, "cali", wrapped, "reply"),
        {(P4, ONE_TWO)},
        "headers at",
    ),
    "inner TTL not lowered by the receiver": (
        at_taps([(B, "cali"), (B, "eth0")], inner(ttl=63)),
        {(P5, ONE_TWO)},
        "62 (64 at virtnest-rook-ceph-1 eth0, less 2)",
    ),
    "inner TTL lowered once more": (
        at_taps([(B, "cali"), (B, "eth0")], inner(ttl=61)),
        {(P5, ONE_TWO)},
        "62 (64 at virtnest-rook-ceph-1 eth0, less 2)",
    ),
    "payload changed, seen in the checksum": (change(B, "eth0", carries(checksum=7)), {(P5, ONE_TWO)}, "0x0007"),
    "payload changed, seen in the data": (
        change(B, "eth0", carries(data=b"abcdefgx" * 6)),
        {(P5, ONE_TWO)},
        "byte 7 is 0x68",
    ),
    "reply's TTL not lowered": (change(A, "eth0", inner(ttl=64), "reply"), {(P5, ONE_TWO)}, "reply to"),
    "same-node packet at tunl0": (
        also_at(A, "tunl0", (A, "eth0"), "echo-same-node", (A, A)),
        {("PATH-6", "1")},
        "not on its way",
    ),
    "same-node packet lost": (drop_same_node, {("PATH-6", "1")}, f"{host_end(pod(A))} ✓ → {host_end(pod(A, 2))} ✗"),
    "same-node reply by the NIC": (same_node_reply_by_nic, {("PATH-6", "1")}, "virtnest-rook-ceph-1 ens192"),
    "node's own packet from its own address": (
        everywhere(inner(source=IPv4Address("10.7.120.11")), "echo-from-node", since=2),
        {(P7, ONE_TWO)},
        "10.233.107.0 (the node's tunnel address)",
    ),
    "node's own packet translated, address and id": (
        everywhere(
            lambda packet: carries(id=60_001)(inner(source=IPv4Address("10.7.120.11"))(packet)),
            "echo-from-node",
            since=2,
        ),
        {(P7, ONE_TWO)},
        "10.7.120.11, in 10.7.120.11 > 10.233.109.1",
    ),
    "node's own packet bare at the NIC": (
        change(A, "ens192", bare, kind="echo-from-node"),
        {(P7, ONE_TWO), ("PATH-9", "1")},
        "bare, not encapsulated",
    ),
    "node's own reply comes back, and ping does not get it": (
        probe("echo-from-node", exit=1),
        {(P7, ONE_TWO)},
        "it came to tunl0, and ping did not get it: exit status 1",
    ),
    "node's own packet lost": (lose(5, kind="echo-from-node"), {(P7, ONE_TWO)}, "tunl0 ✗"),
    "node's own packet lost where the pods' are": (
        both(lose(5), lose(5, kind="echo-from-node")),
        {(P1, ONE_TWO)},
        "tunl0 ✗",
    ),
    "full-size echo too large for tunl0": (needs_fragmentation, {("MTU-4", ONE_TWO)}, "fragmentation needed, mtu 1400"),
    "full-size echo without a reply": (lose(0, "reply", "echo-full"), {("MTU-4", ONE_TWO)}, "no reply"),
    "no echo answered, of whatever size": (both(lose(4), lose(4, kind="echo-full")), {(P1, ONE_TWO)}, "ens192 ✗"),
    "one byte more is answered": (
        probe("echo-over", exit=0, stderr="", stdout="1 received"),
        {("MTU-5", ONE_TWO)},
        "exit status 0, 1 received",
    ),
    "one byte more is lost on the way": (
        probe("echo-over", exit=1, stderr="", stdout="1 packets transmitted, 0 received, 100% packet loss"),
        {("MTU-5", ONE_TWO)},
        "100% packet loss",
    ),
    "one byte more is refused with another MTU": (
        probe("echo-over", stderr="ping: local error: message too long, mtu=1400"),
        {("MTU-5", ONE_TWO)},
        "1400",
    ),
    "one byte more is sent": (
        lambda scene: scene.packets.append(
            carries(id=scene_id(scene, "echo-over"))(scene.packets[scene.select("echo", A, B, "request", A, "eth0")[0]])
        ),
        {("MTU-5", ONE_TWO)},
        "seen at virtnest-rook-ceph-1 eth0",
    ),
}


def failing(scene: Scene) -> dict[tuple[str, str], str]:
    """What fails, with everything that its differences say."""
    return {
        key: "\n".join(f"{d.what} | {d.expected} | {d.observed} | {d.note}" for d in judgement.differences)
        for key, judgement in scene.judgements().items()
        if judgement.outcome is Outcome.FAILED
    }


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_path_fails_its_requirement_and_no_other(name: str) -> None:
    """A difference on the wire fails the requirements that it breaks, says what is wrong, and fails nothing else."""
    breaking, expected, says = BROKEN[name]
    scene = healthy()
    breaking(scene)
    found = failing(scene)
    assert set(found) == expected
    assert any(says in text for text in found.values()), found
    errors = {key for key, judgement in scene.judgements().items() if judgement.outcome is Outcome.ERROR}
    assert errors == set()


@pytest.mark.parametrize("mode", ["Always", "CrossSubnet"])
def test_a_healthy_round_holds(mode: str) -> None:
    """Nothing fails, errs or is missing; what another mode or another subnet asks for is said not to apply."""
    outcomes = {key: judgement.outcome for key, judgement in healthy(mode).judgements().items()}
    others = {key for key, outcome in outcomes.items() if outcome is not Outcome.HOLDS}
    if mode == "CrossSubnet":
        not_here = {(requirement, pair) for requirement in (P3, "PATH-8") for pair in ("1:2", "2:1")}
        assert others == not_here | {("PATH-9", node) for node in "123"}
    else:
        assert others == {(requirement, pair) for requirement, pair in outcomes if requirement == "PATH-10"}
    assert {outcomes[key] for key in others} <= {Outcome.NOT_APPLICABLE}


HEALTHY: dict[str, Break] = {
    "DSCP set and not copied": everywhere(inner(dscp=46)),
    "ECN set and copied": both(everywhere(inner(ecn=2)), at_taps(NICS, outer(ecn=2))),
    "congestion met before the tunnel": both(everywhere(inner(ecn=3)), at_taps(NICS, outer(ecn=2))),
    "outer header marked by a router": change(B, "ens192", outer(dscp=10, ecn=3)),
    "outer TTL lowered by a router": change(B, "ens192", outer(ttl=61)),
    "outer DF set where the inner has none": both(
        everywhere(inner(dont_fragment=False)), at_taps(NICS, outer(dont_fragment=True))
    ),
    "a fragmented echo": fragmented,
    "a snap length that cuts the data": at_taps(NICS, carries(data=b"abcd")),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_what_a_healthy_network_may_do_holds(name: str) -> None:
    """What Linux and routers do to a healthy packet is no difference."""
    scene = healthy()
    HEALTHY[name](scene)
    assert failing(scene) == {}


def test_background_is_not_judged() -> None:
    """Echoes that nobody's probe sent, and frames without an echo, change nothing."""
    scene = healthy()
    stray = scene.packets[scene.select("echo", A, B, "request", A, "eth0")[0]]
    scene.packets += [carries(id=60_000)(stray), replace(stray, icmp=None), carries(type=3, id=None)(stray)]
    assert failing(scene) == {}


def blind(node: str, interface: str, *, sees: bool = False) -> Break:
    """One tap has a problem; without `sees` it saw nothing at all."""

    def breaking(scene: Scene) -> None:
        index = scene.tap(node, interface)
        scene.taps[index] = replace(scene.taps[index], problem="the kernel dropped 3 packets before tcpdump saw them")
        if not sees:
            scene.packets = [packet for packet in scene.packets if packet.tap != index]

    return breaking


def outcomes(scene: Scene) -> dict[Outcome, set[tuple[str, str]]]:
    """Judgements by outcome."""
    found: dict[Outcome, set[tuple[str, str]]] = {outcome: set() for outcome in Outcome}
    for key, judgement in scene.judgements().items():
        found[judgement.outcome].add(key)
    return found


def test_a_tap_that_may_have_missed_a_packet_is_an_error_and_no_failure() -> None:
    """A blind tunl0 makes what it should have seen inconclusive, names the tap and its problem, and fails nothing."""
    scene = healthy()
    blind(A, "tunl0")(scene)
    found = outcomes(scene)
    assert found[Outcome.FAILED] == set()
    assert {pair for requirement, pair in found[Outcome.ERROR] if requirement == P1} == set(ALL_OF_A)
    judgement = scene.judgements()[P1, ONE_TWO]
    assert judgement.inconclusive == (
        "virtnest-rook-ceph-1 tunl0: the kernel dropped 3 packets before tcpdump saw them",
    )
    assert ("MTU-4", ONE_TWO) in found[Outcome.HOLDS]
    assert (P3, ONE_TWO) in found[Outcome.HOLDS]


def test_a_tap_with_a_problem_that_saw_everything_is_enough() -> None:
    """Packets dropped by the kernel do not matter where the packet in question was seen all the same."""
    scene = healthy()
    blind(A, "tunl0", sees=True)(scene)
    assert outcomes(scene)[Outcome.ERROR] == set()


def test_a_loss_that_another_tap_proves_fails_beside_a_blind_tap() -> None:
    """A tap that saw nothing, and could have, proves the loss whatever a blind tap before it missed."""
    scene = healthy()
    both(lose(4), blind(A, "tunl0"))(scene)
    judgement = scene.judgements()[P1, ONE_TWO]
    assert judgement.outcome is Outcome.FAILED
    assert "tunl0 ? → ens192 ✓ ⇢ virtnest-rook-ceph-2 ens192 ✗" in judgement.differences[0].note


def test_a_lost_packet_does_not_fail_what_nobody_saw() -> None:
    """Where a packet dies in its own namespace PATH-1 fails; the requirements after it have nothing to judge."""
    scene = healthy()
    both(lose(0), lose(0, kind="echo-full"))(scene)
    found = scene.judgements()
    assert found[P1, ONE_TWO].outcome is Outcome.FAILED
    for requirement in (P2, P3, P4, P5, "MTU-4", "MTU-5"):
        judgement = found[requirement, ONE_TWO]
        assert judgement.outcome is Outcome.NOT_APPLICABLE
        assert "see PATH-1" in judgement.not_applicable


def test_a_difference_says_where_the_packet_is_and_how_to_see_it_again() -> None:
    """A difference carries the capture's file and a tshark command: for the frame, or to look for it again."""
    scene = healthy()
    change(A, "ens192", outer(ttl=9))(scene)
    reading = scene.judgements()[P3, ONE_TWO].differences[0].reading
    assert reading is not None
    assert reading.file == "packets/virtnest-rook-ceph-1.host.ens192.pcap"
    assert reading.command.startswith("tshark -n -r packets/virtnest-rook-ceph-1.host.ens192.pcap -Y 'frame.number == ")
    scene = healthy()
    lose(4)(scene)
    reading = scene.judgements()[P1, ONE_TWO].differences[0].reading
    assert reading is not None
    assert reading.file == "packets/virtnest-rook-ceph-2.host.ens192.pcap"
    assert f"icmp.ident == {scene_id(scene, 'echo')}" in reading.command


def without(kinds: tuple[str, ...]) -> Break:
    """Probes of these kinds were never sent."""

    def breaking(scene: Scene) -> None:
        assert scene.probes is not None
        scene.probes = [each for each in scene.probes if each.kind not in kinds]

    return breaking


def test_what_a_node_loses_of_its_pods_it_may_lose_of_its_own() -> None:
    """One rule that loses both is told once, by PATH-1; and a damaged reply, which no ping takes, by PATH-5."""
    scene = healthy()
    probe("echo-from-node", exit=1)(scene)
    for kind in ("echo", "echo-full"):
        remove(scene, [i for tap in ("cali", "eth0") for i in scene.select(kind, A, B, "reply", A, tap)])
    assert set(failing(scene)) & {(P1, ONE_TWO), (P7, ONE_TWO)} == {(P1, ONE_TWO)}
    scene = healthy()
    probe("echo-from-node", exit=1)(scene)
    for index in scene.select("echo-from-node", A, B, "reply", A, "tunl0"):
        scene.packets[index] = carries(checksum=1)(scene.packets[index])
    assert set(failing(scene)) == {(P5, ONE_TWO)}


def test_a_reply_for_which_ping_did_not_wait_accuses_nobody() -> None:
    """A way that takes longer than a ping's patience is a slow one, and every packet of it arrives."""
    scene = healthy()
    probe("echo-from-node", exit=1)(scene)
    for index in scene.select("echo-from-node", A, B, "reply", A, "tunl0"):
        scene.packets[index] = replace(scene.packets[index], time=scene.packets[index].time + 1.9)
    assert failing(scene) == {}


@pytest.mark.parametrize(("live", "outcome"), [(True, Outcome.ERROR), (False, Outcome.MISSING)])
def test_a_probe_that_is_not_there(live: bool, outcome: Outcome) -> None:
    """In a live run a probe that is not there is an error; in a replay it is not in this evidence."""
    scene = healthy()
    scene.live = live
    without(("echo", "echo-full", "echo-over", "echo-from-node", "echo-same-node"))(scene)
    by_echoes = {key: judgement.outcome for key, judgement in scene.judgements().items() if key[0] not in OTHERS}
    assert set(by_echoes.values()) == {outcome}


@pytest.mark.parametrize(("failed", "outcome"), [(True, Outcome.ERROR), (False, Outcome.MISSING)])
def test_no_capture(failed: bool, outcome: Outcome) -> None:
    """Without a capture every requirement of the wire is an error, or not in this evidence, with the reason."""
    world = replace(healthy().world(), capture=Absent("tshark is not installed", failed=failed))
    judgement = wire_path.seen_once(world, A, B)
    assert judgement.outcome is outcome
    assert (judgement.inconclusive or judgement.missing) == ("tshark is not installed",)


def test_a_probe_that_could_not_be_sent_is_an_error() -> None:
    """Where ping itself could not run, nothing is said about the network."""
    scene = healthy()
    both(lose(0), probe("echo", exit=127, stderr="sh: ping: not found"))(scene)
    judgement = scene.judgements()[P1, ONE_TWO]
    assert judgement.outcome is Outcome.ERROR
    assert "sh: ping: not found" in judgement.inconclusive[0]


def test_an_mtu_that_the_way_has_told_before() -> None:
    """Where the full-size echo was too large for the way, one byte more is refused with the MTU that it was told."""
    scene = healthy()
    both(needs_fragmentation, probe("echo-over", stderr="ping: local error: message too long, mtu=1400"))(scene)
    assert set(failing(scene)) == {("MTU-4", ONE_TWO)}


def test_a_full_size_echo_of_another_size_is_an_error() -> None:
    """MTU-4 asks for exactly the pod's MTU: an echo of another size says nothing about it."""
    scene = healthy()
    everywhere(inner(length=1400), "echo-full")(scene)
    judgement = scene.judgements()["MTU-4", ONE_TWO]
    assert judgement.outcome is Outcome.ERROR
    assert "had 1400 bytes with DF, not 1480" in judgement.inconclusive[0]


def test_a_missing_tap_is_an_error_live_and_missing_in_a_replay() -> None:
    """A way that nothing watched in part is inconclusive in a live run; in a replay the rest of it is asserted."""
    for live, outcome in ((True, Outcome.ERROR), (False, Outcome.HOLDS)):
        scene = healthy()
        scene.live = live
        index = scene.tap(B, "tunl0")
        scene.taps[index] = replace(scene.taps[index], tap=replace(scene.taps[index].tap, node="elsewhere"))
        scene.packets = [packet for packet in scene.packets if packet.tap != index]
        judgement = scene.judgements()[P1, ONE_TWO]
        assert judgement.outcome is outcome
        said = judgement.inconclusive if live else judgement.missing
        assert "a tap at virtnest-rook-ceph-2 tunl0" in said[0]


def test_wireguard_and_ebpf() -> None:
    """Between WireGuard peers nothing is judged; with eBPF the receiving workload interface may see nothing."""
    scene = healthy(wireguard=True)
    assert scene.judgements()[P1, ONE_TWO].outcome is Outcome.NOT_APPLICABLE
    assert scene.judgements()["PATH-6", "1"].outcome is Outcome.HOLDS
    scene = healthy(bpf=True)
    for kind in ("echo", "echo-full", "echo-from-node"):
        remove(scene, scene.select(kind, A, B, "request", B, "cali"))
    assert outcomes(scene)[Outcome.FAILED] == outcomes(scene)[Outcome.ERROR] == set()


def test_pmtudisc_sets_df_always() -> None:
    """Where tunl0 discovers the path's MTU, an outer header without DF is a difference whatever the inner one has."""
    scene = healthy()
    both(everywhere(inner(dont_fragment=False)), at_taps(NICS, outer(dont_fragment=False)))(scene)
    assert failing(scene) == {}
    links = scene.states[A].links
    assert not isinstance(links, Absent)
    changed = tuple(replace(link, path_mtu_discovery=True) if link.name == "tunl0" else link for link in links)
    scene.states[A] = replace(scene.states[A], links=changed)
    assert "tunl0 is pmtudisc" in failing(scene)[P3, ONE_TWO]


def test_without_probes_json_the_probes_are_found_in_the_packets() -> None:
    """A replay without probes.json finds the same echoes; only the refused one left no packet to be found by."""
    scene = healthy()
    scene.probes, scene.live = None, False
    found = outcomes(scene)
    assert found[Outcome.FAILED] == found[Outcome.ERROR] == set()
    assert {requirement for requirement, _ in found[Outcome.MISSING]} == {"MTU-5"}
    kinds = {flight.kind for flight in scene.world().paths.flights}  # type: ignore[union-attr]
    assert kinds == {"echo", "echo-full", "echo-from-node", "echo-same-node"}


def test_a_ping_that_chose_its_own_ids_is_followed() -> None:
    """Where ping cannot be told an id, its packets are found by addresses and size, each for one probe."""
    scene = healthy()
    assert scene.probes is not None
    scene.probes = [replace(each, icmp_id=None) for each in scene.probes]
    found = outcomes(scene)
    assert found[Outcome.FAILED] == found[Outcome.ERROR] == set()
    lose(4)(healthy_scene := healthy())
    ids = {each.id: each.icmp_id for each in healthy_scene.probes or ()}
    scene = healthy_scene
    scene.probes = [replace(each, icmp_id=None) for each in scene.probes or ()]
    assert set(failing(scene)) == {(P1, ONE_TWO)}
    flights = scene.world().paths.flights  # type: ignore[union-attr]
    assert {f.icmp_id for f in flights if f.id == f"{A}:{B} echo"} == {ids[f"{A}:{B} echo"]}


def test_pings_inside_pods_may_take_an_id_that_another_has() -> None:
    """One of ours, or one inside another pod, where both took their process id: each is known by its addresses."""
    scene = healthy()
    ours = next(each.icmp_id for each in scene.probes or () if each.id == f"{A}:{B} echo")
    assert ours is not None
    assert scene.probes is not None
    for source, destination in ((A, C), (C, B)):
        send(scene, "echo-inside", source, destination, ours)
        scene.probes[-1] = replace(scene.probes[-1], icmp_id=None)
    found = outcomes(scene)
    assert found[Outcome.FAILED] == found[Outcome.ERROR] == set()
    flights = scene.world().paths.flights  # type: ignore[union-attr]
    assert [(f.nodes, f.icmp_id) for f in flights if f.kind == "echo-inside"] == [((A, C), ours), ((C, B), ours)]


def test_an_echo_that_never_left_is_lost_though_its_id_is_unknown() -> None:
    """A probe without an id of which no packet exists is still a probe that got lost."""
    scene = healthy()
    lose(0)(scene)
    probe("echo", icmp_id=None)(scene)
    assert set(failing(scene)) == {(P1, ONE_TWO)}


def test_an_inconclusive_point_has_its_own_mark() -> None:
    """The line of hops goes on past a point that may have missed the packet."""
    scene = healthy()
    blind(A, "tunl0")(scene)
    flight = scene.world().paths.between(A, B, ("echo",))[0]  # type: ignore[union-attr]
    assert flight.request.hops() == (
        f"virtnest-rook-ceph-1 eth0 ✓ → {host_end(pod(A))} ✓ → tunl0 ? → ens192 ✓ ⇢ "
        f"virtnest-rook-ceph-2 ens192 ✓ → tunl0 ✓ → {host_end(pod(B))} ✓ → eth0 ✓"
    )
    assert [stop.sight for stop in flight.request.stops].count(Sight.UNKNOWN) == 1
