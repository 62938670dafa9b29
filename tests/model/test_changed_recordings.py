"""One thing changed in a healthy recording is found by the requirements that state it, on that node, by no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.model.judgement import Outcome
from tests.model.changes import (
    Change,
    another_route,
    api,
    both_ends,
    calico,
    eth0,
    inside,
    link,
    namespace_ids,
    no_link,
    no_route,
    route,
    rule,
    sysctl,
    together,
    tunnel_data,
    without_rule,
)
from tests.model.recordings import ALWAYS, CHECKS, CROSS, FELIX, N1, N2, N3, copied, found, world

# the second node's block and pod, as in the recordings
BLOCK, POD, CALI = "10.233.109.0/24", "10.233.109.1", "cali8e6ddf62423"
OWN, OWN_POD, OWN_CALI, OTHER_CALI = "10.233.107.0/24", "10.233.107.1", "cali747350e5fc9", "calic900c5f8053"
MAC = "ee:ee:ee:ee:ee:ee"


def inet(*addresses: str) -> list[dict[str, Any]]:
    """addr_info as `ip -j` prints it."""
    pairs = [address.split("/") for address in addresses]
    return [{"family": "inet", "local": local, "prefixlen": int(length), "scope": "global"} for local, length in pairs]


def everywhere(*ids: str) -> str:
    """The same requirements on all three nodes."""
    return " ".join(f"{ident}@{number}" for ident in ids for number in (1, 2, 3))


FLAGS = ["BROADCAST", "MULTICAST"]
DOWN_AT_THE_POD = eth0(N2, POD, flags=FLAGS)
TWO_WAYS = [
    {"gateway": "10.7.120.12", "dev": "tunl0", "weight": 1, "flags": ["onlink"]},
    {"gateway": "10.7.120.13", "dev": "tunl0", "weight": 1, "flags": ["onlink"]},
]


def routes_in(table: str, destination: str) -> Change:
    """A way out for a destination, in another table."""
    return another_route(N1, "default", dst=destination, table=table)


TABLE: dict[str, tuple[str, Change, str]] = {
    # the tunnel device
    "tunl0 MTU smaller": (ALWAYS, link(N2, "tunl0", mtu=1400), "MTU-1@2 MTU-2@2"),
    "tunl0 MTU larger": (FELIX, link(N2, "tunl0", mtu=1500), "MTU-1@2"),
    "tunl0 MTU not told": (ALWAYS, link(N2, "tunl0", mtu=None), "MTU-1@2 MTU-2@2"),
    "tunl0 down": (ALWAYS, link(N3, "tunl0", flags=["NOARP"]), "TUN-1@3"),
    "tunl0 of another kind": (ALWAYS, link(N1, "tunl0", linkinfo={"info_kind": "gre", "info_data": {}}), "TUN-1@1"),
    "tunl0 without a kind": (ALWAYS, link(N1, "tunl0", linkinfo=None), "TUN-1@1"),
    "tunl0 local set": (CROSS, tunnel_data(N1, local="10.7.120.11"), "TUN-1@1"),
    "tunl0 remote set": (ALWAYS, tunnel_data(N1, remote="10.7.120.12"), "TUN-1@1"),
    "tunl0 TTL fixed": (ALWAYS, tunnel_data(N1, ttl=64), "TUN-1@1"),
    "tunl0 TTL not told": (ALWAYS, tunnel_data(N1, ttl=None), "TUN-1@1"),
    "tunl0 gone": (ALWAYS, no_link(N1, "tunl0"), "TUN-1@1 TUN-2@1 MTU-1@1"),
    "tunl0 renamed": (ALWAYS, link(N1, "tunl0", ifname="tunl1"), "TUN-1@1 TUN-2@1 MTU-1@1"),
    "tunl0 without address": (ALWAYS, link(N2, "tunl0", addr_info=[]), "TUN-2@2"),
    "tunl0 with two addresses": (
        ALWAYS,
        link(N2, "tunl0", addr_info=inet("10.233.109.0/32", "10.9.9.9/32")),
        "TUN-2@2",
    ),
    "tunl0 address no /32": (FELIX, link(N2, "tunl0", addr_info=inet("10.233.109.0/24")), "TUN-2@2"),
    "tunl0 with another node's address": (ALWAYS, link(N2, "tunl0", addr_info=inet("10.233.88.0/32")), "TUN-2@2"),
    "underlay shrunk": (ALWAYS, link(N2, "ens192", mtu=1400), "MTU-1@2 MTU-2@2"),
    "underlay grown": (ALWAYS, link(N2, "ens192", mtu=9000), "MTU-1@2 MTU-2@2?"),
    "ipipMTU configured": (
        ALWAYS,
        calico("felixconfigurations", lambda items: items[0]["spec"].update(ipipMTU=1300)),
        everywhere("MTU-1", "MTU-2"),
    ),
    # routes to other nodes' blocks
    "block route missing": (ALWAYS, no_route(N1, BLOCK), "ROUTE-2@1"),
    "block route missing, Felix": (FELIX, no_route(N3, BLOCK), "ROUTE-2@3"),
    "block route to the wrong node": (ALWAYS, route(N1, BLOCK, gateway="10.7.120.13"), "ROUTE-2@1 ROUTE-4@1"),
    "block route by the NIC": (ALWAYS, route(N1, BLOCK, dev="ens192"), "ROUTE-2@1 ROUTE-4@1"),
    "block route by the NIC, Felix": (FELIX, route(N2, OWN, dev="ens192"), "ROUTE-2@2 ROUTE-4@2"),
    "block route not onlink": (ALWAYS, route(N1, BLOCK, flags=[]), "ROUTE-2@1 ROUTE-4@1"),
    "block route without gateway": (ALWAYS, route(N1, BLOCK, gateway=None), "ROUTE-2@1 ROUTE-4@1"),
    "block route ECMP": (
        ALWAYS,
        route(N1, BLOCK, gateway=None, dev=None, nexthops=TWO_WAYS),
        "ROUTE-2@1 ROUTE-4@1",
    ),
    "block route twice": (ALWAYS, another_route(N1, BLOCK, metric=50), "ROUTE-2@1 ROUTE-4@1"),
    "block route shadowed": (ALWAYS, another_route(N1, BLOCK, metric=50, gateway="10.7.120.13"), "ROUTE-2@1 ROUTE-4@1"),
    "block a blackhole": (
        ALWAYS,
        route(N1, BLOCK, type="blackhole", gateway=None, dev=None, flags=[]),
        "ROUTE-2@1 ROUTE-4@1",
    ),
    "a spare blackhole for a block": (
        ALWAYS,
        another_route(N1, BLOCK, type="blackhole", gateway=None, dev=None, flags=[], protocol="boot", metric=5000),
        "ROUTE-2@1 ROUTE-4@1",
    ),
    "block unreachable": (ALWAYS, route(N1, BLOCK, type="unreachable", gateway=None, dev=None), "ROUTE-2@1 ROUTE-4@1"),
    "near block through the tunnel": (CROSS, route(N1, BLOCK, dev="tunl0", flags=["onlink"]), "ROUTE-2@1 ROUTE-4@1"),
    "far block bare": (CROSS, route(N1, "10.233.88.0/24", dev="ens192", flags=[]), "ROUTE-2@1 ROUTE-4@1"),
    "near block to the router": (CROSS, route(N2, OWN, gateway="10.7.120.1"), "ROUTE-2@2 ROUTE-4@2"),
    # own blocks
    "blackhole missing": (ALWAYS, no_route(N1, OWN), "ROUTE-3@1"),
    "blackhole missing, Felix": (FELIX, no_route(N1, OWN), "ROUTE-3@1"),
    "own block unreachable": (ALWAYS, route(N1, OWN, type="unreachable"), "ROUTE-3@1 ROUTE-4@1"),
    "own block routed away": (
        ALWAYS,
        route(N1, OWN, type="unicast", gateway="10.7.120.12", dev="tunl0", flags=["onlink"]),
        "ROUTE-3@1 ROUTE-4@1",
    ),
    # local pods
    "pod route missing": (ALWAYS, no_route(N1, OWN_POD), "ROUTE-1@1"),
    "pod route by another interface": (ALWAYS, route(N1, OWN_POD, dev=OTHER_CALI), "ROUTE-1@1 ROUTE-4@1"),
    "pod route with global scope": (ALWAYS, route(N1, OWN_POD, scope="global"), "ROUTE-1@1 ROUTE-4@1"),
    "pod route by a gateway": (ALWAYS, route(N1, OWN_POD, gateway="10.7.120.1", dev="ens192"), "ROUTE-1@1 ROUTE-4@1"),
    "pod route to another address": (ALWAYS, route(N1, OWN_POD, dst="10.233.107.77"), "ROUTE-1@1 ROUTE-4@1"),
    "pod route twice before v3.32": (ALWAYS, another_route(N1, OWN_POD, metric=1024), "ROUTE-1@1 ROUTE-4@1"),
    "pod route thrice": (
        FELIX,
        together(another_route(N1, OWN_POD, metric=None), another_route(N1, OWN_POD, metric=7)),
        "ROUTE-1@1 ROUTE-4@1",
    ),
    # routes that nothing explains
    "half a block elsewhere": (ALWAYS, another_route(N1, BLOCK, dst="10.233.109.0/25"), "ROUTE-4@1"),
    "stale block": (ALWAYS, another_route(N1, BLOCK, dst="10.233.70.0/24"), "ROUTE-4@1"),
    "stale blackhole": (ALWAYS, another_route(N1, OWN, dst="10.233.70.0/24"), "ROUTE-4@1"),
    "stale pod": (ALWAYS, another_route(N1, OWN_POD, dst="10.233.107.99"), "ROUTE-4@1"),
    "remote pod at the wrong node": (
        ALWAYS,
        another_route(N1, BLOCK, dst=POD, gateway="10.7.120.13"),
        "ROUTE-4@1",
    ),
    "remote pod by a local interface": (ALWAYS, another_route(N1, OWN_POD, dst=POD), "ROUTE-4@1"),
    "the whole pool elsewhere": (ALWAYS, another_route(N1, "default", dst="10.233.64.0/18"), "ROUTE-4@1"),
    "a route in another table": (
        ALWAYS,
        together(routes_in("100", BLOCK), rule(N1, priority=100, src="all", table="100")),
        "ROUTE-4@1",
    ),
    "a rule that diverts everything": (
        ALWAYS,
        together(routes_in("100", "default"), rule(N1, priority=100, src="all", table="100")),
        "ROUTE-4@1",
    ),
    "a rule that diverts TCP": (
        ALWAYS,
        together(routes_in("100", "default"), rule(N1, priority=100, src="all", ipproto="tcp", table="100")),
        "ROUTE-4@1",
    ),
    "a rule that diverts what a pod sends": (
        ALWAYS,
        together(routes_in("100", "default"), rule(N1, priority=100, src="all", iif=OWN_CALI, table="100")),
        "ROUTE-4@1",
    ),
    "a rule that diverts what the tunnel brings": (
        ALWAYS,
        together(routes_in("100", "default"), rule(N1, priority=100, src="all", iif="tunl0", table="100")),
        "ROUTE-4@1",
    ),
    "a rule that diverts what comes bare": (
        CROSS,
        together(routes_in("100", "default"), rule(N1, priority=100, src="all", iif="ens192", table="100")),
        "ROUTE-4@1",
    ),
    "a throw in the main table": (ALWAYS, another_route(N1, OWN, dst="10.233.70.0/24", type="throw"), "ROUTE-4@1"),
    "a route in the table of a marked rule": (
        ALWAYS,
        together(routes_in("100", BLOCK), rule(N1, priority=100, src="all", fwmark="0x8", table="100")),
        "ROUTE-4@1",
    ),
    "a rule that drops": (ALWAYS, rule(N1, priority=100, src="all", dst=OWN, action="blackhole"), "ROUTE-4@1"),
    "no rule for the main table": (
        ALWAYS,
        without_rule(N1, "main"),
        "ROUTE-1@1 ROUTE-2@1 ROUTE-3@1 NODE-4@1",
    ),
    "block route's flags not told": (ALWAYS, route(N1, BLOCK, flags=None), "ROUTE-2@1 ROUTE-4@1"),
    "block route's device not told": (ALWAYS, route(N1, BLOCK, dev=None), "ROUTE-2@1 ROUTE-4@1"),
    "pod route's scope not told": (ALWAYS, route(N1, OWN_POD, scope=None), "ROUTE-1@1 ROUTE-4@1"),
    "blackhole's type not told": (ALWAYS, route(N1, OWN, type=None), "ROUTE-3@1 ROUTE-4@1"),
    # workload interfaces
    "pod MTU too large": (ALWAYS, both_ends(N2, CALI, POD, mtu=1500), "MTU-2@2"),
    "interface MTU too large": (ALWAYS, link(N2, CALI, mtu=1500), "MTU-2@2"),
    "eth0 MTU smaller": (ALWAYS, eth0(N2, POD, mtu=1400), "MTU-2@2"),
    "pod MTU smaller": (ALWAYS, both_ends(N2, CALI, POD, mtu=1400), "MTU-2@2?"),
    "workload MAC": (ALWAYS, link(N2, CALI, address="02:00:00:00:00:01"), "VETH-3@2 POD-4@2"),
    "workload interface down": (ALWAYS, link(N2, CALI, flags=FLAGS), "VETH-3@2"),
    "eth0 down": (ALWAYS, DOWN_AT_THE_POD, "VETH-3@2"),
    "workload interface no veth": (ALWAYS, link(N2, CALI, linkinfo={"info_kind": "dummy"}), "VETH-3@2"),
    "netkit before v3.33": (ALWAYS, both_ends(N2, CALI, POD, linkinfo={"info_kind": "netkit"}), "VETH-3@2"),
    "workload interface renamed": (ALWAYS, link(N2, CALI, ifname="calideadbeef000"), "VETH-1@2"),
    "workload interface gone": (
        ALWAYS,
        no_link(N2, CALI),
        "VETH-1@2 VETH-2@2 VETH-3@2 VETH-4@2 MTU-2@2 POD-4@2",
    ),
    "peer index at the node": (ALWAYS, link(N1, OWN_CALI, link_index=9), "VETH-2@1"),
    "peer index at the pod": (ALWAYS, eth0(N1, OWN_POD, link_index=9), "VETH-2@1"),
    "peer's namespace": (ALWAYS, link(N1, OWN_CALI, link_netnsid=2), "VETH-2@1"),
    "peer's namespace unknown": (ALWAYS, link(N1, OWN_CALI, link_netnsid=7), "VETH-2@1"),
    "peer's namespace not told": (ALWAYS, link(N1, OWN_CALI, link_netnsid=None), "VETH-2@1"),
    "namespaces swapped": (
        ALWAYS,
        namespace_ids(N1, lambda rows: [row.update(id=3 - row["id"]) for row in rows] and None),
        "VETH-2@1",
    ),
    "proxy ARP off": (ALWAYS, sysctl(N2, f"net.ipv4.conf.{CALI}.proxy_arp", "0"), "VETH-4@2"),
    "forwarding off at the interface": (ALWAYS, sysctl(N2, f"net.ipv4.conf.{CALI}.forwarding", "0"), "VETH-4@2"),
    # the node
    "forwarding off": (ALWAYS, sysctl(N3, "net.ipv4.ip_forward", "0"), "NODE-4@3"),
    "forwarding off at tunl0": (ALWAYS, sysctl(N3, "net.ipv4.conf.tunl0.forwarding", "0"), "NODE-4@3"),
    "no default route": (ALWAYS, no_route(N2, "default"), "NODE-4@2"),
    "default route a blackhole": (
        ALWAYS,
        route(N2, "default", type="blackhole", gateway=None, dev=None),
        "NODE-4@2",
    ),
    "gateway by a workload interface": (ALWAYS, another_route(N2, POD, dst="169.254.1.1"), "NODE-4@2"),
    # pods
    "pod with another address": (ALWAYS, eth0(N2, POD, addr_info=inet("10.233.109.9/32")), "POD-2@2"),
    "pod with two addresses": (ALWAYS, eth0(N2, POD, addr_info=inet(f"{POD}/32", "10.9.9.9/32")), "POD-2@2"),
    "pod address no /32": (ALWAYS, eth0(N2, POD, addr_info=inet(f"{POD}/24")), "POD-2@2"),
    "pod without address": (ALWAYS, eth0(N2, POD, addr_info=[]), "POD-2@2"),
    "pod's default route elsewhere": (
        ALWAYS,
        inside(N2, POD, "ip-route.json", lambda rows: rows[0].update(gateway="10.233.109.254")),
        "POD-3@2",
    ),
    "pod without default route": (ALWAYS, inside(N2, POD, "ip-route.json", lambda rows: rows[1:]), "POD-3@2"),
    "pod without the link route": (
        ALWAYS,
        inside(N2, POD, "ip-route.json", lambda rows: [rows[0], *rows[2:]]),
        "POD-3@2",
    ),
    "pod with a second default route": (
        ALWAYS,
        inside(N2, POD, "ip-route.json", lambda rows: [{**rows[0], "gateway": "10.1.1.1", "metric": 5}, *rows]),
        "POD-3@2",
    ),
    "gateway's MAC": (
        ALWAYS,
        inside(N2, POD, "ip-neigh.json", lambda rows: [{**row, "lladdr": "02:00:00:00:00:02"} for row in rows]),
        "POD-4@2",
    ),
    "gateway unresolved": (
        ALWAYS,
        inside(N2, POD, "ip-neigh.json", lambda _: [{"dst": "169.254.1.1", "dev": "eth0", "state": ["FAILED"]}]),
        "POD-4@2",
    ),
    "pod not Ready": (
        ALWAYS,
        api("pods", lambda items: [c.update(status="False") for c in items[1]["status"]["conditions"]]),
        "POD-1@2",
    ),
    "pod being deleted": (
        ALWAYS,
        api("pods", lambda items: items[1]["metadata"].update(deletionTimestamp="2026-11-22T17:50:00Z")),
        "POD-1@2",
    ),
    # the datastore
    "pool Never": (
        ALWAYS,
        calico("ippools", lambda items: items[0]["spec"].update(ipipMode="Never")),
        everywhere("POOL-1", "POD-1"),
    ),
    "pool mode not set": (
        ALWAYS,
        calico("ippools", lambda items: items[0]["spec"].pop("ipipMode")),
        everywhere("POOL-1", "POD-1"),
    ),
    "pool VXLAN too": (
        ALWAYS,
        calico("ippools", lambda items: items[0]["spec"].update(vxlanMode="Always")),
        everywhere("POOL-1", "MTU-2"),
    ),
    "pool disabled": (
        ALWAYS,
        calico("ippools", lambda items: items[0]["spec"].update(disabled=True)),
        everywhere("POOL-1"),
    ),
    "pool elsewhere": (
        ALWAYS,
        calico("ippools", lambda items: items[0]["spec"].update(cidr="10.234.0.0/16")),
        everywhere("POOL-1", "POD-1"),
    ),
    "CrossSubnet not carried out": (
        ALWAYS,
        calico("ippools", lambda items: items[0]["spec"].update(ipipMode="CrossSubnet")),
        everywhere("ROUTE-2", "ROUTE-4"),
    ),
    "mask too narrow": (
        CROSS,
        api("nodes", lambda items: items[0]["metadata"]["annotations"].update(
            {"projectcalico.org/IPv4Address": "10.7.120.11/32"})),
        "ROUTE-2@1 ROUTE-4@1",
    ),
    "address of another node": (
        ALWAYS,
        api("nodes", lambda items: items[1]["metadata"]["annotations"].update(
            {"projectcalico.org/IPv4Address": "10.7.120.99/24"})),
        "ROUTE-2@1 ROUTE-4@1 ROUTE-2@3 ROUTE-4@3",
    ),
    "no address": (
        ALWAYS,
        api("nodes", lambda items: items[1]["metadata"]["annotations"].pop("projectcalico.org/IPv4Address")),
        "ROUTE-2@1 ROUTE-4@1 ROUTE-2@3 ROUTE-4@3",
    ),
    "tunnel address of another block": (
        ALWAYS,
        api("nodes", lambda items: items[1]["metadata"]["annotations"].update(
            {"projectcalico.org/IPv4IPIPTunnelAddr": "10.233.109.7"})),
        "TUN-2@2",
    ),
    "no tunnel address": (
        ALWAYS,
        api("nodes", lambda items: items[1]["metadata"]["annotations"].pop("projectcalico.org/IPv4IPIPTunnelAddr")),
        "TUN-2@2",
    ),
    "block gone from the datastore": (ALWAYS, calico("ipamblocks", lambda items: items.pop(1)), "ROUTE-4@1 ROUTE-4@3"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_a_change_is_found_by_what_states_it(name: str, tmp_path: Path) -> None:
    """Exactly the named requirements fail on exactly the named nodes; `?` is a SHOULD; nothing else errs."""
    recording, change, expected = TABLE[name]
    root = copied(recording, tmp_path)
    change(root)
    subject = world(root)
    failed = {f"{ident}@{node[-1]}" for ident, node in found(subject, Outcome.FAILED)}
    warned = {f"{ident}@{node[-1]}?" for ident, node in found(subject, Outcome.WARNING)}
    assert failed | warned == set(expected.split())
    assert found(subject, Outcome.ERROR) == set()


UNTOLD: dict[str, tuple[str, Change, str]] = {
    "proxy ARP not told": (ALWAYS, sysctl(N2, f"net.ipv4.conf.{CALI}.proxy_arp", None), "VETH-4@2"),
    "forwarding not told": (ALWAYS, sysctl(N3, "net.ipv4.ip_forward", None), "NODE-4@3"),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_a_switch_that_every_kernel_has_was_not_read(name: str, tmp_path: Path) -> None:
    """No cluster can lack it, so its line was lost: an ERROR of what states it, and no failure that accuses."""
    recording, change, expected = UNTOLD[name]
    root = copied(recording, tmp_path)
    change(root)
    subject = world(root)
    assert {f"{ident}@{node[-1]}" for ident, node in found(subject, Outcome.ERROR)} == {expected}
    assert found(subject, Outcome.FAILED, Outcome.WARNING) == set()
    for table in root.glob("nodes/*/commands.tsv"):
        table.unlink()
    subject = world(root)
    assert {f"{ident}@{node[-1]}" for ident, node in found(subject, Outcome.MISSING)} == {expected}


HARMLESS: dict[str, tuple[str, Change]] = {
    "metric 1024": (ALWAYS, route(N1, BLOCK, metric=1024)),
    "the metric of an older peer": (ALWAYS, route(N1, BLOCK, metric=2147483547)),
    "route MTU": (FELIX, route(N1, BLOCK, metrics=[{"mtu": 1400}])),
    "the other owner's protocol": (FELIX, route(N1, BLOCK, protocol="bird", metric=1024)),
    "the former owner's route beside it": (FELIX, another_route(N1, BLOCK, protocol="bird", metric=1024)),
    "onlink in the subnet": (CROSS, route(N1, BLOCK, flags=["onlink"])),
    "CNI's route beside Felix's": (FELIX, another_route(N1, OWN_POD, metric=None)),
    "a remote pod's /32 beside its block": (ALWAYS, another_route(N1, BLOCK, dst=POD)),
    "pmtudisc": (ALWAYS, tunnel_data(N1, pmtudisc=True)),
    "operstate of tunl0": (ALWAYS, link(N1, "tunl0", operstate="DOWN")),
    "netkit from v3.33": (FELIX, both_ends(N2, CALI, POD, linkinfo={"info_kind": "netkit"})),
    "a wider route of the underlay": (ALWAYS, another_route(N1, "default", dst="10.0.0.0/8")),
    "a route in a table that no rule consults": (ALWAYS, routes_in("100", BLOCK)),
    "a rule for another source": (
        ALWAYS,
        together(routes_in("100", "default"), rule(N1, priority=100, src="10.7.130.0", srclen=24, table="100")),
    ),
    "a marked rule": (
        ALWAYS,
        together(routes_in("100", "default"), rule(N1, priority=100, src="all", fwmark="0x8", table="100")),
    ),
    "a rule for the node's own packets": (
        ALWAYS,
        together(routes_in("100", "default"), rule(N1, priority=100, src="all", iif="lo", table="100")),
    ),
    "a rule for what another NIC brings": (
        CROSS,
        together(routes_in("100", "default"), rule(N1, priority=100, src="all", iif="ens224", table="100")),
    ),
    "a rule whose table throws pods' packets back": (
        ALWAYS,
        together(
            routes_in("100", "default"),
            another_route(N1, OWN, dst="10.233.0.0/16", type="throw", table="100"),
            rule(N1, priority=100, src="all", table="100"),
        ),
    ),
    "a rule for what is left over": (
        ALWAYS,
        together(routes_in("100", "default"), rule(N1, priority=32768, src="all", ipproto="tcp", table="100")),
    ),
    "rp_filter": (ALWAYS, sysctl(N1, f"net.ipv4.conf.{OWN_CALI}.rp_filter", "2")),
    "a second NIC that is down": (
        ALWAYS,
        lambda root: link(N1, "lo", ifname="eth7", mtu=1000, operstate="DOWN")(root),
    ),
    "a neighbour entry that is stale": (
        ALWAYS,
        inside(N2, POD, "ip-neigh.json", lambda rows: [{**row, "state": ["STALE"]} for row in rows]),
    ),
    "a service address": (ALWAYS, another_route(N1, "default", dst="10.96.0.0/12")),
    "a pending block's blackhole": (
        ALWAYS,
        together(
            another_route(N1, OWN, dst="10.233.70.0/24"),
            calico("blockaffinities", lambda items: items.append(
                {"metadata": {"name": "x"}, "spec": {"cidr": "10.233.70.0/24", "node": N1, "state": "pending"}})),
        ),
    ),
    "a deleted affinity": (
        ALWAYS,
        calico("blockaffinities", lambda items: items.append(
            {"metadata": {"name": "x"},
             "spec": {"cidr": "10.233.70.0/24", "node": N1, "state": "confirmed", "deleted": "true"}})),
    ),
    "an IPv6 pool": (
        ALWAYS,
        calico("ippools", lambda items: items.append(
            {"metadata": {"name": "six"}, "spec": {"cidr": "fd00::/48", "blockSize": 122, "vxlanMode": "Always"}})),
    ),
    "a node that is Windows": (
        ALWAYS,
        api("nodes", lambda items: items.append(
            {"metadata": {"name": "win", "labels": {"kubernetes.io/os": "windows"}, "annotations": {}}})),
    ),
    "a pod that is not Calico's": (
        ALWAYS,
        api("pods", lambda items: items.append(
            {"metadata": {"name": "proxy", "namespace": "kube-system"},
             "spec": {"nodeName": N1, "hostNetwork": True},
             "status": {"phase": "Running", "podIP": "10.7.120.11"}})),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_free_is_not_judged(name: str, tmp_path: Path) -> None:
    """Metric, protocol, route MTU, upgrades half done and what is not Calico's are healthy."""
    recording, change = HARMLESS[name]
    root = copied(recording, tmp_path)
    change(root)
    assert found(world(root), Outcome.FAILED, Outcome.WARNING, Outcome.ERROR) == set()


def test_the_table_is_large_enough() -> None:
    """At least 45 changes are looked for, on each of the three recordings, and every requirement is tripped by two."""
    assert len(TABLE) >= 45
    assert {recording for recording, _, _ in TABLE.values()} == {ALWAYS, CROSS, FELIX}
    tripped = [{word.split("@")[0] for word in expected.split()} for _, _, expected in TABLE.values()]
    assert {ident for ident in CHECKS if sum(ident in words for words in tripped) < 2} == set()
