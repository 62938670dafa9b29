"""The causes that only packets show: where they die, in which direction, of which size, and how they look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks import tunnel
from pytest_calico_ipip.model.checks.routes import remote_blocks
from pytest_calico_ipip.model.diagnosis import Cause, diagnose
from pytest_calico_ipip.model.firewall import FilterRule, Firewall
from pytest_calico_ipip.model.nodestate import Link, NextHop, Route, Rule
from pytest_calico_ipip.model.wire import Packet
from tests.diagnosis.judged import on_the_wire
from tests.model.test_wire_checks import BROKEN
from tests.model.test_wire_tcp_checks import BROKEN as BROKEN_TCP
from tests.model.wire_scene import ADDRESSES, BLOCKS, A, B, C, Scene, healthy

_WAY = [(A, "eth0"), (A, "cali"), (A, "tunl0"), (A, "ens192")]
_WAY += [(B, "ens192"), (B, "tunl0"), (B, "cali"), (B, "eth0")]
_WAY_BACK = list(reversed(_WAY))
KINDS = ("echo", "echo-full", "echo-from-node")
# a break of the wire checks' own tests → the cause that must be named, alone
NAMED = {
    "lost at eth0 of the sender": "never-sent",
    "lost at the sender's workload interface": "lost-in-veth",
    "lost at the sender's tunl0": "dropped-from-pods",
    "lost at the sender's NIC": "ipip-dropped-on-leaving",
    "lost between the nodes": "ipip-dropped-on-the-way",
    "protocol 4 dropped at the receiver": "ipip-dropped-on-arrival",
    "lost at the receiver's workload interface": "dropped-to-pods",
    "lost at eth0 of the receiver": "lost-in-veth",
    "no reply": "pod-does-not-answer",
    "reply lost between the nodes": "ipip-dropped-on-the-way",
    "seen twice at the receiver's NIC": "seen-twice",
    "seen at a third node's NIC": "other-way",
    "a fragment lost": "fragment-lost",
    "by the NIC instead of tunl0": "bare-on-underlay",
    "to the wrong node": "outer-address-wrong",
    "bare at the NICs": "bare-on-underlay",
    "encapsulated twice": "encapsulated-twice",
    "wrong outer source": "outer-address-wrong",
    "outer TTL not the inner's": "outer-header-odd",
    "inner source translated from tunl0 on": "inner-address-translated",
    "tunl0 with the link type of Ethernet": "link-type",
    "reply bare at the NIC": "bare-on-underlay",
    "inner TTL lowered once more": "ttl-odd",
    "payload changed, seen in the data": "payload-changed",
    "same-node packet lost": "dropped-from-pods",
    "full-size echo too large for tunl0": "large-packets-dropped",
    "one byte more is sent": "oversize-not-refused",
    "node's own reply comes back, and ping does not get it": "reply-not-taken-in",
    "node's own packet from its own address": "inner-address-translated",
}


def lose(scene: Scene, source: str, destination: str, after: int, kinds: tuple[str, ...] = KINDS) -> None:
    """All that goes from one node to another is seen by the first `after` points of eight, and by no later one."""
    places = [(source, "eth0"), (source, "cali"), (source, "tunl0"), (source, "ens192")]
    places += [(destination, "ens192"), (destination, "tunl0"), (destination, "cali"), (destination, "eth0")]
    gone: set[int] = set()
    for kind in kinds:
        for node, interface in places[after:]:
            gone.update(scene.select(kind, source, destination, "request", node, interface))
        # what never arrives is not answered; and what the other side asked is not either
        for node, interface in places:
            gone.update(scene.select(kind, source, destination, "reply", node, interface))
        for node, interface in places[after:]:
            gone.update(scene.select(kind, destination, source, "reply", node, interface))
    scene.packets = [packet for index, packet in enumerate(scene.packets) if index not in gone]


def found(scene: Scene) -> tuple[Cause, ...]:
    """The causes of what is wrong on the wire."""
    world = scene.world()
    return diagnose(world, list(on_the_wire(world)))


def the_cause(breaking: Callable[[Scene], None]) -> Cause:
    """The one cause that this gives, with evidence and the next command."""
    scene = healthy()
    breaking(scene)
    (cause,) = found(scene)
    assert cause.evidence
    assert cause.next_command
    return cause


@pytest.mark.parametrize("name", NAMED)
def test_a_broken_path_is_named(name: str) -> None:
    """One thing wrong on the wire gives one cause."""
    assert the_cause(BROKEN[name][0]).id == NAMED[name]


# the same for segments, whose pairs' echoes are as they must be
NAMED_BY_TCP = {
    "TCP alone is dropped on the way": "tcp-lost",
    "the client's MSS leaves no room": "tcp-mss-rewritten",
    "a SYN is bare at the NICs": "bare-on-underlay",
    "TCP is encapsulated twice": "encapsulated-twice",
    "TCP from another node address": "outer-address-wrong",
    "the outer header of TCP without DF": "outer-header-odd",
    "a SYN changed between tunl0 and the NIC": "inner-header-changed",
    "TCP translated before the NIC": "tcp-translated",
    "the server is another pod, by translation on arrival": "tcp-translated",
    "a SYN that no NIC saw": "tcp-translated",
}


@pytest.mark.parametrize("name", NAMED_BY_TCP)
def test_what_befalls_tcp_alone_is_named(name: str) -> None:
    """One thing wrong with segments gives one cause, which says that TCP alone shows it."""
    cause = the_cause(BROKEN_TCP[name][0])
    assert cause.id == NAMED_BY_TCP[name]
    assert "TCP" in cause.sentence


@pytest.mark.parametrize("mode", ["Always", "CrossSubnet"])
def test_nothing_is_named_where_all_is_well(mode: str) -> None:
    """A healthy round has no cause."""
    assert found(healthy(mode)) == ()


def test_one_direction_is_told_from_both() -> None:
    """Where packets pass the other way, the sentence says so: that is what points to a filter of one direction."""
    scene = healthy()
    lose(scene, A, B, 4)
    (cause,) = found(scene)
    assert (cause.id, cause.subjects) == ("ipip-dropped-on-the-way", (f"{A}:{B}",))
    assert f"Protocol 4 leaves {A} and does not reach {B}, while packets of {B} reach {A}" in cause.sentence
    assert cause.explains >= {("PATH-1", f"{A}:{B}"), ("PATH-1", f"{B}:{A}")}
    assert any("⇢ virtnest-rook-ceph-2 ens192 ✗" in fact for fact in cause.evidence)
    lose(scene, B, A, 4)
    both = found(scene)
    assert {cause.subjects for cause in both} == {(f"{A}:{B}",), (f"{B}:{A}",)}
    assert not any("while packets of" in cause.sentence for cause in both)


def test_all_towards_one_node_is_one_cause() -> None:
    """Two nodes whose packets do not reach a third are told together."""
    scene = healthy()
    lose(scene, A, C, 4)
    lose(scene, B, C, 4)
    (cause,) = found(scene)
    assert cause.subjects == (f"{A}:{C}", f"{B}:{C}")


def test_two_places_are_two_causes() -> None:
    """A drop on the way and one in another node's filter are both named."""
    scene = healthy()
    lose(scene, A, B, 4)
    lose(scene, B, C, 5)
    assert {cause.id for cause in found(scene)} == {"ipip-dropped-on-the-way", "ipip-dropped-on-arrival"}


@pytest.mark.parametrize(
    ("after", "ident", "at"),
    [(4, "large-packets-lost-on-the-way", f"{A}:{B}"), (5, "large-packets-dropped", B)],
)
def test_only_large_packets(after: int, ident: str, at: str) -> None:
    """Where small packets pass and full-size ones vanish, size is the cause, and the place is told."""
    scene = healthy()
    lose(scene, A, B, after, ("echo-full",))
    (cause,) = found(scene)
    assert (cause.id, cause.subjects) == (ident, (at,))
    assert "Small packets pass" in cause.sentence


def test_where_some_of_one_size_pass_size_is_not_the_cause() -> None:
    """One of two full-size packets that go the same way is lost: neither the MTU nor their length does that."""
    scene = healthy()
    way = [(B, "ens192"), (B, "tunl0"), (B, "cali"), (B, "eth0")]
    gone = {i for node, tap in way[1:] for i in scene.select("echo-full", A, B, "request", node, tap)}
    gone |= {i for node, tap in (*way, *_WAY[:4]) for i in scene.select("echo-full", A, B, "reply", node, tap)}
    scene.packets = [packet for index, packet in enumerate(scene.packets) if index not in gone]
    (cause,) = found(scene)
    assert (cause.id, cause.subjects) == ("packets-lost-at-times", (B,))


@pytest.mark.parametrize(("to", "ident"), [(ADDRESSES[B], "policy-rule"), (ADDRESSES[C], "ipip-dropped-on-leaving")])
def test_a_rule_for_the_outer_header_is_named_where_it_is_about_the_other_node(to: str, ident: str) -> None:
    """It has nothing to do with pods' addresses, so no requirement on routes states it."""
    scene = healthy()
    text = f"from all to {to} ipproto ipencap lookup 77"
    rule = Rule(90, "77", text, destination=IPv4Network(to), conditions=("ipproto",))
    scene.states[A] = replace(scene.states[A], rules=(Rule(32766, "main", "from all lookup main"), rule))
    lose(scene, A, B, 3)
    (cause,) = found(scene)
    assert (cause.id, cause.subjects) == (ident, (A,))


def test_what_a_node_itself_sends_explains_nothing_of_tcp_between_pods() -> None:
    """Two faults of one pair, one of the node's own packets and one of its pods' TCP, are both named."""
    scene = healthy()
    BROKEN["node's own reply comes back, and ping does not get it"][0](scene)
    BROKEN_TCP["the client is masqueraded into the tunnel"][0](scene)
    assert [cause.id for cause in found(scene)] == ["reply-not-taken-in", "tcp-translated"]


def filtered(node: str, text: str, *, after: int, out: bool = False) -> Callable[[Scene], None]:
    """A rule of a node that drops protocol 4, and its counter before and after."""

    def change(scene: Scene) -> None:
        rules = [FilterRule(verdict="drop", protocol="4", packets=count, text=text) for count in (0, after)]
        chain = "filter OUTPUT" if out else "filter INPUT"
        before, later = ({chain: (rule,)} for rule in rules)
        hooks = {"outputs" if out else "inputs": (chain,)}
        wall = Firewall("iptables-save.txt", chains=before, after=later, **hooks)  # type: ignore[arg-type]
        scene.states[node] = replace(scene.states[node], firewalls=(wall,))

    return change


@pytest.mark.parametrize(("node", "after", "out"), [(B, 5, False), (A, 3, True)])
def test_a_rule_that_drops_is_named_with_its_counter(node: str, after: int, out: bool) -> None:
    """Where the node's filter has a rule that loses what was lost there, the rule is the cause, and what it counted."""
    scene = healthy()
    text = f"-A {'OUTPUT' if out else 'INPUT'} -p ipencap -j DROP"
    filtered(node, text, after=7, out=out)(scene)
    lose(scene, A, B, after)
    (cause,) = found(scene)
    assert (cause.id, cause.subjects) == ("firewall-drops-ipip", (node,))
    assert text in cause.sentence
    assert "0 packets before, 7 after" in cause.evidence[0]


def test_a_tap_that_could_not_listen_is_the_cause_of_what_was_not_judged() -> None:
    """A tap that saw nothing explains the errors, and no loss is made of what it did not see."""
    scene = healthy()
    tap = scene.tap(A, "tunl0")
    scene.taps[tap] = replace(scene.taps[tap], problem="it never said that it listens")
    scene.packets = [packet for packet in scene.packets if packet.tap != tap]
    (cause,) = found(scene)
    assert (cause.id, cause.subjects) == ("tap-deaf", (A,))
    assert "tunl0" in cause.sentence
    assert ("PATH-1", f"{A}:{B}") in cause.explains


def test_a_node_that_was_never_read_is_named_as_that_and_its_taps_are_not() -> None:
    """Where ssh is refused no tap can listen: the refusal is the one cause."""
    scene = healthy()
    refused = "ssh to it is refused"
    gone = Absent(f"nodes/{A}/ip-addr.json: {refused}", failed=True)
    scene.states[A] = replace(scene.states[A], links=gone, routes=gone, sysctl=gone)
    for number, reading in enumerate(scene.taps):
        if reading.tap.node == A:
            scene.taps[number] = replace(reading, problem=f"tcpdump never listened: {refused}")
            scene.packets = [packet for packet in scene.packets if packet.tap != number]
    causes = found(scene)
    assert (causes[0].id, causes[0].subjects) == ("node-not-read", (A,))
    assert "tap-deaf" not in {cause.id for cause in causes}


def test_a_tunnel_that_is_down_takes_its_losses_and_no_others() -> None:
    """Packets that die at the tunnel that is down are explained by it; a drop elsewhere is named beside it."""
    scene = healthy()
    links = scene.states[B].links
    assert isinstance(links, tuple)
    open_to_all = {"tunnel_local": "any", "tunnel_remote": "any", "tunnel_ttl": 0}
    down = tuple(replace(one, flags=("NOARP",), **open_to_all) if one.name == "tunl0" else one for one in links)
    scene.states[B] = replace(scene.states[B], links=down)
    lose(scene, A, B, 5)
    lose(scene, A, C, 4)
    world = scene.world()
    causes = diagnose(world, [tunnel.device(world, B), *on_the_wire(world)])
    assert [cause.id for cause in causes] == ["tunnel-down", "ipip-dropped-on-the-way"]
    assert causes[1].subjects == (f"{A}:{C}",)


def test_a_node_that_does_not_forward_does_not_take_what_its_filter_drops() -> None:
    """Forwarding explains what dies behind the tunnel, not what dies before it."""
    scene = healthy()
    scene.states[B] = replace(scene.states[B], sysctl={"net.ipv4.ip_forward": "0"})
    lose(scene, A, B, 6)
    lose(scene, C, B, 5)
    assert [cause.id for cause in found(scene)] == ["forwarding-off", "ipip-dropped-on-arrival"]


def test_a_route_does_not_take_what_it_sent_rightly() -> None:
    """A packet that left by the right way and died in the other node is no matter of the route that was found odd."""
    scene = healthy()
    onlink = {node: NextHop(IPv4Address(ADDRESSES[node]), "tunl0", ("onlink",)) for node in (B, C)}
    ways = {B: (onlink[B], onlink[B]), C: (onlink[C],)}
    routes = tuple(
        Route("unicast", IPv4Network(f"{BLOCKS[node]}0/24"), protocol="bird", next_hops=hops)
        for node, hops in ways.items()
    )
    scene.states[A] = replace(scene.states[A], routes=routes, rules=(Rule(32766, "main", "from all lookup main"),))
    lose(scene, A, B, 6)
    world = scene.world()
    causes = diagnose(world, [remote_blocks(world, A), *on_the_wire(world)])
    assert [cause.id for cause in causes] == ["route-several-ways", "dropped-to-pods"]
    assert causes[0].explains == {("ROUTE-2", A)}


def test_a_second_tunnel_is_the_cause_of_what_tunl0_does_not_get() -> None:
    """What an ipip device with this very peer takes in is not said to be dropped by a filter."""
    scene = healthy()
    links = scene.states[B].links
    assert isinstance(links, tuple)
    ends = {"tunnel_local": ADDRESSES[B], "tunnel_remote": ADDRESSES[A], "tunnel_ttl": 0}
    other = Link(9, "ipip1", "ipip", 1480, ("POINTOPOINT", "UP"), "UNKNOWN", "", **ends)  # type: ignore[arg-type]
    scene.states[B] = replace(scene.states[B], links=(*links, other))
    lose(scene, A, B, 5)
    (cause,) = found(scene)
    assert (cause.id, cause.subjects) == ("tunnel-second-device", (B, "ipip1"))


def test_a_route_with_a_small_mtu_is_the_cause_of_what_is_refused_there() -> None:
    """Where the route to the block says fewer bytes than the pods send, it is named, and not a filter."""
    scene = healthy()
    way = (NextHop(IPv4Address(ADDRESSES[B]), "tunl0", ("onlink",)),)
    route = Route("unicast", IPv4Network(f"{BLOCKS[B]}0/24"), protocol="80", next_hops=way, mtu=1300)
    scene.states[A] = replace(scene.states[A], routes=(route,))
    lose(scene, A, B, 2, ("echo-full",))
    (cause,) = found(scene)
    assert (cause.id, cause.subjects) == ("route-mtu-low", (A, f"{BLOCKS[B]}0/24"))
    assert "1300" in cause.sentence


def test_a_doubled_request_is_the_cause_of_its_two_replies() -> None:
    """Two replies with ids of their own are no change of a header, and no matter of the node that sends them."""
    scene = healthy()
    twice: list[Packet] = []
    for packet in (scene.packets[i] for at in _WAY_BACK for i in scene.select("echo", A, B, "reply", *at)):
        *outer, inner = packet.headers
        twice.append(replace(packet, headers=(*outer, replace(inner, identification=inner.identification + 1))))
    twice += [scene.packets[i] for at in _WAY[3:] for i in scene.select("echo", A, B, "request", *at)]
    scene.packets += twice
    (cause,) = found(scene)
    assert (cause.id, cause.subjects) == ("seen-twice", (A,))
    assert {requirement for requirement, _ in cause.explains} == {"PATH-1"}


def test_bits_turned_at_random_are_told_from_a_filter() -> None:
    """Where some packets of a node arrive changed, those that nobody could recognise are no filter's."""
    scene = healthy()
    lose(scene, A, B, 6, ("echo-from-node",))
    for at in _WAY[2:]:
        for i in scene.select("echo", A, B, "request", *at):
            packet = scene.packets[i]
            assert packet.icmp is not None
            scene.packets[i] = replace(packet, icmp=replace(packet.icmp, checksum=1))
    (cause,) = found(scene)
    assert (cause.id, cause.subjects) == ("payload-changed", (A,))
    assert "others are lost" in cause.sentence


def test_what_a_deaf_sender_does_not_show_is_not_called_unsent() -> None:
    """Where the sender's taps saw nothing at all, a packet that does not arrive was lost nobody knows where."""
    scene = healthy()
    lose(scene, A, B, 4)
    deaf = {index for index, reading in enumerate(scene.taps) if reading.tap.node == A}
    for tap in deaf:
        scene.taps[tap] = replace(scene.taps[tap], problem="it never said that it listens")
    scene.packets = [packet for packet in scene.packets if packet.tap not in deaf]
    causes = {cause.id: cause for cause in found(scene)}
    assert "pod-does-not-answer" not in causes
    assert "never-sent" not in causes
    assert causes["lost-before-arrival"].subjects == (f"{A}:{B}",)
