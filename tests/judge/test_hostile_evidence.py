"""Whatever lies in an evidence directory, reading it raises nothing but a usage problem, and judging it nothing."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_calico_ipip.errors import UsageProblem
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.judge import datastore, files, kernel, load, objects
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks import routes, tunnel
from pytest_calico_ipip.model.judgement import Judgement, Outcome
from tests.hostile.values import any_json
from tests.model.recordings import CHECKS, CLUSTER, LATER

RECORDED = Path(__file__).parents[1] / "recorded" / "v3.31.7-always"
NODE = "virtnest-rook-ceph-1"
FIREWALL = tuple(
    f"nodes/{NODE}/{file}"
    for file in (
        "iptables-save.txt", "iptables-save.after.txt", "iptables-nft-save.txt", "ipset.txt", "nft.json",
        "nft.after.json", "birdcl-protocols.txt", "birdcl-routes.txt",
    )
)  # fmt: skip
FILES = (
    "api/nodes.json", "api/pods.json", "api/ippools.crd.projectcalico.org.json",
    "api/ipamblocks.crd.projectcalico.org.json", "api/blockaffinities.crd.projectcalico.org.json",
    "api/felixconfigurations.crd.projectcalico.org.json", "api/clusterinformations.crd.projectcalico.org.json",
    f"nodes/{NODE}/ip-addr.json", f"nodes/{NODE}/ip-route.json", f"nodes/{NODE}/ip-rule.json",
    f"nodes/{NODE}/ip-neigh.json", f"nodes/{NODE}/ip-netns.json", f"nodes/{NODE}/ip-route-get.json",
    "api/bgppeers.crd.projectcalico.org.json", "api/bgpconfigurations.crd.projectcalico.org.json",
    f"nodes/{NODE}/sysctl.txt", f"nodes/{NODE}/calico-mtu.txt", f"nodes/{NODE}/commands.tsv", "run.json",
)  # fmt: skip
RULES = {
    "rules of nothing": b"*filter\n:INPUT\n[x:y] -A\n-A INPUT -j\n-A INPUT ! -p\n-A INPUT --match-set a\nCOMMIT\n",
    "a circle": b"*filter\n:INPUT -\n:a -\n:b -\n-A INPUT -j a\n-A a -j b\n-A b -g a\n-A b -j b\nCOMMIT\n",
    "quotes without an end": b'*filter\n-A INPUT -p 4 -m comment --comment "\x1b[2J -j ACCEPT\nCOMMIT\n',
    "sets of nothing": b"Name:\nName: cali40all-hosts-net\nMembers:\n\x1b]0;x\x07\n\xff\n1.2.3.4/99\nName: cali40",
    "odd sessions": b"BIRD \x1b[31m ready.\nMesh_1_2_3_4 BGP\n a b c d e\nMesh_999_1_1_1 BGP x up 9 \x1b[2J\n",
    "odd routes": b"BIRD 1 ready.\n10.233.70.0/99 x [y\n[[[[\n10.233.70.0/24 via [Mesh_10_7_120_12\x07 [\n",
    "tables of nothing": json.dumps({"nftables": [
        None, 7, {"rule": 3}, {"chain": {"family": "ip", "hook": "input", "prio": {}, "name": "\x1b"}},
        {"rule": {"family": "ip", "expr": [{}, [], {"match": {"left": [], "right": {}}}, {"jump": None}]}},
        {"set": {"family": "ip", "elem": [[], {"range": [1]}, {"prefix": 3}, None]}},
    ]}).encode(),
}  # fmt: skip
GARBAGE: dict[str, bytes] = {
    **RULES,
    "nothing": b"",
    "cut off": b'[{"ifname": "tunl0", "fla',
    "null": b"null",
    "a number": b"17",
    "a list of lists": b"[[], [[]]]",
    "nulls": b'{"items": [null, null]}',
    "items an object": b'{"items": {"a": 1}}',
    "items null": b'{"items": null}',
    "objects of nothing": b'[{}, {"metadata": 7}]',
    "items of nothing": b'{"items": [{}, {"metadata": [], "spec": "x", "status": 3}]}',
    "wrong types": b'[{"ifname": 3, "ifindex": "x", "mtu": [], "flags": {}, "dst": {}, "addr_info": 7, "id": "a"}]',
    "deep": b"[" * 100_000,
    "a huge number": b"[{\"mtu\": " + b"9" * 10_000 + b"}]",
    "not a number": b'[{"mtu": NaN, "ifindex": -1e999}]',
    "binary": bytes(range(256)) * 16,
    "odd names": json.dumps([{"ifname": "\x1b[31m\n\0", "dst": "\x1b]0;x\x07", "name": "../..", "id": 1}]).encode(),
    "many tabs": b"\t\t\t\n\t\n\x00\t\x00\t\n" + b"x" * 5000,
}  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A healthy recording's readings, to be spoilt."""
    for part in ("api", "nodes"):
        shutil.copytree(RECORDED / part, tmp_path / part, ignore=shutil.ignore_patterns("ip-*.txt"))
    return tmp_path


@pytest.mark.parametrize("file", [*FILES, *FIREWALL])
def test_no_file_can_raise(copy: Path, file: str) -> None:
    """Each file in turn is garbage of every kind: every check answers, and says nothing that a terminal would obey."""
    for garbage in GARBAGE.values():
        (copy / file).write_bytes(garbage)
        world = load(copy, packets=False)
        for name in world.selected:
            for check in (*CHECKS.values(), *LATER.values()):
                judgement = check(world, name)
                assert all(text.isprintable() for text in said(judgement))
        for whole in CLUSTER.values():
            assert all(text.isprintable() for text in said(whole(world)))


def said(judgement: Judgement) -> list[str]:
    """Every text of a judgement."""
    texts = [*judgement.inconclusive, *judgement.missing, *judgement.notes, judgement.not_applicable]
    for one in judgement.differences:
        texts += [one.what, one.expected, one.observed, one.note]
    return texts


@pytest.mark.parametrize("file", [file for file in FILES if file.endswith("json") and file.startswith("nodes")])
def test_a_file_that_is_cut_off_is_an_error(copy: Path, file: str) -> None:
    """Half a file is no reading: the requirements that need it are ERRORs that name it, and nothing fails."""
    text = (copy / file).read_text()
    (copy / file).write_text(text[: len(text) // 2])
    world = load(copy, packets=False)
    judgements = [check(world, NODE) for check in CHECKS.values()]
    assert {one.outcome for one in judgements} <= {Outcome.HOLDS, Outcome.ERROR}
    for one in judgements:
        assert all(file in reason for reason in one.inconclusive)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half of it": lambda content: content[: len(content) // 2],
    "all but its end": lambda content: content[:-3],
    "compressed": gzip.compress,
    "zeros, as after a power cut": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_accuses_nobody(copy: Path, damage: str) -> None:
    """Whatever file is damaged: what needs it is an ERROR or not in this evidence, and nothing fails for it."""
    for path in (*(copy / "api").iterdir(), *(p for p in (copy / "nodes" / NODE).rglob("*") if p.is_file())):
        content = path.read_bytes()
        path.write_bytes(DAMAGES[damage](content))
        subject = load(copy, packets=False)
        judgements = [
            check(subject, name) for check in (*CHECKS.values(), *LATER.values()) for name in subject.selected
        ]
        judgements += [check(subject) for check in CLUSTER.values()]
        accused = [one for one in judgements if one.outcome in (Outcome.FAILED, Outcome.WARNING)]
        assert accused == [], (path.name, damage)
        path.write_bytes(content)


def test_a_command_that_failed_is_an_error_with_its_words(copy: Path) -> None:
    """A command's status and stderr reach the reader, whatever the file holds."""
    table = copy / "nodes" / NODE / "commands.tsv"
    table.write_text("ip-rule.json\t127\tip -j rule\tsh: ip: not found\\n\n")
    world = load(copy, packets=False)
    judgement = routes.unexplained(world, NODE)
    assert judgement.outcome is Outcome.ERROR
    assert judgement.inconclusive == (
        f"nodes/{NODE}/ip-rule.json: `ip -j rule` failed with status 127: sh: ip: not found",
    )


def test_a_file_may_not_be_endless(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file above the bound is not read to its end, and is an ERROR."""
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    state = load(copy, packets=False).nodes[NODE]
    assert isinstance(state.links, Absent)
    assert state.links.failed
    assert "larger than" in state.links.reason


def test_a_directory_in_a_files_place_is_an_error(copy: Path) -> None:
    """A directory where a file belongs is "gone", not an exception."""
    (copy / "nodes" / NODE / "ip-addr.json").unlink()
    (copy / "nodes" / NODE / "ip-addr.json").mkdir()
    assert tunnel.device(load(copy, packets=False), NODE).outcome is Outcome.ERROR


def test_names_cannot_leave_the_directory(copy: Path) -> None:
    """Node names are no paths: one that is none of Kubernetes' is left out and reported."""
    nodes = json.loads((copy / "api" / "nodes.json").read_text())
    nodes["items"][0]["metadata"]["name"] = "../../../etc"
    (copy / "api" / "nodes.json").write_text(json.dumps(nodes))
    (copy / "run.json").write_text(json.dumps({"selected": ["../api", "..", "/etc", NODE, "\x1b[2J"]}))
    world = load(copy, packets=False)
    assert world.selected == (NODE,)
    assert isinstance(world.datastore, datastore.Datastore)
    assert len(world.datastore.unreadable) == 1


@pytest.mark.parametrize("kind", ["ippools", "ipamblocks", "blockaffinities"])
def test_an_object_that_cannot_be_read_makes_no_verdict(copy: Path, kind: str) -> None:
    """A pool or block whose CIDR is nonsense takes the floor from the expectation: ERROR, never a false alarm."""
    path = copy / "api" / f"{kind}.crd.projectcalico.org.json"
    data = json.loads(path.read_text())
    data["items"].append({"metadata": {"name": "odd"}, "spec": {"cidr": "10.233.70.0/99"}})
    path.write_text(json.dumps(data))
    world = load(copy, packets=False)
    outcomes = {check(world, name).outcome for name in world.selected for check in CHECKS.values()}
    assert outcomes <= {Outcome.HOLDS, Outcome.ERROR}
    assert isinstance(world.datastore, datastore.Datastore)
    assert kind in world.datastore.absent


def test_what_is_no_evidence_is_refused(tmp_path: Path) -> None:
    """A directory without api/, nodes/ and packets/, and a file, are usage problems with a remedy."""
    with pytest.raises(UsageProblem, match="holds no evidence"):
        load(tmp_path)
    with pytest.raises(UsageProblem, match="not a directory"):
        load(tmp_path / "missing")


WORDS = st.sampled_from(["10.233.64.0/18", "default", "10.7.120.11", "fe80::1", "inet", "all", "ipip"])
JSON = any_json(st.floats() | st.text(max_size=8) | WORDS)
KEYS = [
    *("ifname", "ifindex", "mtu", "flags", "linkinfo", "info_data", "info_kind", "ttl", "address", "addr_info"),
    *("link_index", "link_netnsid", "operstate", "dst", "gateway", "dev", "via", "nexthops", "metrics", "table"),
    *("type", "protocol", "scope", "metric", "priority", "src", "srclen", "dstlen", "fwmark", "action", "state"),
    *("metadata", "spec", "status", "name", "namespace", "labels", "annotations", "cidr", "blockSize", "allocations"),
    *("attributes", "affinity", "podIPs", "conditions", "deleted", "allowedUses"),
]
ROWS = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=12)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(ROWS)
def test_no_row_can_raise(row: dict[str, Any]) -> None:
    """Any JSON object at all is read as a link, a route, a rule … or left out."""
    kernel.link(row), kernel.route(row), kernel.rule(row), kernel.neighbour(row), kernel.decision(row)
    for parse in (objects.pool, objects.block, objects.affinity, objects.node, lambda item: objects.pod(item, True)):
        with contextlib.suppress(objects.Unreadable):
            parse(row)


def test_the_node_script_may_have_failed_altogether(tmp_path: Path) -> None:
    """A live run that reached one node of three: the others are ERRORs, file by file."""
    shutil.copytree(RECORDED / "api", tmp_path / "api")
    shutil.copytree(RECORDED / "nodes" / NODE, tmp_path / "nodes" / NODE)
    names = [NODE, "virtnest-rook-ceph-2"]
    (tmp_path / "run.json").write_text(json.dumps({"live": True, "selected": names, "pods": None}))
    other = tmp_path / "nodes" / names[1]
    other.mkdir()
    (other / "commands.tsv").write_text("ip-addr.json\t255\tip -j -d addr\tssh: connect refused\n")
    world = load(tmp_path, packets=False)
    assert tunnel.device(world, NODE).outcome is Outcome.HOLDS
    assert "ssh: connect refused" in tunnel.device(world, names[1]).inconclusive[0]
    assert routes.remote_blocks(world, names[1]).outcome is Outcome.ERROR


def test_evidence_paths_are_what_is_read(tmp_path: Path) -> None:
    """A node's folder that is empty is read as a node of which nothing was collected."""
    evidence = Evidence(tmp_path)
    evidence.node("a").mkdir(parents=True)
    assert load(tmp_path, packets=False).selected == ("a",)
