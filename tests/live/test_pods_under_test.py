"""The pods under test: what is created, how they are waited for, and that they end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest

from pytest_calico_ipip.cluster.cleanup import expired
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.pod_status import hopeless, waiting_reason
from pytest_calico_ipip.cluster.pods import CONTAINER, EXPIRES, KEPT, RUN_LABEL, TIME, PodsUnderTest, manifest
from pytest_calico_ipip.cluster.problems import ApiRefusal, Unauthorized
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.settings import Settings


class InMemory:
    """As much of `Api` as the pods need; each watch shows one more round of what became of them."""

    def __init__(self, rounds: list[Mapping[str, Mapping[str, Any]]], refuse: str = "") -> None:
        self.rounds = iter(rounds)
        self.refuse = refuse
        self.sent: list[tuple[str, str]] = []
        self.bodies: list[Mapping[str, Any]] = []

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        name = (body or {}).get("metadata", {}).get("name", "")
        if method == "POST" and self.refuse and self.refuse == name:
            raise ApiRefusal(422, f"{name} is refused", "")
        self.sent.append((method, path))
        self.bodies.append(body or {})
        return {}

    def watch(self, path: str, query: Mapping[str, str], seconds: float) -> Iterator[dict[str, Any]]:
        for name, status in next(self.rounds, {}).items():
            yield {"type": "ADDED", "object": {"metadata": {"name": name}, "status": status}}

    def list(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        return [{"type": "Warning", "message": "Failed to pull image"}, {"type": "Normal", "message": "Scheduled"}]


READY = {"phase": "Running", "podIP": "10.233.107.1", "conditions": [{"type": "Ready", "status": "True"}]}
PULLING = {
    "phase": "Pending",
    "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}}],
}
NAMES = ("sleep-curl-1", "sleep-curl-1-second", "sleep-curl-2", "sleep-curl-2-second")


def pods(api: InMemory, **settings: Any) -> PodsUnderTest:
    """On two nodes."""
    return PodsUnderTest(cast("Api", api), Settings(**settings), ("n1", "n2"), run="abc123")


def test_two_pods_a_node_in_a_namespace_of_the_runs_own() -> None:
    """Created in order, labelled with the run, pinned by nodeName; the namespace goes at the end, and all with it."""
    api = InMemory([dict.fromkeys(NAMES, READY)])
    with pods(api) as under_test:
        under_test.wait(print)
        assert under_test.pods == [f"sleep-curl-abc123/{name}" for name in NAMES]
        assert under_test.problems == []
    assert [method for method, _ in api.sent] == ["POST"] * 6 + ["DELETE"]
    assert api.sent[-1] == ("DELETE", "/api/v1/namespaces/sleep-curl-abc123")
    assert [body["spec"]["nodeName"] for body in api.bodies[1:5]] == ["n1", "n1", "n2", "n2"]
    assert {body["metadata"]["labels"][RUN_LABEL] for body in api.bodies[:5]} == {"abc123"}


def test_in_an_existing_namespace_only_our_pods_are_deleted() -> None:
    """The namespace is another's: its name is in none of the requests' ends."""
    api = InMemory([])
    with pods(api, namespace="team"):
        pass
    deleted = [path for method, path in api.sent if method == "DELETE"]
    assert sorted(deleted) == sorted(
        f"/api/v1/namespaces/team/pods/{name.replace('sleep-curl', 'sleep-curl-abc123')}" for name in NAMES
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt, SetupProblem("x", "y"), ZeroDivisionError])
def test_whatever_happens_they_end(error: type[BaseException] | BaseException) -> None:
    """Leaving by an exception deletes as well."""
    api = InMemory([])
    with pytest.raises(BaseException), pods(api):  # noqa: PT011, B017
        raise error
    assert api.sent[-1][0] == "DELETE"


def test_an_api_server_that_is_gone_at_the_end_is_asked_once() -> None:
    """One sentence for everything that stays, which says who goes on trying; nobody waits for each pod in turn."""

    class Gone(InMemory):
        def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
            super().send(method, path, body)
            if method == "DELETE":
                raise SetupProblem("it does not answer in time", "look")
            return {}

    api = Gone([])
    with pods(api, namespace="team") as under_test:
        pass
    assert [method for method, _ in api.sent].count("DELETE") == 1
    (told,) = under_test.problems
    assert "and 3 more were not deleted: it does not answer in time. A small process goes on trying" in told
    assert "--ipip-cleanup" in told


def test_what_is_kept_is_not_deleted_and_says_that_it_is_kept() -> None:
    """It has no end that another run would remove it after; its pods end by themselves after a day."""
    api = InMemory([])
    with pods(api, keep=True, node_access="pod"):
        pass
    assert {method for method, _ in api.sent} == {"POST"}
    assert all(KEPT in body["metadata"]["annotations"] for body in api.bodies)
    assert all(EXPIRES not in body["metadata"]["annotations"] for body in api.bodies)
    pods_made = [body for body in api.bodies if body["kind"] == "Pod"]
    assert {body["spec"]["activeDeadlineSeconds"] for body in pods_made} == {24 * 3600}


def test_every_pod_ends_by_itself_when_the_runs_time_is_over() -> None:
    """Also where everything that could delete it is gone."""
    assert manifest({"name": "x"}, "n1", Settings())["spec"]["activeDeadlineSeconds"] == Settings().longest


def test_what_was_made_before_a_refusal_ends_too() -> None:
    """The user may create no further pod: the namespace is deleted, and the error goes on."""

    class Forbidding(InMemory):
        def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
            if method == "POST" and (body or {}).get("metadata", {}).get("name") == "sleep-curl-1-second":
                raise Unauthorized(403, "pods is forbidden", "")
            return super().send(method, path, body)

    api = Forbidding([])
    with pytest.raises(ApiRefusal), pods(api):
        pass
    assert api.sent[-1] == ("DELETE", "/api/v1/namespaces/sleep-curl-abc123")


def test_a_pod_that_does_not_come_up_is_told_with_the_kubelets_words() -> None:
    """The run goes on with the others; the sentence names pod, node, its reason and the last warning."""
    some = {**dict.fromkeys(NAMES, READY), "sleep-curl-2-second": PULLING}
    api = InMemory([some])
    with pods(api, pod_timeout=0.05) as under_test:
        under_test.wait(print)
        assert under_test.ready() == set(NAMES) - {"sleep-curl-2-second"}
    assert under_test.problems == [
        "sleep-curl-abc123/sleep-curl-2-second on n2 is not Ready: waiting: ImagePullBackOff (Back-off); "
        "the last warning: Failed to pull image"
    ]


def test_no_pod_at_all_is_the_end() -> None:
    """Nothing can be observed then; the remedy names the options that may help."""
    api = InMemory([dict.fromkeys(NAMES, PULLING)])
    with pytest.raises(SetupProblem) as caught, pods(api, pod_timeout=0.05) as under_test:
        under_test.wait(print)
    assert "No pod under test came up" in caught.value.problem
    assert "ImagePullBackOff" in caught.value.problem
    assert "--ipip-pod-image" in caught.value.remedy


def test_a_hopeless_pod_is_not_waited_for() -> None:
    """An image name that can never be pulled ends the waiting before its time."""
    invalid = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "InvalidImageName"}}}]}
    api = InMemory([{**dict.fromkeys(NAMES, READY), "sleep-curl-1": invalid}])
    began = datetime.now(timezone.utc)
    with pods(api, pod_timeout=60.0) as under_test:
        under_test.wait(print)
    assert datetime.now(timezone.utc) - began < timedelta(seconds=5)
    assert len(under_test.problems) == 1


def test_a_pod_that_is_refused_leaves_the_others() -> None:
    """A quota, say: told, and the run goes on."""
    api = InMemory([dict.fromkeys(NAMES, READY)], refuse="sleep-curl-2")
    with pods(api, pod_timeout=0.05) as under_test:
        assert under_test.problems == ["sleep-curl-2 on n2 could not be created: sleep-curl-2 is refused"]


def test_pods_that_are_all_refused_are_not_waited_for() -> None:
    """Admission's own words, at once: a pod that never came to be needs no time-out."""

    class Refusing(InMemory):
        def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
            if method == "POST" and (body or {}).get("kind") == "Pod":
                raise ApiRefusal(403, 'pods "x" is forbidden: exceeded quota: small', "look at the quota")
            return super().send(method, path, body)

    began = time.monotonic()
    with pytest.raises(SetupProblem) as caught, pods(Refusing([]), pod_timeout=60.0) as under_test:
        under_test.wait(print)
    assert caught.value.problem.endswith("exceeded quota: small")
    assert caught.value.remedy == "look at the quota"
    assert time.monotonic() - began < 5


def test_an_image_that_is_not_there_is_not_waited_for() -> None:
    """What the registry said is final; a registry that did not answer is asked for longer, but not until the end."""

    def pulling(reason: str, message: str) -> dict[str, Any]:
        waiting = {"reason": reason, "message": message}
        return {"status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}}

    assert hopeless(pulling("ErrImagePull", 'failed to resolve reference "x/y": x/y: not found'), CONTAINER)
    assert hopeless(pulling("ErrImagePull", "unexpected status: 401 Unauthorized"), CONTAINER)
    assert not hopeless(pulling("ErrImagePull", "dial tcp 10.0.0.1:443: i/o timeout"), CONTAINER)
    assert not hopeless(pulling("ContainerCreating", "not found"), CONTAINER)


RUNC = "OCI runtime create failed: runc create failed: unable to start container process: "
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}


def ended(reason: str, code: int, message: str = "") -> dict[str, Any]:
    """How a container has ended."""
    return {"terminated": {"reason": reason, "exitCode": code, "message": message}}


def of_container(state: dict[str, Any], last: dict[str, Any] | None = None, name: str = CONTAINER) -> dict[str, Any]:
    """A pod's status, where one container is in this state."""
    return {"phase": "Pending", "containerStatuses": [{"name": name, "state": state, "lastState": last or {}}]}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (of_container(BACK_OFF, ended("Error", 1, "exec /bin/sh: exec format error")), "status 1 (exec /bin/sh: e"),
        (of_container(BACK_OFF, ended("Completed", 0)), "it ended before: Completed, exit status 0"),
        (
            of_container({"waiting": {"reason": "RunContainerError", "message": f'{RUNC}exec: "/bin/sh": stat'}}),
            "waiting: RunContainerError (OCI runtime create failed: ",
        ),
        (of_container({"waiting": {"reason": "CreateContainerError", "message": "executable file not found"}}), "file"),
        (of_container(BACK_OFF, ended("StartError", 128, f"{RUNC}exec format error")), "process: exec format error)"),
        (of_container(ended("StartError", 128, f"{RUNC}exec format error")), "terminated: StartError, exit status 128"),
    ],
)
def test_a_container_that_can_never_run_is_not_waited_for(status: dict[str, Any], words: str) -> None:
    """No shell, another processor's image, a command that ends: told at once, with the state's own words."""
    began = time.monotonic()
    with pods(InMemory([{**dict.fromkeys(NAMES, READY), "sleep-curl-1": status}] * 9), pod_timeout=60.0) as under_test:
        under_test.wait(print)
    assert time.monotonic() - began < 5
    (problem,) = under_test.problems
    assert words in problem


@pytest.mark.parametrize(
    "status",
    [
        of_container({"waiting": {"reason": "RunContainerError", "message": "context deadline exceeded"}}),
        of_container({"waiting": {"reason": "CreateContainerError", "message": 'the name "x" is reserved'}}),
        of_container(BACK_OFF, ended("StartError", 128, f"{RUNC}unable to apply cgroup configuration")),
        of_container({"running": {}}, ended("StartError", 128, f"{RUNC}exec format error")),
        of_container(ended("OOMKilled", 137)),  # once
        of_container(BACK_OFF, ended("Error", 1), name="istio-proxy"),
    ],
)
def test_what_may_heal_by_itself_is_waited_for(status: dict[str, Any]) -> None:
    """A node under pressure starts it at a later attempt; a sidecar's crashes are not ours."""
    pod = {"status": status}
    assert not hopeless(pod, CONTAINER)
    api = InMemory([{**dict.fromkeys(NAMES, READY), "sleep-curl-1": status}] * 3 + [dict.fromkeys(NAMES, READY)])
    with pods(api, pod_timeout=60.0) as under_test:
        under_test.wait(print)
    assert under_test.problems == []


def test_a_container_that_is_never_started_is_not_waited_for_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two attempts its state has other names; the time counts on."""
    monkeypatch.setattr("pytest_calico_ipip.cluster.pods.ATTEMPTS_PATIENCE", 0.05)
    failed = ended("StartError", 128, "context deadline exceeded")
    states = [of_container({"waiting": {"reason": "RunContainerError"}}), of_container(failed)]
    states += [of_container(BACK_OFF, failed), of_container({"waiting": {"reason": "ContainerCreating"}}, failed)]
    began = time.monotonic()
    api = InMemory([{**dict.fromkeys(NAMES, READY), "sleep-curl-2": state} for state in states] * 250_000)
    with pods(api, pod_timeout=30.0) as under_test:
        under_test.wait(print)
    assert time.monotonic() - began < 5
    assert len(under_test.problems) == 1


def test_an_image_that_does_not_come_is_not_waited_for_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet's second attempt has failed as well by then; the others are used."""
    monkeypatch.setattr("pytest_calico_ipip.cluster.pods.ATTEMPTS_PATIENCE", 0.05)
    some = {**dict.fromkeys(NAMES, READY), "sleep-curl-2": PULLING}
    began = time.monotonic()
    with pods(InMemory([some] * 1_000_000), pod_timeout=30.0) as under_test:
        under_test.wait(print)
    assert time.monotonic() - began < 5
    assert len(under_test.problems) == 1
    assert "ImagePullBackOff" in under_test.problems[0]


def test_a_pod_that_somebody_deletes_is_not_waited_for() -> None:
    """As an eviction does: told with what the pod last said of itself."""

    class Evicting(InMemory):
        def watch(self, path: str, query: Mapping[str, str], seconds: float) -> Iterator[dict[str, Any]]:
            yield from super().watch(path, query, seconds)
            status = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}
            yield {"type": "DELETED", "object": {"metadata": {"name": "sleep-curl-1"}, "status": status}}

    began = time.monotonic()
    with pods(Evicting([{**dict.fromkeys(NAMES, READY), "sleep-curl-1": PULLING}]), pod_timeout=30.0) as under_test:
        under_test.wait(print)
    assert time.monotonic() - began < 5
    assert "sleep-curl-1 on n1 is not Ready: somebody else deleted it" in under_test.problems[0]
    assert "Evicted The node was low on memory." in under_test.problems[0]


def test_the_runs_own_namespace_takes_restricted_pods_only() -> None:
    """Pod Security's label says what our pods keep to."""
    api = InMemory([])
    with pods(api):
        pass
    assert api.bodies[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert RUN_LABEL in api.bodies[0]["metadata"]["labels"]
    assert "pod-security.kubernetes.io/enforce" not in api.bodies[1]["metadata"]["labels"]


def test_the_pod_fits_the_restricted_level() -> None:
    """No root, no privileges, no token; echoes as an ordinary user by a safe sysctl; gone within a second."""
    spec = manifest({"name": "x"}, "n1", Settings(tolerations=("a=b:NoExecute", "c")))["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["sysctls"][0]["name"] == "net.ipv4.ping_group_range"
    assert spec["terminationGracePeriodSeconds"] == 1
    assert spec["tolerations"] == [
        {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute"},
        {"key": "c", "operator": "Exists"},
    ]


def test_another_runs_objects_are_left_alone_until_its_time_is_over() -> None:
    """Without a readable end they are left alone for ever: --ipip-cleanup is for those."""
    now = datetime.now(timezone.utc)
    assert not expired({"annotations": {EXPIRES: (now + timedelta(minutes=1)).strftime(TIME)}}, now)
    assert expired({"annotations": {EXPIRES: (now - timedelta(minutes=1)).strftime(TIME)}}, now)
    assert not expired({"annotations": {EXPIRES: "soon"}}, now)
    assert not expired({}, now)


def test_reasons_are_read_from_where_the_kubelet_puts_them() -> None:
    """A failed pod's own reason, a container's state, or the conditions."""
    assert (
        waiting_reason({"status": {"phase": "Failed", "reason": "OutOfpods", "message": "full"}})
        == "Failed: OutOfpods full"
    )
    assert hopeless({"status": {"phase": "Failed"}}, CONTAINER)
    conditions = [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]
    assert (
        waiting_reason({"status": {"phase": "Pending", "conditions": conditions}})
        == "Pending (Ready: ContainersNotReady)"
    )


def test_service_meshes_are_told_to_leave_the_pods_alone() -> None:
    """Istio, Linkerd, Kuma and Consul read labels and annotations of pods, and those of their namespace."""
    api = InMemory([])
    with pods(api):
        pass
    for body in api.bodies[1:5]:
        labels, annotations = body["metadata"]["labels"], body["metadata"]["annotations"]
        assert labels["sidecar.istio.io/inject"] == annotations["sidecar.istio.io/inject"] == "false"
        assert labels["kuma.io/sidecar-injection"] == annotations["linkerd.io/inject"] == "disabled"
        assert annotations["consul.hashicorp.com/connect-inject"] == "false"
        assert labels[RUN_LABEL] == "abc123"
        assert EXPIRES in annotations
    assert api.bodies[0]["metadata"]["labels"]["istio-injection"] == "disabled"
    assert api.bodies[0]["metadata"]["annotations"]["linkerd.io/inject"] == "disabled"


def test_a_sidecar_that_comes_all_the_same_is_told() -> None:
    """With its name: it may answer in the pod's place."""
    api = InMemory([dict.fromkeys(NAMES, READY)])
    watch = api.watch

    def injected(*asked: Any) -> Iterator[dict[str, Any]]:
        for event in watch(*asked):
            containers = [{"name": "sleep-curl"}, {"name": "istio-proxy"}]
            yield {**event, "object": {**event["object"], "spec": {"containers": containers}}}

    api.watch = injected  # type: ignore[method-assign]
    with pods(api) as under_test:
        under_test.wait(print)
        (problem,) = under_test.problems
    assert problem.startswith("an admission webhook put istio-proxy into 4 of the pods under test")


def test_the_run_brings_a_network_policy_that_allows_its_pods() -> None:
    """It selects the run's pods and no others; in a namespace of somebody else it goes with the last of them."""
    api = InMemory([])
    with pods(api):
        pass
    body = api.bodies[5]
    assert body["kind"] == "NetworkPolicy"
    assert body["spec"]["podSelector"] == {"matchLabels": {RUN_LABEL: "abc123"}}
    assert (body["spec"]["ingress"], body["spec"]["egress"]) == ([{}], [{}])
    assert "ownerReferences" not in body["metadata"]
    there = InMemory([])
    send = there.send

    def created(method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        send(method, path, body)
        return {"metadata": {**(body or {}).get("metadata", {}), "uid": f"u{len(there.sent)}"}}

    there.send = created  # type: ignore[method-assign]
    with pods(there, namespace="team"):
        pass
    owners = next(one for one in there.bodies if one.get("kind") == "NetworkPolicy")["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == ["u1", "u2", "u3", "u4"]
    assert not [path for method, path in there.sent if method == "DELETE" and "networkpolicies" in path]


def test_a_network_policy_that_is_refused_is_a_problem_and_no_end() -> None:
    """A cluster where policies deny nothing by default does not need it."""
    api = InMemory([dict.fromkeys(NAMES, READY)], refuse="sleep-curl-abc123")
    with pods(api, namespace="team") as under_test:
        assert under_test.problems == [
            "the NetworkPolicy that lets the pods under test through was refused: sleep-curl-abc123 is refused"
        ]
