"""The capture of one node: all of its taps in one session, which ends them however it ends.

The remote script starts every tcpdump, says which of them listen, waits until its stdin closes (also because ssh died,
or we did), ends them, and sends what they wrote.
"""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_calico_ipip.model.wire import Tap
from pytest_calico_ipip.remote import LIMIT, MARK, PRELUDE, Remote, Unpacked, one_line, unpack

SNAP_LENGTH = 256  # bytes: Ethernet, two IP headers with options, ICMP and what we look at of its data
LISTEN_SECONDS = 10  # a tcpdump that does not listen by then is not waited for
PCAP_MAGIC = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d")

_SCRIPT = r"""
tap() { _n=$1; shift; "$@" >"$_n.pcap" 2>"$_n.stderr" </dev/null & pids="$pids $!"; eval "p$_n=\$!"; }
# is tap $1 listening (0), still starting (1), or ended (2)?
state() {
  while read -r _line || [ -n "$_line" ]; do case $_line in *"listening on "*) return 0;; esac; done <"$1.stderr"
  eval "_pid=\$p$1"
  read -r _ _ _state _ <"/proc/$_pid/stat" 2>/dev/null || return 2
  [ "$_state" != Z ] || return 2
  return 1
}
end_all() { [ -z "$pids" ] || kill -INT $pids 2>/dev/null; wait; }
pids=
trap 'end_all; finish 124' HUP INT TERM
"""


@dataclass(frozen=True)
class Plan:
    """A tap that is to be opened, and what it may see."""

    tap: Tap
    filter: str

    def command(self, count: int) -> str:
        """The tcpdump command as a person would type it, but for where its output goes."""
        words = ["tcpdump", "-i", self.tap.interface, "-n", "-U", "--immediate-mode"]
        words += ["-s", str(SNAP_LENGTH), "-c", str(count), "-w", "-", self.filter]
        line = " ".join(map(shlex.quote, words))
        netns = self.tap.netns
        if netns is None:
            return line
        if netns.startswith("pid-"):
            return f"nsenter -t {shlex.quote(netns[4:])} -n -- {line}"
        return f"ip netns exec {shlex.quote(netns)} {line}"


def script(plans: Sequence[Plan], count: int, after: str) -> str:
    """The remote script; `after` is run between the end of the capture and the sending of its files."""
    numbers = " ".join(str(number) for number in range(len(plans)))
    lines = [f"tap {number} {plan.command(count)}" for number, plan in enumerate(plans)]
    lines.append(
        f"""
left="{numbers}"; tries=0
while [ -n "$left" ] && [ "$tries" -lt {LISTEN_SECONDS * 20} ]; do
  still=
  for n in $left; do state "$n"; case $? in 1) still="$still $n";; 2) ended="$ended $n";; esac; done
  left=$still; tries=$((tries+1))
  [ -z "$left" ] || sleep 0.05 2>/dev/null || sleep 1
done
echo "taps are open"
read -r _
# what has just arrived is still on its way through tcpdump
sleep 0.1 2>/dev/null || sleep 1
end_all
"""
    )
    return PRELUDE + _SCRIPT + "\n".join(lines) + after + "finish 0\n"


@dataclass
class NodeCapture:
    """One node's running capture."""

    remote: Remote
    plans: Sequence[Plan]
    seconds: float  # the remote end stops by itself after these
    _process: subprocess.Popen[bytes] | None = None
    _problem: str = ""

    def start(self, count: int, after: str) -> None:
        """Open the taps; returns when each listens or has failed. Never raises for what the node does."""
        command = self.remote.wrap(script(self.plans, count, after), self.seconds)
        self._process = self.remote.open(command)
        said = self._line(b"taps are open", LISTEN_SECONDS * 3)
        if not said:
            self.abandon()

    def finish(self, timeout: float) -> Unpacked:
        """Close the taps and take what they saw, with what `after` collected."""
        process = self._process
        if process is None:
            return Unpacked(problem=self._problem or "the capture was not started")
        try:
            stdout, stderr = process.communicate(timeout=timeout)  # closes stdin, which ends the script
        except subprocess.TimeoutExpired:
            self.abandon()
            return Unpacked(problem=f"the capture did not end within {timeout:.0f} s")
        finally:
            self._process = None
        unpacked = unpack(self._early + stdout[:LIMIT])
        words = "; ".join(filter(None, (unpacked.problem, one_line(stderr) if process.returncode else "")))
        return Unpacked(unpacked.files, unpacked.statuses, words)

    def abandon(self) -> None:
        """Cut the session: the remote script sees its stdin end and cleans up."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.kill()
            process.wait(5)

    _early: bytes = b""

    def _line(self, wanted: bytes, seconds: float) -> bool:
        """Read up to a line of the script's; what a login shell said before it does not matter."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        deadline = time.monotonic() + seconds
        said = b""
        while len(said) < 65536:
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(process.stdout.fileno(), 4096) if ready else b""
            if not piece:
                break
            said += piece
            if wanted + b"\n" in said:
                self._early = (
                    said[: said.index(MARK)] + MARK + said.partition(wanted + b"\n")[2] if MARK in said else b""
                )
                return True
        if ready:
            assert process.stderr is not None
            process.kill()
            self._problem = f"the capture did not start: {one_line(process.stderr.read(65536)) or 'no reason given'}"
        else:
            self._problem = f"the taps did not open within {seconds:.0f} s"
        return False


def write(folder: Path, plans: Sequence[Plan], unpacked: Unpacked) -> None:
    """The pcaps and what each tcpdump said, into packets/. A tap that gave nothing has its reason in its stderr."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, plan in enumerate(plans):
        pcap = unpacked.files.get(f"{number}.pcap")
        stderr = unpacked.files.get(f"{number}.stderr", b"")
        if unpacked.problem:
            stderr += f"{unpacked.problem}\n".encode()
        if pcap is not None and pcap[:4] in PCAP_MAGIC:
            (folder / plan.tap.file).write_bytes(pcap)
        (folder / plan.tap.file).with_suffix(".stderr").write_bytes(stderr)


def entry(tap: Tap, limit: int) -> dict[str, str | int | None]:
    """One element of taps.json; `limit` is the most packets that its tcpdump takes."""
    return {**asdict(tap), "limit": limit}
