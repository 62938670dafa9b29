"""What a pod says of itself: whether it is ready, whether waiting can help, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_calico_ipip.remote import one_line

# these never heal by waiting; ImagePullBackOff may
HOPELESS = {"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError"}
PULL_FAILED = {"ErrImagePull", "ImagePullBackOff"}
# the registry has spoken; asking it again gets the same answer
NO_SUCH_IMAGE = ("not found", "manifest unknown", "unauthorized", "denied", "no match for platform", "does not exist")


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Running, Ready, not being deleted, with an address."""
    status = pod.get("status") or {}
    conditions = {c.get("type"): c.get("status") for c in status.get("conditions") or []}
    return bool(
        status.get("phase") == "Running"
        and conditions.get("Ready") == "True"
        and status.get("podIP")
        and not (pod.get("metadata") or {}).get("deletionTimestamp")
    )


def hopeless(pod: Mapping[str, Any]) -> bool:
    """Whether waiting cannot help: the kubelet has refused it, or its container can never start."""
    status = pod.get("status") or {}
    if status.get("phase") in ("Failed", "Succeeded"):
        return True
    for waiting in _waiting(pod):
        said = str(waiting.get("message") or "").lower()
        if waiting.get("reason") in HOPELESS:
            return True
        if waiting.get("reason") in PULL_FAILED and any(words in said for words in NO_SUCH_IMAGE):
            return True
    return False


def pull_failed(pod: Mapping[str, Any]) -> bool:
    """Whether an image could not be pulled just now; it may come at the next attempt."""
    return any(waiting.get("reason") in PULL_FAILED for waiting in _waiting(pod))


def _waiting(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return [(container.get("state") or {}).get("waiting") or {} for container in statuses]


def waiting_reason(pod: Mapping[str, Any]) -> str:
    """What the pod's own status says about why it is not Ready."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        for kind in ("waiting", "terminated"):
            if kind in state:
                message = one_line(str(state[kind].get("message") or ""), 200)
                return f"{kind}: {one_line(str(state[kind].get('reason')))}" + (f" ({message})" if message else "")
    if status.get("reason") or status.get("message"):
        return one_line(f"{status.get('phase')}: {status.get('reason', '')} {status.get('message', '')}", 250)
    false = [
        f"{c.get('type')}: {c.get('reason') or c.get('status')}"
        for c in status.get("conditions") or []
        if c.get("status") != "True"
    ]
    return f"{status.get('phase') or 'no status'}" + (f" ({', '.join(false)})" if false else "")
