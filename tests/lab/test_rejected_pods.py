"""Pods that a node does not take, ends or loses, by plain API objects, on stand-in nodes; and the words for it."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest

from .kubelet_lab import Lab

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None,
    reason="makes network namespaces: needs root, unshare and ip",
)
OTHER = "virtnest-rook-ceph-2"  # where these tests change the node


def failed(lab: Lab, name: str) -> dict[str, Any]:
    """The status of a pod, once it is Failed."""

    def is_failed() -> Any:
        status = lab.pod(name)["status"]
        return status if status["phase"] == "Failed" else None

    found: dict[str, Any] = lab.wait(is_failed)
    return found


def remove(lab: Lab, name: str) -> None:
    lab.store.delete("pods", "default", name)
    lab.gone(name)


def conditions(lab: Lab, **wanted: str) -> None:
    """Set conditions of the other node, as `kubectl patch --subresource=status` does."""
    now = {one["type"]: one for one in lab.store.get("nodes", None, OTHER)["status"]["conditions"]}
    changed = {kind: {**now.get(kind, {"type": kind}), "status": status} for kind, status in wanted.items()}
    patch = {"status": {"conditions": list({**now, **changed}.values())}}
    lab.store.patch("nodes", None, OTHER, patch, subresource="status")


def taint(lab: Lab, *taints: dict[str, str]) -> None:
    lab.store.patch("nodes", None, OTHER, {"spec": {"taints": list(taints) or None}})


def is_ready(lab: Lab, name: str) -> bool:
    return {one["type"]: one["status"] for one in lab.pod(name)["status"]["conditions"]}["Ready"] == "True"


def test_a_node_that_is_too_small(lab: Lab) -> None:
    """A pod with nodeName that asks for more than the node has is Failed, OutOfcpu, with the figures.

    calico-node has a quarter of a processor.
    """
    name = lab.create(container={"resources": {"requests": {"cpu": "100"}}})
    status = failed(lab, name)
    assert (status["reason"], status["message"]) == (
        "OutOfcpu",
        "Node didn't have enough resource: cpu, requested: 100000, used: 250, capacity: 4000",
    )
    assert "podIP" not in status
    assert "OutOfcpu" in lab.reasons(name)
    remove(lab, name)


def test_a_selector_that_the_node_does_not_match(lab: Lab) -> None:
    """NodeName goes past the scheduler, and the kubelet looks at the selector all the same."""
    name = lab.create(nodeSelector={"disk": "fast"})
    assert failed(lab, name)["reason"] == "NodeAffinity"
    remove(lab, name)


@pytest.mark.parametrize(("policy", "reason"), [("IfNotPresent", "ImagePullBackOff"), ("Never", "ErrImageNeverPull")])
def test_an_image_that_cannot_be_had(lab: Lab, policy: str, reason: str) -> None:
    """An image of registry.invalid is never pulled: the container waits with the reason, events have the rest."""
    image = "registry.invalid/curl:1"
    name = lab.create(container={"image": image, "imagePullPolicy": policy})

    def waiting() -> Any:
        states = lab.pod(name)["status"].get("containerStatuses") or [{"state": {}}]
        found = states[0]["state"].get("waiting", {})
        return found if found.get("reason") == reason else None

    message = lab.wait(waiting)["message"]
    if policy == "Never":
        assert message == f'Container image "{image}" is not present with pull policy of Never'
    else:
        assert "lookup registry.invalid: no such host" in message
        assert {"Pulling", "Failed", "BackOff"} <= set(lab.reasons(name))
    assert lab.pod(name)["status"]["phase"] == "Pending"
    remove(lab, name)


def test_a_deadline(lab: Lab) -> None:
    """ActiveDeadlineSeconds ends the processes and leaves the pod Failed, DeadlineExceeded."""
    name = lab.create(activeDeadlineSeconds=1, container={"command": ["sleep", "87654"]})
    lab.running(name)
    assert failed(lab, name)["reason"] == "DeadlineExceeded"
    lab.wait(lambda: "sleep 87654" not in lab.on_node("ps ax"))
    remove(lab, name)


def test_no_execute_evicts_and_rejects(lab: Lab) -> None:
    """A NoExecute taint deletes the pods that do not tolerate it, with an event, and keeps new ones away."""
    staying = lab.create(node=OTHER, tolerations=[{"operator": "Exists"}])
    leaving = lab.create(node=OTHER)
    lab.running(staying), lab.running(leaving)
    taint(lab, {"key": "maintenance", "effect": "NoExecute"})
    lab.gone(leaving)
    assert "TaintManagerEviction" in lab.reasons(leaving)
    late = lab.create(node=OTHER)
    lab.gone(late)
    assert {"TaintToleration", "TaintManagerEviction"} <= set(lab.reasons(late))
    assert is_ready(lab, staying)
    taint(lab, {"key": "maintenance", "effect": "NoSchedule"})
    past = lab.create(node=OTHER)  # nodeName: the scheduler is not asked
    lab.running(past)
    taint(lab)
    for name in (staying, past):
        remove(lab, name)


def test_a_node_that_is_not_ready(lab: Lab) -> None:
    """Ready=Unknown taints the node and makes its pods not Ready, with an event; both end when it is back."""
    name = lab.create(node=OTHER)
    lab.running(name)
    conditions(lab, Ready="Unknown")
    lab.wait(lambda: not is_ready(lab, name))
    taints = lab.wait(lambda: lab.store.get("nodes", None, OTHER)["spec"].get("taints"))
    assert {one["key"] for one in taints} == {"node.kubernetes.io/unreachable"}
    lab.wait(lambda: "NodeNotReady" in lab.reasons(name))
    conditions(lab, Ready="True")
    lab.wait(lambda: is_ready(lab, name))
    lab.wait(lambda: not lab.store.get("nodes", None, OTHER)["spec"].get("taints"))
    remove(lab, name)


def test_pressure_evicts(lab: Lab) -> None:
    """MemoryPressure=True on a node ends its pods: Failed, Evicted, and the object stays."""
    name = lab.create(node=OTHER)
    lab.running(name)
    conditions(lab, MemoryPressure="True")
    status = failed(lab, name)
    assert (status["reason"], status["message"]) == ("Evicted", "The node was low on resource: memory. ")
    conditions(lab, MemoryPressure="False")
    remove(lab, name)


def test_what_is_rejected_leaves_nothing(lab: Lab) -> None:
    """After all of this no pod's namespace is left on either node."""
    lab.wait(lambda: not lab.on_node("ls /run/netns") and not lab.on_node("ls /run/netns", OTHER))
