"""A helper pod's surroundings made by hand: process 1 is a node with two pods, and commands run beside it confined.

Usage (in namespaces of its own): python -m tests.live.helper_ground DIRECTORY. Prints what was seen as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pytest_calico_ipip.cluster.helper_pods import CAPABILITIES
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.model.wire import Tap
from pytest_calico_ipip.nodes.in_pod import PodConnection
from pytest_calico_ipip.nodes.reading import read_node
from pytest_calico_ipip.nodes.script import PodPlace, after_script
from pytest_calico_ipip.packets import filters, probes, taps
from pytest_calico_ipip.packets.probes import Sent
from tests.live.local_process import Local
from tests.live.one_node import NETWORK, ONE, TWO

# what the manifest gives: memory of its own at /run and /tmp, the names of the namespaces, seven capabilities
CONTAINER = """
mount --make-rprivate /
mount -t tmpfs none /run && mount -t tmpfs none /tmp
ln -sfn /proc/1/root/run/netns /run/netns
capabilities=$1; shift; unset TMPDIR
exec setpriv --no-new-privs --inh-caps "$capabilities" --bounding-set "$capabilities" -- "$@"
"""
# it becomes an ordinary user, takes one packet, and ends
TAP = "timeout 10 tcpdump -p -i lo -n -c 1 -w - icmp 2>/tmp/said >/tmp/taken & tap=$!"
LISTENS = "until grep -q 'listening on' /tmp/said || ! test -e /proc/$tap; do sleep 0.1; done"
PACKET = "ping -c1 -W1 127.0.0.1"
TAKEN = f"{TAP}; {LISTENS}; {PACKET}; wait $tap"
NEEDS = {
    "NET_RAW": "ping -c1 -W1 127.0.0.1",
    "NET_ADMIN": "ipset list",
    "SYS_ADMIN": "ip netns exec cni-1 true",
    "SYS_PTRACE": "test -e /run/netns/cni-1",
    "SETUID": TAKEN,
    "SETGID": TAKEN,
    "KILL": f"{TAP}; {LISTENS}; pkill -INT -x tcpdump; told=$?; {PACKET}; wait $tap; (exit $told)",
}


def start(capabilities: Sequence[str], command: Sequence[str]) -> Local:
    """A command as it runs in the helper's container."""
    allowed = ",".join(["-all", *(f"+{name.lower()}" for name in capabilities)])
    return Local(["unshare", "--mount", "/bin/sh", "-c", CONTAINER, "sh", allowed, *command])


def connection(capabilities: Sequence[str]) -> PodConnection:
    """The node, reached with these."""
    return PodConnection("n1", "ns/helper", partial(start, capabilities), 60)


def main(directory: Path) -> dict[str, Any]:
    """Read, capture and send with all seven; then try each need without its capability."""
    subprocess.run(["sh", "-ec", NETWORK], check=True)
    evidence = Evidence(directory / "evidence")
    remote = connection([*CAPABILITIES])
    places = [PodPlace("ns/named", "cali1", ONE, "uid-1"), PodPlace("ns/by-route", "calinotthere", TWO, "uid-2")]
    reading = read_node(remote, evidence, places, [[TWO], []], [ONE], 3, 30, 2)
    plans = [
        taps.Plan(Tap("eth0.pcap", "n1", "cni-1", "eth0"), filters.bare([ONE])),
        taps.Plan(Tap("cali1.pcap", "n1", None, "cali1"), filters.bare([ONE])),
    ]
    capture = taps.NodeCapture(remote, plans)
    capture.start(100)
    sent = probes.send(remote, [Sent("plain", "echo", ONE, TWO, "n1", "cni-1", icmp_id=4711)], 20)
    unpacked = capture.finish(after_script(reading.netnses, reading.look_up), 20)
    taps.write(evidence.packets, plans, unpacked, remote.missing_tcpdump)
    remote.close()
    return {
        "problem": reading.problem or unpacked.problem,
        "places": {key: [place.interface, place.netns] for key, place in reading.places.items()},
        "echo": [probe.exit for probe in probes.collect(sent, unpacked)],
        "taps": {
            plan.tap.file: (evidence.packets / plan.tap.file).with_suffix(".stderr").read_text() for plan in plans
        },
        "with": {name: connection([*CAPABILITIES]).run(command, 20).status for name, command in NEEDS.items()},
        "without": {
            name: connection([other for other in CAPABILITIES if other != name]).run(command, 20).status
            for name, command in NEEDS.items()
        },
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
