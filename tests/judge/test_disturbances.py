"""What happened to nodes and pods between the two readings of the API, and what a failure beside it is worth."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.judge.datastore import read_datastore
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.datastore import Datastore
from pytest_calico_ipip.model.disturbance import tempered
from pytest_calico_ipip.model.judgement import Difference, Judgement, Outcome
from pytest_calico_ipip.model.world import World
from tests.judge.test_configuration import Cluster

Change = Callable[[dict[str, Any], dict[str, Any]], None]  # of the second reading: a's node, a's pod
BEFORE, LATER = "2026-11-22T17:00:00Z", "2026-11-22T18:00:00Z"
POD = "sleep-curl-x/sleep-curl-1"


def node(name: str, number: int) -> dict[str, Any]:
    """A node that is Ready."""
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": BEFORE}
    return {
        "metadata": {"name": name, "annotations": {"projectcalico.org/IPv4Address": f"10.0.0.{number}/24"}},
        "status": {"conditions": [condition], "nodeInfo": {"bootID": "1"}},
    }


def pod(name: str, number: int) -> dict[str, Any]:
    """A pod under test that runs on the node of that number."""
    return {
        "metadata": {"namespace": "sleep-curl-x", "name": name, "creationTimestamp": "2026-11-22T17:30:00Z"},
        "spec": {"nodeName": "ab"[number - 1]},
        "status": {
            "phase": "Running",
            "podIP": f"10.233.{number}.9",
            "containerStatuses": [{"name": "sleep-curl", "restartCount": 0}],
        },
    }


def read(root: Path, change: Change | None, *, first: bool = False, ready: tuple[str, ...] = (POD,)) -> Datastore:
    """Two nodes with a pod each; the change is in the second reading, or (first) in both."""
    cluster = Cluster(root)
    nodes, pods = [node("a", 1), node("b", 2)], [pod("sleep-curl-1", 1), pod("sleep-curl-2", 2)]
    for after in (False, True):
        listed = copy.deepcopy(nodes), copy.deepcopy(pods)
        if change is not None and (after or first):
            change(listed[0][0], listed[1][0])
        for kind, items in zip(("nodes", "pods"), listed, strict=True):
            cluster.write(kind, [one for one in items if one], after=after)
    tested = [POD, "sleep-curl-x/sleep-curl-2"]
    found = read_datastore(Evidence(root), live=True, under_test=tested, ready=ready)
    assert isinstance(found, Datastore)
    return found


def condition(**values: str) -> Change:
    """The node's Ready condition."""
    return lambda node, _: node["status"]["conditions"][0].update(values)


def status(**values: Any) -> Change:
    """The pod's status."""
    return lambda _, pod: pod["status"].update(values)


LOST = condition(status="Unknown", reason="NodeStatusUnknown", message="Kubelet stopped", lastTransitionTime=LATER)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (LOST, "a went NotReady during the run (NodeStatusUnknown: Kubelet stopped)"),
        (condition(lastTransitionTime=LATER), "a was not Ready for a while during the run"),
        (lambda node, _: node["status"]["nodeInfo"].update(bootID="2"), "a was rebooted during the run"),
        (lambda node, _: node.clear(), "a was deleted from the cluster during the run"),
        (lambda _, pod: pod.clear(), f"pod {POD} on a was deleted during the run, by somebody else (an eviction, for"),
        (
            status(phase="Failed", reason="Evicted", message="low on resource: memory", podIP=None),
            f"pod {POD} on a was evicted during the run (Evicted: low on resource: memory)",
        ),
        (status(phase="Succeeded"), f"pod {POD} on a ended during the run (no reason is given)"),
        (
            lambda _, pod: pod["metadata"].update(deletionTimestamp=LATER),
            f"pod {POD} on a was deleted during the run (by somebody else)",
        ),
        (
            status(podIP="10.233.1.77"),
            f"pod {POD} on a had another address at the end of the run: 10.233.1.77 for 10.233.1.9",
        ),
        (
            status(containerStatuses=[{"name": "sleep-curl", "restartCount": 1}]),
            f"pod {POD} on a was restarted during the run",
        ),
    ],
)
def test_what_happened_is_one_sentence(tmp_path: Path, change: Change, sentence: str) -> None:
    """It names the node or pod and says what Kubernetes says of it; the report notes it in any case."""
    found = read(tmp_path, change)
    (one,) = found.disturbances
    assert one.sentence.startswith(sentence)
    assert one.node == "a"
    assert one.sentence in found.notes


def test_nothing_happened(tmp_path: Path) -> None:
    """Two readings that are the same say nothing, and neither do heartbeats."""
    assert read(tmp_path, None).disturbances == ()
    assert read(tmp_path, condition(lastHeartbeatTime=LATER)).disturbances == ()


def test_a_node_that_was_never_ready_was_chosen_by_name(tmp_path: Path) -> None:
    """What is wrong on it is judged; one that was Ready when the pods were made is another matter."""
    assert read(tmp_path, condition(status="False", reason="KubeletNotReady"), first=True).disturbances == ()
    (one,) = read(tmp_path, LOST, first=True).disturbances
    assert one.sentence.startswith("a went NotReady during the run")


def test_a_pod_that_never_came_up_is_pod_1s_matter(tmp_path: Path) -> None:
    """Only what was seen Ready can be taken away."""
    assert read(tmp_path, lambda _, pod: pod.clear(), first=True, ready=()).disturbances == ()
    (one,) = read(tmp_path, lambda _, pod: pod.clear(), first=True).disturbances
    assert "was deleted during the run" in one.sentence


def world(store: Datastore) -> World:
    """Nothing but the datastore."""
    unread = Absent("not read", failed=False)
    return World(store, {}, {}, unread, unread, ("a", "b"), live=True)


def broken(subject: str, *texts: str, requirement: str = "ROUTE-2") -> Judgement:
    """A judgement that failed."""
    return Judgement(requirement, subject, 1, tuple(Difference(text, "x", "y") for text in texts))


@pytest.mark.parametrize(
    ("change", "judgement", "outcome"),
    [
        (LOST, broken("a", "a tunl0 MTU"), Outcome.ERROR),
        (LOST, broken("b:a", "echo from 1.1.1.1 to 2.2.2.2"), Outcome.ERROR),
        (LOST, broken("b", "peer Mesh_10_0_0_1 of b"), Outcome.ERROR),
        (LOST, broken("b", "route to 10.0.0.1."), Outcome.ERROR),
        (LOST, broken("b", "route to 10.0.0.11", "route of pod a-1", "b tunl0 MTU"), Outcome.FAILED),
        (LOST, broken("b:c", "echo from 10.233.2.9 to 10.233.3.9"), Outcome.FAILED),
        (LOST, broken("b:c", "echo from 10.233.2.9 to 10.233.1.9"), Outcome.ERROR),
        (status(podIP="10.233.1.77"), broken("a", "a tunl0 MTU"), Outcome.FAILED),
        (status(podIP="10.233.1.77"), broken("b:a", "echo from 10.233.2.9 to 10.233.1.77"), Outcome.ERROR),
        (status(podIP="10.233.1.77"), broken("b:a", "echo from 10.233.2.9 to 10.233.1.7"), Outcome.FAILED),
        (status(phase="Failed"), broken("a", "a pods under test", requirement="POD-1"), Outcome.ERROR),
    ],
)
def test_what_depends_on_it_is_not_judged_and_the_rest_is(
    tmp_path: Path, change: Change, judgement: Judgement, outcome: Outcome
) -> None:
    """Names and addresses decide, whole words of them; a failure elsewhere stays a failure."""
    found = tempered(world(read(tmp_path, change)), judgement)
    assert found.outcome is outcome
    if outcome is Outcome.FAILED:
        assert found == judgement
    else:
        assert "during the run" in found.inconclusive[0] or "at the end of the run" in found.inconclusive[0]
        assert found.notes[0].startswith("seen meanwhile: ")


def test_a_failure_beside_it_stays_alone(tmp_path: Path) -> None:
    """Of two differences the one that it explains is taken out, and the reason is said."""
    found = tempered(world(read(tmp_path, LOST)), broken("b", "route to 10.0.0.1", "b tunl0 MTU"))
    assert [one.what for one in found.differences] == ["b tunl0 MTU"]
    assert found.outcome is Outcome.FAILED


def test_another_reason_for_an_error_is_not_hidden(tmp_path: Path) -> None:
    """A pod that was evicted is not why ssh is refused."""
    refused = Judgement("TUN-1", "a", inconclusive=("ssh to a: no key was accepted",))
    gone = status(phase="Failed", reason="Evicted")
    assert tempered(world(read(tmp_path, gone)), refused) == refused
    lacking = Judgement("PATH-1", "a:b", inconclusive=("this run's evidence lacks packets",))
    (reason,) = tempered(world(read(tmp_path, gone)), lacking).inconclusive
    assert reason.startswith(f"pod {POD} on a was evicted")
