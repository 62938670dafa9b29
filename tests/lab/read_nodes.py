"""Runs inside a lab: makes the recorded pods and writes what the recorded commands print, for the test outside.

`python read_nodes.py RECORDING OUTPUT`: RECORDING is an evidence directory with `nodes/<node>/commands.tsv`; OUTPUT
gets `<node>/<file>` for every line of it, and for the pods' own commands `<node>/netns/<pod address>/<file>`.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from kubernetes import client, config

PODS = (("sleep-curl-1", 1), ("sleep-curl-2", 2), ("sleep-curl-3", 3), ("sleep-curl-4", 1))
NAMESPACE = "sleep-curl"
_MARK = "=====8<===== "


def make_pods() -> dict[str, list[str]]:
    """The recorded pods, one after the other; their addresses by node."""
    config.load_kube_config()
    api = client.CoreV1Api()
    api.create_namespace({"metadata": {"name": NAMESPACE}})
    addresses: dict[str, list[str]] = {}
    for name, index in PODS:
        node = f"virtnest-rook-ceph-{index}"
        container = {"name": "curl", "image": "curlimages/curl", "command": ["sleep", "infinity"]}
        spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 1}
        metadata = {"name": name, "labels": {"app": "sleep-curl"}}
        api.create_namespaced_pod(NAMESPACE, {"metadata": metadata, "spec": spec})
        addresses.setdefault(node, []).append(await_address(api, name))
    return addresses


def await_address(api: client.CoreV1Api, name: str, within: float = 30) -> str:
    """The pod's address, once it is Running."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        status = api.read_namespaced_pod(name, NAMESPACE).status
        if status.phase == "Running" and status.pod_ip:
            return str(status.pod_ip)
        time.sleep(0.1)
    raise SystemExit(f"pod {name} is not Running after {within:g} s")


def recorded_commands(node: Path) -> list[tuple[str, str]]:
    """(file, command) of every command that was recorded on a node and can be typed again."""
    rows = [line.split("\t") for line in (node / "commands.tsv").read_text().splitlines()]
    return [(row[0], row[2]) for row in rows if "ADDRESS" not in row[2]]


def typed(command: str) -> str:
    """The recorded command line for a shell: of what it lists only sysctl's pattern needs quotes."""
    words = command.split(" ")
    return " ".join(word if word.isalnum() else shlex.quote(word) for word in words)


def read(node: str, commands: list[tuple[str, str]]) -> dict[str, str]:
    """What they print, all in one ssh session."""
    script = "".join(f"echo '{_MARK}{file}'\n{typed(command)}\n" for file, command in commands)
    argv = ["ssh", node, script]
    output = subprocess.run(argv, stdout=subprocess.PIPE, timeout=60, check=True).stdout.decode()
    found = {}
    for part in output.split(_MARK)[1:]:
        file, _, text = part.partition("\n")
        found[file] = text
    return found


def await_settled(node: str, within: int = 10) -> None:
    """Until IPv6 has finished looking for duplicates of the new interfaces' addresses (a second, usually)."""
    look = "ip -6 -o address show tentative"
    script = f'for each in $(seq {within * 10}); do [ -z "$({look})" ] && exit 0; sleep 0.1; done; {look}; exit 1'
    subprocess.run(["ssh", node, script], timeout=within + 20, check=True)


def main() -> None:
    """Make, read, write."""
    recording, output = Path(sys.argv[1]), Path(sys.argv[2])
    addresses = make_pods()
    for directory in sorted((recording / "nodes").iterdir()):
        node = directory.name
        commands = recorded_commands(directory)
        await_settled(node)
        own = [(file, command) for file, command in commands if not file.startswith("netns/")]
        for file, text in read(node, own).items():
            write(output / node / file, text)
        pod_files = {file.split("/")[2]: command for file, command in commands if file.startswith("netns/")}
        for entry in json.loads((output / node / "ip-netns.json").read_text()):
            inside = [
                (file, f"ip netns exec {entry['name']} " + command.split(" ", 4)[4])
                for file, command in pod_files.items()
            ]
            texts = read(node, inside)
            address = next(each for each in addresses[node] if f'"{each}"' in texts["ip-addr.json"])
            for file, text in texts.items():
                write(output / node / "netns" / address / file, text)


def write(path: Path, text: str) -> None:
    """With the directories that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    main()
