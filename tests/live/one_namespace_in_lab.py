"""Runs inside a lab: the suite with deploy/rbac-namespace.yaml's rights, where nothing is allowed; prints JSON.

Both kinds of a default deny are there: a NetworkPolicy of the namespace, and Calico's for the whole cluster.

Usage (inside a lab, in a directory of its own): python -m tests.live.one_namespace_in_lab
"""

from __future__ import annotations

import json
import sys
from typing import Any

import yaml

from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.pods import RUN_LABEL
from pytest_calico_ipip.settings import Settings
from tests.live.as_account_in_lab import DEPLOY, KUBECONFIG, PLURALS, conform

NAMESPACE = "calico-ipip"
DENY = {
    "/apis/networking.k8s.io/v1/namespaces/calico-ipip/networkpolicies": {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "default-deny", "namespace": NAMESPACE},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    },
    "/apis/crd.projectcalico.org/v1/globalnetworkpolicies": {
        "apiVersion": "crd.projectcalico.org/v1",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "default.default-deny"},
        "spec": {"selector": "all()", "types": ["Ingress", "Egress"]},
    },
}
ARGUMENTS = (f"--ipip-namespace={NAMESPACE}", "--ipip-node-access=auto")


def main() -> dict[str, Any]:
    """The file as it is, a run in its namespace, what that leaves there; and a run that may allow nothing."""
    api = Api.connect(Settings(kubeconfig=KUBECONFIG))
    for one in yaml.safe_load_all((DEPLOY / "rbac-namespace.yaml").read_text()):
        api.send("POST", PLURALS[one["kind"]].format(**one["metadata"]), one)
    for path, policy in DENY.items():
        api.send("POST", path, policy)
    told = {"run": conform(api, *ARGUMENTS, "--ipip-evidence=evidence"), "left": left(api)}
    path = f"{PLURALS['Role'].format(namespace=NAMESPACE)}/calico-ipip-pods"
    role = json.loads(api.get(path))
    role["rules"] = [rule for rule in role["rules"] if rule["resources"] != ["networkpolicies"]]
    api.send("PUT", path, role)
    return {**told, "denied": conform(api, *ARGUMENTS, "--ipip-report=denied.json")}


def left(api: Api) -> list[str]:
    """Pods of runs that nobody has begun to delete."""
    pods = [item["metadata"] for item in api.list("/api/v1/pods", {"labelSelector": RUN_LABEL})]
    return [one["name"] for one in pods if not one.get("deletionTimestamp")]


if __name__ == "__main__":
    print(json.dumps(main()))
    sys.exit(0)
