"""One node, read and captured through the real scripts, under each shell that a node may have as /bin/sh."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.judge.nodes import read_node as judge_node
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.firewall import Firewall
from tests.live.private_network import run_in_private_network


class Seen:
    """What one run printed, and its evidence directory."""

    def __init__(self, told: dict[str, Any], directory: Path) -> None:
        self.told = told
        self.node = directory / "evidence" / "nodes" / "n1"
        self.packets = directory / "evidence" / "packets"

    def commands(self) -> dict[str, list[list[str]]]:
        """commands.tsv by file."""
        found: dict[str, list[list[str]]] = {}
        for line in (self.node / "commands.tsv").read_text().splitlines():
            file, *rest = line.split("\t")
            found.setdefault(file, []).append(rest)
        return found

    def probe(self, name: str) -> dict[str, Any]:
        """One probe of probes.json."""
        return next(probe for probe in self.told["probes"] if probe["id"] == name)


@pytest.fixture(scope="module", params=["dash", "bash", "busybox"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """The whole thing once a shell."""
    directory = tmp_path_factory.mktemp(request.param)
    shell = shutil.which(request.param)
    assert shell, f"{request.param} is not installed"
    return Seen(run_in_private_network("one_node", directory, shell), directory)


def test_a_pod_is_found_by_its_workload_interface_or_by_its_route(seen: Seen) -> None:
    """The namespace behind cali1 is cni-1; where no interface has the expected name, the pod's route leads to it."""
    assert seen.told["problem"] == ""
    assert seen.told["places"] == {"ns/named": ["cali1", "cni-1"], "ns/by-route": ["cali2", "cni-2"]}


def test_each_file_is_what_its_command_prints(seen: Seen) -> None:
    """The files hold the node's own words, valid JSON where the command says so, and commands.tsv says status 0."""
    for file in ("ip-addr", "ip-route", "ip-rule", "ip-neigh", "ip-netns", "ip-link-stats"):
        assert json.loads((seen.node / f"{file}.json").read_text())
        assert seen.commands()[f"{file}.json"][0][0] == "0"
    names = [link["ifname"] for link in json.loads((seen.node / "ip-addr.json").read_text())]
    assert {"ens192", "cali1", "cali2"} <= set(names)
    assert "net.ipv4.conf.cali1.proxy_arp = 1" in (seen.node / "sysctl.txt").read_text().splitlines()
    assert "net.ipv4.neigh.cali1.proxy_delay = 0" in (seen.node / "sysctl.txt").read_text().splitlines()


def test_rules_of_iptables_nft_are_read_by_its_own_tool(seen: Seen) -> None:
    """Nft shows only "xt" where iptables-nft has a match: before and after, iptables-nft-save says what it means.

    The kernel may have nftables built in, where no module of that name is listed.
    """
    for file in ("iptables-nft-save.txt", "iptables-nft-save.after.txt"):
        assert "-A cali-INPUT -p " in (seen.node / file).read_text()
        assert seen.commands()[file] == [["0", "iptables-nft-save -c", ""]]
    (firewall,) = [
        one
        for one in judge_node(Evidence(seen.node.parents[1]), "n1").firewalls
        if isinstance(one, Firewall) and one.calico
    ]
    assert firewall.file == "iptables-nft-save.txt"
    assert [rule.verdict for rule in firewall.chains["filter/cali-INPUT"]] == ["drop"]
    assert not isinstance(firewall.after, Absent)


def test_inside_a_namespace_the_pods_own_state_is_read(seen: Seen) -> None:
    """eth0, routes, the neighbour that the warm-up resolved, and sysctls are the namespace's own."""
    inside = seen.node / "netns" / "cni-1"
    links = {link["ifname"]: link for link in json.loads((inside / "ip-addr.json").read_text())}
    assert links["eth0"]["addr_info"][0]["local"] == "10.233.107.1"
    assert "default" in [route["dst"] for route in json.loads((inside / "ip-route.json").read_text())]
    gateway = [n for n in json.loads((inside / "ip-neigh.json").read_text()) if n["dst"] == "169.254.1.1"]
    assert [n["lladdr"] for n in gateway] == ["ee:ee:ee:ee:ee:ee"]
    assert "net.ipv4.ip_forward = 0" in (inside / "sysctl.txt").read_text().splitlines()


def test_what_failed_has_its_line_with_the_reason(seen: Seen) -> None:
    """A failed look-up, a pod whose namespace is not found and a file that is missing are lines, not silence."""
    commands = seen.commands()
    assert ["10.233.88.9" in line[1] for line in commands["ip-route-get.json"] if line[0] != "0"] == [True]
    assert [one["dst"] for one in json.loads((seen.node / "ip-route-get.json").read_text())] == [
        "10.233.107.1",
        "10.233.107.3",
    ]
    status, _, reason = commands["netns/-/ip-addr.json"][0]
    assert status != "0"
    assert reason.startswith("ns/nowhere: neither calinowhere nor a route to 10.233.107.3")
    assert commands["ethtool-tunl0.txt"][0][0] != "0"
    assert not (seen.node / "ethtool-tunl0.txt").exists()


def test_taps_see_the_probes_and_nothing_else(seen: Seen) -> None:
    """Each tap of the pod holds echo and reply of the probes that passed it, whole as far as the snap length."""
    for file in ("eth0.pcap", "cali1.pcap"):
        echoes = [(kind, number) for kind, number in icmp(seen.packets / file) if number in (4711, 4713)]
        assert sorted(echoes) == [(0, 4711), (0, 4713), (8, 4711), (8, 4713)]
        assert "listening on" in (seen.packets / file).with_suffix(".stderr").read_text()
        assert "0 packets dropped by kernel" in (seen.packets / file).with_suffix(".stderr").read_text()


def test_a_tap_that_cannot_open_says_why_and_stops_nothing(seen: Seen) -> None:
    """No such interface: no pcap, tcpdump's own words, and the other taps go on."""
    assert not (seen.packets / "missing.pcap").exists()
    assert "missing0" in (seen.packets / "missing.stderr").read_text()


def test_probes_carry_what_ping_said(seen: Seen) -> None:
    """An answered echo has status 0; one byte too many is refused by the sender, who names the MTU."""
    assert seen.probe("plain")["exit"] == 0
    assert seen.probe("plain")["command"] == "ip netns exec cni-1 ping -n -c 1 -W 2 -e 4711 10.233.107.2"
    assert seen.probe("over")["exit"] == 1
    assert "mtu=1500" in seen.probe("over")["stderr"]
    assert seen.probe("node")["exit"] == 0
    assert seen.probe("lost")["exit"] == 1


def test_nothing_stays_on_the_node(seen: Seen) -> None:
    """No directory, no tcpdump and no ssh socket is left."""
    assert seen.told["left"] == []
    assert seen.told["tcpdumps"] == 0
    assert seen.told["sockets"] == []


def icmp(path: Path) -> list[tuple[int, int]]:
    """ICMP type and id of each packet of an Ethernet pcap, read with nothing but struct."""
    data, offset, found = path.read_bytes(), 24, []
    while offset < len(data):
        (length,) = struct.unpack_from("<I", data, offset + 8)
        frame = data[offset + 16 : offset + 16 + length]
        ip = frame[14:]
        message = ip[(ip[0] & 15) * 4 :]
        found.append((message[0], struct.unpack_from(">H", message, 4)[0]))
        offset += 16 + length
    return found
