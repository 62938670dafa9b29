"""What a pod under test sends itself, by one exec of the API: an echo, and a TCP transfer to each other node's pod."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_calico_ipip.packets.probes import WAIT_SECONDS, Sent, Station
from pytest_calico_ipip.remote import one_line

ECHO, TRANSFER, SERVER = "echo-inside", "tcp-transfer", "tcp-server"
MOST_AT_ONCE = 8  # transfers of one pod that run side by side
TRANSFER_SECONDS = 4  # for one attempt; a megabyte takes milliseconds
ATTEMPTS = 6
_NC = "command -v nc >/dev/null && command -v head >/dev/null"  # what a pod serves with
_ECHO_END, _LINE = "=== echo ===", "=== transfer ==="
_ONE = re.compile(rf"^{_LINE} (\d+) (\d+) ?(.*)$", re.MULTILINE)  # number, exit status, words
_COUNTED = re.compile(r"(.*?) ?(\d{3} \d+)")  # curl's complaint, then what -w tells

# try INDEX ADDRESS PORT OTHER: one transfer. A server takes one connection at a time, so one that is refused or cut off
# is tried again, at the other port; one that was answered by silence only once, for a silent client may hold that port.
_TRY = rf"""set -f
try() {{
  n=0 p=$3 q=$4
  while :; do
    r=$(curl -sS -o /dev/null -w ' %{{http_code}} %{{size_download}}' --connect-timeout {WAIT_SECONDS} \
      -m {TRANSFER_SECONDS} "http://$2:$p/" 2>&1)
    s=$?; n=$((n+1))
    case $s in 7|52|56) ;; 28) [ "$n" = 1 ] || break;; *) break;; esac
    [ "$n" -lt {ATTEMPTS} ] || break
    x=$p p=$q q=$x
    [ "$s" = 28 ] || sleep 0.2 2>/dev/null || sleep 1
  done
  printf '%s\n' "{_LINE} $1 $s $(echo $r)"
}}"""


@dataclass(frozen=True)
class Transfer:
    """One transfer, and the ports of the pod that serves it, in the order in which they are tried."""

    sent: Sent
    ports: tuple[int, int]

    @property
    def command(self) -> list[str]:
        """As a person types it."""
        bounds = ["--connect-timeout", str(WAIT_SECONDS), "-m", str(TRANSFER_SECONDS)]
        url = f"http://{self.sent.destination}:{self.ports[0]}/"
        return ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", *bounds, url]


@dataclass(frozen=True)
class Plan:
    """All that one pod sends itself. `server` says whether the pod can answer the others' transfers."""

    echo: Sent | None
    transfers: tuple[Transfer, ...]
    server: Sent

    @property
    def probes(self) -> list[Sent]:
        """Each entry that the plan makes in probes.json."""
        return [*([self.echo] if self.echo else []), *(each.sent for each in self.transfers), self.server]

    @property
    def seconds(self) -> float:
        """The longest that all of it takes where nothing is answered."""
        return WAIT_SECONDS + 2.0 * TRANSFER_SECONDS * -(-len(self.transfers) // MOST_AT_ONCE)


def plan(stations: Sequence[Station], ports: tuple[int, int], size: int) -> list[tuple[Station, Plan]]:
    """What each station with a pod sends. `ports` are where the pairs' pods serve `size` bytes.

    Each pod's echo goes to the next node's pod, round in a ring (on a single node to its second pod). Its transfers
    begin with the next node's pod too, so that no pod is asked by all at once.
    """
    able = [station for station in stations if station.pods]
    found = []
    for number, station in enumerate(able):
        first, node = station.pods[0], station.node
        others = [*range(number + 1, len(able)), *range(number)]
        target = able[others[0]].pods[0] if others else station.pods[-1]
        echo = Sent(f"{node} {ECHO}", ECHO, first.ip, target.ip, node) if target.ip != first.ip else None
        transfers = []
        for other in others:
            name = f"{node}:{able[other].node} {TRANSFER}"
            sent = Sent(name, TRANSFER, first.ip, able[other].pods[0].ip, node, size=size)
            rank = number if number < other else number - 1  # among those who ask this pod: every second one here
            transfers.append(Transfer(sent, ports if rank % 2 == 0 else (ports[1], ports[0])))
        server = Sent(f"{node} {SERVER}", SERVER, first.ip, first.ip, node)
        found.append((station, Plan(echo, tuple(transfers), server)))
    return found


def script(plan: Plan) -> list[str]:
    """The command: the echo, then the transfers side by side; marks and exit statuses tell what belongs to which."""
    lines = [f"{_NC}; echo '{_LINE}' {len(plan.transfers)} $?"]
    if plan.echo is not None:
        lines.append(f"{shlex.join(echo_command(plan.echo))}; s=$?; echo; echo '{_ECHO_END}' $s")
    lines.append(_TRY)
    numbered = list(enumerate(plan.transfers))
    for start in range(0, len(numbered), MOST_AT_ONCE):
        for number, each in numbered[start : start + MOST_AT_ONCE]:
            lines.append(f"try {number} {each.sent.destination} {each.ports[0]} {each.ports[1]} &")
        lines.append("wait")
    return ["/bin/sh", "-c", "\n".join(lines)]


def told(plan: Plan, status: int | None, stdout: bytes, stderr: bytes, pod: str) -> list[Sent]:
    """The probes with what each command said; the command as a person types it from outside."""
    namespace, _, name = pod.partition("/")
    outside = f"kubectl exec -n {shlex.quote(namespace)} {shlex.quote(name)} -- "
    text, words = stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace")
    cut_off = one_line(f"{words} the command in the pod did not come to its end (status {status})")
    found = {int(number): (int(code), said) for number, code, said in _ONE.findall(text)}
    result = []
    if plan.echo is not None:
        said, mark, after = text.partition(f"\n{_ECHO_END} ")
        code = after.split("\n", 1)[0]
        probe = replace(plan.echo, command=outside + shlex.join(echo_command(plan.echo)), stderr=cut_off)
        if mark and code.isdigit():
            lines = [line for line in said.splitlines(keepends=True) if not line.startswith(_LINE)]
            probe = replace(probe, exit=int(code), stdout="".join(lines)[:4000], stderr=words[:4000])
        result.append(probe)
    for number, each in enumerate(plan.transfers):
        probe = replace(each.sent, command=outside + shlex.join(each.command), stderr=cut_off)
        if number in found:
            ended, answer = found[number]
            counted = _COUNTED.fullmatch(answer)
            complaint, count = counted.groups() if counted else (answer, "")
            probe = replace(probe, exit=ended, stdout=count, stderr=complaint[:4000])
        result.append(probe)
    probe = replace(plan.server, command=f"{outside}/bin/sh -c {shlex.quote(_NC)}", stderr=cut_off)
    if len(plan.transfers) in found:
        probe = replace(probe, exit=found[len(plan.transfers)][0], stderr="")
    return [*result, probe]


def echo_command(probe: Sent) -> list[str]:
    """One plain echo, with the options that every ping knows."""
    return ["ping", "-c", "1", "-W", str(WAIT_SECONDS), str(probe.destination)]
