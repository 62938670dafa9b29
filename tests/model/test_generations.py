"""What is healthy in one Calico generation, or between two, and what the datastore decides in each."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks import mtu, owner, tunnel
from pytest_calico_ipip.model.datastore import (
    Affinity,
    Block,
    ClusterNode,
    Configuration,
    Datastore,
    Pod,
    Pool,
    Release,
)
from pytest_calico_ipip.model.expected import expect, workload_interface
from pytest_calico_ipip.model.expected.mtu import host_mtu, pod_mtu, tunnel_mtu
from pytest_calico_ipip.model.judgement import Judgement, Outcome
from pytest_calico_ipip.model.nodestate import Link
from pytest_calico_ipip.model.world import World
from tests.model.built import node_state, world_of
from tests.model.changes import another_route, link, route, together
from tests.model.recordings import (
    ALWAYS,
    FELIX,
    HEALTHY,
    N1,
    N2,
    N3,
    RECORDED,
    copied,
    edit,
    found,
    judged,
    judged_later,
    world,
)

BLOCK, POD = "10.233.109.0/24", "10.233.107.1"
UNREAD = Absent("not read", failed=False)


def two_nodes(mode: str = "Always", first: str = "10.7.120.11/24", second: str = "10.7.120.12/24") -> Datastore:
    """Nodes a and b with a block and a pod each."""
    blocks = [IPv4Network("10.233.64.0/24"), IPv4Network("10.233.65.0/24")]
    return Datastore(
        nodes={
            name: ClusterNode(name, IPv4Interface(address), tunnel_address=block.network_address)
            for name, address, block in zip("ab", (first, second), blocks, strict=True)
        },
        pods=tuple(
            Pod("default", f"pod-{name}", name, block.network_address + 1, under_test=True)
            for name, block in zip("ab", blocks, strict=True)
        ),
        pools=(Pool("p", IPv4Network("10.233.64.0/18"), mode, "Never", 24),),
        blocks=tuple(Block(block, f"host:{name}") for name, block in zip("ab", blocks, strict=True)),
        affinities=tuple(Affinity(block, name, "confirmed") for name, block in zip("ab", blocks, strict=True)),
    )


def test_the_interface_name_is_calicos() -> None:
    """Calico's own test vector, and the reference experiment's three pods."""
    assert workload_interface("default", "podA") == "cali7f94ce7c295"
    names = [workload_interface("sleep-curl", f"sleep-curl-{number}") for number in (1, 2, 3)]
    assert names == ["cali747350e5fc9", "cali8e6ddf62423", "calie004be16fc5"]


def test_half_way_through_an_upgrade_is_healthy(tmp_path: Path) -> None:
    """A node of v3.32 among older and newer ones: three kinds of metric, and two routes for one pod."""
    root = copied(ALWAYS, tmp_path)
    together(
        route(N1, BLOCK, metric=2147483547),
        route(N1, "10.233.88.0/24", metric=1024),
        another_route(N1, POD, metric=1024),
        route(N2, "10.233.88.0/24", protocol="80", metrics=[{"mtu": 1480}]),
    )(root)
    for version in ("v3.31.7", "v3.32.1", "v3.34.0-0.dev-1-gabc", ""):
        information = root / "api" / "clusterinformations.crd.projectcalico.org.json"
        edit(information, lambda data, v=version: data["items"][0]["spec"].update(calicoVersion=v))
        assert found(world(root), Outcome.FAILED, Outcome.WARNING, Outcome.ERROR) == set()


def test_an_unfinished_upgrade_is_said_by_route_7_alone(tmp_path: Path) -> None:
    """A node whose routes are still BIRD's after Felix became the owner: only the owner's requirement fails."""
    root = copied(FELIX, tmp_path)
    for destination in (BLOCK, "10.233.88.0/24", "10.233.107.0/24"):
        route(N1, destination, protocol="bird")(root)
    subject = world(root)
    assert found(subject, Outcome.FAILED, Outcome.WARNING, Outcome.ERROR) == set()
    assert {(one.requirement, one.subject) for one in judged_later(subject) if one.outcome is Outcome.FAILED} == {
        ("ROUTE-7", N1)
    }


@pytest.mark.parametrize(
    ("mode", "first", "second", "there", "back"),
    [
        ("Always", "10.7.120.11/24", "10.7.120.12/24", "tunnel", "tunnel"),
        ("CrossSubnet", "10.7.120.11/24", "10.7.120.12/24", "underlay", "underlay"),
        ("CrossSubnet", "10.7.120.11/24", "10.7.121.12/24", "tunnel", "tunnel"),
        ("CrossSubnet", "10.7.120.11/16", "10.7.121.12/24", "underlay", "tunnel"),
        ("CrossSubnet", "10.7.120.11/32", "10.7.120.12/24", "tunnel", "underlay"),
    ],
)
def test_the_local_mask_decides(mode: str, first: str, second: str, there: str, back: str) -> None:
    """In CrossSubnet each node asks its own mask, so two nodes may take different ways to each other."""
    datastore = two_nodes(mode, first, second)
    expected = expect(datastore)
    way = expected["a"].way_to(IPv4Address("10.233.65.1"))
    assert way is not None
    assert (way.kind, way.node, str(way.next_hop)) == (there, "b", second.split("/")[0])
    returning = expected["b"].way_to(IPv4Address("10.233.64.1"))
    assert returning is not None
    assert returning.kind == back
    own = expected["a"].way_to(IPv4Address("10.233.64.1"))
    assert own is not None
    assert (own.kind, own.next_hop) == ("local", None)
    assert expected["a"].way_to(IPv4Address("8.8.8.8")) is None


def test_a_borrowed_address_goes_where_its_pod_is() -> None:
    """A pod of b with an address of a's block: a and every other node have a /32 towards b."""
    datastore = two_nodes()
    address = IPv4Address("10.233.64.9")
    datastore = replace(datastore, pods=(*datastore.pods, Pod("default", "guest", "b", address)))
    expected = expect(datastore)["a"]
    way = expected.way_to(address)
    assert way is not None
    assert (way.kind, way.node) == ("tunnel", "b")
    (host_route,) = expected.routes_for("ROUTE-6")
    assert (str(host_route.destination), str(host_route.next_hop)) == ("10.233.64.9/32", "10.7.120.12")
    assert [one.outcome for one in judged(world_of(datastore)) if one.outcome is Outcome.FAILED] == []


def test_small_blocks_are_no_blackholes() -> None:
    """A /32 block has no blackhole, and a route on others only while its address is a pod's."""
    datastore = two_nodes()
    small = Block(IPv4Network("10.233.65.77/32"), "host:b")
    affinities = (*datastore.affinities, Affinity(small.cidr, "b", "confirmed"))
    expected = expect(replace(datastore, blocks=(*datastore.blocks, small), affinities=affinities))
    assert small.cidr not in [one.destination for one in expected["b"].routes_for("ROUTE-3")]
    assert small.cidr not in [one.destination for one in expected["a"].routes_for("ROUTE-2")]


@pytest.mark.parametrize("state", ["pending", "pendingDeletion"])
def test_a_block_in_between_may_be_there_or_not(state: str) -> None:
    """An affinity that is not confirmed wants no route, and explains one."""
    datastore = two_nodes()
    between = Affinity(datastore.blocks[1].cidr, "b", state)
    expected = expect(replace(datastore, affinities=(datastore.affinities[0], between)))
    assert expected["a"].routes_for("ROUTE-2") == ()
    assert expected["b"].routes_for("ROUTE-3") == ()
    explained = {(one.destination, one.kind) for node in expected.values() for one in node.routes}
    assert {(between.cidr, "tunnel"), (between.cidr, "blackhole")} <= explained


def test_a_dead_nodes_routes_may_be_gone() -> None:
    """BIRD withdraws what a dead node announced, Felix keeps it: neither is judged."""
    datastore = two_nodes()
    nodes = {**datastore.nodes, "b": replace(datastore.nodes["b"], ready=False)}
    assert expect(replace(datastore, nodes=nodes))["a"].routes_for("ROUTE-2") == ()


def test_only_live_pods_count() -> None:
    """hostNetwork, finished, starting and leaving pods, and pods of another pool, have nothing of ours."""
    datastore = two_nodes()
    pod = datastore.pods[0]
    others = (
        replace(pod, name="host", host_network=True),
        replace(pod, name="done", phase="Succeeded"),
        replace(pod, name="new", ip=None),
        replace(pod, name="leaving", deleting=True),
        replace(pod, name="elsewhere", ip=IPv4Address("10.99.0.1")),
    )
    expected = expect(replace(datastore, pods=(pod, *others)))
    assert [local.pod.name for local in expected["a"].pods] == [pod.name]


def test_a_second_pool_without_ipip_is_none_of_ours() -> None:
    """Blocks of a pool that is not IPIP want nothing and their routes are not looked at; nested pools go by length."""
    datastore = two_nodes()
    pools = (*datastore.pools, Pool("v", IPv4Network("10.233.65.0/24"), "Never", "Always", 24))
    expected = expect(replace(datastore, pools=pools))
    assert expected["a"].routes_for("ROUTE-2") == ()
    assert expected["b"].pods == ()
    assert expected["a"].vxlan


def links(**mtus: int) -> list[Link]:
    """Devices that are up, by name and MTU."""
    return [Link(n, name, "", mtu, ("UP",), "UP", "") for n, (name, mtu) in enumerate(mtus.items(), 1)]


@pytest.mark.parametrize(
    ("devices", "host"),
    [
        ({"ens192": 1500}, 1500),
        ({"eth0": 9000, "eth1": 1450}, 1450),
        ({"bond0": 1500}, 1460),
        ({"ens192": 9000, "docker0": 1280, "cali1": 1400}, 9000),
        ({}, 1460),
    ],
)
def test_host_mtu_is_the_least_that_the_pattern_matches(devices: dict[str, int], host: int) -> None:
    """Devices that the pattern does not match do not count, and without any it is 1460."""
    assert host_mtu(links(**devices), Configuration().mtu_interface_pattern) == host


def test_a_device_that_is_down_does_not_count() -> None:
    """Neither the flag nor the operstate may be missing."""
    down = replace(links(eth1=1000)[0], operstate="DOWN")
    unset = replace(links(eth2=900)[0], flags=())
    assert host_mtu([*links(eth0=1500), down, unset], Configuration().mtu_interface_pattern) == 1500


def test_a_device_that_does_not_tell_its_state_counts() -> None:
    """Virtual NICs without link detection are UNKNOWN all their life, and run."""
    untold = replace(links(eth0=1400)[0], operstate="UNKNOWN")
    assert host_mtu([*links(eth1=1500), untold], Configuration().mtu_interface_pattern) == 1400


@pytest.mark.parametrize(
    ("configuration", "tunnel_wanted", "pod_wanted"),
    [
        (Configuration(), 1480, 1480),
        (Configuration(ipip_mtu=1300), 1300, 1300),
        (Configuration(vxlan_enabled=True), 1480, 1450),
        (Configuration(vxlan_enabled=True, vxlan_mtu=1490), 1480, 1480),
        (Configuration(wireguard=True), 1480, 1440),
        (Configuration(wireguard_v6=True), 1480, 1420),
        (Configuration(wireguard_v6=True, wireguard_mtu_v6=1390), 1480, 1390),
        (Configuration(ipip_enabled=False), 1480, 1500),
    ],
)
def test_pod_mtu_is_the_least_over_what_is_on(
    configuration: Configuration, tunnel_wanted: int, pod_wanted: int
) -> None:
    """Felix's two rules, from the configuration and the host MTU."""
    datastore = two_nodes()
    nodes = {name: replace(node, configuration=configuration) for name, node in datastore.nodes.items()}
    expectation = expect(replace(datastore, nodes=nodes))["a"]
    assert tunnel_mtu(expectation, links(ens192=1500)) == tunnel_wanted
    assert pod_mtu(expectation, links(ens192=1500)) == pod_wanted


def _one(datastore: Datastore, name: str, checks: tuple[str, ...]) -> dict[str, Judgement]:
    return {one.requirement: one for one in judged(world_of(datastore), checks) if one.subject == name}


def test_a_configured_mtu_must_fit_the_underlay() -> None:
    """An ipipMTU of 1480 on an underlay of 1450 is as configured, and still more than can be carried."""
    datastore = two_nodes()
    nodes = {name: replace(n, configuration=Configuration(ipip_mtu=1480)) for name, n in datastore.nodes.items()}
    datastore = replace(datastore, nodes=nodes)
    subject = world_of(datastore, 1500)
    small = node_state(subject.expected["a"], 1500)
    assert isinstance(small.links, tuple)
    nic = tuple(replace(one, mtu=1450) if one.name == "ens192" else one for one in small.links)
    subject = replace(subject, nodes={**subject.nodes, "a": replace(small, links=nic)})
    (difference,) = mtu.tunnel(subject, "a").differences
    assert (difference.expected, difference.observed) == ("at most 1430", "1480")
    assert mtu.workload(subject, "a").outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("release", "source", "address"),
    [
        (Release(3, 33, 0, "v3.33.0"), "HostAddress", False),
        (Release(3, 33, 0, "v3.33.0"), "", True),
        (Release(3, 31, 0, "v3.31.0"), "HostAddress", True),
    ],
)
def test_in_ebpf_host_source_mode_tunl0_has_no_address(release: Release, source: str, address: bool) -> None:
    """Only from v3.33, and only where the configuration says so."""
    datastore = two_nodes()
    configuration = Configuration(bpf=True, bpf_overlay_host_source=source)
    nodes = {n: replace(node, release=release, configuration=configuration) for n, node in datastore.nodes.items()}
    subject = world_of(replace(datastore, nodes=nodes))
    assert subject.expected["a"].has_tunnel_address is address
    assert tunnel.address(subject, "a").outcome is Outcome.HOLDS
    state = subject.nodes["a"]
    assert isinstance(state.links, tuple)
    other = () if address else (IPv4Interface("10.233.64.0/32"),)
    links = tuple(replace(one, addresses=other) if one.name == "tunl0" else one for one in state.links)
    subject = replace(subject, nodes={**subject.nodes, "a": replace(state, links=links)})
    assert tunnel.address(subject, "a").outcome is Outcome.FAILED


def test_a_node_that_no_ipip_pool_selects_needs_no_tunnel() -> None:
    """Without an address for it Felix does not set tunl0 up: that node's tunnel is not judged."""
    datastore = two_nodes()
    pools = tuple(replace(pool, node_selector="has(rack)") for pool in datastore.pools)
    nodes = {**datastore.nodes, "a": replace(datastore.nodes["a"], tunnel_address=None)}
    subject = world_of(datastore)
    expected = expect(replace(datastore, nodes=nodes, pools=pools))
    subject = replace(subject, datastore=replace(datastore, nodes=nodes, pools=pools), expected=expected)
    assert tunnel.device(subject, "a").outcome is Outcome.NOT_APPLICABLE
    assert tunnel.device(subject, "b").outcome is Outcome.HOLDS


def test_wireguard_takes_the_routes_over() -> None:
    """With WireGuard the block routes do not apply, and one sentence says so."""
    datastore = two_nodes()
    nodes = {n: replace(node, configuration=Configuration(wireguard=True)) for n, node in datastore.nodes.items()}
    (judgement,) = _one(replace(datastore, nodes=nodes), "a", ("ROUTE-2",)).values()
    assert judgement.outcome is Outcome.NOT_APPLICABLE
    assert "WireGuard" in judgement.not_applicable


def test_one_node_alone_has_nobody_to_route_to() -> None:
    """Requirements on other nodes do not apply to a cluster of one, and say why."""
    datastore = two_nodes()
    alone = replace(datastore, nodes={"a": datastore.nodes["a"]}, blocks=datastore.blocks[:1], pods=datastore.pods[:1])
    (judgement,) = _one(alone, "a", ("ROUTE-2",)).values()
    assert judgement.not_applicable == "no other live node has a block of an IPIP pool"


def test_a_node_without_workload_is_judged_on_the_rest(tmp_path: Path) -> None:
    """No pod on a node: its pods' requirements do not apply or are not in the evidence, the others hold."""
    root = copied(ALWAYS, tmp_path)
    edit(root / "api" / "pods.json", lambda data: data["items"].pop(1) and None)
    judgements = [one for one in judged(world(root)) if one.subject == N2]
    assert {one.outcome for one in judgements} == {Outcome.HOLDS, Outcome.MISSING, Outcome.NOT_APPLICABLE}
    held = {one.requirement for one in judgements if one.outcome is Outcome.HOLDS}
    assert held == {"NODE-4", "TUN-1", "TUN-2", "MTU-1", "ROUTE-2", "ROUTE-3", "ROUTE-4"}


def test_a_pod_that_starts_is_explained_by_its_allocation(tmp_path: Path) -> None:
    """IPAM knows the address before the API says Running: its route is no stale one."""
    root = copied(ALWAYS, tmp_path)
    edit(root / "api" / "pods.json", lambda data: data["items"][1]["status"].update(phase="Pending"))
    assert {ident for ident, _ in found(world(root), Outcome.FAILED)} == {"POD-1"}


@pytest.mark.parametrize("recording", HEALTHY)
def test_a_native_v3_cluster_is_judged_alike(recording: str, tmp_path: Path) -> None:
    """The same objects served under projectcalico.org lead to the same verdict."""
    root = copied(recording, tmp_path)
    for path in (root / "api").glob("*.crd.projectcalico.org.json"):
        path.rename(path.with_name(path.name.replace(".crd.", ".")))
    assert {one.outcome for one in judged(world(root))} == {Outcome.HOLDS}


def test_a_second_nic_with_a_smaller_mtu_counts(tmp_path: Path) -> None:
    """Felix takes the least of the NICs that are up: tunl0 must follow it, and did not."""
    root = copied(ALWAYS, tmp_path)
    link(N3, "lo", ifname="eth1", mtu=1400, operstate="UP")(root)
    edit(root / "nodes" / N3 / "ip-addr.json", lambda rows: [*rows, {**rows[0], "ifname": "lo"}])
    assert found(world(root), Outcome.FAILED) == {("MTU-1", N3), ("MTU-2", N3)}


def test_every_difference_says_where_it_was_read(tmp_path: Path) -> None:
    """A finding carries the file, which is there, and the command that a person types to read it again."""
    root = copied(ALWAYS, tmp_path)
    together(route(N1, BLOCK, dev="ens192"), link(N2, "tunl0", mtu=1400, flags=[]))(root)
    edit(root / "api" / "ippools.crd.projectcalico.org.json", lambda d: d["items"][0]["spec"].update(disabled=True))
    differences = [difference for one in judged(world(root)) for difference in one.differences]
    assert len(differences) >= 6
    for difference in differences:
        assert difference.reading is not None
        assert (root / difference.reading.file).exists()
        assert difference.reading.command.startswith(("ip -j", "kubectl get"))
    assert RECORDED.is_dir()


WORDS = ("", "Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly")


@pytest.mark.parametrize("minor", [29, 30, 31, 32, 33, 34, 35])
def test_every_pair_of_owners_is_legal_or_not(minor: int) -> None:
    """Of all 25 pairs of words POOL-4 lets exactly the release's legal ones pass, a word that is not set counted."""
    defaults = ("EnabledIPIPOnly", "EnabledNoEncapOnly") if minor >= 33 else ("Disabled", "Enabled")
    legal = {("Disabled", "Enabled"), ("Enabled", "Disabled")}
    if minor >= 33:
        legal |= {("EnabledIPIPOnly", "EnabledNoEncapOnly"), ("EnabledNoEncapOnly", "EnabledIPIPOnly")}
    if minor < 32:
        legal = {("Disabled", word) for word in WORDS[1:]}  # nothing reads BGPConfiguration's
    for felix in WORDS:
        for bgp in WORDS:
            configuration = Configuration(felix_programs=felix, bgp_programs=bgp)
            release = Release(3, minor, 0, f"v3.{minor}.0")
            datastore = two_nodes()
            node = replace(datastore.nodes["a"], release=release, configuration=configuration)
            nodes = {**datastore.nodes, "a": node}
            expected = expect(replace(datastore, nodes=nodes))
            subject = World(replace(datastore, nodes=nodes), expected, {}, UNREAD, UNREAD, ("a", "b"))
            outcome = owner.one_owner(subject, "a").outcome
            filled = (felix or defaults[0], bgp or defaults[1])
            assert (outcome is Outcome.HOLDS) == (filled in legal), (minor, felix, bgp, outcome)
