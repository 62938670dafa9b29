"""Paths: which points an echo passes, and which taps watch them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

import pytest

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.datastore import Configuration, Release
from pytest_calico_ipip.model.judgement import Outcome
from pytest_calico_ipip.model.paths import Flight, Paths
from pytest_calico_ipip.model.points import Points, Role
from pytest_calico_ipip.model.travels import pods_by_address
from tests.model.wire_scene import A, B, C, Scene, healthy, host_end, pod


def paths(scene: Scene) -> Paths:
    """Paths that must be there."""
    found = scene.world().paths
    assert not isinstance(found, Absent)
    return found


def flight(scene: Scene, kind: str, source: str = A, destination: str = B) -> Flight:
    """The one echo of a kind."""
    (found,) = paths(scene).between(source, destination, (kind,))
    return found


def roles(scene: Scene, kind: str, source: str = A, destination: str = B) -> tuple[list[Role], list[Role]]:
    """The points of the way there and of the way back."""
    found = flight(scene, kind, source, destination)
    return [s.point.role for s in found.request.stops], [s.point.role for s in found.reply.stops]


POD, WORKLOAD, TUNNEL, UNDERLAY = Role.POD, Role.WORKLOAD, Role.TUNNEL, Role.UNDERLAY


def test_eight_points_through_the_tunnel() -> None:
    """An encapsulated echo passes eth0, workload interface, tunl0 and NIC, and the same four in reverse."""
    way = [POD, WORKLOAD, TUNNEL, UNDERLAY, UNDERLAY, TUNNEL, WORKLOAD, POD]
    assert roles(healthy(), "echo") == (way, way)


def test_six_points_inside_a_subnet() -> None:
    """In CrossSubnet, inside a subnet, tunl0 is not on the way; across subnets it is."""
    scene = healthy("CrossSubnet")
    way = [POD, WORKLOAD, UNDERLAY, UNDERLAY, WORKLOAD, POD]
    assert roles(scene, "echo") == (way, way)
    assert len(roles(scene, "echo", A, C)[0]) == 8


def test_the_local_mask_decides_each_way_for_itself() -> None:
    """Where two nodes' masks disagree, the way there and the way back differ."""
    scene = healthy("CrossSubnet")
    nodes = dict(scene.store.nodes)
    nodes[B] = replace(nodes[B], address=IPv4Interface("10.7.120.12/32"))
    scene.store = replace(scene.store, nodes=nodes)
    there, back = roles(scene, "echo")
    assert (len(there), len(back)) == (6, 8)


def test_four_points_on_one_node() -> None:
    """Between two pods of one node: eth0, workload interface, workload interface, eth0."""
    way = [POD, WORKLOAD, WORKLOAD, POD]
    assert roles(healthy(), "echo-same-node", A, A) == (way, way)


def test_a_node_s_own_echo_begins_at_its_tunnel_device() -> None:
    """A node's own echo has no workload interface before the tunnel; bare, it begins at the NIC."""
    there, back = roles(healthy(), "echo-from-node")
    assert there == [TUNNEL, UNDERLAY, UNDERLAY, TUNNEL, WORKLOAD, POD]
    assert back == there[::-1]
    assert roles(healthy("CrossSubnet"), "echo-from-node")[0] == [UNDERLAY, UNDERLAY, WORKLOAD, POD]


def test_where_the_tunnel_has_no_address_the_node_s_own_is_wanted() -> None:
    """In eBPF's host-source mode a node's own packet goes by the tunnel with the node's own address, and is told so."""
    scene = healthy()
    mode = Configuration(bpf=True, bpf_overlay_host_source="HostAddress")
    late = Release(3, 33, 0, "v3.33.0")
    nodes = {name: replace(each, configuration=mode, release=late) for name, each in scene.store.nodes.items()}
    scene.store = replace(scene.store, nodes=nodes)
    (difference, *_) = scene.judgements()["PATH-7", "1:2"].differences
    assert difference.expected == "10.7.120.11 (the node's own address)"


def test_a_probe_to_an_unknown_address_is_noted() -> None:
    """A probe whose address no pod has cannot be followed, and is not lost silently."""
    scene = healthy()
    assert scene.probes is not None
    scene.probes[0] = replace(scene.probes[0], destination=IPv4Address("10.233.99.99"))
    assert paths(scene).notes == (
        f"probe {A}:{B} echo was not followed: no pod of the datastore has the address 10.233.99.99",
    )
    assert set(scene.judgements()["PATH-1", "1:2"].inconclusive) > set(paths(scene).notes)


def test_a_pod_s_namespace_is_found_by_its_veth_or_by_its_address() -> None:
    """The tap in a pod's namespace is found by the workload interface's peer, or by who holds the pod's address."""
    scene = healthy()
    state = scene.states[A]
    by_address = replace(state, namespace_ids=Absent("ip-netns.json", failed=False))
    nobody = {name: replace(space, links=()) for name, space in state.namespaces.items()}
    by_veth = replace(state, namespaces=nobody)
    for known in (by_address, by_veth):
        points = Points(scene.taps, scene.store, {A: known})
        assert points.pod(pod(A, 2)).tap == scene.tap(A, "eth0", "cni-1-2")
        assert points.workload(pod(A, 2)).tap == scene.tap(A, host_end(pod(A, 2)))


def test_a_workload_interface_of_another_name_is_found_by_its_peer() -> None:
    """Where the workload interface has not the name that Calico gives it, its peer tells it."""
    scene = healthy()
    index = scene.tap(A, host_end(pod(A)))
    scene.taps[index] = replace(scene.taps[index], tap=replace(scene.taps[index].tap, interface="caliother"))
    links = scene.states[A].links
    assert not isinstance(links, Absent)
    renamed = tuple(replace(link, name="caliother") if link.name == host_end(pod(A)) else link for link in links)
    points = Points(scene.taps, scene.store, {A: replace(scene.states[A], links=renamed)})
    assert (points.workload(pod(A)).tap, points.workload(pod(A)).interface) == (index, "caliother")


def test_the_underlay_nic_is_the_one_device_left_where_the_node_said_nothing() -> None:
    """Without the node's links, the tap that is neither tunl0 nor a workload interface watches the NIC."""
    scene = healthy()
    points = Points(scene.taps, scene.store, {})
    assert points.underlay(A).tap == scene.tap(A, "ens192")
    assert points.tunnel(A).tap == scene.tap(A, "tunl0")
    assert points.pod(pod(A)).tap is None  # two namespaces, and nothing says whose is which
    only_one = [reading for reading in scene.taps if reading.tap.netns != "cni-1-2"]
    assert Points(only_one, scene.store, {}).pod(pod(A)).tap is not None


def test_a_tap_in_a_namespace_that_nobody_told_is_not_astray() -> None:
    """Two namespaces are tapped, and nothing says whose is which: what they saw proves no other way."""
    scene = healthy()
    scene.live = False
    for node, known in scene.states.items():
        scene.states[node] = replace(known, namespaces={}, namespace_ids={})
    judgement = scene.judgements()["PATH-1", "1:2"]
    assert judgement.outcome is Outcome.HOLDS
    assert f"a tap at {A} eth0" in judgement.missing


def on_top(scene: Scene, name: str, master: str = "", parent: str = "") -> None:
    """Every node's address is on another device, which ens192 is beneath."""
    for node, state in scene.states.items():
        assert not isinstance(state.links, Absent)
        nic = next(link for link in state.links if link.name == "ens192")
        links = [link for link in state.links if link is not nic]
        links += [replace(nic, addresses=(), master=master), replace(nic, index=99, name=name, parent=parent)]
        scene.states[node] = replace(state, links=tuple(links))


@pytest.mark.parametrize(
    ("name", "master", "parent"), [("br0", "br0", ""), ("ens192.100", "", "ens192"), ("bond0", "bond0", "")]
)
def test_the_one_port_of_a_bridge_stands_for_it(name: str, master: str, parent: str) -> None:
    """Where the device that carries the NIC's packets is tapped in its place, these are on their way."""
    scene = healthy()
    on_top(scene, name, master, parent)
    assert [stop.point.interface for stop in flight(scene, "echo").request.stops][3:5] == ["ens192", "ens192"]
    assert {one.outcome for one in scene.judgements().values() if one.requirement == "PATH-1"} == {Outcome.HOLDS}


def test_an_address_on_lo_has_its_packets_on_a_nic() -> None:
    """In a routed fabric the node's address is lo's, and the one NIC that was tapped is where its packets pass."""
    scene = healthy()
    for node, known in scene.states.items():
        assert not isinstance(known.links, Absent)
        nic = next(link for link in known.links if link.name == "ens192")
        lo = replace(nic, index=1, name="lo", flags=("LOOPBACK", "UP", "LOWER_UP"), mtu=65536)
        rest = [replace(link, addresses=()) if link is nic else link for link in known.links]
        scene.states[node] = replace(known, links=(lo, *rest))
    assert [stop.point.interface for stop in flight(scene, "echo").request.stops][3:5] == ["ens192", "ens192"]
    assert {one.outcome for one in scene.judgements().values() if one.requirement == "PATH-1"} == {Outcome.HOLDS}


def test_what_a_port_shows_once_more_is_not_astray() -> None:
    """Bridge and port are both tapped, or both ports of a bond: each packet is seen again, and has not left its way."""
    scene = healthy()
    on_top(scene, "br0", "br0")
    for node in (A, B, C):
        port = scene.tap(node, "ens192")
        scene.taps.append(replace(scene.taps[port], tap=replace(scene.taps[port].tap, interface="br0")))
        scene.packets += [replace(p, tap=len(scene.taps) - 1) for p in scene.packets if p.tap == port]
    found = flight(scene, "echo")
    assert [stop.point.interface for stop in found.request.stops][3:5] == ["br0", "br0"]
    assert found.request.elsewhere == found.reply.elsewhere == ()
    # inside a node no port is on the way
    astray = next(p for p in scene.packets if p.tap == scene.tap(A, "ens192"))
    same = flight(scene, "echo-same-node", A, A)
    (at,) = scene.select("echo-same-node", A, A, "request", A, "cali")[:1]
    scene.packets.append(replace(scene.packets[at], tap=astray.tap))
    assert flight(scene, "echo-same-node", A, A).request.elsewhere != same.request.elsewhere


def test_a_way_that_leaves_out_a_point_is_not_lost() -> None:
    """A packet that was missed at one point and seen at a later one took another way; it did not get lost."""
    scene = healthy()
    tap = scene.tap(A, "tunl0")
    scene.packets = [packet for packet in scene.packets if packet.tap != tap]
    request = flight(scene, "echo").request
    assert not request.lost
    assert request.died_at is not None
    assert request.hops() == f"{A} eth0 ✓ → {host_end(pod(A))} ✓ → tunl0 ✗"


def test_an_address_is_the_pod_s_that_has_not_ended() -> None:
    """The API tells a finished pod's address on, which another node's pod may have by now."""
    scene = healthy()
    ended = replace(pod(C), name="job", ip=pod(B).ip, phase="Succeeded", under_test=False)
    scene.store = replace(scene.store, pods=(ended, *scene.store.pods))
    assert [each for ip, each in pods_by_address(scene.store, ()).items() if ip == ended.ip] == [pod(B)]
