"""How objects come to be and to end: namespaces with their contents, pods with a grace period, dependents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_calico_ipip.lab.api import errors
from pytest_calico_ipip.lab.api.resources import RESOURCES, Resource
from pytest_calico_ipip.lab.api.selectors import Object

if TYPE_CHECKING:
    from pytest_calico_ipip.lab.api.store import Store

KEPT_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})
OVERTIME = 10.0  # seconds that a deleted namespace waits for its pods beyond their grace period


def allow_new(namespace: Object | None, kind: Resource, place: str, name: str) -> None:
    """A namespace must exist, and not be about to go, before something is put into it."""
    if namespace is None:
        raise errors.not_found("namespaces", place)
    if "deletionTimestamp" in namespace["metadata"]:
        why = f"unable to create new content in namespace {place} because it is being terminated"
        raise errors.forbidden(kind.key, name, why)


def created(store: Store, kind: Resource, obj: Object) -> None:
    """What comes into being by itself: each namespace's default ServiceAccount."""
    if kind.key == "namespaces":
        store.create("serviceaccounts", {"metadata": {"name": "default", "namespace": obj["metadata"]["name"]}})


def allow_deletion(kind: Resource, obj: Object) -> None:
    """Some namespaces stay."""
    name = obj["metadata"]["name"]
    if kind.key == "namespaces" and name in KEPT_NAMESPACES:
        raise errors.forbidden("namespaces", name, "this namespace may not be deleted")


def grace(kind: Resource, obj: Object, asked: int | None) -> int:
    """Seconds between a deletion and the end: only a pod that may be running has any."""
    if kind.key != "pods" or not obj["spec"].get("nodeName"):
        return 0
    if obj.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    seconds = obj["spec"].get("terminationGracePeriodSeconds", 30) if asked is None else asked
    return max(int(seconds), 0)


def is_over(kind: Resource, obj: Object) -> bool:
    """Whether a deleted object has nothing left to wait for: its last finalizer was taken off."""
    meta = obj["metadata"]
    if kind.key == "namespaces" or "deletionTimestamp" not in meta or meta.get("finalizers"):
        return False
    return not meta.get("deletionGracePeriodSeconds")


def empty(store: Store, namespace: str) -> None:
    """Delete everything in a namespace; it goes when the last pod has gone, or after a bounded time without that."""
    longest = 0
    for key, resource in RESOURCES.items():
        if not resource.namespaced:
            continue
        for place, name in [place for place in store.held(key) if place[0] == namespace]:
            left = store.held(key).get((place, name))
            if left is not None:  # it may have gone with its owner
                left = store.delete(key, place, name)
                longest = max(longest, left["metadata"].get("deletionGracePeriodSeconds", 0))
    _finish(store, namespace)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return  # no time passes without a loop: a test of the store alone
    loop.call_later(longest + OVERTIME, _force, store, namespace)


def _force(store: Store, namespace: str) -> None:
    """The bound: pods that nobody ends are struck off."""
    here = store.held("namespaces").get(("", namespace))
    if here is not None and "deletionTimestamp" in here["metadata"]:
        for place, name in [place for place in store.held("pods") if place[0] == namespace]:
            store.delete("pods", place, name, grace_period_seconds=0)


def _finish(store: Store, namespace: str) -> None:
    here = store.held("namespaces").get(("", namespace))
    if here is None or "deletionTimestamp" not in here["metadata"] or here["metadata"].get("finalizers"):
        return
    contents = (store.held(key) for key, resource in RESOURCES.items() if resource.namespaced)
    if not any(place == namespace for held in contents for place, _ in held):
        store.finish_namespace(namespace)


def removed(store: Store, kind: Resource, obj: Object, orphan: bool) -> None:
    """After an object has gone: its dependents follow (unless orphaned), and its namespace if it was the last in it."""
    meta = obj["metadata"]
    if not orphan:
        for key in ("pods", "replicasets.apps", "networkpolicies.networking.k8s.io"):
            for (place, name), dependent in list(store.held(key).items()):
                owners = dependent["metadata"].get("ownerReferences") or ()
                mine = any(owner.get("uid") == meta["uid"] for owner in owners)
                if mine and not _owned(store, owners) and (place, name) in store.held(key):
                    store.delete(key, place, name)
    if kind.namespaced:
        _finish(store, meta["namespace"])


def _owned(store: Store, owners: Sequence[Object]) -> bool:
    """Whether another of its owners is still there."""
    wanted = {owner.get("uid") for owner in owners}
    kinds = {kind.key for kind in RESOURCES.values() if kind.kind in {owner.get("kind") for owner in owners}}
    return any(one["metadata"]["uid"] in wanted for key in kinds for one in store.held(key).values())
