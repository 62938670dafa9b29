"""A node with two pods and a real kernel, read and captured as in a cluster; only ssh is a script that runs locally.

Usage (in namespaces of its own): python -m tests.live.one_node DIRECTORY SHELL. Prints what was seen as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.model.wire import Tap
from pytest_calico_ipip.nodes.connection import Connections
from pytest_calico_ipip.nodes.reading import after, read_node
from pytest_calico_ipip.nodes.script import PodPlace, after_script
from pytest_calico_ipip.packets import filters, probes, taps
from pytest_calico_ipip.packets.probes import Sent
from pytest_calico_ipip.settings import Settings

ONE, TWO, THREE = (IPv4Address(f"10.233.107.{number}") for number in (1, 2, 3))
# the last argument is the command; -G asks for the configuration
SSH = """#!/bin/sh
[ "$1" = -G ] && exit
for command; do :; done
exec /bin/sh -c "$command"
"""
NETWORK = """
mount --make-rprivate /
mount -t tmpfs none /run
mkdir /run/netns
ip link set lo up
ip link add ens192 type veth peer name router
ip addr add 10.7.120.11/24 dev ens192
ip link set ens192 up; ip link set router up
ip route add default via 10.7.120.1
ip route add blackhole 10.233.88.0/24
echo 1 >/proc/sys/net/ipv4/ip_forward
iptables-nft -N cali-INPUT
iptables-nft -A INPUT -m comment --comment cali:1 -j cali-INPUT
iptables-nft -A cali-INPUT -p 4 -m comment --comment "Drop IPIP packets from non-Calico hosts" -j DROP
for i in 1 2; do
  ip netns add cni-$i
  ip link add cali$i address ee:ee:ee:ee:ee:ee type veth peer name eth0 netns cni-$i
  ip -n cni-$i link set eth0 up; ip link set cali$i up
  ip -n cni-$i addr add 10.233.107.$i/32 dev eth0
  ip -n cni-$i route add 169.254.1.1 dev eth0
  ip -n cni-$i route add default via 169.254.1.1 dev eth0
  ip route add 10.233.107.$i dev cali$i
  echo 1 >/proc/sys/net/ipv4/conf/cali$i/proxy_arp
  echo 0 >/proc/sys/net/ipv4/neigh/cali$i/proxy_delay
done
"""


def main(directory: Path, shell: str) -> dict[str, Any]:
    """Build, read, capture, send; then see what is left."""
    subprocess.run(["sh", "-ec", NETWORK], check=True)
    subprocess.run(["mount", "--bind", shell, "/bin/sh"], check=True)
    programs = directory / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(SSH)
    (programs / "ssh").chmod(0o755)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    work = directory / "node"
    work.mkdir()
    os.environ["TMPDIR"] = str(work)
    evidence = Evidence(directory / "evidence")
    with Connections(Settings(ssh_config=directory / "none")) as connections:
        connections.connect({"n1": "10.7.120.11"})
        remote = connections.open["n1"]
        places = [
            PodPlace("ns/named", "cali1", ONE, "uid-1"),
            PodPlace("ns/by-route", "calinotthere", TWO, "uid-2"),
            PodPlace("ns/nowhere", "calinowhere", THREE, "uid-3"),
        ]
        began = time.monotonic()
        reading = read_node(
            remote, evidence, places, [[TWO], [], []], [ONE, THREE, IPv4Address("10.233.88.9")], 3, 30, 2
        )
        read_in = time.monotonic() - began
        narrow = filters.bare([ONE])
        plans = [
            taps.Plan(Tap("eth0.pcap", "n1", "cni-1", "eth0"), narrow),
            taps.Plan(Tap("cali1.pcap", "n1", None, "cali1"), narrow),
            taps.Plan(Tap("missing.pcap", "n1", None, "missing0"), filters.underlay([ONE])),
        ]
        capture = taps.NodeCapture(remote, plans)
        capture.start(100)
        sent = [
            Sent("plain", "echo", ONE, TWO, "n1", "cni-1", icmp_id=4711),
            Sent("over", "echo-over", ONE, TWO, "n1", "cni-1", size=1473, df=True, icmp_id=4712),
            Sent("node", "echo-from-node", IPv4Address("10.7.120.11"), ONE, "n1", None, icmp_id=4713),
            Sent("lost", "echo", ONE, THREE, "n1", "cni-1", icmp_id=4714),
        ]
        sent = probes.send(remote, sent, 20)
        unpacked = capture.finish(after_script(reading.netnses, reading.look_up), 20)
        taps.write(evidence.packets, plans, unpacked, "no tcpdump")
        after(evidence, reading, unpacked)
        told = [probe.entry() for probe in probes.collect(sent, unpacked)]
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return {
        "problem": reading.problem,
        "places": {key: [place.interface, place.netns] for key, place in reading.places.items()},
        "seconds": read_in,
        "probes": told,
        "left": sorted(path.name for path in work.iterdir()),
        "tcpdumps": processes.count("tcpdump"),
        "sockets": sorted(path.name for path in directory.glob("ipip-run-*")),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
