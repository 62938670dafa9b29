"""Runs inside a lab: the suite with the rights of deploy/rbac-namespace.yaml and helper pods; prints JSON.

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
ARGUMENTS = (f"--ipip-namespace={NAMESPACE}", "--ipip-node-access=auto")


def main() -> dict[str, Any]:
    """The file as it is, a run in its namespace, and what that leaves there."""
    api = Api.connect(Settings(kubeconfig=KUBECONFIG))
    for one in yaml.safe_load_all((DEPLOY / "rbac-namespace.yaml").read_text()):
        api.send("POST", PLURALS[one["kind"]].format(**one["metadata"]), one)
    return {"run": conform(api, *ARGUMENTS, "--ipip-evidence=evidence"), "left": left(api)}


def left(api: Api) -> list[str]:
    """Pods of runs that nobody has begun to delete."""
    pods = [item["metadata"] for item in api.list("/api/v1/pods", {"labelSelector": RUN_LABEL})]
    return [one["name"] for one in pods if not one.get("deletionTimestamp")]


if __name__ == "__main__":
    print(json.dumps(main()))
    sys.exit(0)
