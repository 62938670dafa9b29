"""The capture of one node: all of its taps in the connection's shell, which ends them however it ends.

First every tcpdump is started and waited for until it listens; the probes are sent through the same shell; then the
taps are ended and what they wrote is sent. Where ssh dies, or we do, the shell sees its stdin end, and cleans up.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_calico_ipip.model.wire import Tap
from pytest_calico_ipip.remote import RUN, THERE, Remote, Unpacked, untar

SNAP_LENGTH = 256  # bytes: Ethernet, two IP headers with options, ICMP and what we look at of its data
BUFFER_KIB = 512  # of kernel memory for each tap: some thousand packets of ours, a quarter of tcpdump's default
LISTEN_SECONDS = 10  # of few nodes: a tcpdump that does not listen by then is not waited for
# as a shell says it, `ip netns exec`, nsenter
_NO_TCPDUMP = re.compile(rb"tcpdump: (command )?not found|exec of \"tcpdump\" failed: No such|execute tcpdump: No such")
QUICK = 10  # looks at them, a tenth of a second apart; then half a second: to look costs a process, too
PCAP_MAGIC = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d")

# pieces for the connection's shell; whatever ends it ends the taps and takes the directory with it
_OPEN = r"""
umask 077
LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; export LC_ALL PATH
d=$(mktemp -d "${TMPDIR:-/tmp}/calico-ipip.XXXXXX") && cd "$d" || exit 96
pids=
tap() { _n=$1; shift; "$@" >"$_n.pcap" 2>"$_n.stderr" </dev/null & pids="$pids $!"; eval "p$_n=\$!"; }
absent() { : >"$1.pcap"; echo "tcpdump: $2: No such device exists" >"$1.stderr"; eval "p$1="; }
# is tap $1 listening (0), still starting (1), or ended (2)?
state() {
  while read -r _line || [ -n "$_line" ]; do case $_line in *"listening on "*) return 0;; esac; done <"$1.stderr"
  eval "_pid=\$p$1"
  [ -n "$_pid" ] || return 2
  read -r _ _ _state _ 2>/dev/null <"/proc/$_pid/stat" || return 2
  [ "$_state" != Z ] || return 2
  return 1
}
end_all() { [ -z "$pids" ] || kill -INT $pids 2>/dev/null; wait; pids=; }
trap 'end_all; rm -rf "$d"' EXIT
# PIPE: where we were killed, whatever it says next would end it before its EXIT
trap 'exit 143' HUP INT TERM PIPE
"""
_WAIT = r"""
tries=0
while [ -n "$left" ] && [ "$tries" -lt $most ]; do
  [ "$tries" -lt $quick ] && pause=0.1 || pause=0.5
  [ "$tries" = 0 ] || sleep $pause 2>/dev/null || sleep 1
  still=; for n in $left; do state "$n"; [ $? != 1 ] || still="$still $n"; done
  left=$still; tries=$((tries+1))
done
"""
_CLOSE = r"""
# what has just arrived is still on its way through tcpdump
sleep 0.1 2>/dev/null || sleep 1
end_all
"""
_SEND = r"""
cd "$d" && tar cf - .; cd /; rm -rf "$d"; trap - EXIT
"""


@dataclass(frozen=True)
class Plan:
    """A tap that is to be opened, and what it may see."""

    tap: Tap
    filter: str

    def command(self, count: int) -> str:
        """The tcpdump command as a person would type it, but for where its output goes."""
        # -p: the interface stays as it is, and what it would not take in is not for us
        words = ["tcpdump", "-p", "-i", self.tap.interface, "-n", "-U", "--immediate-mode", "-B", str(BUFFER_KIB)]
        words += ["-s", str(SNAP_LENGTH), "-c", str(count), "-w", "-", self.filter]
        line = " ".join(map(shlex.quote, words))
        netns = self.tap.netns
        if netns is None:
            return line
        if netns.startswith("pid-"):
            return f"nsenter -t {shlex.quote(netns[4:])} -n -- {line}"
        return f"ip netns exec {shlex.quote(netns)} {line}"


def opening(plans: Sequence[Plan], count: int, seconds: float = LISTEN_SECONDS) -> str:
    """The piece that starts every tcpdump and waits until each listens or has ended, so long at most."""
    lines = []
    for number, plan in enumerate(plans):
        interface = shlex.quote(plan.tap.interface)
        guard = f"there {interface} && " if plan.tap.netns is None else ""
        otherwise = f" || absent {number} {interface}" if guard else ""
        lines.append(f"{guard}tap {number} {plan.command(count)}{otherwise}")
    numbers = " ".join(str(number) for number in range(len(plans)))
    most = QUICK + round(2 * (seconds - QUICK / 10))
    return THERE + _OPEN + "\n".join(lines) + f'\nleft="{numbers}"; quick={QUICK}; most={most}' + _WAIT


@dataclass
class NodeCapture:
    """One node's running capture. Never raises for what the node does: the problem is kept with what it saw."""

    remote: Remote
    plans: Sequence[Plan]
    problem: str = ""

    def start(self, count: int, seconds: float = LISTEN_SECONDS) -> None:
        """Open the taps; returns when each listens or has failed."""
        answer = self.remote.ask(opening(self.plans, count, seconds), seconds * 3)
        if answer.failed_to_run:
            self.problem = f"the taps were not opened: {answer.words()}"

    def finish(self, after: str, timeout: float) -> Unpacked:
        """Close the taps; what they saw, and what the commands in `after` (with `run`) and the probes collected."""
        if self.problem:
            return Unpacked(problem=self.problem)
        answer = self.remote.ask(_CLOSE + RUN + after + _SEND, timeout)
        if answer.failed_to_run:
            return Unpacked(problem=f"the capture was cut off: {answer.words()}")
        return untar(answer.stdout)


def write(folder: Path, plans: Sequence[Plan], unpacked: Unpacked, missing: str) -> None:
    """The pcaps and what each tcpdump said, into packets/. A tap that gave nothing has its reason in its stderr.

    `missing` is the sentence for a place without tcpdump.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, plan in enumerate(plans):
        pcap = unpacked.files.get(f"{number}.pcap")
        stderr = unpacked.files.get(f"{number}.stderr", b"")
        if unpacked.problem:
            stderr += f"{unpacked.problem}\n".encode()
        elif _NO_TCPDUMP.search(stderr):
            stderr += f"{missing}\n".encode()
        if pcap is not None and pcap[:4] in PCAP_MAGIC:
            (folder / plan.tap.file).write_bytes(pcap)
        (folder / plan.tap.file).with_suffix(".stderr").write_bytes(stderr)


def entry(tap: Tap, limit: int) -> dict[str, str | int | None]:
    """One element of taps.json; `limit` is the most packets that its tcpdump takes."""
    return {**asdict(tap), "limit": limit}
