"""Probes and filters: what is sent, and what may be seen of it."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pytest_calico_ipip.packets import filters, probes
from pytest_calico_ipip.packets.probes import Sender, Station
from pytest_calico_ipip.remote import Unpacked

RECORDED = Path(__file__).resolve().parents[1] / "recorded" / "v3.31.7-always" / "packets"
POD, PEER = IPv4Address("10.233.107.1"), IPv4Address("10.233.109.1")


def stations() -> list[Station]:
    """Two nodes with two pods each."""
    return [
        Station(
            f"n{number}",
            [
                Sender(f"ns/{number}-{index}", IPv4Address(f"10.0.{number}.{index}"), f"cni-{number}-{index}", 1480)
                for index in (1, 2)
            ],
            {IPv4Address(f"10.0.{other}.1"): IPv4Address(f"10.0.{number}.0") for other in (1, 2) if other != number},
        )
        for number in (1, 2)
    ]


def test_each_pair_and_each_node_has_its_probes() -> None:
    """Plain, full-size and one byte more for each ordered pair; one from each node, and one that stays on it."""
    planned = probes.plan(stations(), 1)
    assert [(probe.kind, str(probe.source), str(probe.destination)) for probe in planned if probe.node == "n1"] == [
        ("echo", "10.0.1.1", "10.0.2.1"),
        ("echo-full", "10.0.1.1", "10.0.2.1"),
        ("echo-over", "10.0.1.1", "10.0.2.1"),
        ("echo-from-node", "10.0.1.0", "10.0.2.1"),
        ("echo-same-node", "10.0.1.1", "10.0.1.2"),
    ]
    full, over = planned[1], planned[2]
    assert (full.size + 28, over.size + 28, full.df, over.df) == (1480, 1481, True, True)


@pytest.mark.parametrize("first", [1, 65535, 40000])
def test_no_two_probes_share_an_icmp_id(first: int) -> None:
    """Ids are distinct, and never 0, wherever they begin."""
    ids = [probe.icmp_id for probe in probes.plan(stations(), first)]
    assert len(set(ids)) == len(ids) == 10
    assert all(number and 1 <= number <= 65535 for number in ids)


def test_what_the_nodes_side_says_belongs_to_each_probe() -> None:
    """Exit status and words by number; a probe without a status says why there is none."""
    planned = probes.plan(stations(), 1)[:2]
    unpacked = Unpacked({"0.out": b"1 received", "0.err": b""}, {"probe-0": 0}, "cut off")
    answered, missing = probes.collect(planned, unpacked)
    assert (answered.exit, answered.stdout) == (0, "1 received")
    assert (missing.exit, missing.stderr) == (None, "cut off")


def test_what_a_pod_sends_itself_is_one_exec_and_two_probes() -> None:
    """Each command's output, words and exit status are told apart again, and its own command line is what is kept."""
    pod = Sender("ns/p", POD, None, None)
    both = [probes.inside(kind, pod, "n1", PEER) for kind in probes.INSIDE]
    shell = probes.inside_script(both)
    ran = subprocess.run(
        [shell[0], shell[1], f"ping() {{ echo pong; return 1; }}; curl() {{ echo no >&2; return 7; }}\n{shell[2]}"],
        capture_output=True,
        check=False,
    )
    echo, curl = probes.inside_told(both, 0, ran.stdout, ran.stderr, "ns/p")
    assert (echo.exit, echo.stdout, echo.stderr) == (1, "pong\n", "")
    assert (curl.exit, curl.stdout, curl.stderr) == (7, "", "no\n")
    assert echo.command == "kubectl exec -n ns p -- ping -c 1 -W 2 10.233.109.1"


def test_an_exec_that_was_refused_is_no_answer() -> None:
    """Both probes are there, without an exit status, with the reason."""
    both = [probes.inside(kind, Sender("ns/p", POD, None, None), "n1", PEER) for kind in probes.INSIDE]
    told = probes.inside_told(both, None, b"", b"exec was refused", "ns/p")
    assert [probe.exit for probe in told] == [None, None]
    assert "exec was refused" in told[0].stderr


def matched(file: str, expression: str) -> int:
    """How many packets of a recorded capture a filter lets through."""
    done = subprocess.run(
        ["tcpdump", "-n", "-r", RECORDED / file, expression], capture_output=True, text=True, check=True
    )
    return len(done.stdout.splitlines())


def test_the_filters_see_the_pods_packets_bare_and_encapsulated() -> None:
    """On real Calico's packets: the pod's own at its eth0, both ways around on the underlay NIC."""
    assert matched("1-pod.pcap", filters.bare([POD])) > 0
    assert matched("4-nic.pcap", filters.underlay([POD, PEER])) > 0


def test_the_filters_see_nobody_elses_packets() -> None:
    """Another pod's address lets none of them through."""
    other = IPv4Address("10.233.64.99")
    assert matched("1-pod.pcap", filters.bare([other])) == 0
    assert matched("4-nic.pcap", filters.underlay([other])) == 0
