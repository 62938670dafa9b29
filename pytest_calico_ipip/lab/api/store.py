"""The lab's cluster state: objects in memory, one version counter, and watches that miss nothing.

Everything happens in one asyncio thread and no method but a watch's iteration waits, so each call is atomic.
Objects are plain dicts of JSON values. What comes out is a copy: change it as you like and write it back.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any

from pytest_calico_ipip.lab.api import admission, errors, lifecycle, patches, scheduler
from pytest_calico_ipip.lab.api.ages import timestamp
from pytest_calico_ipip.lab.api.errors import ApiError
from pytest_calico_ipip.lab.api.resources import RESOURCES, Resource
from pytest_calico_ipip.lab.api.selectors import Object, Predicate, by_fields, by_labels
from pytest_calico_ipip.lab.api.watches import Change, Watch, copied

__all__ = ["ApiError", "Object", "Store", "Watch", "timestamp"]

Objects = list[Object]
HISTORY = 4096  # events that a watch can go back
# what a client cannot write, whatever it sends
_OURS = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)


Watches = list[Watch]


class Store:
    """All objects of the lab's cluster."""

    def __init__(self) -> None:
        self._version = 0
        self._objects: dict[str, dict[tuple[str, str], Object]] = {key: {} for key in RESOURCES}
        self._changes: dict[str, deque[Change]] = {key: deque(maxlen=HISTORY) for key in RESOURCES}
        self._watches: dict[str, Watches] = {key: [] for key in RESOURCES}
        for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
            self.create("namespaces", {"metadata": {"name": name}})

    @property
    def version(self) -> str:
        """The latest resourceVersion."""
        return str(self._version)

    # reading

    def get(self, resource: str, namespace: str | None, name: str) -> Object:
        """One object; a cluster-wide kind takes no namespace. Raises `ApiError` 404."""
        return self._out(self._find(self._kind(resource), namespace, name))

    def list(
        self,
        resource: str,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> tuple[Objects, str]:
        """The selected objects by namespace and name, and the resourceVersion from which a watch continues."""
        kind = self._kind(resource)
        selected = _both(label_selector, field_selector)
        held = self._objects[kind.key]
        chosen = [key for key in held if not namespace or not kind.namespaced or key[0] == namespace]
        return [self._out(held[key]) for key in sorted(chosen) if selected(held[key])], self.version

    def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        resource_version: str | None = None,
    ) -> Watch:
        """Changes after `resource_version`; without one (or "0") every object first, as ADDED.

        The watch counts from this call on, not from its first iteration. Raises `ApiError` 410 when that version is
        no longer remembered.
        """
        kind = self._kind(resource)
        watches = self._watches[kind.key]
        found = Watch(namespace if kind.namespaced else None, _both(label_selector, field_selector), watches.remove)
        if resource_version in (None, "", "0"):
            past = [Change(0, "ADDED", obj, None) for _, obj in sorted(self._objects[kind.key].items())]
        else:
            since, known = _number(resource_version), self._changes[kind.key]
            if len(known) == HISTORY and since < known[0].version - 1:
                raise errors.expired(since, known[0].version)
            past = [change for change in known if change.version > since]
        for change in past:
            found.offer(change, live=False)
        watches.append(found)
        return found

    # writing

    def create(
        self, resource: str, obj: Mapping[str, Any], *, namespace: str | None = None, dry_run: bool = False
    ) -> Object:
        """Put a new object in, completed as an API server would. Raises `ApiError` 409, 422, 404 (its namespace)."""
        kind = self._kind(resource)
        new = admission.named(kind, copied(dict(obj)), namespace)
        meta = new["metadata"]
        place = (meta.get("namespace", ""), meta["name"])
        if kind.namespaced:
            lifecycle.allow_new(self._objects["namespaces"].get(("", place[0])), kind, *place)
        if place in self._objects[kind.key]:
            raise errors.already_exists(kind.key, meta["name"])
        meta["uid"], meta["creationTimestamp"] = str(uuid.uuid4()), timestamp()
        if kind.counts_generations:
            meta["generation"] = 1
        admission.complete(self, kind, new)
        if dry_run:
            return self._out(new)
        self._commit(kind, "ADDED", new, None)
        lifecycle.created(self, kind, new)
        if kind.key == "nodes":
            scheduler.retry(self)
        return self._out(new)

    def update(
        self, resource: str, obj: Mapping[str, Any], *, subresource: str | None = None, dry_run: bool = False
    ) -> Object:
        """Replace an object; with `subresource="status"` its status and metadata only, without it all but the status.

        A resourceVersion in the object must be the latest one, else `ApiError` 409; without one it is not compared.
        """
        kind = self._kind(resource)
        meta = obj.get("metadata") or {}
        old = self._find(kind, meta.get("namespace"), str(meta.get("name", "")))
        return self._replace(kind, old, copied(dict(obj)), subresource, dry_run)

    def patch(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        patch: Any,
        content_type: str = patches.MERGE,
        subresource: str | None = None,
        *,
        dry_run: bool = False,
    ) -> Object:
        """Change parts of an object: a JSON patch, a merge patch, a strategic merge patch, or an applied object.

        Raises `ApiError` 404, 409, 415 (a strategic patch of a custom resource), 422 (a JSON patch that does not fit).
        """
        kind = self._kind(resource)
        old = self._find(kind, namespace, name)
        new = patches.patched(kind, copied(old), patch, content_type)
        return self._replace(kind, old, new, subresource, dry_run)

    def bind(self, namespace: str, name: str, node: str) -> Object:
        """Give a pod its node, once. Raises `ApiError` 404, 409."""
        kind = RESOURCES["pods"]
        old = self._find(kind, namespace, name)
        if old["spec"].get("nodeName"):
            raise errors.conflict(
                "pods/binding", name, f'pod {name} is already assigned to node "{old["spec"]["nodeName"]}"'
            )
        new: Object = copied(old)
        new["spec"]["nodeName"] = node
        others = [one for one in new["status"].get("conditions") or () if one["type"] != "PodScheduled"]
        new["status"]["conditions"] = [scheduler.condition(self, new), *others]
        self._commit(kind, "MODIFIED", new, old)
        return self._out(new)

    def delete(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        *,
        grace_period_seconds: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        orphan: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Delete an object, or begin to: a pod that runs is only marked until its kubelet deletes it with grace 0.

        Returns the object as it was left, or as it last was. Raises `ApiError` 404, 409 (a precondition), 403.
        """
        kind = self._kind(resource)
        old = self._find(kind, namespace, name)
        meta = old["metadata"]
        for field, wanted, here in (
            ("UID", uid, meta["uid"]),
            ("ResourceVersion", resource_version, meta["resourceVersion"]),
        ):
            if wanted and wanted != here:
                why = f"Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {here}"
                raise errors.conflict(kind.key, name, why)
        lifecycle.allow_deletion(kind, old)
        if dry_run:
            return self._out(old)
        grace = lifecycle.grace(kind, old, grace_period_seconds)
        if grace or meta.get("finalizers") or kind.key == "namespaces":
            old = self._mark(kind, old, grace)
        if kind.key == "namespaces":
            lifecycle.empty(self, name)
        elif not grace and not meta.get("finalizers"):
            self._remove(kind, old, orphan)
        return self._out(old)

    # inside

    def held(self, resource: str) -> Mapping[tuple[str, str], Object]:
        """The objects of a kind by (namespace, name), not copied: for this room to read, never to change."""
        return self._objects[resource]

    def _kind(self, resource: str) -> Resource:
        try:
            return RESOURCES[resource]
        except KeyError:
            raise errors.no_such_path() from None

    def _find(self, kind: Resource, namespace: str | None, name: str) -> Object:
        obj = self._objects[kind.key].get(((namespace or "default") if kind.namespaced else "", name))
        if obj is None:
            raise errors.not_found(kind.key, name)
        return obj

    def _out(self, obj: Object) -> Object:
        return copied(obj)  # type: ignore[no-any-return]

    def _replace(self, kind: Resource, old: Object, new: Object, subresource: str | None, dry_run: bool) -> Object:
        meta, before = new.setdefault("metadata", {}), old["metadata"]
        for field, written in (("resourceVersion", None), ("uid", "UID")):
            if meta.get(field) and meta[field] != before[field]:
                why = written and (
                    f"Precondition failed: UID in precondition: {meta[field]}, UID in object meta: {before[field]}"
                )
                raise errors.conflict(kind.key, before["name"], why)
        if subresource == "status":
            status = new.get("status") or {}
            new = copied(old) | {"metadata": meta, "status": status}
        elif kind.has_status:
            new.pop("status", None)
            new |= {"status": old["status"]} if "status" in old else {}
        for field in (*_OURS, "resourceVersion"):
            meta.pop(field, None)
            if field in before:
                meta[field] = before[field]
        admission.complete_update(kind, old, new)
        if new == old:
            return self._out(old)
        if kind.counts_generations and _intent(kind, new) != _intent(kind, old):
            meta["generation"] = before.get("generation", 1) + 1
        if dry_run:
            return self._out(new)
        if lifecycle.is_over(kind, new):
            self._remove(kind, new, orphan=False)
        else:
            self._commit(kind, "MODIFIED", new, old)
            if kind.key == "nodes":
                scheduler.retry(self)
        return self._out(new)

    def _mark(self, kind: Resource, old: Object, grace: int) -> Object:
        meta = old["metadata"]
        if "deletionTimestamp" in meta and meta.get("deletionGracePeriodSeconds", 0) <= grace:
            return old  # it goes sooner already
        marked: Object = copied(old)
        marked["metadata"] |= {"deletionTimestamp": timestamp(grace), "deletionGracePeriodSeconds": grace}
        if kind.key == "namespaces":
            del marked["metadata"]["deletionGracePeriodSeconds"]
            marked["status"] = {**marked.get("status", {}), "phase": "Terminating"}
        self._commit(kind, "MODIFIED", marked, old)
        return marked

    def _remove(self, kind: Resource, old: Object, orphan: bool) -> None:
        meta = old["metadata"]
        held = self._objects[kind.key].pop((meta.get("namespace", ""), meta["name"]))
        gone = {**old, "metadata": dict(meta)}
        self._publish(kind, "DELETED", gone, held)
        lifecycle.removed(self, kind, gone, orphan)

    def finish_namespace(self, name: str) -> None:
        """A deleted namespace that is empty goes."""
        if obj := self._objects["namespaces"].get(("", name)):
            self._remove(RESOURCES["namespaces"], obj, orphan=False)

    def _commit(self, kind: Resource, change: str, new: Object, old: Object | None) -> None:
        meta = new["metadata"]
        self._objects[kind.key][(meta.get("namespace", ""), meta["name"])] = new
        self._publish(kind, change, new, old)

    def _publish(self, kind: Resource, change: str, new: Object, old: Object | None) -> None:
        self._version += 1
        new["metadata"]["resourceVersion"] = str(self._version)
        published = Change(self._version, change, new, old)
        self._changes[kind.key].append(published)
        for watch in tuple(self._watches[kind.key]):
            watch.offer(published)


def _both(labels: str | None, fields: str | None) -> Predicate:
    if not labels and not fields:
        return lambda _obj: True
    by_label, by_field = by_labels(labels), by_fields(fields)
    return lambda obj: by_label(obj) and by_field(obj)


def _number(version: str | None) -> int:
    try:
        return int(version or 0)
    except ValueError:
        raise errors.bad_request(f"resourceVersion: Invalid value: {version!r}: must be a number") from None


def _intent(kind: Resource, obj: Object) -> Object:
    """What a change of counts as a new generation: the spec, and of a custom resource all but the metadata."""
    if kind.custom:
        return {key: value for key, value in obj.items() if key != "metadata"}
    return {"spec": obj.get("spec")}
