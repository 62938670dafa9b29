"""Probes and filters: what is sent, and what may be seen of it."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pytest_calico_ipip.cluster.pods import PORTS, SERVED
from pytest_calico_ipip.packets import filters, inside, probes
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


def planned(number: int = 2) -> inside.Plan:
    """What the first pod of so many nodes sends itself."""
    return inside.plan(stations()[:number], PORTS, SERVED)[0][1]


def run(plan: inside.Plan, programs: str) -> subprocess.CompletedProcess[bytes]:
    """The pod's command with stand-ins for the programs that it calls."""
    shell = inside.script(plan)
    return subprocess.run([shell[0], shell[1], f"{programs}\n{shell[2]}"], capture_output=True, check=False)


def test_what_a_pod_sends_itself_is_one_exec() -> None:
    """Each command's output, words and exit status are told apart again, and its own command line is what is kept."""
    ran = run(planned(), "ping() { echo pong; echo hm >&2; return 1; }; curl() { echo ' 200 1048576 0.1'; }")
    echo, transfer, server = inside.told(planned(), 0, ran.stdout, ran.stderr, "ns/p")
    assert (echo.exit, echo.stdout.strip(), echo.stderr.strip().splitlines()[0]) == (1, "pong", "hm")
    assert (transfer.kind, transfer.exit, transfer.stdout, transfer.stderr) == ("tcp-transfer", 0, "200 1048576", "")
    assert (server.kind, server.exit) == ("tcp-server", 0)
    assert echo.command == "kubectl exec -n ns p -- ping -c 1 -W 2 10.0.2.1"
    assert transfer.command.startswith(
        "kubectl exec -n ns p -- curl -sS -o /dev/null -w '%{http_code} %{size_download}'"
    )
    assert transfer.command.endswith(" http://10.0.2.1:8080/")


def test_a_refused_transfer_is_tried_again_at_the_other_port() -> None:
    """A server takes one connection at a time: who comes too early is patient, for a bounded number of times."""
    count = "ping() { :; }; sleep() { :; }; curl() { for w; do :; done; echo $w >&2; echo ' 000 0 0.001'; return 7; }"
    ran = run(planned(), count)
    _, transfer, _ = inside.told(planned(), 0, ran.stdout, ran.stderr, "ns/p")
    assert (transfer.exit, transfer.stdout, transfer.stderr) == (7, "000 0", f"http://10.0.2.1:{PORTS[0]}/")
    busy = "curl() { for w; do :; done; case $w in *:8080/) return 7;; esac; echo ' 200 5 0.1'; }"
    ran = run(planned(), f"ping() {{ :; }}; sleep() {{ :; }}; {busy}")
    _, transfer, _ = inside.told(planned(), 0, ran.stdout, ran.stderr, "ns/p")
    assert (transfer.exit, transfer.stdout) == (0, "200 5")


@pytest.mark.parametrize(("status", "took"), [(28, "2.001"), (7, "3.104")])
def test_a_transfer_that_silence_answers_is_tried_twice_more(status: int, took: str) -> None:
    """Each time at the other port; curl's own status and words are told, and nothing is waited for once more.

    To be told after seconds that nobody is there is silence, too.
    """
    silent = f"curl() {{ for w; do :; done; echo call >&3; echo $w 000 0 {took}; echo $w >&2; return {status}; }}"
    shell = inside.script(planned())
    ran = subprocess.run(
        [*shell[:2], f"exec 3>&2; ping() {{ :; }}; {silent}\n{shell[2]}"], capture_output=True, check=False
    )
    _, transfer, _ = inside.told(planned(), 0, ran.stdout, b"", "ns/p")
    assert (transfer.exit, ran.stderr.count(b"call")) == (status, 3)
    assert f"10.0.2.1:{PORTS[0]}/" in transfer.stderr


def test_two_pods_that_ask_a_third_ask_different_ports() -> None:
    """With three nodes no pod is asked twice at one port, so nobody is refused."""
    third = Station("n3", [Sender("ns/3-1", IPv4Address("10.0.3.1"), None, 1480)], {})
    plans = [plan for _, plan in inside.plan([*stations(), third], PORTS, SERVED)]
    asked = [(each.sent.destination, each.ports[0]) for plan in plans for each in plan.transfers]
    assert len(asked) == len(set(asked)) == 6


def test_a_single_node_has_an_echo_and_no_transfer() -> None:
    """Its pod talks to the second one; there is no other node to bring a megabyte from."""
    plan = planned(1)
    assert (str(plan.echo.destination) if plan.echo else "", plan.transfers) == ("10.0.1.2", ())


def test_an_exec_that_was_refused_is_no_answer() -> None:
    """All probes are there, without an exit status, with the reason."""
    told = inside.told(planned(), None, b"", b"exec was refused", "ns/p")
    assert [probe.exit for probe in told] == [None, None, None]
    assert all("exec was refused" in probe.stderr for probe in told)


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


@pytest.mark.parametrize("file", ["1-pod.pcap", "2-cali.pcap", "3-tunl0.pcap"])
def test_of_tcp_the_inner_taps_keep_the_syns(file: str) -> None:
    """Of a whole connection on real Calico two segments are kept where it is bare: its payload is not for us."""
    assert matched(file, "tcp") > 4
    assert matched(file, f"({filters.bare([POD])}) and tcp") == 2


def test_of_tcp_the_nics_tap_keeps_how_it_begins_and_ends() -> None:
    """SYN, FIN and RST, looked for behind two IP headers; what lies between them is left out."""
    inner = "ip proto 4 and ip[29]=6"
    everything, kept = matched("4-nic.pcap", inner), matched("4-nic.pcap", f"({filters.underlay([POD])}) and {inner}")
    assert everything > kept
    assert kept == matched("4-nic.pcap", f"{inner} and ip[53]&7!=0") >= 4
