"""Runs inside a lab: the suite with deploy's rights, as deploy's Job in a pod and by ssh from here; prints JSON.

The lab pulls no images, its containers have the machine's programs. So the Job's pod is taken from the file but for
what its image would bring: the interpreter, and the suite, which lie in this checkout.

Usage (inside a lab, in a directory of its own): python -m tests.live.as_account_in_lab
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.pods import RUN_LABEL
from pytest_calico_ipip.lab.kubelet import syscalls
from pytest_calico_ipip.settings import Settings
from tests.live.private_network import ROOT

KUBECONFIG = Path(os.environ["KUBECONFIG"])
DEPLOY = ROOT / "deploy"
PLURALS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
}
PODS = "/api/v1/namespaces/calico-ipip/pods"
NODE = "virtnest-rook-ceph-2"
# these are memory of a node's and a container's own
COVERED = ("/tmp/", "/run/")


def main() -> dict[str, Any]:
    """Both runs, one after the other, and what they leave."""
    api = Api.connect(Settings(kubeconfig=KUBECONFIG))
    for one in yaml.safe_load_all((DEPLOY / "rbac.yaml").read_text()):
        one["metadata"].pop("labels", None)  # the image's stand-in is a hostPath, which `restricted` does not admit
        api.send("POST", PLURALS[one["kind"]].format(**one["metadata"]), one)
    told = {"pod": as_pod(api), "ssh": by_ssh(api)}
    namespaces = [item["metadata"] for item in api.list("/api/v1/namespaces", {"labelSelector": RUN_LABEL})]
    return {**told, "left": [one["name"] for one in namespaces if not one.get("deletionTimestamp")]}


def as_pod(api: Api) -> dict[str, Any]:
    """The Job's pod: its phase, and its log."""
    job = yaml.safe_load((DEPLOY / "job.yaml").read_text())
    template = job["spec"]["template"]
    spec, container = template["spec"], template["spec"]["containers"][0]
    spec["nodeName"] = NODE
    container["command"][0] = sys.executable
    instead = {"pytest_calico_ipip.conformance": str(ROOT / "conformance")}
    container["args"] = [instead.get(word, word) for word in container["args"] if word != "--pyargs"]
    container["env"].append({"name": "PYTHONDONTWRITEBYTECODE", "value": "1"})
    # the machine's interpreter may lie in root's home, closed to others; all else of the security context stays
    spec["securityContext"].update(runAsNonRoot=False, runAsUser=0, runAsGroup=0)
    for number, path in enumerate(dict.fromkeys(str(path) for path in (ROOT, sys.prefix))):
        if path.startswith(COVERED):
            show_on_node(path)
            spec["volumes"].append({"name": f"checkout-{number}", "hostPath": {"path": path, "type": "Directory"}})
            mount = {"name": f"checkout-{number}", "mountPath": path, "readOnly": True}
            container["volumeMounts"].append(mount)
    metadata = {**template["metadata"], "name": job["metadata"]["name"]}
    api.send("POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    deadline = time.monotonic() + 180
    while True:
        pod = json.loads(api.get(f"{PODS}/{metadata['name']}"))
        if pod["status"]["phase"] in ("Succeeded", "Failed") or time.monotonic() > deadline:
            break
        time.sleep(0.3)
    log = api.get(f"{PODS}/{metadata['name']}/log").decode()
    return {"phase": pod["status"]["phase"], "states": pod["status"].get("containerStatuses"), "log": log}


def show_on_node(path: str) -> None:
    """The same mounts as here, in the node's own mount namespace."""
    entry = json.loads((KUBECONFIG.parent / "nodes.json").read_text())[NODE]
    pid = int(entry[entry.index("-t") + 1] if "-t" in entry else entry[entry.index("--target") + 1])
    tree = syscalls.clone_tree(path)
    if (child := os.fork()) == 0:
        syscalls.setns_all(pid, ("mnt",))
        os.makedirs(path, exist_ok=True)
        syscalls.attach_tree(tree, path)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def by_ssh(api: Api) -> dict[str, Any]:
    """Pytest here, with the account's token and no other."""
    return conform(api, "--ipip-node-access=ssh")


def conform(api: Api, *arguments: str) -> dict[str, Any]:
    """The suite here, with the account's token and no other: its status, and what it said."""
    path = "/api/v1/namespaces/calico-ipip/serviceaccounts/calico-ipip/token"
    issued = api.send("POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    config = yaml.safe_load(KUBECONFIG.read_text())
    config["users"][0]["user"] = {"token": issued["status"]["token"]}
    Path("kubeconfig").write_text(json.dumps(config))
    options = ["--kubeconfig=kubeconfig", *arguments, "-q", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, str(ROOT / "conformance")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=150)
    return {"status": done.returncode, "said": done.stdout}


if __name__ == "__main__":
    print(json.dumps(main()))
    sys.exit(0)
