"""Observes the lab that it runs in, healthy, broken and interrupted, and prints what there was to see as JSON.

Usage (inside a lab, in a directory of its own): python -m tests.live.in_lab NODE…
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.nodes import list_nodes
from pytest_calico_ipip.cluster.pods import EXPIRES, RUN_LABEL, TIME
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.observation import observe
from pytest_calico_ipip.settings import Settings
from tests.live import disturbed_in_lab

SETTINGS = Settings(kubeconfig=Path(os.environ["KUBECONFIG"]), settle=5)
WRONG_USER = """
Host {node}
  HostName {address}
  User nobody-here
Host *
  Include {config}
"""


def main() -> dict[str, Any]:
    """All scenarios, in one lab."""
    api = Api.connect(SETTINGS)
    nodes = list_nodes(SETTINGS)
    now = datetime.now(timezone.utc)
    make_namespace(api, "0ld", now - timedelta(minutes=1))
    make_namespace(api, "other", now + timedelta(minutes=10))
    told: dict[str, Any] = {"nodes": nodes}
    began = time.monotonic()
    lines: list[str] = []
    observe(SETTINGS, nodes, Evidence(Path("healthy")), lines.append)
    told["healthy"] = {"seconds": time.monotonic() - began, "lines": lines, "left": left(api, nodes)}
    told["interrupted"] = interrupted(api, nodes)
    told["killed"] = killed(api, nodes)
    disturbed_in_lab.evicted(api, nodes)
    told["broken"] = broken(nodes)
    disturbed_in_lab.unready(api, nodes)
    return told


def make_namespace(api: Api, run: str, expires: datetime) -> None:
    """What another run has made."""
    metadata = {
        "name": f"sleep-curl-{run}",
        "labels": {RUN_LABEL: run},
        "annotations": {EXPIRES: expires.strftime(TIME)},
    }
    api.send("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def interrupted(api: Api, nodes: Sequence[str]) -> dict[str, Any]:
    """SIGTERM while the taps are open."""

    def progress(line: str) -> None:
        if line.startswith("Sending"):
            os.kill(os.getpid(), signal.SIGTERM)

    ended = "it went on"
    began = time.monotonic()
    try:
        observe(SETTINGS, nodes, Evidence(Path("interrupted")), progress)
    except KeyboardInterrupt as error:
        ended = str(error)
    return {"ended": ended, "seconds": time.monotonic() - began, "left": left(api, nodes)}


def killed(api: Api, nodes: Sequence[str]) -> dict[str, Any]:
    """SIGKILL while the taps are open: the other ends of the connections clean up, and the run's survivor."""
    command = [sys.executable, "-m", "pytest_calico_ipip.observation", "killed"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as observer:
        assert observer.stderr is not None
        for line in observer.stderr:
            if line.startswith("Sending"):
                observer.kill()
    deadline = time.monotonic() + 30
    while True:
        seen = left(api, nodes)
        gone = not (any(seen["nodes"]) or seen["ssh"] or seen["sockets"]) and len(seen["namespaces"]) == 1
        if gone or time.monotonic() > deadline:
            return {"left": seen}
        time.sleep(0.2)


def broken(nodes: Sequence[str]) -> dict[str, Any]:
    """One node refuses ssh, another has no tcpdump: the rest is observed all the same."""
    refusing, without = nodes[1], nodes[2]
    address = ssh_address(refusing)
    config = Path("config")
    config.write_text(WRONG_USER.format(node=refusing, address=address, config=Path.home() / ".ssh/config"))
    tcpdump = shutil.which("tcpdump")  # a node's programs are the machine's
    subprocess.run(["ssh", without, f"mount --bind /dev/null {tcpdump}"], check=True)
    settings = Settings(kubeconfig=SETTINGS.kubeconfig, settle=1, ssh_config=config.absolute())
    observe(settings, nodes, Evidence(Path("broken")), lambda line: None)
    subprocess.run(["ssh", without, f"umount {tcpdump}"], check=True)
    return {"refusing": refusing, "without": without}


def ssh_address(node: str) -> str:
    """Where ssh goes."""
    told = subprocess.run(["ssh", "-G", node], capture_output=True, text=True, check=True).stdout
    return next(line.split()[1] for line in told.splitlines() if line.startswith("hostname "))


def left(api: Api, nodes: Sequence[str]) -> dict[str, Any]:
    """What is still there: namespaces of runs, tcpdumps and directories on nodes, ssh processes and sockets here."""
    namespaces = [item["metadata"] for item in api.list("/api/v1/namespaces", {"labelSelector": RUN_LABEL})]
    command = "pgrep -x tcpdump; ls -d /tmp/calico-ipip.* 2>/dev/null; true"
    return {
        "namespaces": [one["name"] for one in namespaces if not one.get("deletionTimestamp")],
        "nodes": [
            subprocess.run(["ssh", node, command], capture_output=True, text=True, check=True).stdout for node in nodes
        ],
        "ssh": [name for name in running() if name == "ssh"],
        "sockets": [path.name for path in Path("/tmp").glob("ipip-run-*")],
    }


def running() -> Iterator[str]:
    """The names of this namespace's processes."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            yield path.read_text().strip()


if __name__ == "__main__":
    print(json.dumps(main()))
    sys.exit(0)
