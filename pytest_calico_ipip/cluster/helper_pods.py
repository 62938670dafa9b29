"""The helper pod of a node, the way to it without ssh: what it may do there, and why it was refused.

It sees the node's network and processes, and of root's power it has what its work needs, each named below. It mounts
nothing of the node's and can write to nothing but its own memory; it ends by itself when the run's time is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_calico_ipip.cluster.nodes import tolerations
from pytest_calico_ipip.cluster.problems import ApiRefusal
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.settings import Settings

HELPER = "calico-ipip-helper"  # the container, and the value of the label `app`
# on the namespace: without it a cluster that enforces Pod Security refuses host namespaces
ADMITTED = {"pod-security.kubernetes.io/enforce": "privileged"}
CAPABILITIES = {
    "NET_RAW": "tcpdump and ping open raw sockets",
    "NET_ADMIN": "iptables, ipset and nft read the firewall",
    "SYS_ADMIN": "a pod's network namespace is entered",
    "SYS_PTRACE": "/proc/PID/ns and /proc/1/root lead to the namespaces and to the node's MTU file",
    "SETUID": "tcpdump becomes an ordinary user as soon as it listens (Debian's and Fedora's do)",
    "SETGID": "the same",
    "KILL": "that tcpdump, no longer root's, is told to end",
}
# the names of the node's network namespaces where `ip netns` looks for them
_MAIN = "ln -sfn /proc/1/root/run/netns /run/netns; exec sleep {seconds}"


def manifest(metadata: Mapping[str, Any], node: str, settings: Settings) -> dict[str, Any]:
    """The helper pod of one node."""
    seconds = round(settings.pods_last)
    security: dict[str, Any] = {
        "runAsUser": 0,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": list(CAPABILITIES)},
        "allowPrivilegeEscalation": False,
        "seccompProfile": {"type": "RuntimeDefault"},
        "appArmorProfile": {"type": "Unconfined"},  # the default one hides other processes' namespaces
        "seLinuxOptions": {"type": "spc_t"},  # and so does the default type
    }
    if settings.helper_privileged:
        security = {"runAsUser": 0, "readOnlyRootFilesystem": True, "privileged": True}
    annotations = {
        **metadata.get("annotations", {}),
        # what clusters before Kubernetes 1.30 read instead of appArmorProfile
        f"container.apparmor.security.beta.kubernetes.io/{HELPER}": "unconfined",
    }
    labels = {**metadata.get("labels", {}), "app": HELPER}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**metadata, "labels": labels, "annotations": annotations},
        "spec": {
            "nodeName": node,
            "hostNetwork": True,
            "hostPID": True,
            "containers": [
                {
                    "name": HELPER,
                    "image": settings.helper_image,
                    "imagePullPolicy": settings.image_pull_policy,
                    "command": ["/bin/sh", "-c", _MAIN.format(seconds=seconds)],
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "securityContext": security,
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}},
                    "volumeMounts": [{"name": "run", "mountPath": "/run"}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
                }
            ],
            "volumes": [
                {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "128Mi"}},
            ],
            "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "terminationGracePeriodSeconds": 1,
            "tolerations": [toleration.manifest() for toleration in tolerations(settings)],
        },
    }


def not_created(refusal: ApiRefusal, settings: Settings) -> SetupProblem:
    """Why the API server did not take a helper pod."""
    words = refusal.problem.lower()
    ssh = "reach the nodes by ssh (--ipip-node-access ssh)"
    if "podsecurity" in words and settings.namespace:
        return SetupProblem(
            f"The namespace {settings.namespace} admits no helper pod: {refusal.problem}",
            "Leave --ipip-namespace out (the run's own namespace is labelled for it), label that one "
            f"pod-security.kubernetes.io/enforce=privileged, or {ssh}.",
        )
    if "security context constraint" in words:
        return SetupProblem(
            f"OpenShift admits no helper pod: {refusal.problem}",
            "Let the namespace's default service account use the SCC `privileged` (in a namespace of yours, with "
            f"--ipip-namespace), or {ssh}.",
        )
    return SetupProblem(
        f"The helper pods were refused: {refusal.problem}",
        f"The helper pod needs hostNetwork, hostPID and capabilities: allow it in that policy or role, or {ssh}.",
    )


def not_ready(why: str, settings: Settings) -> SetupProblem:
    """Why there is no way to a node whose helper pod did not come up."""
    return SetupProblem(
        f"The helper pod did not come up: {why}",
        f"Its image is {settings.helper_image}: another is named with --ipip-helper-image (the nodes must be able to "
        "pull it: --ipip-image-pull-secret), more time given with --ipip-pod-timeout; or reach the nodes by ssh "
        "(--ipip-node-access ssh).",
    )
