"""What a kubelet says of a pod and its containers, as values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass
class ContainerState:
    """One container as its kubelet knows it."""

    name: str
    image: str
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last_state: Object = field(default_factory=dict)
    restarts: int = 0

    @property
    def running(self) -> bool:
        """Whether its main process runs."""
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """How its main process ended; None while it has not."""
        code: int | None = self.state.get("terminated", {}).get("exitCode")
        return code

    def status(self, ready: bool) -> Object:
        """Its entry in containerStatuses."""
        up = self.running and ready
        return {
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "ready": up,
            "started": up,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last_state,
        }


def phase(policy: str, containers: Iterable[ContainerState]) -> str:
    """The pod's phase, by its restart policy and what its containers do."""
    states = list(containers)
    codes = [one.state["terminated"]["exitCode"] for one in states if "terminated" in one.state]
    if len(codes) == len(states):
        failed = any(codes)
        if policy == "Never":
            return "Failed" if failed else "Succeeded"
        if policy == "OnFailure" and not failed:
            return "Succeeded"
    begun = any(one.running or one.last_state or "terminated" in one.state for one in states)
    return "Running" if begun else "Pending"


def conditions(
    old: Iterable[Mapping[str, Any]], ready: bool, now: str, *, over: bool, initialised: bool = True
) -> list[Object]:
    """The pod's four conditions; a condition that has not changed keeps its time."""
    wanted: dict[str, tuple[str, str | None]] = {
        "PodScheduled": ("True", None),
        "Initialized": ("True", None) if initialised else ("False", "ContainersNotInitialized"),
    }
    reason = None if ready else "PodCompleted" if over else "ContainersNotReady"
    wanted["ContainersReady"] = wanted["Ready"] = ("True" if ready else "False", reason)
    before = {condition["type"]: condition for condition in old}
    found = []
    for kind, (status, why) in wanted.items():
        known = before.get(kind)
        since = known["lastTransitionTime"] if known and known["status"] == status else now
        condition = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
        found.append({**condition, "reason": why} if why else condition)
    return found


def pod_status(
    pod: Mapping[str, Any],
    containers: Iterable[ContainerState],
    *,
    address: str | None,
    host: str,
    started: str,
    ready: bool,
    now: str,
    failed: tuple[str, str] | None = None,
    inits: Iterable[ContainerState] = (),
) -> Object:
    """The whole status; `address` is None until the sandbox is up, `ready` says that hooks and sandbox are done.

    `failed` is why the kubelet rejected or ended the pod (reason, message); `inits` are its init containers.
    """
    states, first = list(containers), list(inits)
    policy = pod["spec"]["restartPolicy"]
    hopeless = policy == "Never" and any(one.exit_code not in (None, 0) for one in first)
    current = "Failed" if failed or hopeless else phase(policy, states)
    initialised = all(one.exit_code == 0 for one in first)
    all_up = ready and all(one.running for one in states)
    old = pod.get("status") or {}
    over = current in ("Succeeded", "Failed")
    status: Object = {
        "phase": current,
        "qosClass": old.get("qosClass", "BestEffort"),
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "startTime": started,
        "conditions": conditions(old.get("conditions") or (), all_up, now, over=over, initialised=initialised),
        # of a pod that was rejected, nothing was ever created
        "containerStatuses": [] if failed and address is None else [one.status(ready) for one in states],
    }
    if first:
        status["initContainerStatuses"] = [one.status(ready) | {"ready": one.exit_code == 0} for one in first]
    if failed:
        status |= {"reason": failed[0], "message": failed[1]}
    if address is not None:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    return status
