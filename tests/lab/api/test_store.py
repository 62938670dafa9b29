"""The store: versions, refusals, watches and the ends of things, as Kubernetes has them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pytest_calico_ipip.lab.api.store import ApiError, Object, Store, Watch

from . import fakes

AFFINITY = {"kind": "BlockAffinity", "apiVersion": "crd.projectcalico.org/v1", "metadata": {"name": "a-10-0-0-0-24"}}


def refusal(call: Any, *args: Any, **options: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call(*args, **options)
    return caught.value


def drained(watch: Watch) -> list[tuple[str, str]]:
    """What a watch has to say now: (type, name)."""

    async def read() -> list[tuple[str, str]]:
        return [(kind, obj["metadata"]["name"]) for kind, obj in [await anext(watch) for _ in range(watch.waiting)]]

    return asyncio.run(read())


def test_a_new_object_has_uid_version_and_time(store: Store) -> None:
    """What comes out of `create` is what `get` returns, completed."""
    made = store.create("pods", fakes.pod("a"))
    assert made == store.get("pods", "default", "a")
    assert made["apiVersion"] == "v1"
    assert made["metadata"].keys() >= {"uid", "resourceVersion", "creationTimestamp"}


def test_what_comes_out_is_a_copy(store: Store) -> None:
    """Changing what was read changes nothing in the store."""
    made = store.create("pods", fakes.pod("a"))
    made["spec"]["containers"][0]["image"] = "other"
    store.list("pods")[0][0]["metadata"]["name"] = "b"
    assert store.get("pods", "default", "a")["spec"]["containers"][0]["image"] == "curlimages/curl"


def test_a_pod_is_complete_enough_for_every_client(store: Store) -> None:
    """Defaults and a first status are filled in, and a node is chosen."""
    pod = store.create("pods", fakes.pod("a"))
    assert pod["spec"]["restartPolicy"] == "Always"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30
    assert pod["spec"]["serviceAccountName"] == "default"
    assert pod["spec"]["nodeName"] == "virtnest-rook-ceph-1"
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert (pod["status"]["phase"], pod["status"]["qosClass"]) == ("Pending", "BestEffort")


@pytest.mark.parametrize(
    ("resource", "obj", "code", "words"),
    [
        ("pods", {"metadata": {"name": "a"}, "spec": {"containers": []}}, 422, "spec.containers"),
        ("pods", {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}}, 422, "image"),
        ("pods", {"metadata": {"name": "a"}, "spec": {"containers": [{"image": "c"}]}}, 422, "name"),
        ("pods", {"metadata": {"name": "A b"}, "spec": {}}, 422, "RFC 1123 subdomain"),
        ("pods", {"metadata": {}, "spec": {}}, 422, "name or generateName is required"),
        ("pods", {"kind": "Node", "metadata": {"name": "a"}}, 400, "does not match"),
        ("namespaces", {"metadata": {"name": "a.b"}}, 422, "RFC 1123 label"),
        ("pods", {"metadata": {"name": "a", "namespace": "none"}, "spec": {}}, 404, 'namespaces "none" not found'),
        ("namespaces", {"metadata": {"name": "default"}}, 409, 'namespaces "default" already exists'),
        ("daemonsets.apps", {"metadata": {"name": "a"}, "spec": {}}, 422, "spec.selector"),
        ("cheeses", {"metadata": {"name": "a"}}, 404, "could not find the requested resource"),
    ],
)
def test_what_cannot_be_created_is_refused(store: Store, resource: str, obj: Object, code: int, words: str) -> None:
    """With Kubernetes' status code, and words that say what is wrong."""
    error = refusal(store.create, resource, obj)
    assert (error.code, words in error.message) == (code, True), error.message


def test_a_generated_name_is_new_each_time(store: Store) -> None:
    """`generateName` makes a name that begins with it."""
    obj = fakes.pod("x")
    obj["metadata"] = {"generateName": "run-", "namespace": "default"}
    names = {store.create("pods", obj)["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("run-") and len(name) == 9 for name in names)


def test_an_old_version_is_a_conflict(store: Store) -> None:
    """Who writes what he read before somebody else wrote is told so, in Kubernetes' words."""
    first = store.create("configmaps", {"metadata": {"name": "a"}, "data": {"k": "1"}})
    store.update("configmaps", {**first, "data": {"k": "2"}})
    error = refusal(store.update, "configmaps", {**first, "data": {"k": "3"}})
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_an_update_that_changes_nothing_makes_no_version(store: Store) -> None:
    """As a real API server: no new version, no event."""
    made = store.create("configmaps", {"metadata": {"name": "a"}, "data": {"k": "1"}})
    changes = store.watch("configmaps", resource_version=store.version)
    assert store.update("configmaps", made) == made
    assert changes.waiting == 0


def test_spec_and_status_are_written_apart(store: Store) -> None:
    """The status subresource takes status and metadata; the object itself all but the status."""
    pod = store.create("pods", fakes.pod("a"))
    pod["status"]["phase"] = "Running"
    pod["metadata"]["annotations"] = {"cni.projectcalico.org/podIP": "10.233.107.1/32"}
    pod["spec"]["containers"][0]["image"] = "other"
    pod = store.update("pods", pod, subresource="status")
    assert (pod["status"]["phase"], pod["spec"]["containers"][0]["image"]) == ("Running", "curlimages/curl")
    assert pod["metadata"]["annotations"] == {"cni.projectcalico.org/podIP": "10.233.107.1/32"}
    pod["status"]["phase"] = "Failed"
    assert store.update("pods", pod)["status"]["phase"] == "Running"


def test_a_pod_keeps_its_node(store: Store) -> None:
    """Only images, tolerations and deadlines of a pod that exists can change."""
    pod = store.create("pods", fakes.pod("a"))
    pod["spec"]["containers"][0]["image"] = "other"
    pod = store.update("pods", pod)
    pod["spec"]["nodeName"] = "elsewhere"
    assert refusal(store.update, "pods", pod).message.startswith('Pod "a" is invalid: spec: Forbidden: pod updates')


def test_generations_count_changes_of_intent(store: Store) -> None:
    """Labels make no new generation, another spec does."""
    made = store.create("ippools.crd.projectcalico.org", {"metadata": {"name": "p"}, "spec": {"ipipMode": "Always"}})
    assert made["metadata"]["generation"] == 1
    made["metadata"]["labels"] = {"a": "b"}
    made = store.update("ippools.crd.projectcalico.org", made)
    assert made["metadata"]["generation"] == 1
    made["spec"]["ipipMode"] = "Never"
    assert store.update("ippools.crd.projectcalico.org", made)["metadata"]["generation"] == 2


def test_a_dry_run_leaves_nothing(store: Store) -> None:
    """Neither creating, nor changing, nor deleting."""
    store.create("pods", fakes.pod("b"), dry_run=True)
    kept = store.create("pods", fakes.pod("a"))
    store.update("pods", {**kept, "metadata": {**kept["metadata"], "labels": {"x": "y"}}}, dry_run=True)
    store.delete("pods", "default", "a", dry_run=True)
    assert store.list("pods")[0] == [kept]


def test_a_running_pod_goes_when_its_kubelet_says_so(store: Store) -> None:
    """A deletion marks it with its grace period; the kubelet's own, with grace 0, removes it."""
    store.create("pods", fakes.pod("a", terminationGracePeriodSeconds=1))
    changes = store.watch("pods", resource_version=store.version)
    marked = store.delete("pods", "default", "a")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 1
    assert store.get("pods", "default", "a")["metadata"]["deletionTimestamp"]
    store.delete("pods", "default", "a", grace_period_seconds=0)
    assert refusal(store.get, "pods", "default", "a").message == 'pods "a" not found'
    assert drained(changes) == [("MODIFIED", "a"), ("DELETED", "a")]


def test_a_second_deletion_never_lengthens_the_first(store: Store) -> None:
    """A shorter grace period counts, a longer one does not."""
    store.create("pods", fakes.pod("a"))
    store.delete("pods", "default", "a", grace_period_seconds=20)
    assert store.delete("pods", "default", "a")["metadata"]["deletionGracePeriodSeconds"] == 20
    again = store.delete("pods", "default", "a", grace_period_seconds=2)
    assert again["metadata"]["deletionGracePeriodSeconds"] == 2


def test_a_pod_that_runs_nowhere_goes_at_once(store: Store) -> None:
    """Without a node, or when it has ended, there is no kubelet to wait for."""
    store.create("pods", fakes.pod("nowhere", nodeSelector={"disk": "none"}))
    done = store.create("pods", fakes.pod("done"))
    done["status"]["phase"] = "Succeeded"
    store.update("pods", done, subresource="status")
    store.delete("pods", "default", "nowhere")
    store.delete("pods", "default", "done")
    assert store.list("pods")[0] == []


def test_a_deletion_has_preconditions(store: Store) -> None:
    """Another object of the same name is not deleted by mistake."""
    store.create("pods", fakes.pod("a"))
    error = refusal(store.delete, "pods", "default", "a", uid="not-its-uid")
    assert (error.code, "Precondition failed: UID" in error.message) == (409, True)


def test_a_finalizer_holds_an_object_until_it_is_taken_off(store: Store) -> None:
    """Deleted, it stays; without its last finalizer it goes."""
    made = store.create("configmaps", {"metadata": {"name": "a", "finalizers": ["lab/x"]}})
    store.delete("configmaps", "default", "a")
    assert "deletionTimestamp" in store.get("configmaps", "default", "a")["metadata"]
    store.patch("configmaps", "default", "a", {"metadata": {"finalizers": None}})
    assert refusal(store.get, "configmaps", "default", made["metadata"]["name"]).code == 404


def test_a_namespace_goes_after_everything_in_it(store: Store) -> None:
    """It is Terminating, and takes nothing new, until its last pod has gone."""
    store.create("namespaces", {"metadata": {"name": "sleep-curl"}})
    assert store.get("serviceaccounts", "sleep-curl", "default")
    store.create("configmaps", {"metadata": {"name": "a", "namespace": "sleep-curl"}})
    store.create("pods", fakes.pod("a", namespace="sleep-curl"))
    store.delete("namespaces", None, "sleep-curl")
    assert store.get("namespaces", None, "sleep-curl")["status"]["phase"] == "Terminating"
    assert store.list("configmaps", "sleep-curl")[0] == []
    error = refusal(store.create, "pods", fakes.pod("b", namespace="sleep-curl"))
    assert error.message == (
        'pods "b" is forbidden: unable to create new content in namespace sleep-curl because it is being terminated'
    )
    store.delete("pods", "sleep-curl", "a", grace_period_seconds=0)
    assert refusal(store.get, "namespaces", None, "sleep-curl").message == 'namespaces "sleep-curl" not found'


def test_a_namespace_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods that no kubelet ends are struck off after their grace period and a bounded time."""
    monkeypatch.setattr("pytest_calico_ipip.lab.api.lifecycle.OVERTIME", 0.05)

    async def story() -> list[str]:
        store = Store()
        store.create("nodes", fakes.node("n"))
        store.create("namespaces", {"metadata": {"name": "x"}})
        store.create("pods", fakes.pod("a", namespace="x", terminationGracePeriodSeconds=0.1))
        with store.watch("namespaces", field_selector="metadata.name=x", resource_version=store.version) as changes:
            store.delete("namespaces", None, "x")
            return [(await asyncio.wait_for(anext(changes), 5))[0] for _ in range(2)]

    assert asyncio.run(story()) == ["MODIFIED", "DELETED"]


def test_some_namespaces_stay(store: Store) -> None:
    """`default` cannot be deleted."""
    assert refusal(store.delete, "namespaces", None, "default").code == 403


def test_dependents_follow_their_owner_unless_orphaned(store: Store) -> None:
    """A DaemonSet's pods are deleted with it."""
    for name, orphan, left in (("one", False, {"two-pod"}), ("two", True, {"two-pod"})):
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": {"spec": fakes.pod("x")["spec"]}}
        owner = store.create("daemonsets.apps", {"metadata": {"name": name}, "spec": spec})
        for pod_name in ("one-pod", "two-pod"):
            if pod_name.startswith(name):
                pod = fakes.pod(pod_name, nodeSelector={"no": "node"})
                reference = {
                    "apiVersion": "apps/v1",
                    "kind": "DaemonSet",
                    "name": name,
                    "uid": owner["metadata"]["uid"],
                }
                pod["metadata"]["ownerReferences"] = [reference]
                store.create("pods", pod)
        if name == "two":
            store.delete("daemonsets.apps", "default", name, orphan=orphan)
            assert {pod["metadata"]["name"] for pod in store.list("pods")[0]} == left
        else:
            store.delete("daemonsets.apps", "default", name, orphan=orphan)
            assert store.list("pods")[0] == []


def test_a_watch_begins_with_what_is_there(store: Store) -> None:
    """Without a version every object comes first, as ADDED, and then what happens."""
    store.create("pods", fakes.pod("a"))
    changes = store.watch("pods")
    store.create("pods", fakes.pod("b"))
    assert drained(changes) == [("ADDED", "a"), ("ADDED", "b")]


def test_a_watch_continues_from_a_list(store: Store) -> None:
    """From the list's version on nothing is missed and nothing comes twice."""
    store.create("pods", fakes.pod("a"))
    _, version = store.list("pods")
    store.create("pods", fakes.pod("b"))
    store.delete("pods", "default", "b", grace_period_seconds=0)
    changes = store.watch("pods", resource_version=version)
    store.create("pods", fakes.pod("c"))
    assert drained(changes) == [("ADDED", "b"), ("DELETED", "b"), ("ADDED", "c")]


def test_what_leaves_a_selection_is_deleted_for_its_watcher(store: Store) -> None:
    """And what comes into it is added, whatever happened to the object itself."""
    changes = store.watch("pods", label_selector="app=web", resource_version=store.version)
    store.create("pods", fakes.pod("a"))
    for labels in ({"app": "web"}, {"app": "web", "x": "y"}, {"app": "db"}, {"app": "none"}):
        store.patch("pods", "default", "a", {"metadata": {"labels": labels}})
    assert drained(changes) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_watch_sees_its_namespace_only(store: Store) -> None:
    """Other namespaces are none of its business."""
    store.create("namespaces", {"metadata": {"name": "x"}})
    changes = store.watch("pods", "x")
    store.create("pods", fakes.pod("a"))
    store.create("pods", fakes.pod("b", namespace="x"))
    assert drained(changes) == [("ADDED", "b")]


def test_a_version_that_is_forgotten_is_gone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client must list again: 410 Expired."""
    monkeypatch.setattr("pytest_calico_ipip.lab.api.store.HISTORY", 4)
    small = Store()
    for number in range(6):
        small.create("configmaps", {"metadata": {"name": f"c{number}"}})
    error = refusal(small.watch, "configmaps", resource_version="1")
    assert (error.code, error.reason) == (410, "Expired")


def test_a_watcher_that_does_not_read_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its backlog is bounded; the last thing it reads is an error."""
    monkeypatch.setattr("pytest_calico_ipip.lab.api.watches.BACKLOG", 3)

    async def story() -> list[str]:
        store = Store()
        changes = store.watch("configmaps")
        for number in range(9):
            store.create("configmaps", {"metadata": {"name": f"c{number}"}})
        return [kind async for kind, _ in changes]

    assert asyncio.run(story()) == ["ADDED", "ADDED", "ADDED", "ERROR"]


def test_closing_a_watch_ends_its_reader() -> None:
    """A reader that waits is woken."""

    async def story() -> list[Any]:
        store = Store()
        changes = store.watch("configmaps")
        reading = asyncio.create_task(_all(changes))
        await asyncio.sleep(0)
        changes.close()
        return await asyncio.wait_for(reading, 5)

    assert asyncio.run(story()) == []


async def _all(changes: Watch) -> list[Any]:
    return [change async for change in changes]


def test_pods_without_a_node_are_bound_when_one_is_ready() -> None:
    """A pod that found no node waits, and says why; a node that comes takes it."""
    store = Store()
    pod = store.create("pods", fakes.pod("a"))
    condition = pod["status"]["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    store.create("nodes", fakes.node("n"))
    bound = store.get("pods", "default", "a")
    assert (bound["spec"]["nodeName"], bound["status"]["conditions"][0]["status"]) == ("n", "True")
    assert refusal(store.bind, "default", "a", "m").code == 409


def test_calico_kinds_are_kept_as_they_are(store: Store) -> None:
    """No defaults, no status of their own; unknown fields stay."""
    made = store.create(
        "blockaffinities.crd.projectcalico.org", {**AFFINITY, "spec": {"cidr": "10.0.0.0/24", "x": [1]}}
    )
    made["status"] = {"anything": True}
    kept = store.update("blockaffinities.crd.projectcalico.org", made)
    assert (kept["spec"], kept["status"]) == ({"cidr": "10.0.0.0/24", "x": [1]}, {"anything": True})
    assert "namespace" not in kept["metadata"]
