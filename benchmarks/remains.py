"""What is there in a lab, seen from inside it: all processes, files and interfaces, and runs' objects in the API.

A lab's first namespace sees every process of every node, and the nodes' files below /proc/PID/root. So nothing has to
be listed by name: what is there after a run and was not there before is what the run has left.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.pods import RUN_LABEL

STATE = Path("/run/calico-ipip-lab")
FOLDERS = ("tmp", "var/tmp", "dev/shm", "run", "run/netns", "root")


def remains(api: Api) -> set[str]:
    """Everything that is there now, each thing in words."""
    return {*_processes(), *_files(), *_objects(api)}


def until_gone(
    api: Api, before: set[str], seconds: float, ours: Callable[[str], bool] = bool
) -> tuple[float, set[str]]:
    """How long it took until nothing was there that was not before, and what there still is if it is too much."""
    began = time.monotonic()
    while True:
        left = {one for one in remains(api) - before if ours(one)}
        took = time.monotonic() - began
        if not left or took > seconds:
            return took, left
        time.sleep(0.5)


def _processes() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            name = (path / "comm").read_text().strip()
        except OSError:
            continue  # it has ended
        if words:  # a thread of the kernel has none, and neither has what is dead and not yet waited for
            yield f"process {path.name} {name}: {words[:120]}"


def _files() -> Iterator[str]:
    """Names in the directories where anything temporary lies, and the workload interfaces."""
    nodes: dict[str, list[str]] = json.loads((STATE / "nodes.json").read_text())
    for node, root in {"here": "/", **{name: f"/proc/{words[2]}/root" for name, words in nodes.items()}}.items():
        for folder in FOLDERS:
            try:
                names = [path.name for path in (Path(root) / folder).iterdir()]
            except OSError:
                continue
            yield from (f"file on {node}: /{folder}/{name}" for name in names)
    for name, words in nodes.items():
        for line in Path(f"/proc/{words[2]}/net/dev").read_text().splitlines()[2:]:
            yield f"interface on {name}: {line.split(':')[0].strip()}"


def _objects(api: Api) -> Iterator[str]:
    for kind in ("namespaces", "pods"):
        for item in api.list(f"/api/v1/{kind}", {"labelSelector": RUN_LABEL}):
            metadata = item["metadata"]
            yield f"{kind} {metadata.get('namespace', '')}/{metadata['name']}"
