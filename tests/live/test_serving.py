"""What a pod under test answers transfers with, natively: BusyBox's netcat and OpenBSD's, in a network of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pytest_calico_ipip.cluster.pods import PORTS, SERVE, SERVED
from pytest_calico_ipip.packets import inside
from pytest_calico_ipip.packets.probes import Sender, Station

SHELLS = {"OpenBSD": ["/bin/sh"], "BusyBox": ["busybox", "sh"]}
pytestmark = pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is not installed here")


class Serving:
    """The pod's command in a network and PID namespace of its own, as its first process."""

    def __init__(self, kind: str, folder: Path) -> None:
        path = "/usr/bin:/bin"
        if kind == "BusyBox":
            for name in ("nc", "head", "sleep"):
                (folder / name).symlink_to(shutil.which("busybox") or "")
            path = f"{folder}:{path}"
        command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c"]
        shell = " ".join(SHELLS[kind])
        started = f'ip link set lo up; exec {shell} -c "$1"'
        self.process = subprocess.Popen([*command, started, "sh", SERVE], env={"PATH": f"{path}:/usr/sbin:/sbin"})
        self.first = self._first()

    def _first(self) -> str:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return _until(lambda: children.read_text().split()[0] if children.read_text().split() else "")

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the same network."""
        return subprocess.run(
            ["nsenter", "-t", self.first, "-n", *command], capture_output=True, text=True, check=False, timeout=20
        )

    def fetch(self, port: int) -> str:
        """What curl tells of one transfer."""
        words = ["-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", "-m", "3"]
        return self.inside("curl", *words, f"http://127.0.0.1:{port}/").stdout

    def fetched(self, port: int) -> str:
        """The same, tried until it is served: between two connections the port is closed for a moment."""
        return _until(lambda: answer if (answer := self.fetch(port)).startswith("200") else "")


def _until(what: object, seconds: float = 10) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():  # type: ignore[operator]
            return str(found)
        time.sleep(0.02)
    raise TimeoutError(f"nothing within {seconds:.0f} s")


@pytest.fixture(params=SHELLS)
def serving(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Serving]:
    """A server, of one kind of netcat."""
    server = Serving(request.param, tmp_path)
    yield server
    server.process.kill()
    server.process.wait()


def test_a_pod_serves_a_megabyte_again_and_again(serving: Serving) -> None:
    """Each connection to either port gets the whole answer."""
    assert [serving.fetched(port) for port in (*PORTS, *PORTS)] == [f"200 {SERVED}"] * 4


def test_a_scanner_and_a_silent_client_leave_the_other_port(serving: Serving) -> None:
    """Who connects and goes away does no harm; who connects and stays holds one of the two ports."""
    serving.fetched(PORTS[0])
    serving.inside("nc", "-z", "-w", "1", "127.0.0.1", str(PORTS[0]))
    assert serving.fetched(PORTS[0]) == f"200 {SERVED}"
    silent = subprocess.Popen(
        ["nsenter", "-t", serving.first, "-n", "sh", "-c", f"sleep 60 | nc 127.0.0.1 {PORTS[0]} | sleep 60"],
        start_new_session=True,
    )
    try:
        assert serving.fetched(PORTS[1]) == f"200 {SERVED}"
    finally:
        subprocess.run(["kill", "--", f"-{silent.pid}"], check=False)
        silent.wait()


def test_a_serving_pod_ends_at_once(serving: Serving) -> None:
    """SIGTERM ends it well within its second of grace, whatever it is doing."""
    serving.fetched(PORTS[0])
    began = time.monotonic()
    subprocess.run(["kill", f"-{signal.SIGTERM.value}", serving.first], check=True)
    serving.process.wait(5)
    assert time.monotonic() - began < 1


def test_a_pod_asks_all_others_by_two_processes(serving: Serving, tmp_path: Path) -> None:
    """Of six nodes each brings a megabyte, though one server answers for all; curl is not run once for each of them."""
    stations = [
        Station(f"n{number}", [Sender(f"ns/{number}", IPv4Address(f"127.0.0.{number}"), None, 1480)], {})
        for number in range(1, 7)
    ]
    plan = replace(inside.plan(stations, PORTS, SERVED)[0][1], echo=None)
    serving.fetched(PORTS[0])
    shell = inside.script(plan)
    counted = f'curl() {{ echo run >>{tmp_path}/runs; command curl "$@"; }}'
    done = serving.inside(*shell[:2], f"{counted}\n{shell[2]}")
    told = inside.told(plan, done.returncode, done.stdout.encode(), done.stderr.encode(), "ns/p")
    transfers = [probe for probe in told if probe.kind == inside.TRANSFER]
    assert [(probe.exit, probe.stdout) for probe in transfers] == [(0, f"200 {SERVED}")] * 5
    assert len((tmp_path / "runs").read_text().split()) <= 2 * inside.PASSES
