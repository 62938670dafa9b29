"""What a pod under test sends itself, by one exec of the API: an echo, and a TCP transfer to each other node's pod."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_calico_ipip.packets.probes import WAIT_SECONDS, Sent, Station
from pytest_calico_ipip.remote import one_line

ECHO, TRANSFER, SERVER = "echo-inside", "tcp-transfer", "tcp-server"
LANES = 2  # of a pod's transfers, side by side: one for each port of those who serve
# of a lane, over those that were refused or cut off: the longer it is, the more of them crowd before a port
FEWEST_PASSES, PASSES = 3, 6
STALLED_SECONDS = 3  # with less than SLOW in each: a transfer that goes on at all may be slow, machines are
SLOW = 20_000  # bytes
LAST_SECONDS = 10  # without a byte: the last attempt at one that was answered by silence is the most patient
LAST_TOGETHER = 8  # last attempts of a lane that run side by side
MOST_SECONDS = 30  # for a transfer that goes on
_NC = "command -v nc >/dev/null && command -v head >/dev/null"  # what a pod serves with
_ECHO_END, _LINE = "=== echo ===", "=== transfer ==="
_ONE = re.compile(rf"^{_LINE} (\d+) (\d+) ?(.*)$", re.MULTILINE)  # number, exit status, words
_BOUNDS = ["--connect-timeout", str(WAIT_SECONDS), "-y", str(STALLED_SECONDS), "-Y", str(SLOW), "-m", str(MOST_SECONDS)]
_COUNTED = re.compile(r"(.*?) ?(\d{3} \d+)")  # curl's complaint, then what -w tells

# lane PASSES PORT OTHER SIZE NUMBER/ADDRESS…: transfers one after the other, by one curl, however many. A server takes
# one connection at a time, so those that are refused or cut off are asked for again, at the other port. One that was
# answered by silence is not passed over again but has a last attempt of its own, and where that is silent too a second
# one: clients may hold a port, or crowd before it. Its exit status and words are what is told. So has one of which curl
# did not say how it ended. Where it takes seconds to be told that an address is unreachable, that is silence, too.
_LANE = rf"""set -f
lane() {{
  passes=$1 p=$2 q=$3 size=$4 n=1 last=; shift 4
  while [ $# -gt 0 ] && [ "$n" -le "$passes" ]; do
    case $n in 1) ;; 2) sleep 0.2 2>/dev/null || sleep 1;; *) sleep $((n-2));; esac
    urls=; for t; do urls="$urls -o /dev/null http://${{t#*/}}:$p/"; done
    said="
$(curl -s {shlex.join(_BOUNDS)} -w '%{{url_effective}} %{{http_code}} %{{size_download}} %{{time_total}}\n' $urls)
"
    left=
    for t; do
      line=${{said#*"
http://${{t#*/}}:$p/ "}}
      [ "$line" != "$said" ] || line=
      line=${{line%%"
"*}}
      case $line in
        "200 $size "*) printf '%s\n' "{_LINE} ${{t%%/*}} 0 200 $size";;
        *' '[01][.,]*) left="$left $t";;
        *) last="$last $t";;
      esac
    done
    set -- $left
    x=$p p=$q q=$x n=$((n+1))
  done
  m=0
  for t in "$@" $last; do
    one "${{t%%/*}}" "${{t#*/}}" &
    m=$((m+1)); [ $((m % {LAST_TOGETHER})) -ne 0 ] || wait
  done
  wait
}}
one() {{
  i=$1 a=$2 n=0
  while :; do
    r=$(curl -sS -o /dev/null -w ' %{{http_code}} %{{size_download}} %{{time_total}}' \
      --connect-timeout $(({WAIT_SECONDS}*2)) -y {LAST_SECONDS} -Y 1 -m {MOST_SECONDS} "http://$a:$p/" 2>&1)
    s=$? n=$((n+1)) took=${{r##* }} r=${{r% *}}
    x=$p p=$q q=$x
    case $s,$took in
      7,[01][.,]*|18,*|52,*|55,*|56,*) [ "$n" -lt "$passes" ] && sleep $n || break;;
      7,*|28,*) [ "$n" = 1 ] || break;;
      *) break;;
    esac
  done
  set -- $r
  printf '%s\n' "{_LINE} $i $s $*"
}}"""


@dataclass(frozen=True)
class Transfer:
    """One transfer, and the ports of the pod that serves it, in the order in which they are tried."""

    sent: Sent
    ports: tuple[int, int]

    @property
    def command(self) -> list[str]:
        """As a person types it."""
        url = f"http://{self.sent.destination}:{self.ports[0]}/"
        return ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", *_BOUNDS, url]


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
        """The longest that all of it takes where nothing is answered, or all is refused."""
        lane = -(-len(self.transfers) // LANES)
        pauses = _passes(lane) * (_passes(lane) - 1)  # of the passes, and of a last attempt that is refused
        passes = lane * (WAIT_SECONDS + STALLED_SECONDS)
        return WAIT_SECONDS + passes + pauses + 3.0 * LAST_SECONDS * -(-lane // LAST_TOGETHER)


def _passes(lane: int) -> int:
    return min(PASSES, FEWEST_PASSES + lane)


def plan(stations: Sequence[Station], ports: tuple[int, int], size: int) -> list[tuple[Station, Plan]]:
    """What each station with a pod sends. `ports` are where the pairs' pods serve `size` bytes.

    Each pod's echo goes to the next node's pod, round in a ring (on a single node to its second pod). Its transfers
    are two lanes, to every second node of the ring: as all go round in step, each port of a pod has one client a time.
    """
    able = [station for station in stations if station.pods]
    found = []
    for number, station in enumerate(able):
        first, node = station.pods[0], station.node
        others = [*range(number + 1, len(able)), *range(number)]
        target = able[others[0]].pods[0] if others else station.pods[-1]
        echo = Sent(f"{node} {ECHO}", ECHO, first.ip, target.ip, node) if target.ip != first.ip else None
        transfers = []
        for step, other in enumerate(others):
            name = f"{node}:{able[other].node} {TRANSFER}"
            sent = Sent(name, TRANSFER, first.ip, able[other].pods[0].ip, node, size=size)
            transfers.append(Transfer(sent, ports if step % LANES == 0 else (ports[1], ports[0])))
        server = Sent(f"{node} {SERVER}", SERVER, first.ip, first.ip, node)
        found.append((station, Plan(echo, tuple(transfers), server)))
    return found


def script(plan: Plan) -> list[str]:
    """The command: the echo, then the transfers in their lanes; marks and exit statuses tell what belongs to which."""
    lines = [f"{_NC}; echo '{_LINE}' {len(plan.transfers)} $?"]
    if plan.echo is not None:
        # beside the transfers, and told in one piece
        echo = shlex.join(echo_command(plan.echo))
        lines.append(f"{{ said=$({echo}); s=$?; printf '%s\\n\\n%s\\n' \"$said\" '{_ECHO_END} '$s; }} &")
    lines.append(_LANE)
    numbered = [(f"{number}/{each.sent.destination}", each) for number, each in enumerate(plan.transfers)]
    for lane in (numbered[start::LANES] for start in range(LANES)):
        if lane:
            _, first = lane[0]
            targets = " ".join(target for target, _ in lane)
            ports = f"{first.ports[0]} {first.ports[1]}"
            lines.append(f"lane {_passes(len(lane))} {ports} {first.sent.size} {targets} &")
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
