"""Runs inside a lab: creates pods, looks at them, and prints what it saw as one line of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from kubernetes import client, config
from kubernetes.stream import stream

NODES = 3
PODS = 6
NAMESPACE = "sleep-curl"


def pod(number: int) -> dict[str, Any]:
    container = {"name": "sleep-curl", "image": "curlimages/curl", "command": ["sleep", "infinity"]}
    return {
        "metadata": {"name": f"sleep-curl-{number}", "labels": {"app": "sleep-curl"}},
        "spec": {
            "nodeName": f"virtnest-rook-ceph-{(number - 1) % NODES + 1}",
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        },
    }


def main() -> int:
    config.load_kube_config()
    api = client.CoreV1Api()

    def run(name: str, namespace: str, *command: str) -> str:
        return str(
            stream(
                api.connect_get_namespaced_pod_exec,
                name,
                namespace,
                command=list(command),
                stdout=True,
                stderr=True,
                stdin=False,
                tty=False,
            )
        )

    def node(command: str) -> str:
        done = subprocess.run(["ssh", "virtnest-rook-ceph-1", command], capture_output=True, text=True, timeout=30)
        return done.stdout

    api.create_namespace({"metadata": {"name": NAMESPACE}})
    started = time.monotonic()
    for number in range(1, PODS + 1):
        api.create_namespaced_pod(NAMESPACE, pod(number))
    while True:
        pods = api.list_namespaced_pod(NAMESPACE).items
        if all(
            any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ()) for pod in pods
        ):
            break
        if time.monotonic() - started > 30:
            print(f"pods are not Ready: {[one.status.phase for one in pods]}", file=sys.stderr)
            return 1
        time.sleep(0.05)
    seen: dict[str, Any] = {"seconds": time.monotonic() - started}
    seen["pod_addresses"] = run("sleep-curl-1", NAMESPACE, "sh", "-c", "ip -j -d addr | tr -d '\\n'")
    seen["ping"] = run("sleep-curl-1", NAMESPACE, "ping", "-c", "1", "10.233.109.1")
    seen["node_addresses"] = node("ip -j -d addr")
    seen["node_routes"] = node("ip route")
    calico = api.list_namespaced_pod("kube-system", label_selector="k8s-app=calico-node").items
    command = ("/bin/birdcl", "-s", "/var/run/calico/bird.ctl", "show", "protocols")
    seen["birdcl"] = {one.spec.node_name: run(one.metadata.name, "kube-system", *command) for one in calico}
    print(json.dumps(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
