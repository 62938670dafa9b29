"""Runs inside a lab with bare nodes, no sshd and BusyBox pods: looks around, prints what it saw as one line of JSON."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from kubernetes import client, config
from kubernetes.stream import stream

NAMESPACE = "sleep-curl"
FIRST, SECOND = "virtnest-rook-ceph-1", "virtnest-rook-ceph-2"
# two of them because tcpdump becomes another user
CAPABILITIES = ["NET_RAW", "NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE", "SETUID", "SETGID"]
# the pod's network by one of its processes, and a packet of it on the node's tunnel device
CAPTURE = """
for p in /proc/[0-9]*; do
  [ $p/ns/net -ef /proc/self/ns/net ] || nsenter --net=$p/ns/net ip -br -4 addr show eth0 2>/dev/null
done | sort -u
timeout 20 tcpdump --immediate-mode -n -c 1 -i tunl0 icmp 2>&1
"""


def pod(name: str, node: str, image: str, container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    main = {"name": "main", "image": image, "command": ["sleep", "100000"], **container}
    return {
        "metadata": {"name": name},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [main], **spec},
    }


def policies(run: Callable[..., str], target: str) -> list[bool]:
    """Whether an echo reaches the target: under a policy that denies all, then with one that allows our pods."""
    networking = client.NetworkingV1Api()

    def answered(wanted: bool) -> bool:
        end = time.monotonic() + 10
        while (answer := "ttl=" in run("curl-1", "ping", "-c", "1", "-W", "1", target)) != wanted:
            if time.monotonic() > end:
                break
        return answer

    found = []
    for name, rules, wanted in (("deny", [], False), ("allow", [{"from": [{"podSelector": {}}]}], True)):
        spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": rules}
        networking.create_namespaced_network_policy(NAMESPACE, {"metadata": {"name": name}, "spec": spec})
        found.append(answered(wanted))
    return found


def main() -> int:
    config.load_kube_config()
    api = client.CoreV1Api()

    def start(name: str, *command: str) -> Any:
        return stream(
            api.connect_get_namespaced_pod_exec,
            name,
            NAMESPACE,
            command=list(command),
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
        )

    def run(name: str, *command: str) -> str:
        session = start(name, *command)
        session.run_forever(timeout=30)
        return str(session.read_all())

    api.create_namespace({"metadata": {"name": NAMESPACE}})
    pinging = {"sysctls": [{"name": "net.ipv4.ping_group_range", "value": "0 2147483647"}]}
    for name, node in (("curl-1", FIRST), ("curl-2", SECOND)):
        api.create_namespaced_pod(NAMESPACE, pod(name, node, "curlimages/curl", {}, securityContext=pinging))
    confined = {
        "securityContext": {
            "capabilities": {"drop": ["ALL"], "add": CAPABILITIES},
            "readOnlyRootFilesystem": True,
            "runAsUser": 0,
        },
        "volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in ("run", "tmp")],
    }
    volumes = [{"name": name, "emptyDir": {"medium": "Memory"}} for name in ("run", "tmp")]
    helper = pod("helper", FIRST, "nicolaka/netshoot", confined, hostNetwork=True, hostPID=True, volumes=volumes)
    api.create_namespaced_pod(NAMESPACE, helper)
    started = time.monotonic()
    while True:
        pods = api.list_namespaced_pod(NAMESPACE).items
        ready = [any(one.type == "Ready" and one.status == "True" for one in p.status.conditions or ()) for p in pods]
        if all(ready):
            break
        if time.monotonic() - started > 30:
            print([p.status.container_statuses for p in pods], file=sys.stderr)
            return 1
        time.sleep(0.05)
    addresses = {p.metadata.name: p.status.pod_ip for p in pods}
    seen: dict[str, Any] = {"addresses": addresses}
    try:
        socket.create_connection(("10.7.120.11", 22), 5).close()
        seen["ssh"] = "open"
    except OSError as error:
        seen["ssh"] = str(error)
    in_node = [sys.executable, "-m", "pytest_calico_ipip.lab", "exec"]
    subprocess.run([*in_node, FIRST, "--", "touch", "/tmp/mine"], timeout=30, check=True)
    listed = subprocess.run([*in_node, SECOND, "--", "ls", "/tmp"], capture_output=True, text=True, timeout=30)
    seen["other's /tmp"] = listed.stdout.split()
    look = ["sh", "-c", "command -v tcpdump; echo $?; command -v ip"]
    seen["node"] = subprocess.run(
        [*in_node, FIRST, "--", *look], capture_output=True, text=True, timeout=30
    ).stdout.splitlines()
    seen["curl id"] = run("curl-1", "id")
    capture = start("helper", "bash", "-c", CAPTURE)
    said = ""
    while "listening on" not in said and capture.is_open():
        capture.update(timeout=1)
        said += capture.read_stdout() if capture.peek_stdout() else ""
    seen["ping"] = run("curl-1", "ping", "-c", "1", "-W", "5", addresses["curl-2"])
    capture.run_forever(timeout=30)
    seen["helper"] = said + capture.read_all()
    seen["under policies"] = policies(run, addresses["curl-2"])
    seen["written"] = run("helper", "sh", "-c", "echo > /x; echo > /tmp/x && awk '/CapBnd/' /proc/self/status")
    print(json.dumps(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
