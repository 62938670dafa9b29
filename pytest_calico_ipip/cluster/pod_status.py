"""What a pod says of itself: whether it is ready, whether waiting can help, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_calico_ipip.remote import one_line

# these never heal by waiting; ImagePullBackOff may
HOPELESS = {"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"}
PULL_FAILED = {"ErrImagePull", "ImagePullBackOff"}
# the registry has spoken; asking it again gets the same answer
NO_SUCH_IMAGE = ("not found", "manifest unknown", "unauthorized", "denied", "no match for platform", "does not exist")
# A container that could not be started: a node under pressure may start it at the next attempt, so these are given
# some time, unless the runtime's words (runc's, crun's) are about the program itself, which no attempt changes.
START_FAILED = {"CreateContainerError", "RunContainerError"}
NEVER_STARTED = {"StartError", "ContainerCannotRun"}  # how an attempt has ended
NO_SUCH_PROGRAM = ("exec format error", 'exec: "/bin/sh"', "executable file")
# One that was started and has ended: our commands sleep, and none of them ends by itself. A kubelet starts it again at
# once, and only after a second end in a row says this, so it was no single accident.
ENDED_AGAIN = "CrashLoopBackOff"


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


def hopeless(pod: Mapping[str, Any], own: str) -> bool:
    """Whether waiting cannot help: the kubelet has refused it, or its container (`own`) can never run."""
    status = pod.get("status") or {}
    if status.get("phase") in ("Failed", "Succeeded"):
        return True
    for waiting in map(_waiting, _containers(pod)):
        said = str(waiting.get("message") or "").lower()
        if waiting.get("reason") in HOPELESS:
            return True
        if waiting.get("reason") in PULL_FAILED and any(words in said for words in NO_SUCH_IMAGE):
            return True
    for container in _containers(pod, own):
        waiting, ended = _waiting(container), _ended(container)
        said = f"{waiting.get('message')} {ended.get('message')}".lower()
        if _start_failed(container) and any(words in said for words in NO_SUCH_PROGRAM):
            return True
        if waiting.get("reason") == ENDED_AGAIN and not _start_failed(container):
            return True
    return False


def failing(pod: Mapping[str, Any], own: str) -> bool:
    """Whether an image could not be pulled, or its container not be started, just now; the next attempt may do."""
    return any(_waiting(one).get("reason") in PULL_FAILED for one in _containers(pod)) or any(
        map(_start_failed, _containers(pod, own))
    )


def _start_failed(container: Mapping[str, Any]) -> bool:
    if "running" in (container.get("state") or {}):
        return False
    return _waiting(container).get("reason") in START_FAILED or _ended(container).get("reason") in NEVER_STARTED


def _containers(pod: Mapping[str, Any], own: str = "") -> list[Mapping[str, Any]]:
    """What is said of each; of the one that is ours alone: a sidecar's troubles may pass."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return [one for one in statuses if not own or one.get("name", own) == own]


def _waiting(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return (container.get("state") or {}).get("waiting") or {}


def _ended(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """How it ended, now or last time."""
    states = (container.get("state") or {}, container.get("lastState") or {})
    return next((state["terminated"] for state in states if state.get("terminated")), {})


def waiting_reason(pod: Mapping[str, Any]) -> str:
    """What the pod's own status says about why it is not Ready."""
    status = pod.get("status") or {}
    for container in _containers(pod):
        waiting, ended = _waiting(container), _ended(container)
        if waiting:
            last = f"; it ended before: {_words(ended)}" if ended else ""
            return f"waiting: {_words(waiting)}{last}"
        if "terminated" in (container.get("state") or {}):
            return f"terminated: {_words(ended)}"
    if status.get("reason") or status.get("message"):
        return one_line(f"{status.get('phase')}: {status.get('reason', '')} {status.get('message', '')}", 250)
    false = [
        f"{c.get('type')}: {c.get('reason') or c.get('status')}"
        for c in status.get("conditions") or []
        if c.get("status") != "True"
    ]
    return f"{status.get('phase') or 'no status'}" + (f" ({', '.join(false)})" if false else "")


def _words(state: Mapping[str, Any]) -> str:
    """`StartError, exit status 128 (exec /bin/sh: exec format error)`."""
    status = f", exit status {one_line(str(state['exitCode']), 20)}" if "exitCode" in state else ""
    message = one_line(str(state.get("message") or ""), 300)
    return f"{one_line(str(state.get('reason')))}{status}" + (f" ({message})" if message else "")
