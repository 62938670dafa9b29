"""The probes: which are sent, the one command a node that sends its own, and what each of them said."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Any

from pytest_calico_ipip.remote import Remote, Unpacked

WAIT_SECONDS = 2  # for a reply; round trips inside a cluster take milliseconds
MOST_AT_ONCE = 16  # pings of one namespace that run side by side
MOST_TOGETHER = 100  # about so many on all nodes: those of a lab share one machine's memory
PLAIN_SIZE = 56  # bytes of data, ping's default
ICMP_AND_IP = 28  # bytes of headers around an echo's data
# AF11 and ECT(0): an inner header whose DSCP and ECN both show what the tunnel makes of them
MARK = 0x2A


@dataclass(frozen=True)
class Sent:
    """One probe, before and after it was sent. Times and counts are the tests' business, not ours."""

    id: str
    kind: str
    source: IPv4Address
    destination: IPv4Address
    node: str
    netns: str | None = None  # where ping runs: a pod's namespace, or None for the node itself
    size: int = PLAIN_SIZE  # bytes of ICMP data
    df: bool = False
    tos: int = 0  # the byte of DSCP and ECN
    icmp_id: int | None = None
    command: str = ""
    exit: int | None = None
    stdout: str = ""
    stderr: str = ""

    def ping(self) -> str:
        """The ping command, as typed inside the namespace."""
        words = ["ping", "-n", "-c", "1", "-W", str(WAIT_SECONDS)]
        if self.icmp_id is not None:
            words += ["-e", str(self.icmp_id)]
        if self.size != PLAIN_SIZE:
            words += ["-s", str(self.size)]
        if self.df:
            words += ["-M", "do"]
        if self.tos:
            words += ["-Q", hex(self.tos)]
        return " ".join([*words, str(self.destination)])

    def typed(self) -> str:
        """The command as a person types it on the node."""
        if self.netns is None:
            return self.ping()
        if self.netns.startswith("pid-"):
            return f"nsenter -t {shlex.quote(self.netns[4:])} -n {self.ping()}"
        return f"ip netns exec {shlex.quote(self.netns)} {self.ping()}"

    def entry(self) -> dict[str, Any]:
        """One element of probes.json."""
        return {
            "id": self.id,
            "kind": self.kind,
            "source": str(self.source),
            "destination": str(self.destination),
            "node": self.node,
            "command": self.command or self.typed(),
            "exit": self.exit,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "icmp_id": self.icmp_id,
            "seqs": [1] if self.kind.startswith("echo") else [],
            "size": self.size,
            "df": self.df,
            "tos": self.tos,
        }


@dataclass(frozen=True)
class Sender:
    """A pod under test as a sender and receiver of probes."""

    key: str  # "namespace/name"
    ip: IPv4Address
    netns: str | None  # None: its namespace was not found, so nothing is sent from it
    mtu: int | None


@dataclass(frozen=True)
class Station:
    """A node as a sender of probes: its pods (the pair's first), and its own address for each destination."""

    node: str
    pods: Sequence[Sender]
    own: Mapping[IPv4Address, IPv4Address]  # destination → the address that a packet of the node itself carries


def plan(stations: Sequence[Station], first_id: int) -> list[Sent]:
    """Every probe that the nodes' sides send: each pair's three, the node's own, and the one that stays on the node.

    Each has an ICMP id of its own, counted from `first_id`: one new flow never carries two echoes at once, of which
    connection tracking may lose one.
    """
    numbers = iter(range(0, 65534))
    found: list[Sent] = []
    for station in stations:
        for probe in _of(station, stations):
            number = (first_id + next(numbers) - 1) % 65535 + 1  # never 0
            found.append(replace(probe, icmp_id=number))
    return found


def _of(station: Station, stations: Sequence[Station]) -> Iterator[Sent]:
    node = station.node
    first = station.pods[0] if station.pods else None
    for other in stations:
        if other.node == node or not other.pods:
            continue
        target = other.pods[0].ip
        name = f"{node}:{other.node}"
        if first is not None:
            plain = Sent(f"{name} echo", "echo", first.ip, target, node, first.netns)
            yield replace(plain, tos=MARK)
            if first.mtu is not None:
                full = first.mtu - ICMP_AND_IP
                yield replace(plain, id=f"{name} echo-full", kind="echo-full", size=full, df=True)
                yield replace(plain, id=f"{name} echo-over", kind="echo-over", size=full + 1, df=True)
        if target in station.own:
            yield Sent(f"{name} echo-from-node", "echo-from-node", station.own[target], target, node)
    if first is not None and len(station.pods) > 1:
        yield Sent(f"{node} echo-same-node", "echo-same-node", first.ip, station.pods[1].ip, node, first.netns)


def at_once(nodes: int) -> int:
    """How many pings of one namespace run side by side, where so many nodes send from two each at the same time."""
    return max(4, min(MOST_AT_ONCE, MOST_TOGETHER // max(1, 2 * nodes)))


def sending(probes: Sequence[Sent], together: int = MOST_AT_ONCE) -> str:
    """The piece that sends one node's probes: each namespace is entered once, pings run side by side.

    It leaves NUMBER.out and NUMBER.err in the shell's directory, adds exit statuses to `status` there, and says
    whether ping knew the option for an ICMP id.
    """
    lines = []
    for netns in dict.fromkeys(probe.netns for probe in probes):
        numbered = [(number, probe) for number, probe in enumerate(probes) if probe.netns == netns]
        inner = []
        for start in range(0, len(numbered), together):
            some = numbered[start : start + together]
            inner += [f"{probe.ping()} >{number}.out 2>{number}.err & p{number}=$!" for number, probe in some]
            inner += [f'wait "$p{number}"; echo "$? probe-{number}" >>status' for number, _ in some]
        body = "\n".join(inner)
        if netns is None:
            enter = "/bin/sh -c"
        elif netns.startswith("pid-"):
            enter = f"nsenter -t {shlex.quote(netns[4:])} -n -- /bin/sh -c"
        else:
            enter = f"ip netns exec {shlex.quote(netns)} /bin/sh -c"
        lines.append(f'{enter} {shlex.quote(body)} </dev/null & senders="$senders $!"')
    asked = "read -r _line <0.err && case $_line in *\"invalid option -- 'e'\"*) echo no-icmp-id;; esac"
    # only these are waited for: the taps go on
    return "\n".join(["senders=", *lines, "wait $senders", asked])


def send(remote: Remote, probes: Sequence[Sent], timeout: float, together: int = MOST_AT_ONCE) -> list[Sent]:
    """Send one node's probes. What they said lies there until the taps are closed: see `collect`."""
    if probes and b"no-icmp-id" in remote.ask(sending(probes, together), timeout).stdout:
        # an older ping: its ids are its own choice, and are then found in the packets
        probes = [replace(probe, icmp_id=None) for probe in probes]
        remote.ask(": >status\n" + sending(probes, together), timeout)
    return list(probes)


def collect(probes: Sequence[Sent], unpacked: Unpacked) -> list[Sent]:
    """Each probe of one node with its exit status and words, or with why there are none."""
    result = []
    for number, probe in enumerate(probes):
        status = unpacked.statuses.get(f"probe-{number}")
        stdout = unpacked.files.get(f"{number}.out", b"").decode("utf-8", "replace")[:4000]
        stderr = unpacked.files.get(f"{number}.err", b"").decode("utf-8", "replace")[:4000]
        if status is None:
            stderr += unpacked.problem or "it was not sent, or did not come to its end"
        result.append(replace(probe, exit=status, stdout=stdout, stderr=stderr))
    return result
