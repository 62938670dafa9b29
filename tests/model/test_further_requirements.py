"""The catalogue's further requirements on nodes, pools and owners: changes to a recording, and who finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_calico_ipip.model.judgement import Outcome
from tests.model.changes import Change, another_route, api, both_ends, calico, link, no_route, route, together
from tests.model.recordings import ALWAYS, CLUSTER, FELIX, LATER, N1, N2, N3, copied, edit, judged_later, world

BLOCK, POD, CALI = "10.233.109.0/24", "10.233.109.1", "cali8e6ddf62423"
ADDRESS, TUNNEL = "projectcalico.org/IPv4Address", "projectcalico.org/IPv4IPIPTunnelAddr"


def annotate(place: int, key: str, value: str) -> Change:
    """A node's annotation."""
    return api("nodes", lambda items: items[place]["metadata"]["annotations"].update({key: value}))


def spec(kind: str, place: int, **fields: object) -> Change:
    """The spec of one of Calico's objects."""
    return calico(kind, lambda items: items[place]["spec"].update(fields))


def more(kind: str, **fields: object) -> Change:
    """One of Calico's objects more."""
    return calico(kind, lambda items: items.append({"metadata": {"name": "default"}, "spec": fields}))


def decided(node: str, **fields: object) -> Change:
    """What the kernel decided for the second node's pod; without fields the look-up failed."""

    def change(root: Path) -> None:
        def rows(data: list[dict[str, object]]) -> list[dict[str, object]]:
            return [{**row, **fields} if row["dst"] == POD else row for row in data if fields or row["dst"] != POD]

        edit(root / "nodes" / node / "ip-route-get.json", rows)

    return change


def borrowed(address: str, *where: str) -> Change:
    """The second node's pod has an address of the first node's block; its /32 is on the named nodes."""

    def pod(items: list[dict[str, object]]) -> None:
        items[1]["status"].update(podIP=address, podIPs=[{"ip": address}])  # type: ignore[attr-defined]

    routes = [another_route(node, BLOCK, dst=address) for node in where]
    return together(api("pods", pod), route(N2, POD, dst=address), *routes)


def failed_look_up(node: str, address: str, said: str) -> Change:
    """A look-up more, which failed: the file has no row of it, commands.tsv has a line."""

    def change(root: Path) -> None:
        with (root / "nodes" / node / "commands.tsv").open("a") as table:
            table.write(f"ip-route-get.json\t2\tip -j route get {address}\t{said}\n")

    return change


TABLE: dict[str, tuple[str, Change, str]] = {
    "another node's address": (
        ALWAYS,
        annotate(0, ADDRESS, "10.7.120.12/24"),
        "NODE-1@1 NODE-1@2 NODE-2@1? ROUTE-5@2 ROUTE-5@3 SEC-1@1 SEC-1@2 SEC-1@3",
    ),
    "address without a mask": (ALWAYS, annotate(0, ADDRESS, "10.7.120.11"), "NODE-1@1 SEC-1@1 SEC-1@2 SEC-1@3"),
    "address on two devices": (
        ALWAYS,
        link(N1, "tunl0", addr_info=[{"family": "inet", "local": "10.7.120.11", "prefixlen": 32}]),
        "NODE-1@1",
    ),
    "underlay NIC down": (ALWAYS, link(N1, "ens192", flags=["BROADCAST"]), "NODE-1@1"),
    "not an InternalIP": (
        ALWAYS,
        api("nodes", lambda items: items[0]["status"]["addresses"][0].update(address="192.0.2.1")),
        "NODE-2@1?",
    ),
    "tunnel address outside the pool": (ALWAYS, annotate(0, TUNNEL, "10.9.9.9"), "NODE-3@1"),
    "tunnel address of another node": (ALWAYS, annotate(0, TUNNEL, "10.233.109.0"), "NODE-3@1 NODE-3@2"),
    "tunnel address of a pod": (ALWAYS, annotate(0, TUNNEL, "10.233.107.1"), "NODE-3@1"),
    "tunnel address not allocated": (ALWAYS, annotate(0, TUNNEL, "10.233.107.99"), "NODE-3@1"),
    "tunnel address no address": (ALWAYS, annotate(0, TUNNEL, "x"), "NODE-3@1"),
    "pools overlap": (ALWAYS, more("ippools", cidr="10.233.127.0/24", ipipMode="Never"), "POOL-2"),
    "block of another size": (ALWAYS, spec("ippools", 0, blockSize=26), "POOL-2"),
    "blocks overlap": (ALWAYS, more("ipamblocks", cidr="10.233.107.128/25"), "POOL-2"),
    "block in no pool": (ALWAYS, more("ipamblocks", cidr="10.8.0.0/24", affinity=f"host:{N1}"), "POOL-2"),
    "two affinities": (
        ALWAYS,
        more("blockaffinities", cidr=BLOCK, node=N3, state="confirmed", type="host"),
        "POOL-3",
    ),
    "affinity pending": (ALWAYS, spec("blockaffinities", 1, state="pendingDeletion"), "POOL-3"),
    "affinity deleted": (ALWAYS, spec("blockaffinities", 1, deleted="true"), "POOL-3"),
    "block of a node that is gone": (
        ALWAYS,
        spec("ipamblocks", 1, affinity="host:gone"),
        "POOL-3 ROUTE-6@1 ROUTE-6@3 BGP-2@2",
    ),
    "block of nobody": (ALWAYS, calico("ipamblocks", lambda i: i[1]["spec"].pop("affinity")), "ROUTE-6@1 ROUTE-6@3"),
    "two owners": (FELIX, spec("bgpconfigurations", 0, programClusterRoutes="Enabled"), "POOL-4@1 POOL-4@2 POOL-4@3"),
    "no owner": (
        FELIX,
        spec("felixconfigurations", 0, programClusterRoutes="Disabled"),
        "POOL-4@1 POOL-4@2 POOL-4@3 ROUTE-7@1 ROUTE-7@2 ROUTE-7@3",
    ),
    "Felix told before it can": (
        ALWAYS,
        spec("felixconfigurations", 0, programClusterRoutes="Enabled"),
        "POOL-4@1 POOL-4@2 POOL-4@3 ROUTE-7@1 ROUTE-7@2 ROUTE-7@3",
    ),
    "kernel decides the NIC": (ALWAYS, decided(N1, dev="ens192"), "ROUTE-5@1"),
    "kernel decides another node": (ALWAYS, decided(N1, gateway="10.7.120.13"), "ROUTE-5@1"),
    "kernel decides to drop": (ALWAYS, decided(N1, type="blackhole"), "ROUTE-5@1"),
    "look-up failed": (ALWAYS, decided(N3), "ROUTE-5@3"),
    "borrowed, no route": (ALWAYS, borrowed("10.233.107.77"), "ROUTE-6@1 ROUTE-6@3 ROUTE-5@1 ROUTE-5@2 ROUTE-5@3"),
    "borrowed, one without": (
        ALWAYS,
        borrowed("10.233.107.77", N1),
        "ROUTE-6@3 ROUTE-5@1 ROUTE-5@2 ROUTE-5@3",
    ),
    "BIRD's route on Felix's node": (FELIX, route(N1, BLOCK, protocol="bird"), "ROUTE-7@1"),
    "BIRD's route left": (FELIX, another_route(N1, BLOCK, protocol="bird", metric=1024), "ROUTE-7@1"),
    "Felix's route on BIRD's node": (ALWAYS, route(N1, BLOCK, protocol="80"), "ROUTE-7@1"),
    "somebody's blackhole": (ALWAYS, route(N1, "10.233.107.0/24", protocol="static"), "ROUTE-7@1"),
    "one look-up of several failed": (
        ALWAYS,
        failed_look_up(N3, "10.233.109.255", "RTNETLINK answers: Invalid argument"),
        "ROUTE-5@3",
    ),
    "another MTU on one interface": (FELIX, link(N3, "calie004be16fc5", mtu=1400), "MTU-3?"),
    "another MTU on one node": (ALWAYS, both_ends(N2, CALI, POD, mtu=1400), "MTU-3?"),
    "block route missing is not theirs": (ALWAYS, no_route(N1, BLOCK), ""),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_change_is_found_by_what_states_it(name: str, tmp_path: Path) -> None:
    """Exactly the named requirements fail; `?` is a SHOULD; without a node it is the cluster's."""
    recording, change, expected = TABLE[name]
    root = copied(recording, tmp_path)
    change(root)
    bad = {Outcome.FAILED: "", Outcome.WARNING: "?"}
    found = {
        one.requirement + ("" if one.subject == "cluster" else f"@{one.subject[-1]}") + bad[one.outcome]
        for one in judged_later(world(root))
        if one.outcome in bad
    }
    assert found == set(expected.split())


@pytest.mark.parametrize(
    ("felix", "bgp", "legal"),
    [
        ("Enabled", "Disabled", True),
        ("Disabled", "Enabled", True),
        ("EnabledIPIPOnly", "EnabledNoEncapOnly", True),
        ("EnabledNoEncapOnly", "EnabledIPIPOnly", True),
        ("Enabled", "Enabled", False),
        ("Disabled", "Disabled", False),
        ("EnabledNoEncapOnly", "EnabledNoEncapOnly", False),
    ],
)
def test_the_legal_pairs_of_v3_33(felix: str, bgp: str, legal: bool, tmp_path: Path) -> None:
    """From v3.33 four pairs of owners are legal, and every other one leaves a class of routes twice or nowhere."""
    root = copied(FELIX, tmp_path)
    spec("felixconfigurations", 0, programClusterRoutes=felix)(root)
    spec("bgpconfigurations", 0, programClusterRoutes=bgp)(root)
    outcomes = {one.outcome for one in judged_later(world(root)) if one.requirement == "POOL-4"}
    assert outcomes == {Outcome.HOLDS if legal else Outcome.FAILED}


@pytest.mark.parametrize("version", ["", "master"])
def test_a_release_that_cannot_be_read_makes_no_verdict_on_owners(version: str, tmp_path: Path) -> None:
    """Without a release nobody can say who owns the routes: an ERROR with the string, or not in this evidence."""
    root = copied(ALWAYS, tmp_path)
    spec("clusterinformations", 0, calicoVersion=version)(root)
    owners = [one for one in judged_later(world(root)) if one.requirement in ("POOL-4", "ROUTE-7")]
    assert {one.outcome for one in owners} == {Outcome.ERROR if version else Outcome.MISSING}
    assert all(version in "".join((*one.inconclusive, *one.missing)) for one in owners)


def test_every_requirement_is_tripped_twice() -> None:
    """Each of these requirements is found broken by two different changes at least."""
    words = [{w.split("@")[0].rstrip("?") for w in expected.split()} for _, _, expected in TABLE.values()]
    further = {*LATER, *CLUSTER} - {"BGP-1", "BGP-2", "SEC-1", "SEC-2"}  # in test_bgp_and_firewall.py
    assert {ident for ident in further if sum(ident in one for one in words) < 2} == set()
