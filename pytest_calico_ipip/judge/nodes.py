"""One node's folder → its NodeState."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TypeVar

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.judge import kernel
from pytest_calico_ipip.judge.bird import read_bird
from pytest_calico_ipip.judge.files import Folder, Ran, printable, read_commands
from pytest_calico_ipip.judge.iptables import read_iptables
from pytest_calico_ipip.judge.nftables import read_nftables
from pytest_calico_ipip.judge.values import address, number, text
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.firewall import Firewall
from pytest_calico_ipip.model.nodestate import Link, NamespaceState, NodeState

T = TypeVar("T")

MAX_NAMESPACES = 2000
IPTABLES_NFT = "iptables-nft-save.txt"
ROUTE_GET = "ip-route-get.json"  # each look-up in it may fail by itself: an address that is missing was not decided


def read_node(evidence: Evidence, name: str, *, live: bool = False) -> NodeState:
    """Everything in `nodes/<name>`. What is not there is an `Absent`; `live` makes it a failure."""
    return _state(name, _folder(evidence, name, live, again=False))


def read_node_again(evidence: Evidence, name: str, *, live: bool = False) -> NodeState | None:
    """The same node as it was after the capture: what was not read again is as before. None where nothing was."""
    again = _folder(evidence, name, live, again=True)
    return _state(name, replace(_folder(evidence, name, live, again=False), above=again)) if again.ran else None


def _folder(evidence: Evidence, name: str, live: bool, *, again: bool) -> Folder:
    path = evidence.node(name, again=again)
    label = f"{path.parent.name}/{printable(name)}"
    return Folder(path, label, live, read_commands(path / "commands.tsv"), frozenset({ROUTE_GET}))


def _state(name: str, folder: Folder) -> NodeState:
    ran = folder.ran if folder.above is None else {**folder.ran, **folder.above.ran}
    partial: set[str] = set()

    def rows(file: str, parse: Callable[[kernel.Row], T | None]) -> tuple[T, ...] | Absent:
        found = folder.rows(file)
        if isinstance(found, Absent):
            return found
        if found[1]:
            partial.add(file)
        return tuple(item for item in map(parse, found[0]) if item is not None)

    def links(file: str) -> tuple[Link, ...] | Absent:
        found = rows(file, kernel.link)
        if not isinstance(found, Absent) and not any(link.name == "lo" for link in found):
            partial.add(file)  # every namespace has its loopback: a list without it shows only some devices
        return found

    decisions = rows(ROUTE_GET, kernel.decision)
    return NodeState(
        name=name,
        links=links("ip-addr.json"),
        routes=rows("ip-route.json", kernel.route),
        rules=rows("ip-rule.json", kernel.rule),
        neighbours=rows("ip-neigh.json", kernel.neighbour),
        sysctl=_sysctl(folder, "sysctl.txt"),
        namespace_ids=_namespace_ids(folder),
        decisions=decisions if isinstance(decisions, Absent) else {one.destination: one for one in decisions},
        undecided=_undecided(ran.get(ROUTE_GET, ())),
        calico_mtu=_calico_mtu(folder),
        firewalls=_firewalls(folder),
        bird=read_bird(folder),
        unnumbered=_unnumbered(folder),
        namespaces={
            inside: NamespaceState(
                name=inside,
                links=links(f"netns/{inside}/ip-addr.json"),
                routes=rows(f"netns/{inside}/ip-route.json", kernel.route),
                neighbours=rows(f"netns/{inside}/ip-neigh.json", kernel.neighbour),
                sysctl=_sysctl(folder, f"netns/{inside}/sysctl.txt"),
            )
            for inside in _namespaces(folder)
        },
        commands={file: lines[-1].command for file, lines in ran.items()},
        partial=frozenset(partial),
    )


def _undecided(lines: Iterable[Ran]) -> Mapping[IPv4Address, str]:
    """Each failed look-up has its own line: `ip -j route get ADDRESS`."""
    failed = ((address(line.command.rpartition(" ")[2]), line.stderr) for line in lines if line.exit != 0)
    return {asked: text(said) for asked, said in failed if asked is not None}


def _firewalls(folder: Folder) -> tuple[Firewall | Absent, ...]:
    """What each tool printed. iptables-nft's rules are asked for only where there are such."""
    nftables, by_iptables = read_nftables(folder)
    found = [read_iptables(folder, "iptables-save.txt", "iptables-save.after.txt"), nftables]
    there = IPTABLES_NFT in folder.ran or (folder.path / IPTABLES_NFT).exists()
    if there or by_iptables:
        found.append(read_iptables(folder, IPTABLES_NFT, "iptables-nft-save.after.txt"))
    return tuple(found)


def _namespaces(folder: Folder) -> tuple[str, ...]:
    """The namespaces that have a folder, and those that commands.tsv speaks of."""
    names = {parts[1] for file in folder.ran if len(parts := file.split("/")) == 3 and parts[0] == "netns"}
    with contextlib.suppress(OSError):  # no such folder: no namespaces were read
        names |= {entry.name for entry in (folder.path / "netns").iterdir() if entry.is_dir()}
    return tuple(sorted(name for name in names if name not in ("", ".", "..") and name.isprintable()))[:MAX_NAMESPACES]


def _sysctl(folder: Folder, file: str) -> Mapping[str, str] | Absent:
    content = folder.text(file)
    if isinstance(content, Absent):
        return content
    pairs = (line.split("=", 1) for line in content.splitlines() if "=" in line)
    found = {text(key.strip()): text(value.strip()) for key, value in pairs}
    if not any(key.startswith("net.") for key in found):
        return Absent(f"{folder.label}/{file} is empty, or not what sysctl prints", failed=True)
    return found


def _namespace_ids(folder: Folder) -> Mapping[int, str] | Absent:
    content = folder.text("ip-netns.json")
    if isinstance(content, str) and not content.strip():
        return {}  # `ip -j netns list` prints nothing at all where there are none
    found = folder.rows("ip-netns.json")
    if isinstance(found, Absent):
        return found
    return {ident: text(row.get("name")) for row in found[0] if (ident := number(row.get("id"))) is not None}


def _unnumbered(folder: Folder) -> frozenset[str]:
    """The kernel gives a namespace an id as soon as a device leads there; an old iproute2 shows no ids at all."""
    found = folder.rows("ip-netns.json")
    rows = () if isinstance(found, Absent) else found[0]
    without = frozenset(text(row.get("name")) for row in rows if number(row.get("id")) is None)
    return without if len(without) < len(rows) else frozenset()


def _calico_mtu(folder: Folder) -> int | Absent:
    content = folder.text("calico-mtu.txt")
    if isinstance(content, Absent):
        return content
    value = number(content.strip())
    return value if value is not None else Absent(f"{folder.label}/calico-mtu.txt is not a number", failed=True)
