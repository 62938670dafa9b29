"""Healthy clusters that nobody recorded: other releases, MTUs, names, pools, API groups. A finding is a false alarm."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_calico_ipip.model.checks import owner, pods
from pytest_calico_ipip.model.judgement import Judgement, Outcome
from pytest_calico_ipip.model.world import World
from tests.model import clusters
from tests.model.changes import Change, calico, link, text
from tests.model.clusters import NODES, bgp_says, felix_says, mtu, prefix, release, replaced, routes_as, together
from tests.model.recordings import ALWAYS, CROSS, FELIX, N1, N2, N3, copied, judged, judged_later, world

NIC = "ens192"
CLUSTERS: dict[str, tuple[str, Change]] = {
    # releases
    "v3.29": (ALWAYS, clusters.v3_29),
    "v3.29, CrossSubnet": (CROSS, clusters.v3_29),
    "v3.32": (ALWAYS, clusters.v3_32),
    "v3.32, CrossSubnet": (CROSS, clusters.v3_32),
    "v3.33": (FELIX, release("v3.33.0")),
    "half-way, each node's release known": (ALWAYS, clusters.half_way(pods=True)),
    # the owner by hand, legally
    "v3.31 Disabled": (ALWAYS, felix_says(programClusterRoutes="Disabled")),
    "v3.32 Enabled/Disabled": (
        ALWAYS,
        together(clusters.v3_32, routes_as(*NODES, protocol="80", mtu=1480), felix_says(programClusterRoutes="Enabled"),
                 bgp_says(programClusterRoutes="Disabled")),
    ),
    "v3.34 Disabled/Enabled": (
        FELIX,
        together(routes_as(*NODES, metric=1024), felix_says(programClusterRoutes="Disabled"),
                 bgp_says(programClusterRoutes="Enabled")),
    ),
    "v3.34 Enabled/Disabled": (
        FELIX,
        together(felix_says(programClusterRoutes="Enabled"), bgp_says(programClusterRoutes="Disabled")),
    ),
    "v3.34 EnabledNoEncapOnly/EnabledIPIPOnly": (
        FELIX,
        together(routes_as(*NODES, metric=1024), felix_says(programClusterRoutes="EnabledNoEncapOnly"),
                 bgp_says(programClusterRoutes="EnabledIPIPOnly")),
    ),
    "v3.31 Enabled, without BIRD": (
        ALWAYS,
        together(routes_as(*NODES, protocol="80", mtu=1480), felix_says(programClusterRoutes="Enabled"),
                 clusters.without_bird("v3.31.7")),
    ),
    "v3.34 without BIRD": (FELIX, clusters.without_bird("v3.34.0")),
    "v3.34 Enabled, without BIRD": (
        FELIX, together(felix_says(programClusterRoutes="Enabled"), clusters.without_bird("v3.34.0"))
    ),
    "v3.34 spelt in small letters": (FELIX, felix_says(programClusterRoutes="enabledipiponly")),
    "another deviceRouteProtocol": (
        FELIX, together(routes_as(*NODES, protocol="99", mtu=1480), felix_says(deviceRouteProtocol=99))
    ),
    "a deviceRouteProtocol that iproute2 has a name for": (
        FELIX, together(routes_as(*NODES, protocol="openr", mtu=1480), felix_says(deviceRouteProtocol=99))
    ),
    "a deviceRouteProtocol that the kernel has a name for": (
        FELIX, together(routes_as(*NODES, protocol="static", mtu=1480), felix_says(deviceRouteProtocol=4))
    ),
    # MTUs
    "underlay 1450": (ALWAYS, mtu(1450, 1430)),
    "underlay 9001": (FELIX, mtu(9001, 8981)),
    "jumbo": (CROSS, mtu(9000, 8980)),
    "ipipMTU": (ALWAYS, together(mtu(1500, 1300), felix_says(ipipMTU=1300))),
    "bond0, which the pattern does not match": (
        FELIX, together(replaced((NIC, "bond0")), mtu(1500, 1440, nic="bond0"))
    ),
    "a pattern that matches bond0": (
        FELIX, together(replaced((NIC, "bond0")), felix_says(mtuIfacePattern="^(bond|en).*"))
    ),
    "a NIC that does not tell its state": (
        ALWAYS, together(*(link(node, NIC, operstate="UNKNOWN") for node in NODES))
    ),
    # names and places
    "eno1": (ALWAYS, replaced((NIC, "eno1"))),
    "a VLAN": (ALWAYS, clusters.vlan),
    "FQDNs": (ALWAYS, replaced(*((name, f"{name}.example.com") for name in NODES))),
    "prefix tap": (ALWAYS, prefix("tap")),
    "192.168.0.0/16 in /26": (FELIX, clusters.smaller_blocks),
    "192.168.0.0/16, blockSize by default": (ALWAYS, clusters.default_block_size),
    # pools and addresses
    "borrowed, BIRD": (ALWAYS, clusters.borrowed("bird")),
    "borrowed, Felix": (FELIX, clusters.borrowed("80")),
    "two blocks, two pools": (ALWAYS, clusters.second_block("bird")),
    "two blocks, two pools, Felix": (FELIX, clusters.second_block("80")),
    "VXLAN, bare, disabled and IPv6 pools": (ALWAYS, clusters.more_pools),
    "two families, IPv6 first": (ALWAYS, clusters.dual_stack),
    "two families, IPv6 by VXLAN": (ALWAYS, clusters.dual_stack_by_vxlan),
    "two families, IPv6's VXLAN with an MTU": (
        ALWAYS, together(clusters.dual_stack_by_vxlan, mtu(1500, 1480, 1400), felix_says(vxlanMTUV6=1400))
    ),
    "a floating address": (ALWAYS, clusters.floating),
    "a node without workload": (ALWAYS, clusters.no_workload),
    "pods that have ended, or are about to": (ALWAYS, clusters.ended_pods),
    "host-local": (ALWAYS, clusters.host_local),
    "host-local, while pods start and end": (ALWAYS, clusters.host_local_in_motion),
    "Windows and virtual nodes": (ALWAYS, clusters.other_nodes),
    # API groups
    "operator": (ALWAYS, clusters.operator),
    "aggregated API": (FELIX, clusters.aggregated),
    "native v3": (FELIX, clusters.native),
    "pools by the API server only": (ALWAYS, clusters.v3_pools_only),
    "objects without kind, nulls": (ALWAYS, clusters.bare_objects),
    # tools
    "numbers for names": (ALWAYS, clusters.numbers),
    "numbers for names, Felix": (FELIX, clusters.numbers),
    "fewer keys": (FELIX, clusters.sparse),
}  # fmt: skip
# an Installation's MTU where calico-node's environment was not read
CLUSTERS["operator's MTU"] = (ALWAYS, together(mtu(1500, 1400), clusters.operators_mtu(1400)))

SOUND = {Outcome.HOLDS, Outcome.MISSING, Outcome.NOT_APPLICABLE}


def unsound(subject: World) -> list[Judgement]:
    """What does not hold, for whatever reason."""
    return [one for one in (*judged(subject), *judged_later(subject)) if one.outcome not in SOUND]


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_healthy_cluster_has_no_finding(name: str, tmp_path: Path) -> None:
    """No failure, no warning, no error; and every node of it is judged on its routes and its tunnel."""
    recording, change = CLUSTERS[name]
    root = copied(recording, tmp_path)
    change(root)
    subject = world(root)
    assert unsound(subject) == []
    assert len(subject.selected) == 3
    held = [(one.requirement, one.subject) for one in judged(subject) if one.outcome is Outcome.HOLDS]
    for ident in ("ROUTE-2", "ROUTE-3", "ROUTE-4", "TUN-1", "TUN-2", "MTU-1"):
        assert [node for requirement, node in held if requirement == ident] == list(subject.selected)


def test_wireguard_in_the_place_of_the_tunnel(tmp_path: Path) -> None:
    """Its table's routes are Felix's; what leads to other nodes is not IPIP's matter, all else is judged."""
    root = copied(ALWAYS, tmp_path)
    clusters.wireguard(root)
    subject = world(root)
    assert unsound(subject) == []
    held = {one.requirement for one in judged(subject) if one.outcome is Outcome.HOLDS}
    assert {"ROUTE-1", "ROUTE-3", "ROUTE-4", "TUN-2", "MTU-2"} <= held


@pytest.mark.parametrize(("told", "unfinished"), [("v3.34.0", {N2, N3}), ("v3.32.1", {N1}), ("v3.31.7", {N1})])
def test_half_way_with_one_release_told_route_7_alone_says_so(told: str, unfinished: set[str], tmp_path: Path) -> None:
    """Where no calico-node pod is in the evidence, the nodes that are not of the told generation are ROUTE-7's."""
    root = copied(ALWAYS, tmp_path)
    together(clusters.half_way(pods=False), release(told))(root)
    findings = unsound(world(root))
    assert {(one.requirement, one.subject) for one in findings} == {("ROUTE-7", node) for node in unfinished}
    assert all("not finished" in difference.note for one in findings for difference in one.differences)


def test_half_way_is_noted(tmp_path: Path) -> None:
    """Nodes of several releases, each as its own makes it: nothing fails, and ROUTE-7 notes the releases."""
    root = copied(ALWAYS, tmp_path)
    clusters.half_way(pods=True)(root)
    (note,) = owner.owners_protocol(world(root), N1).notes
    assert note.startswith("an upgrade is not finished: ")
    assert f"v3.34.0 on {N1}" in note


def test_two_routes_for_a_pod_half_way(tmp_path: Path) -> None:
    """CNI's route and Felix's for one pod, on a node whose release nobody told and in a cluster of several."""
    root = copied(ALWAYS, tmp_path)
    together(clusters.half_way(pods=False), clusters.beside(N3, 1024), release("v3.31.7"))(root)
    assert {one.requirement for one in unsound(world(root))} == {"ROUTE-7"}


PAIRS = {
    # (recording, FelixConfiguration, BGPConfiguration): what besides POOL-4 fails
    "v3.31 Enabled": (ALWAYS, "Enabled", "", {"POOL-4", "ROUTE-7"}),
    "v3.34 default/Enabled": (FELIX, "", "Enabled", {"POOL-4"}),
    "v3.34 Enabled/default": (FELIX, "Enabled", "", {"POOL-4"}),
    "v3.34 EnabledIPIPOnly/Disabled": (FELIX, "EnabledIPIPOnly", "Disabled", {"POOL-4"}),
    "v3.34 default/EnabledIPIPOnly": (FELIX, "", "EnabledIPIPOnly", {"POOL-4"}),
    "v3.34 Enabled/Enabled": (FELIX, "Enabled", "Enabled", {"POOL-4"}),
    "v3.34 Disabled/default": (FELIX, "Disabled", "", {"POOL-4", "ROUTE-7"}),
    "v3.34 unknown": (FELIX, "Maybe", "", {"POOL-4", "ROUTE-7"}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_an_illegal_owner_is_pool_4s(name: str, tmp_path: Path) -> None:
    """A pair that is not legal fails POOL-4 on every node; ROUTE-7 only where the routes are not that owner's."""
    recording, felix, bgp, expected = PAIRS[name]
    root = copied(recording, tmp_path)
    together(
        felix_says(**({"programClusterRoutes": felix} if felix else {})),
        bgp_says(**({"programClusterRoutes": bgp} if bgp else {})),
    )(root)
    findings = unsound(world(root))
    assert {one.requirement for one in findings} == expected
    assert {one.subject for one in findings} == set(NODES)


@pytest.mark.parametrize(("version", "felix"), [("v3.34.0", "Disabled"), ("v3.31.7", "Disabled"), ("v3.30.4", "")])
def test_where_bird_does_not_run_felix_must_be_the_owner(version: str, felix: str, tmp_path: Path) -> None:
    """BGPConfiguration may say what it likes: nobody reads it."""
    root = copied(FELIX, tmp_path)
    together(
        clusters.without_bird(version), felix_says(programClusterRoutes=felix), bgp_says(programClusterRoutes="Enabled")
    )(root)
    found = [one for one in unsound(world(root)) if one.requirement == "POOL-4"]
    assert [one.subject for one in found] == list(NODES)
    assert all("BIRD does not run" in one.differences[0].observed for one in found)


def second_pod_elsewhere(root: Path) -> None:
    """The first node's second pod is in a pool without IPIP, whose routes are none of ours."""
    together(
        replaced(("10.233.107.2", "10.60.0.2")),
        calico("ippools", lambda items: items.append({"metadata": {"name": "bare"}, "spec": {"cidr": "10.60.0.0/16"}})),
    )(root)


def test_a_pod_of_another_pool_beside_one_of_ipips_is_noted(tmp_path: Path) -> None:
    """A recorded node with a pod in an IPIP pool is judged by it; another pod in another pool is only noted."""
    root = copied(ALWAYS, tmp_path)
    second_pod_elsewhere(root)
    subject = world(root)
    assert unsound(subject) == []
    assert "not judged" in pods.running(subject, N1).notes[0]


def test_forwarding_of_a_vlan_is_judged(tmp_path: Path) -> None:
    """The dot in a VLAN's name is a slash to sysctl: the switch is found all the same."""
    root = copied(ALWAYS, tmp_path)
    together(clusters.vlan, text(N2, "sysctl.txt", "ens192/100.forwarding = 1", "ens192/100.forwarding = 0"))(root)
    assert [(one.requirement, one.subject) for one in unsound(world(root))] == [("NODE-4", N2)]
