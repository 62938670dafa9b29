"""The lesson of one packet: over real Calico's recordings, over a healthy round, and over broken ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Address, IPv4Network

import pytest

from pytest_calico_ipip.judge import load
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.lesson import Lesson, lessons
from pytest_calico_ipip.model.nodestate import Decision, NextHop, Route, Rule
from pytest_calico_ipip.model.world import World
from pytest_calico_ipip.report.explain import explain
from pytest_calico_ipip.report.messages import LANGUAGES, words
from pytest_calico_ipip.report.width import width
from pytest_calico_ipip.report.wording import CONTROL
from tests.model.recordings import ALWAYS, CROSS, FELIX, RECORDED
from tests.model.test_wire_checks import BROKEN, lose
from tests.model.wire_scene import ADDRESSES, BLOCKS, A, B, C, Scene, healthy, host_end, pod


@cache
def recording(name: str) -> World:
    """A recording with its packets."""
    return load(RECORDED / name)


def told(world: World, language: str = "en", columns: int = 100, broken: tuple[str, ...] = ()) -> str:
    """The lessons as text."""
    return "\n".join(line.text for line in explain(world, words(language), columns, broken))


def only(world: World) -> Lesson:
    """The one lesson of a world."""
    (lesson,), reason = lessons(world)
    assert reason == ""
    return lesson


def keys(lesson: Lesson) -> list[list[str]]:
    """What is said at each step, by key."""
    return [[remark.key for remark in step.remarks] for step in lesson.steps]


def routed(scene: Scene) -> Scene:
    """The scene's nodes with the routes that Calico gives them."""
    for name, state in scene.states.items():
        routes = [
            Route("local", IPv4Network(f"{ADDRESSES[name]}/32"), "local", next_hops=(NextHop(None, "ens192"),)),
            Route("blackhole", IPv4Network(f"{BLOCKS[name]}0/24"), protocol="bird"),
        ]
        for number in (1, 2):
            hop = NextHop(None, host_end(pod(name, number)))
            routes.append(Route("unicast", IPv4Network(f"{pod(name, number).ip}/32"), next_hops=(hop,)))
        for other in ADDRESSES:
            if other != name:
                bare = scene.store.pools[0].ipip_mode == "CrossSubnet" and C not in (name, other)
                hop = NextHop(IPv4Address(ADDRESSES[other]), "ens192" if bare else "tunl0")
                routes.append(Route("unicast", IPv4Network(f"{BLOCKS[other]}0/24"), protocol="bird", next_hops=(hop,)))
        scene.states[name] = replace(state, routes=tuple(routes))
    return scene


@pytest.mark.parametrize(("name", "receiver"), [(ALWAYS, B), (CROSS, C), (FELIX, B)])
def test_real_calico_gives_a_whole_lesson(name: str, receiver: str) -> None:
    """On each recording one packet is told through all eight taps and back, each step with a reason."""
    lesson = only(recording(name))
    assert lesson.complete
    assert (lesson.sender.node, lesson.receiver.node) == (A, receiver)
    assert [step.stop.point.node for step in lesson.steps] == [A] * 4 + [receiver] * 4
    assert len(lesson.reply) == 8
    assert all(step.remarks and step.stop.packets and step.command for step in lesson.steps)
    assert [remark.key for remark in lesson.ending] == ["ending.mirrored", "ending.no-df"]


def test_each_step_says_what_decided_it() -> None:
    """Pod's route and ARP, block route, second look-up, outer header, /32 over blackhole: in the order of the walk."""
    assert keys(only(recording(ALWAYS))) == [
        ["pod.host-address", "pod.gateway", "pod.proxy-arp"],
        ["workload.other-end", "route.tunnel", "route.onlink", "route.by-bird"],
        ["forwarded", "tunnel.open", "tunnel.mtu"],
        ["outer.added", "outer.nodes", "outer.copied-df"],
        ["wire.unchanged", "outer.arrived"],
        ["tunnel.removed", "local.longest", "local.blackhole"],
        ["forwarded", "workload.real-mac"],
        ["pod.arrived"],
    ]


def test_the_values_are_the_worlds() -> None:
    """Routes stand there as the node printed them, headers as the wire had them."""
    text = told(recording(ALWAYS))
    for line in (
        "route      default via 169.254.1.1 dev eth0",
        "neighbour  169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee",
        "route      10.233.109.0/24 via 10.7.120.12 dev tunl0 proto bird onlink",
        "decided    10.233.109.1 via 10.7.120.12 dev tunl0",
        "outer      10.7.120.11 → 10.7.120.12    proto 4 IPIP  TTL 63  104 bytes  DF",
        "inner      10.233.107.1 → 10.233.109.1  proto 1 ICMP  TTL 63  84 bytes   DF",
        "route      blackhole 10.233.109.0/24 proto bird",
        "packet     10.233.107.1 → 10.233.109.1  proto 1 ICMP  TTL 62  84 bytes   DF",
    ):
        assert f"      {line}\n" in text


def test_a_router_between_the_nodes_is_told() -> None:
    """Across subnets the outer TTL falls on the way, and the lesson says how far and why."""
    assert "wire.router" in keys(only(recording(CROSS)))[4]
    assert "lowered the outermost TTL from 63 to 62" in " ".join(told(recording(CROSS)).split())


def test_the_owner_of_the_route_is_told() -> None:
    """A route that Felix wrote is not said to come from BIRD."""
    said = keys(only(recording(FELIX)))[1]
    assert "route.by-felix" in said
    assert "route.by-bird" not in said
    assert "proto 80: Felix wrote this route" in told(recording(FELIX))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [ALWAYS, CROSS, FELIX])
def test_both_languages_tell_it_within_the_width(name: str, language: str) -> None:
    """No sentence is wider than the terminal; commands and what a kernel printed stay whole lines."""
    text = told(recording(name), language)
    whole = tuple(words(language).say(f"label.{kind}") for kind in ("try", "route", "device", "decision", "neighbour"))
    wide = [line for line in text.split("\n") if width(line) > 100 and not line.strip().startswith(whole)]
    # the way back is a table, whose rows are not broken
    assert all("→" in line for line in wide)
    assert "10.7.120.11" in text


def test_columns_line_up_in_chinese() -> None:
    """Labels of two and of four characters give their values the same first column."""
    text = told(recording(ALWAYS), "zh")
    starts = {
        width(line[: line.index(value)])
        for line in text.split("\n")
        for value in ("default via", "169.254.1.1 dev eth0 lladdr", "10.233.109.1 via", "eth0: veth")
        if value in line and not line.lstrip().startswith("virtnest")
    }
    assert len(starts) == 1


def test_inside_a_subnet_six_taps_are_told() -> None:
    """In CrossSubnet a pair of one subnet is told bare, without tunl0, and then one that is encapsulated."""
    world = routed(healthy("CrossSubnet")).world()
    (bare, tunnelled), _ = lessons(world)
    assert [step.stop.point.interface for step in bare.steps] == [
        *("eth0", host_end(pod(A)), "ens192", "ens192", host_end(pod(B)), "eth0")
    ]
    assert keys(bare)[1:4] == [
        ["workload.other-end", "route.same-subnet", "route.by-bird"],
        ["forwarded", "bare.leaves"],
        ["wire.unchanged", "local.longest", "local.blackhole"],
    ]
    assert bare.ending[0].key == "ending.mirrored-bare"
    assert len(tunnelled.steps) == 8
    assert tunnelled.receiver.node == C
    assert [lesson.setting[-1].key for lesson in (bare, tunnelled)] == ["setting.bare", "setting.across"]


def test_the_first_whole_pair_is_told() -> None:
    """A pair whose packet is lost is passed over where another one's is not."""
    scene = routed(healthy())
    lose(4)(scene)
    lesson = only(scene.world())
    assert lesson.complete
    assert (lesson.sender.node, lesson.receiver.node) == (A, C)


def everything_lost(scene: Scene, stop: int) -> None:
    """No pair's echo comes further than so many points."""
    for pair in [(a, b) for a in ADDRESSES for b in ADDRESSES if a != b]:
        lose(stop, pair=pair)(scene)
        lose(0, leg="reply", pair=pair)(scene)


def test_a_lost_packet_ends_the_lesson() -> None:
    """Where no packet arrives, the steps up to the loss are told, and what saw it last and what did not."""
    scene = routed(healthy())
    everything_lost(scene, 4)
    lesson = only(scene.world())
    assert not lesson.complete
    assert [bool(step.stop.packets) for step in lesson.steps] == [True] * 4 + [False]
    assert lesson.reply == ()
    text = " ".join(told(scene.world(), broken=("PATH-1",)).split())
    assert f"{A} ens192 saw the packet, {B} ens192 never did" in text
    assert "the verdict below names PATH-1" in text
    assert f"5. ✗ {B} ens192" in text


def test_a_packet_that_never_left_is_told() -> None:
    """Where not even the first point saw a packet, the lesson is one sentence."""
    scene = routed(healthy())
    everything_lost(scene, 0)
    assert [remark.key for remark in only(scene.world()).ending] == ["ending.lost-at-once"]


def test_a_lost_answer_ends_the_lesson() -> None:
    """A request that arrived is told as a whole, then where its answer was lost."""
    scene = routed(healthy())
    for pair in [(a, b) for a in ADDRESSES for b in ADDRESSES if a != b]:
        lose(4, leg="reply", pair=pair)(scene)
    lesson = only(scene.world())
    assert len(lesson.steps) == 8
    assert lesson.ending[0].key == "ending.reply-lost"
    assert f"{B} ens192 saw the answer, {A} ens192 never did" in " ".join(told(scene.world()).split())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", BROKEN)
def test_no_break_of_the_wire_stops_it(name: str, language: str) -> None:
    """Whatever is wrong on the wire, there is a lesson in both languages, and it is about a packet."""
    scene = healthy()
    BROKEN[name][0](scene)
    assert words(language).say("lesson.there") in told(scene.world(), language)


def test_nothing_is_said_that_the_evidence_does_not_bear() -> None:
    """Without the nodes' tables the headers are told, and no route is made up."""
    lesson = only(healthy().world())
    said = {key for step in keys(lesson) for key in step}
    assert not any(key.startswith(("route.", "local.", "pod.gateway", "pod.proxy")) for key in said)
    assert "outer.added" in said
    assert not any(fact.kind in ("route", "decision") for step in lesson.steps for fact in step.facts)


def test_another_mtu_is_told_as_it_is() -> None:
    """Numbers are computed from what was read: with another MTU the sentence has another number."""
    scene = routed(healthy())
    links = scene.states[A].links
    assert not isinstance(links, Absent)
    changed = tuple(replace(link, mtu=8981) if link.name == "tunl0" else link for link in links)
    changed = tuple(replace(link, mtu=9001) if link.name == "ens192" else link for link in changed)
    scene.states[A] = replace(scene.states[A], links=changed)
    assert "MTU of 8981 stays 20 bytes below the 9001 of ens192" in " ".join(told(scene.world()).split())


@pytest.mark.parametrize("break_", ["rule", "decision", "ecmp", "other gateway"])
def test_a_route_that_did_not_decide_is_not_explained(break_: str) -> None:
    """Where a rule, another decision, several ways or a wrong gateway are in play, no sentence praises the route."""
    scene = routed(healthy())
    state = scene.states[A]
    assert not isinstance(state.routes, Absent)
    there = pod(B).ip
    assert there is not None
    wrong = NextHop(IPv4Address(ADDRESSES[C]), "tunl0")

    def hops(change: Callable[[Route], Route]) -> tuple[Route, ...]:
        assert not isinstance(state.routes, Absent)
        return tuple(change(r) if there in r.destination and r.type == "unicast" else r for r in state.routes)

    scene.states[A] = {
        "rule": replace(state, rules=(Rule(100, "7", "100: from all lookup 7"),)),
        "decision": replace(state, decisions={there: Decision(there, "ens192", None)}),
        "ecmp": replace(state, routes=hops(lambda r: replace(r, next_hops=(*r.next_hops, wrong)))),
        "other gateway": replace(state, routes=hops(lambda r: replace(r, next_hops=(wrong,)))),
    }[break_]
    lesson = next(one for one in lessons(scene.world())[0] if one.receiver.node == B)
    assert "route.tunnel" not in keys(lesson)[1]


def test_hostile_names_stay_text() -> None:
    """Names and routes with control characters are spelt out, in every line and language."""
    evil = "cali\x1b[2J\u202e\n\r{0}"
    scene = routed(healthy())
    state = scene.states[A]
    assert not isinstance(state.routes, Absent)
    scene.states[A] = replace(state, routes=tuple(replace(route, text=evil) for route in state.routes))
    pools = tuple(replace(pool, name=evil) for pool in scene.store.pools)
    world = replace(scene.world(), datastore=replace(scene.store, pools=pools))
    for language in LANGUAGES:
        for line in explain(world, words(language), 80, (evil,)):
            assert not CONTROL.search(line.text)
    assert "cali\\x1b[2J\\u202e\\n\\r{0}" in told(world)


def test_without_packets_the_reason_is_told() -> None:
    """Evidence without packets gives no lesson and one sentence; so does a run in which nothing was read."""
    world = replace(healthy().world(), paths=Absent("the packets", failed=False))
    assert told(world) == "No lesson: there is not in this evidence: the packets"
    assert [line.text for line in explain(None, words("en"), 80)] == [words("en").say("lesson.unread")]


def test_one_node_has_no_lesson() -> None:
    """Between pods of one node nothing is encapsulated: there is nothing to tell."""
    world = replace(healthy().world(), selected=(A,))
    assert lessons(world) == ((), "an echo between pods of two nodes")
