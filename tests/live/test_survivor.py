"""The survivor: what a killed run has made goes all the same; a run that ends in order has none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.live.api_stand_in import Reply, StandIn, status

OURS, THEIRS = "/api/v1/namespaces/sleep-curl-abc", "/api/v1/namespaces/team"
RUN = f"""
import sys
from pathlib import Path
from pytest_calico_ipip import temporary
from pytest_calico_ipip.cluster.entrusted import Entrusted
from pytest_calico_ipip.settings import Settings
held = temporary.make("evidence")
entrusted = Entrusted(Settings(kubeconfig=Path(sys.argv[1])))
entrusted.start()
for step in sys.argv[2:]:
    getattr(entrusted, step)("{OURS}")
print(entrusted._pid, held.path, flush=True)
if input() == "leave":
    held.remove()
    entrusted.leave()
"""


class Cluster:
    """An API server that has our namespace, or will have it; and counts what it is asked."""

    def __init__(self, directory: Path) -> None:
        self.there = {OURS, THEIRS}
        self.away = False
        self.stand_in = StandIn(directory, self.reply)

    def reply(self, method: str, path: str) -> Reply:
        """As Kubernetes: what is being deleted can be deleted again."""
        if self.away:
            return status(503, "etcdserver: no leader")
        if path not in self.there:
            return status(404, "not found")
        self.there.discard(path)
        return status(200, "")

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Method and path of each request."""
        return [(method, path) for method, path, _ in self.stand_in.requests]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One for each test."""
    made = Cluster(tmp_path)
    yield made
    made.stand_in.close()


class Run:
    """A process that makes a directory, and tells its survivor what it makes in the cluster."""

    def __init__(self, cluster: Cluster, temporary: Path, steps: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(cluster.stand_in.kubeconfig), *steps],
            env={**os.environ, "TMPDIR": str(temporary)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        survivor, directory = self.process.stdout.readline().split()
        self.survivor, self.directory = int(survivor), Path(directory)
        # whoever reads a killed run's output does not wait for its survivor
        self.output = self.process.stdout

    def kill(self) -> None:
        """As the kernel's out-of-memory killer does."""
        self.process.kill()
        self.process.wait()
        assert self.output.read() == ""

    def lives(self) -> bool:
        """Whether the survivor is there."""
        path = Path(f"/proc/{self.survivor}/stat")
        try:
            return path.read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False


def until(true: Callable[[], bool], seconds: float) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_a_killed_run_made_goes_and_the_survivor_with_it(cluster: Cluster, tmp_path: Path) -> None:
    """Its namespace and its directory, in seconds; nobody else's; and no signal to everybody keeps it from that."""
    run = Run(cluster, tmp_path, ["will_make", "made"])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(run.survivor, number)
    assert run.lives()
    assert run.directory.exists()
    memory = Path(f"/proc/{run.survivor}/smaps_rollup").read_text().split()
    assert int(memory[memory.index("Pss:") + 1]) < 15_000, "kB: it waits as a bare interpreter"
    run.kill()
    until(lambda: not run.lives(), 20)
    assert cluster.there == {THEIRS}
    assert cluster.asked == [("DELETE", OURS)]
    assert not run.directory.exists()


def test_what_was_on_its_way_when_the_run_was_killed_goes_when_it_has_arrived(cluster: Cluster, tmp_path: Path) -> None:
    """Also where the API server comes back only later."""
    cluster.there.discard(OURS)
    cluster.away = True
    run = Run(cluster, tmp_path, ["will_make"])
    run.kill()
    until(lambda: bool(cluster.asked), 20)
    cluster.away = False
    asked = len(cluster.asked)
    until(lambda: len(cluster.asked) > asked, 20)
    cluster.there.add(OURS)
    until(lambda: not run.lives(), 20)
    assert cluster.there == {THEIRS}


@pytest.mark.parametrize(
    ("steps", "left"),
    [([], {OURS, THEIRS}), (["will_make", "made", "is_gone"], {OURS, THEIRS}), (["will_make"], {THEIRS})],
)
def test_a_run_that_ends_by_itself(cluster: Cluster, tmp_path: Path, steps: list[str], left: set[str]) -> None:
    """Has no survivor any more when it ends, or leaves it what it could not delete and does not wait."""
    run = Run(cluster, tmp_path, steps)
    assert run.process.stdin is not None
    run.process.communicate("leave\n", timeout=20)
    assert run.process.returncode == 0
    assert run.lives() == (left == {THEIRS})
    until(lambda: not run.lives(), 20)
    assert cluster.there == left
