"""The way to the API that Kubernetes gives every pod: looked for without any contact; the token is not read here."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_calico_ipip.errors import UsageProblem

NAME = "in-cluster"  # in the place of a kubeconfig's
# where every kubelet mounts it; the official client looks there, too
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
_ELSE = "or name another source: --kubeconfig FILE, --ipip-lab or --ipip-replay DIR"


def offered() -> bool:
    """Whether this process runs in a pod, and its user has no kubeconfig that may be meant."""
    return bool(os.environ.get(HOST)) and not Path(os.path.expanduser("~/.kube/config")).exists()  # noqa: PTH111


def server() -> str:
    """The API server's address. Raises UsageProblem: not in a pod; no token; no certificate authority."""
    host, port = os.environ.get(HOST), os.environ.get(PORT)
    if not host or not port:
        raise UsageProblem(
            f"{NAME} configuration: {HOST if not host else PORT} is not set, so this is no pod",
            f"run it in a pod (deploy/job.yaml), {_ELSE}",
        )
    _require(ACCOUNT / "token", "the pod has no service account's token", "automountServiceAccountToken: true")
    _require(
        ACCOUNT / "ca.crt",
        "the cluster's certificate authority is missing",
        "the volume of the service account's token with the ConfigMap kube-root-ca.crt",
    )
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


def _require(file: Path, problem: str, remedy: str) -> None:
    try:
        with file.open("rb") as opened:
            reason = "" if opened.read(1) else "is empty"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    if reason:
        raise UsageProblem(f"{NAME} configuration: {problem}: {file} {reason}", f"give the pod {remedy}, {_ELSE}")
