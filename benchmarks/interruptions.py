#!/usr/bin/env python3
"""What is left when a run is killed, or loses the API or a node, at any moment; and whether the next run is green.

    .venv/bin/python benchmarks/interruptions.py [-n TIMES] [--seed N] [--way ssh|pod|both] [--green-every K] [KIND…]

One lab of two nodes stays up for all of it. Of each kind (KINDS; all by default) a run is interrupted TIMES times, each
at a moment that is drawn from the whole length of a run. Then everything that was not there before must be gone within
60 s, counted from the run's end, or from when what was cut is whole again, whichever is later; and after every K-th a
run must be green. Printed is a line for each: the moment, what the run was doing, its exit status, how long until
everything was gone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.cut import HANG, REFUSE, Way  # noqa: E402
from benchmarks.remains import STATE, remains, until_gone  # noqa: E402
from pytest_calico_ipip.cluster.connection import Api  # noqa: E402
from pytest_calico_ipip.settings import Settings  # noqa: E402

WITHIN = 60.0  # seconds
LONGEST = 300.0  # seconds: a run that goes on for longer hangs
SIGNALS = {"killed": signal.SIGKILL, "terminated": signal.SIGTERM, "interrupted": signal.SIGINT}
CUTS = {"api-refused": REFUSE, "api-hung": HANG}
NODE_CUTS = ("node-dropped", "node-silent")
KINDS = (*SIGNALS, *CUTS, *NODE_CUTS)
# what a run may end with; an API or node that is away for a while is an ERROR, or was not needed any more
STATUSES = {"killed": {-9}, "terminated": {2}, "interrupted": {2}, **{kind: {0, 1} for kind in (*CUTS, *NODE_CUTS)}}


class Run:
    """The suite, as a user starts it."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.log = log
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-q",
            str(ROOT / "conformance"),
            *arguments,
        ]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text("utf-8", "replace")

    def phase(self) -> str:
        """What it was doing last."""
        lines = [line for line in self.output().splitlines() if line.startswith("calico-ipip: ")]
        return re.sub(r" \(\d.*", "", lines[-1].removeprefix("calico-ipip: "))[:48] if lines else "starting"

    def wait(self) -> int | None:
        """Its exit status; None where it had to be ended for it hung."""
        try:
            return self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


class Campaign:
    """All interruptions of one lab."""

    def __init__(self, asked: argparse.Namespace, work: Path) -> None:
        self.asked = asked
        self.work = work
        self.random = random.Random(asked.seed)  # noqa: S311
        kubeconfig = Path(os.environ["KUBECONFIG"])
        self.api = Api.connect(Settings(kubeconfig=kubeconfig))
        self.way = Way(kubeconfig, work / "kubeconfig")
        self.ways = ("ssh", "pod") if asked.way == "both" else (asked.way,)
        self.nodes = sorted(path.name for path in (STATE / "nodes").iterdir())
        self.bad = 0
        self.slowest: dict[str, list[float]] = defaultdict(list)
        self.seconds = 0.0

    def all(self) -> int:
        """Everything; the number of those that were not as they must be."""
        for way in self.ways:
            self.green(f"the first run by {way}", way)  # makes what is made once: a kubelet's directories, say
        self.before = remains(self.api)
        self.seconds = 0.0
        self.green("a run")
        self.gone("a run")
        count = 0
        for number in range(self.asked.times):
            for kind in self.asked.kinds:
                self.interrupt(kind, number)
                count += 1
                if count % self.asked.green_every == 0:
                    self.green(f"the run after {kind} {number}")
        for kind, took in self.slowest.items():
            print(f"{kind}: {len(took)} times, gone after {sum(took) / len(took):.1f} s, at most {max(took):.1f} s")
        print(f"{count} interruptions, {self.bad} not as they must be")
        return self.bad

    def run(self, way: str, name: str) -> Run:
        """Begin one."""
        arguments = ["--kubeconfig", str(self.work / "kubeconfig"), "--ipip-node-access", way]
        return Run(arguments, self.work / f"{name.replace(' ', '-')}.log")

    def green(self, what: str, way: str = "") -> None:
        """A run with nothing in its way must be green."""
        began = time.monotonic()
        run = self.run(way or self.random.choice(self.ways), what)
        status = run.wait()
        took = time.monotonic() - began
        self.seconds = min(took, self.seconds or took)  # a machine is busier at one moment than at another
        if status != 0:
            self.bad += 1
            print(f"NOT GREEN: {what} ended with {status}: {run.output()[-3000:]}", flush=True)

    def gone(self, what: str) -> tuple[float, bool]:
        """Wait until nothing is left; the seconds, and whether they were few enough."""
        took, left = until_gone(self.api, self.before, WITHIN)
        for one in sorted(left):
            print(f"  LEFT by {what}: {one}", flush=True)
        self.before |= left  # told once
        return took, not left

    def interrupt(self, kind: str, number: int) -> None:
        """One run, one interruption."""
        moment = self.random.uniform(0, self.seconds)
        lasts = self.random.uniform(2, 20)
        node = self.random.choice(self.nodes)
        way = self.random.choice(self.ways)
        run = self.run(way, f"{kind} {number}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(moment)
        ended, phase = run.process.poll() is not None, run.phase()
        began = time.monotonic()
        if kind in SIGNALS:
            run.process.send_signal(SIGNALS[kind])
            status = run.wait()
        elif kind in CUTS:
            self.way.cut(CUTS[kind])
            time.sleep(lasts)
            self.way.restore()
            status = run.wait()
        else:
            with self.cut_off(kind, way, node):
                status = run.wait()
        ran_on = time.monotonic() - began
        took, clean = self.gone(f"{kind} {number}")
        self.slowest[kind].append(took)
        asleep = phase == "starting" and kind in SIGNALS and status == -SIGNALS[kind]  # nothing of ours was loaded yet
        right = clean and (status in STATUSES[kind] or asleep or (ended and status == 0))
        # Python's own end while pytest still loads its plugins is a traceback
        internal = not asleep and ("INTERNALERROR" in run.output() or "Traceback" in run.output())
        if not right or internal:
            self.bad += 1
            print(f"  its end: {run.output()[-1500:]}", flush=True)
        print(
            f"{'ok ' if right and not internal else 'BAD'} {kind} {number}, {way}, at {moment:.1f} s "
            f"({'ended' if ended else phase}): status {status} after {ran_on:.1f} s, gone after {took:.1f} s",
            flush=True,
        )

    @contextlib.contextmanager
    def cut_off(self, kind: str, way: str, node: str) -> Iterator[None]:
        """A node's connection is broken, or as long as the block lasts nothing comes through."""
        if way == "pod":
            # every exec is a connection to the API server; what else there is of them is asked for again
            self.way.reset()
            yield
        elif kind == "node-dropped":
            for pid in sessions(node):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            yield
        else:
            rules = [f"{chain} -p tcp --{port} 22 -j DROP" for chain, port in (("INPUT", "dport"), ("OUTPUT", "sport"))]
            for rule in rules:
                inside(node, f"iptables -I {rule}")
            try:
                yield
            finally:
                for rule in rules:
                    inside(node, f"iptables -D {rule}")


def sessions(node: str) -> list[int]:
    """The sshd processes of a node that serve somebody."""
    holder = json.loads((STATE / "nodes.json").read_text())[node][2]
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            title = (path / "cmdline").read_bytes()
            serves = title.startswith(b"sshd") and b"[listener]" not in title
            if serves and (path / "ns/net").readlink() == Path(f"/proc/{holder}/ns/net").readlink():
                found.append(int(path.name))
    return found


def inside(node: str, command: str) -> None:
    """In a node of the lab, whatever becomes of it."""
    lab = [sys.executable, "-m", "pytest_calico_ipip.lab", "exec", node, "--", "/bin/sh", "-c", command]
    subprocess.run(lab, cwd=ROOT, check=False, capture_output=True)


def main() -> int:
    """Outside of a lab: the same command in one. Inside: the campaign; 1 where anything was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=20, dest="times", help="interruptions of each kind (20)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    parser.add_argument("--way", choices=("ssh", "pod", "both"), default="both", help="to the nodes (both)")
    parser.add_argument("--green-every", type=int, default=1, metavar="K", help="a green run after every K-th (1)")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    asked = parser.parse_args()
    asked.kinds = asked.kinds or KINDS
    if unknown := set(asked.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(unknown)}")
    if not os.environ.get("CALICO_IPIP_LAB"):
        lab = [sys.executable, "-m", "pytest_calico_ipip.lab", "run", "--nodes", "2"]
        lab += ["--", sys.executable, __file__, *sys.argv[1:]]
        return subprocess.run(lab, cwd=ROOT, check=False).returncode
    with tempfile.TemporaryDirectory(prefix="interruptions-") as folder:
        return 1 if Campaign(asked, Path(folder)).all() else 0


if __name__ == "__main__":
    sys.exit(main())
