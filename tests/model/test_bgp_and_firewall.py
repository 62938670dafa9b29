"""BGP-1, BGP-2, SEC-1, SEC-2: changes to what BIRD and the packet filter said, and who finds them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.model.judgement import Judgement, Outcome
from tests.model.changes import Change, api, calico, text, together
from tests.model.recordings import (
    ALWAYS,
    CROSS,
    FELIX,
    HEALTHY,
    N1,
    N2,
    RECORDED,
    copied,
    edit,
    judged_later,
    world,
)

PROTOCOLS, ROUTES = "birdcl-protocols.txt", "birdcl-routes.txt"
RULES, SETS = "iptables-save.txt", "ipset.txt"
SESSION = "Mesh_10_7_120_12 BGP      master   up     17:48:50    Established   "
ACCEPT = (
    '-A cali-INPUT -p ipencap -m comment --comment "cali:PajejrV4aFdkZojI" -m comment --comment "Allow IPIP packets'
    ' from Calico hosts" -m set --match-set cali40all-hosts-net src -m addrtype --dst-type LOCAL -j ACCEPT\n'
)
DROP = (
    '-A cali-INPUT -p ipencap -m comment --comment "cali:_wjq-Yrma8Ly1Svo" -m comment --comment "Drop IPIP packets from'
    ' non-Calico hosts" -j DROP\n'
)
ALL_THREE = "{0}@1 {0}@2 {0}@3".format
IDS = ("BGP-1", "BGP-2", "SEC-1", "SEC-2")


def announced(prefix: str, by: str = "Mesh_10_7_120_12") -> Change:
    """The first node holds one BGP route more, from the second node's session or another."""
    line = f"{prefix:<19}via 10.7.120.12 on ens192 [{by} 17:48:50] * (100/0) [i]\n\tBGP.next_hop: 10.7.120.12\n"
    return text(N1, ROUTES, "10.233.107.0/24    blackhole", f"{line}10.233.107.0/24    blackhole")


def peer(**spec: object) -> Change:
    """A BGPPeer."""
    return calico("bgppeers", lambda items: items.append({"metadata": {"name": "tor"}, "spec": spec}))


def without_mesh(root: Path) -> None:
    """The mesh is off: nodeToNodeMeshEnabled is false."""
    calico(
        "bgpconfigurations",
        lambda items: items.append({"metadata": {"name": "default"}, "spec": {"nodeToNodeMeshEnabled": False}}),
    )(root)


def not_ready(root: Path) -> None:
    """Kubernetes has not heard of the second node for a while."""
    condition = {"type": "Ready", "status": "Unknown"}
    api("nodes", lambda items: items[1]["status"].update(conditions=[condition]))(root)


def reflector(root: Path) -> None:
    """The second node is a route reflector."""
    annotation = {"projectcalico.org/RouteReflectorClusterID": "1.0.0.1"}
    api("nodes", lambda items: items[1]["metadata"]["annotations"].update(annotation))(root)


def rule_first(words: str, chain: str = "INPUT") -> Change:
    """A rule before all others of a chain."""
    return lambda root: _insert(root, f"[0:0] -A {chain} {words}\n", f"-A {chain} ")


def _insert(root: Path, line: str, before: str) -> None:
    path = root / "nodes" / N1 / RULES
    lines = path.read_text().splitlines(keepends=True)
    start = lines.index("*filter\n")
    at = next(n for n, one in enumerate(lines) if n > start and before in one)
    path.write_text("".join([*lines[:at], line, *lines[at:]]))


def members(*, less: str = "", more: str = "") -> Change:
    """The first node's set of hosts, with another number of members."""

    def change(root: Path) -> None:
        path = root / "nodes" / N1 / SETS
        before, name, after = path.read_text().partition("Name: cali40all-hosts-net")
        body, end, rest = after.partition("\n\n")
        listed = [line for line in body.split("\n") if line != less] + ([more] if more else [])
        entries = len(listed) - listed.index("Members:") - 1
        listed = [f"Number of entries: {entries}" if one.startswith("Number of") else one for one in listed]
        path.write_text(before + name + "\n".join(listed) + end + rest)

    return change


def read_again(dropped: int = 0) -> Change:
    """The firewall is read a second time on every node; the first one's drop counter then has another value."""

    def change(root: Path) -> None:
        for folder in (root / "nodes").iterdir():
            shutil.copy(folder / RULES, folder / "iptables-save.after.txt")
        text(N1, "iptables-save.after.txt", f"[0:0] {DROP}", f"[{dropped}:{dropped * 104}] {DROP}")(root)

    return change


TABLE: dict[str, tuple[str, Change, str]] = {
    "session refused": (
        ALWAYS,
        text(N1, PROTOCOLS, SESSION, "Mesh_10_7_120_12 BGP master start 17:48:50 Active Socket: refused"),
        "BGP-1@1",
    ),
    "session starting": (
        FELIX,
        text(N2, PROTOCOLS, "up     17:49:37    Established", "start  17:49:37    OpenSent"),
        "BGP-1@2",
    ),
    "session shut down": (
        ALWAYS,
        text(N1, PROTOCOLS, SESSION, "Mesh_10_7_120_12 BGP      master   down   17:48:50"),
        "BGP-1@1",
    ),
    "no such session": (ALWAYS, text(N1, PROTOCOLS, SESSION, ""), "BGP-1@1"),
    "session with somebody else": (
        CROSS,
        text(N1, PROTOCOLS, "device1", "Mesh_10_7_120_99 BGP master start 17:48:50 Connect\ndevice1"),
        "BGP-1@1",
    ),
    "BGPPeer without a session": (ALWAYS, peer(peerIP="192.0.2.1", asNumber=64512), ALL_THREE("BGP-1")),
    "BGPPeer of one node": (ALWAYS, peer(peerIP="192.0.2.1:1790", node=N2), "BGP-1@2"),
    "BGPPeer by selectors": (
        ALWAYS,
        together(
            without_mesh,
            peer(nodeSelector="has(never)", peerSelector="all()"),
            peer(nodeSelector=f"kubernetes.io/hostname == '{N1}'", peerSelector="all()"),
            text(N1, PROTOCOLS, SESSION, ""),
        ),
        "BGP-1@1",
    ),
    "another node's block announced": (ALWAYS, announced("10.233.88.0/24"), "BGP-2@2"),
    "stale block announced": (ALWAYS, announced("10.233.70.0/24"), "BGP-2@2"),
    "stale pod announced": (ALWAYS, announced("10.233.109.99/32"), "BGP-2@2"),
    "a further route, behind the best": (ALWAYS, announced("10.233.107.0/24"), "BGP-2@2"),
    "block not announced": (
        FELIX,
        together(
            text(N1, ROUTES, "[Mesh_10_7_120_12 17:49:19", "[static1 17:49:19"),
            text(N1, ROUTES, "[Mesh_10_7_120_12 17:49:09", "[static1 17:49:09"),
        ),
        "BGP-2@2",
    ),
    "two nodes' blocks exchanged": (
        ALWAYS,
        together(
            text(N1, ROUTES, "[Mesh_10_7_120_12", "[Mesh_x"),
            text(N1, ROUTES, "[Mesh_10_7_120_13", "[Mesh_10_7_120_12"),
            text(N1, ROUTES, "[Mesh_x", "[Mesh_10_7_120_13"),
        ),
        "BGP-2@2 BGP-2@3",
    ),
    "a host missing": (ALWAYS, members(less="10.7.120.13"), "SEC-1@1"),
    "a host too many": (FELIX, members(more="192.0.2.0/24"), "SEC-1@1"),
    "the set empty": (
        ALWAYS,
        together(members(less="10.7.120.11"), members(less="10.7.120.12"), members(less="10.7.120.13")),
        "SEC-1@1",
    ),
    "the set gone": (ALWAYS, text(N1, SETS, "Name: cali40all-hosts-net", "Name: cali40other"), "SEC-1@1"),
    "an external node missing": (
        ALWAYS,
        calico("felixconfigurations", lambda items: items[0]["spec"].update(externalNodesList=["198.51.100.7"])),
        ALL_THREE("SEC-1"),
    ),
    "nobody accepted": (ALWAYS, text(N1, RULES, f"[8:832] {ACCEPT}", ""), "SEC-2@1"),
    "accepted from anywhere": (
        ALWAYS,
        text(N1, RULES, ACCEPT, ACCEPT.replace("-m set --match-set cali40all-hosts-net src ", "")),
        "SEC-2@1",
    ),
    "others not dropped": (CROSS, text(N1, RULES, f"[0:0] {DROP}", ""), "SEC-2@1"),
    "dropped before accepted": (
        ALWAYS,
        together(
            text(N1, RULES, f"[0:0] {DROP}", ""), text(N1, RULES, f"[8:832] {ACCEPT}", f"[0:0] {DROP}[8:832] {ACCEPT}")
        ),
        "SEC-2@1",
    ),
    "somebody drops IPIP": (ALWAYS, rule_first("-p ipencap -j DROP"), "SEC-2@1"),
    "somebody rejects it from one node": (ALWAYS, rule_first("-s 10.7.120.12/32 -p 4 -j REJECT"), "SEC-2@1"),
    "somebody drops it if it is long": (
        ALWAYS,
        rule_first("-p ipencap -m length --length 1401:65535 -j DROP"),
        "SEC-2@1",
    ),
    "somebody accepts it": (ALWAYS, rule_first("-p 4 -j ACCEPT"), "SEC-2@1"),
    "somebody accepts everything": (ALWAYS, rule_first("-j ACCEPT"), "SEC-2@1"),
    "somebody accepts it in between": (
        ALWAYS,
        text(N1, RULES, f"[0:0] {DROP}", f"[0:0] -A cali-INPUT -p ipencap -j ACCEPT\n[0:0] {DROP}"),
        "SEC-2@1",
    ),
    "Calico's chain not reached": (ALWAYS, text(N1, RULES, "-j cali-INPUT\n", "-i lo -j cali-INPUT\n"), "SEC-2@1"),
    "packets dropped during the run": (ALWAYS, read_again(dropped=3), "SEC-2@1"),
    "packets dropped during the run, Felix": (FELIX, read_again(dropped=1), "SEC-2@1"),
}


def bad(judgements: list[Judgement]) -> set[str]:
    """`BGP-1@2` for what failed, with `!` what could not be judged."""
    marks = {Outcome.FAILED: "", Outcome.WARNING: "?", Outcome.ERROR: "!"}
    return {
        one.requirement + ("" if one.subject == "cluster" else f"@{one.subject[-1]}") + marks[one.outcome]
        for one in judgements
        if one.outcome in marks
    }


@pytest.mark.parametrize("name", TABLE)
def test_a_change_is_found_by_what_states_it(name: str, tmp_path: Path) -> None:
    """Exactly the named requirements fail on exactly the named nodes, and none of the catalogue's others."""
    recording, change, expected = TABLE[name]
    root = copied(recording, tmp_path)
    change(root)
    assert bad(judged_later(world(root))) == set(expected.split())


def test_each_requirement_is_tripped_often_enough() -> None:
    """Each of the four is found by several changes, one-sided ones among them."""
    tripped = [word.split("@")[0] for _, _, expected in TABLE.values() for word in set(expected.split())]
    assert {ident for ident in IDS if tripped.count(ident) >= 4} == set(IDS)


HARMLESS: dict[str, tuple[str, Change]] = {
    "a live pod's /32": (ALWAYS, announced("10.233.109.1/32")),
    "a service's address": (ALWAYS, announced("10.96.0.0/12")),
    "a route of a router": (ALWAYS, announced("10.233.70.0/24", by="Node_10_7_120_1")),
    "sessions since yesterday": (ALWAYS, text(N1, PROTOCOLS, "17:48:50    Established", "2026-11-21  Established")),
    "a session with a router": (
        ALWAYS,
        text(N1, PROTOCOLS, "device1", "Global_10_7_120_1 BGP master up 17:48:50 Established\ndevice1"),
    ),
    "a peer for workloads": (ALWAYS, peer(localWorkloadSelector="all()", asNumber=64512)),
    "a peer of IPv6": (ALWAYS, peer(peerIP="2001:db8::1")),
    "a peer whose selector nobody can read": (ALWAYS, peer(peerIP="192.0.2.1", nodeSelector="((((")),
    "a peer that is the node itself": (ALWAYS, peer(peerIP="10.7.120.11")),
    "a node that is gone": (
        ALWAYS,
        together(
            text(N1, PROTOCOLS, SESSION, "Mesh_10_7_120_12 BGP      master   start  17:48:50    Connect"),
            not_ready,
        ),
    ),
    "a route reflector": (
        ALWAYS,
        together(
            reflector,
            text(N1, PROTOCOLS, SESSION, ""),
        ),
    ),
    "no BIRD": (ALWAYS, lambda root: _no_bird(root, N1)),
    "IPIP by number": (ALWAYS, text(N1, RULES, DROP, DROP.replace("-p ipencap", "-p 4"))),
    "rules about something else": (
        ALWAYS,
        together(
            rule_first("-j KUBE-FIREWALL"),
            rule_first("-i lo -j ACCEPT"),
            rule_first("-p tcp -m tcp --dport 22 -j ACCEPT"),
            rule_first("! -p ipencap -j LOG"),
        ),
    ),
    "a firewall behind Calico's rules": (
        ALWAYS,
        text(
            N1,
            RULES,
            f"[0:0] {DROP}",
            f"[0:0] {DROP}[0:0] -A cali-INPUT -j REJECT --reject-with icmp-port-unreachable\n",
        ),
    ),
    "an action of REJECT": (
        ALWAYS,
        text(N1, RULES, DROP, DROP.replace("-j DROP", "-j REJECT --reject-with icmp-port-unreachable")),
    ),
    "an external node": (
        ALWAYS,
        together(
            calico(
                "felixconfigurations",
                lambda items: items[0]["spec"].update(externalNodesList=["10.7.120.13", "2001:db8::/64"]),
            ),
        ),
    ),
    "another name of the set": (
        ALWAYS,
        together(
            lambda root: _everywhere(root, RULES, "cali40all-hosts-net", "cali40hosts-of-tomorrow"),
            lambda root: _everywhere(root, SETS, "cali40all-hosts-net", "cali40hosts-of-tomorrow"),
        ),
    ),
    "nothing dropped": (ALWAYS, read_again()),
}


def _no_bird(root: Path, node: str) -> None:
    words = "Unable to connect to server control socket (/var/run/calico/bird.ctl): No such file or directory\n"
    for file in (PROTOCOLS, ROUTES):
        (root / "nodes" / node / file).write_text(words)


def _everywhere(root: Path, file: str, old: str, new: str) -> None:
    for folder in (root / "nodes").iterdir():
        (folder / file).write_text((folder / file).read_text().replace(old, new))


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_free_is_not_judged(name: str, tmp_path: Path) -> None:
    """Other peers, other rules, other names: healthy."""
    recording, change = HARMLESS[name]
    root = copied(recording, tmp_path)
    change(root)
    assert bad(judged_later(world(root))) == set()


def test_with_two_readings_the_counter_is_judged(tmp_path: Path) -> None:
    """A drop counter that did not rise holds; one that was reset during the run says nothing."""
    root = copied(ALWAYS, tmp_path)
    read_again()(root)
    assert outcome(root, "SEC-2") == {Outcome.HOLDS}
    text(N1, RULES, f"[0:0] {DROP}", f"[9:900] {DROP}")(root)
    assert outcome(root, "SEC-2") == {Outcome.HOLDS, Outcome.MISSING}


def outcome(root: Path, ident: str) -> set[Outcome]:
    """How a requirement ended on the nodes."""
    return {one.outcome for one in judged_later(world(root)) if one.requirement == ident}


@pytest.mark.parametrize("backend", ["none", "vxlan"])
def test_where_bird_is_not_wanted_bgp_does_not_apply(backend: str, tmp_path: Path) -> None:
    """CALICO_NETWORKING_BACKEND none or vxlan: neither requirement on BGP applies, whatever birdcl says."""
    root = copied(ALWAYS, tmp_path)
    daemonset(root, [{"name": "CALICO_NETWORKING_BACKEND", "value": backend}])
    _no_bird(root, N1)
    assert outcome(root, "BGP-1") == outcome(root, "BGP-2") == {Outcome.NOT_APPLICABLE}


def test_where_bird_must_run_and_does_not_it_fails(tmp_path: Path) -> None:
    """With calico-node's default backend a BIRD that nobody can ask is a failure on its node."""
    root = copied(ALWAYS, tmp_path)
    daemonset(root, [])
    _no_bird(root, N1)
    assert bad(judged_later(world(root))) == {"BGP-1@1"}


def daemonset(root: Path, env: list[dict[str, Any]]) -> None:
    """calico-node's DaemonSet, whose template has this environment."""
    container = {"name": "calico-node", "image": "quay.io/calico/node:v3.31.7", "env": env}
    item = {
        "metadata": {"name": "calico-node", "namespace": "kube-system"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    (root / "api" / "daemonsets.apps.json").write_text(json.dumps({"items": [item]}))


def test_in_ebpf_mode_the_input_chain_is_not_asked(tmp_path: Path) -> None:
    """bpfEnabled: Calico programs no such set and no such rule."""
    root = copied(ALWAYS, tmp_path)
    calico("felixconfigurations", lambda items: items[0]["spec"].update(bpfEnabled=True))(root)
    assert outcome(root, "SEC-1") == outcome(root, "SEC-2") == {Outcome.NOT_APPLICABLE}


# nftables: the tables of a real v3.31.7 node in the place of the iptables files


def with_nftables(to: Path) -> Path:
    """The recording, with nft.json on every node and no iptables files; commands.tsv says so."""
    root = copied(ALWAYS, to)
    for folder in (root / "nodes").iterdir():
        for file in (RULES, SETS):
            (folder / file).unlink()
        table = (folder / "commands.tsv").read_text().splitlines(keepends=True)
        (folder / "commands.tsv").write_text("".join(line for line in table if not line.startswith((RULES, SETS))))
        shutil.copy(RECORDED / "v3.31.7-nft" / "nodes" / N1 / "nft.json", folder)
    return root


Edit = Callable[[list[dict[str, Any]]], Any]
HOSTS = "cali40all-hosts-net"


def _set(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return next(one["set"] for one in objects if one.get("set", {}).get("name") == HOSTS)


def _rules(objects: list[dict[str, Any]], words: str) -> list[dict[str, Any]]:
    return [one for one in objects if words in one.get("rule", {}).get("comment", "")]


def _without(words: str) -> Edit:
    return lambda objects: [objects.remove(one) for one in _rules(objects, words)]


FOREIGN = {
    "rule": {
        "family": "ip", "table": "calico", "chain": "filter-INPUT", "handle": 1,
        "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": 4}}],
    }
}  # fmt: skip


def _foreign(verdict: str) -> Edit:
    rule = json.loads(json.dumps(FOREIGN))
    rule["rule"]["expr"].append({verdict: None})
    return lambda objects: objects.insert(2, rule)


def _table_of(verdict: str) -> Edit:
    """Another program's table with a chain at the same hook."""
    chain = {"family": "inet", "table": "fw", "name": "in", "handle": 1, "type": "filter", "hook": "input", "prio": 10}
    rule = {**FOREIGN["rule"], "family": "inet", "table": "fw", "chain": "in"}
    rule["expr"] = [*rule["expr"], {"counter": {"packets": 0, "bytes": 0}}, {verdict: None}]  # type: ignore[misc]
    return lambda objects: objects.extend([{"chain": {**chain, "policy": "accept"}}, {"rule": rule}])


NFT: dict[str, tuple[Edit, str]] = {
    "a host missing": (lambda objects: _set(objects)["elem"].pop(), "SEC-1@1"),
    "a host too many": (
        lambda objects: _set(objects)["elem"].append({"prefix": {"addr": "192.0.2.0", "len": 24}}),
        "SEC-1@1",
    ),
    "a range of hosts": (
        lambda objects: _set(objects).update(elem=[{"range": ["10.7.120.11", "10.7.120.20"]}]),
        "SEC-1@1",
    ),
    "the set empty": (lambda objects: _set(objects).pop("elem"), "SEC-1@1"),
    "the set gone": (lambda objects: _set(objects).update(name="other"), "SEC-1@1"),
    "nobody accepted": (_without("Allow IPIP packets from Calico hosts"), "SEC-2@1"),
    "others not dropped": (_without("Drop IPIP packets"), "SEC-2@1"),
    "Calico's chain not reached": (_without("cali:H0S9z2pOh43UL0cc"), "SEC-2@1"),
    "somebody drops IPIP": (_foreign("drop"), "SEC-2@1"),
    "somebody accepts IPIP": (_foreign("accept"), "SEC-2@1"),
    "another program drops IPIP": (_table_of("drop"), "SEC-2@1"),
    "another program accepts IPIP": (_table_of("accept"), ""),
    "a range of exactly the hosts": (
        lambda objects: _set(objects).update(elem=[{"range": ["10.7.120.11", "10.7.120.13"]}]),
        "",
    ),
}


def test_nftables_of_a_real_node_are_healthy(tmp_path: Path) -> None:
    """With Calico's nftables everything holds as with iptables: the set by its rule, accept and drop by their order."""
    root = with_nftables(tmp_path)
    judgements = judged_later(world(root))
    assert bad(judgements) == set()
    assert {one.outcome for one in judgements if one.requirement == "SEC-1"} == {Outcome.HOLDS}
    assert {one.missing for one in judgements if one.requirement == "SEC-2"} == {
        (f"nodes/virtnest-rook-ceph-{number}/nft.after.json",) for number in (1, 2, 3)
    }


@pytest.mark.parametrize("name", NFT)
def test_a_change_to_nftables_is_found(name: str, tmp_path: Path) -> None:
    """Exactly the named requirement fails on the changed node."""
    root = with_nftables(tmp_path)
    change, expected = NFT[name]
    edit(root / "nodes" / N1 / "nft.json", lambda data: change(data["nftables"]) and None)
    assert bad(judged_later(world(root))) == set(expected.split())


def test_the_nftables_counter_may_not_rise(tmp_path: Path) -> None:
    """Two equal readings hold; a drop more is found."""
    root = with_nftables(tmp_path)
    for folder in (root / "nodes").iterdir():
        shutil.copy(folder / "nft.json", folder / "nft.after.json")
    assert outcome(root, "SEC-2") == {Outcome.HOLDS}

    def raised(data: dict[str, Any]) -> None:
        for one in _rules(data["nftables"], "Drop IPIP packets"):
            one["rule"]["expr"][1]["counter"]["packets"] = 2

    edit(root / "nodes" / N1 / "nft.after.json", raised)
    assert bad(judged_later(world(root))) == {"SEC-2@1"}


def test_rules_of_iptables_nft_are_read_from_its_own_tool(tmp_path: Path) -> None:
    """The matches of iptables-nft are "xt" to nft: what they mean is in iptables-nft-save.txt, or is not known."""
    root = copied(ALWAYS, tmp_path)
    rule = {
        "family": "ip",
        "table": "filter",
        "chain": "cali-INPUT",
        "handle": 9,
        "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": 4}},
            {"xt": None},
            {"drop": None},
        ],
    }
    for folder in (root / "nodes").iterdir():
        (folder / RULES).rename(folder / "iptables-nft-save.txt")
        (folder / RULES).write_text("")
        (folder / "nft.json").write_text(json.dumps({"nftables": [{"rule": rule}]}))
    assert bad(judged_later(world(root))) == set()
    assert outcome(root, "SEC-1") == {Outcome.HOLDS}
    (root / "nodes" / N1 / "iptables-nft-save.txt").unlink()
    missing = [one for one in judged_later(world(root)) if one.subject == N1 and one.outcome is Outcome.MISSING]
    assert [one.requirement for one in missing] == ["SEC-1", "SEC-2"]


@pytest.mark.parametrize("recording", HEALTHY)
def test_a_firewall_without_calico_fails(recording: str, tmp_path: Path) -> None:
    """Where every tool answered and none has a rule about IPIP, both requirements fail."""
    root = copied(recording, tmp_path)
    for folder in (root / "nodes").iterdir():
        (folder / RULES).write_text("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")
        (folder / "nft.json").write_text('{"nftables": []}')
    assert bad(judged_later(world(root))) == {*ALL_THREE("SEC-1").split(), *ALL_THREE("SEC-2").split()}


@pytest.mark.parametrize(
    ("file", "content", "ids"),
    [
        (RULES, "*filter\n:INPUT ACCEPT [0:0]\n", {"SEC-1@1!", "SEC-2@1!"}),
        (
            SETS,
            "Name: cali40all-hosts-net\nType: hash:net\nNumber of entries: 3\nMembers:\n10.7.120.11\n",
            {"SEC-1@1!"},
        ),
        (PROTOCOLS, "BIR", {"BGP-1@1!", "BGP-2@2!", "BGP-2@3!"}),
        (ROUTES, "", {"BGP-2@2!", "BGP-2@3!"}),
    ],
)
def test_what_is_cut_off_is_an_error(file: str, content: str, ids: set[str], tmp_path: Path) -> None:
    """A file that ends too early makes its requirements ERRORs, never failures."""
    root = copied(ALWAYS, tmp_path)
    (root / "nodes" / N1 / "nft.json").write_text('{"nftables": []}')
    (root / "nodes" / N1 / file).write_text(content)
    assert bad(judged_later(world(root))) == ids
