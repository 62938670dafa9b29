"""Profile nft in a real kernel: a node's table, changed as the lab changes it, read as the suite reads it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.lab.calico.policy import Allowed, Isolation
from pytest_calico_ipip.lab.topology import nftables
from pytest_calico_ipip.lab.topology.endpoints import PodRules
from tests.model.recordings import N1, RECORDED, judged_later, world
from tests.model.test_bgp_and_firewall import bad, with_nftables

from . import likeness
from .nft_namespaces import FIRST, Namespace, namespace, node, start, topology, with_sbin

CALICO = likeness.nftables((RECORDED / "v3.31.7-nft" / "nodes" / N1 / "nft.json").read_text())
NAMES = ("cali11111111111", "cali22222222222", "cali33333333333")
ONE, TWO, THREE = (PodRules(name, "sleep-curl") for name in NAMES)
SEND = """
import socket
for last in (12, 99):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, 4) as sender:
        sender.bind((f"10.7.120.{last}", 0))
        sender.sendto(b"inner packet", ("10.7.120.11", 0))
"""
RECEIVE = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_RAW, 4) as receiver:
    receiver.settimeout(1)
    print("ready", flush=True)
    try:
        while True:
            print(receiver.recvfrom(2000)[1][0], flush=True)
    except socket.timeout:
        pass
"""


@pytest.fixture(autouse=True)
def _sbin(monkeypatch: pytest.MonkeyPatch) -> None:
    with_sbin(monkeypatch)


@pytest.fixture
def made() -> Iterator[Namespace]:
    """The first node, as it starts."""
    with node() as one:
        yield one


def shown(made: Namespace) -> dict[str, Any]:
    return likeness.nftables(made.ruleset())


def at_once(*pods: PodRules) -> dict[str, Any]:
    """What a new namespace shows that was given these pods in one go."""
    with namespace() as other:
        start(other)
        other.do(f"nft -f - <<'END'\n{nftables.pods_text((), pods)}END")
        return shown(other)


def of_pods(table: dict[str, Any]) -> dict[str, Any]:
    """What differs from the recorded node, which had no pods."""
    return {name: held for name, held in table.items() if CALICO.get(name) != held}


def test_pods_come_and_go_and_the_rest_is_as_calico_made_it(made: Namespace, tmp_path: Path) -> None:
    """Step by step the kernel has what one big change would give it, and without pods what real Calico had."""
    lab, name = topology(made, tmp_path), FIRST.name
    allowed = Isolation(ingress=(Allowed("10.233.109.1/32"), Allowed("", 6, (80, 90))))
    isolated = PodRules(NAMES[2], "sleep-curl", isolation=allowed)

    async def steps() -> None:
        assert shown(made) == CALICO
        await asyncio.gather(*(lab.firewall_add_pod(name, each, "sleep-curl") for each in NAMES[:2]))
        two = shown(made)
        assert two == at_once(ONE, TWO)
        assert set(of_pods(two)) == {
            *(f"map filter-cali-{way}-wl-dispatch" for way in ("from", "to")),
            *(f"chain filter-cali-{way}-{each}" for way in ("fw", "tw") for each in NAMES[:2]),
            *(f"chain filter-cali-pr{way}-kns.sleep-curl" for way in "io"),
            *(f"chain filter-cali-pr{way}-ksa.sleep-curl.default" for way in "io"),
        }
        await lab.firewall_add_pod(name, NAMES[2], "sleep-curl")
        assert shown(made) == at_once(ONE, TWO, THREE)
        await lab.firewall_isolate(name, {NAMES[2]: allowed})
        assert shown(made) == at_once(ONE, TWO, isolated) != at_once(ONE, TWO, THREE)
        await lab.firewall_isolate(name, {})
        assert shown(made) == at_once(ONE, TWO, THREE)
        await lab.firewall_remove_pod(name, NAMES[2])
        assert shown(made) == two
        for each in NAMES[:2]:
            await lab.firewall_remove_pod(name, each)
        assert shown(made) == CALICO

    asyncio.run(steps())


BREAKS = {
    "": ("", ""),
    "a host missing": ("nft delete element ip calico cali40all-hosts-net '{ 10.7.120.12 }'", "SEC-1@1"),
    "a host too many": ("nft add element ip calico cali40all-hosts-net '{ 10.7.120.99 }'", "SEC-1@1"),
    "dropped first": ("nft insert rule ip calico filter-INPUT ip protocol 4 drop", "SEC-2@1"),
    "others let in": ("nft flush chain ip calico filter-cali-INPUT", "SEC-2@1"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_suite_s_reader_judges_it(made: Namespace, tmp_path: Path, name: str) -> None:
    """The lab's node with two pods is healthy to the suite, and a break is the requirement's that states it."""
    command, expected = BREAKS[name]
    text = nftables.pods_text((), (ONE, TWO))
    made.do(f"nft -f - <<'END'\n{text}END\n{command}")
    root = with_nftables(tmp_path)
    (root / "nodes" / N1 / "nft.json").write_text(made.ruleset())
    assert bad(judged_later(world(root))) == set(expected.split())


def packets(made: Namespace, words: str) -> int:
    """The counter of the rule with these words in its comment."""
    rules = [each["rule"] for each in json.loads(made.ruleset())["nftables"] if "rule" in each]
    [rule] = [each for each in rules if words in each.get("comment", "")]
    return int(next(each["counter"]["packets"] for each in rule["expr"] if "counter" in each))


def joined(made: Namespace, other: Namespace, name: str) -> None:
    """A veth pair: `name` in the node, eth0 in the other."""
    made.do(f"ip link add {name} type veth peer name eth0 netns {other.pid}; ip link set {name} up")
    other.do("ip link set lo up; ip link set eth0 up")


def test_ipip_packets_of_a_node_are_received_and_a_stranger_s_are_dropped(made: Namespace) -> None:
    """Real packets of protocol 4: one arrives, the other is counted by the rule that drops it."""
    with namespace(beside=made) as peer:
        joined(made, peer, "ens192")
        made.do("ip address add 10.7.120.11/24 dev ens192")
        peer.do("for each in 12 99; do ip address add 10.7.120.$each/24 dev eth0; done")
        listening = made.enter([sys.executable, "-c", RECEIVE])
        with subprocess.Popen(listening, stdout=subprocess.PIPE, text=True) as receiver:
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == "ready\n"
            subprocess.run(peer.enter([sys.executable, "-c", SEND]), check=True, timeout=10)
            received = receiver.stdout.read().split()
    assert received == ["10.7.120.12"]
    assert packets(made, "Allow IPIP packets from Calico hosts") == 1
    assert packets(made, "Drop IPIP packets from non-Calico hosts") == 1


def test_policies_decide_who_reaches_a_pod(made: Namespace, tmp_path: Path) -> None:
    """Echoes through the node: an unknown interface, a pod, an isolated one, and one that lets the asking peer in."""
    lab, name = topology(made, tmp_path), FIRST.name
    with namespace(beside=made) as peer, namespace(beside=made) as pod:
        joined(made, peer, "ens192")
        joined(made, pod, NAMES[0])
        try:
            made.do("echo 1 > /proc/sys/net/ipv4/ip_forward")
        except AssertionError:
            pytest.skip("/proc/sys cannot be written here")
        made.do(
            "ip address add 10.7.120.11/24 dev ens192; "
            f"ip address add 169.254.1.1/32 dev {NAMES[0]}; ip route add 10.233.107.1 dev {NAMES[0]}"
        )
        peer.do("ip address add 10.7.120.12/24 dev eth0; ip route add 10.233.107.0/24 via 10.7.120.11")
        pod.do(
            "ip address add 10.233.107.1/32 dev eth0; ip route add 169.254.1.1 dev eth0; "
            "ip route add default via 169.254.1.1 dev eth0"
        )

        def answers() -> bool:
            echo = peer.enter(["ping", "-c1", "-W0.5", "10.233.107.1"])
            return subprocess.run(echo, capture_output=True, timeout=10).returncode == 0

        async def steps() -> list[bool]:
            seen = [answers()]
            await lab.firewall_add_pod(name, NAMES[0], "sleep-curl")
            seen.append(answers())
            for peers in ((), (Allowed("10.7.120.12/32", 6, (80, 80)),), (Allowed("10.7.120.12/32"),)):
                await lab.firewall_isolate(name, {NAMES[0]: Isolation(ingress=peers)})
                seen.append(answers())
            await lab.firewall_remove_pod(name, NAMES[0])
            return [*seen, answers()]

        assert asyncio.run(steps()) == [False, True, False, False, True, False]
