"""The API's lists as they lie in the evidence: items of one kind, before and after the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.judge.files import LEFT_OUT, Folder, printable
from pytest_calico_ipip.judge.values import mapping, text
from pytest_calico_ipip.model.absent import Absent

Item = Mapping[str, Any]
GROUPS = ("crd.projectcalico.org", "projectcalico.org")  # for IPAM the first is the storage itself


@dataclass(frozen=True)
class Listed:
    """The items of one kind."""

    plural: str
    items: tuple[Item, ...] = ()
    absent: Absent | None = None  # why there are none, or why these are not all
    changed: tuple[Item, ...] = ()  # either version of what was not identical in both readings
    group: str = ""  # Calico's own only
    before: tuple[Item, ...] = ()  # the first reading
    after: tuple[Item, ...] = ()  # the second reading; the first where there was none


@dataclass
class Lists:
    """Reads lists and remembers what is missing and what changed."""

    evidence: Evidence
    live: bool

    def core(self, plural: str) -> Listed:
        """A list of Kubernetes' own: `nodes`, `pods`, `daemonsets.apps`."""
        return self._listed(plural, plural)

    def calico(self, plural: str) -> Listed:
        """A list of Calico's, from whichever group the cluster serves it in."""
        readings = [replace(self._listed(plural, f"{plural}.{group}"), group=group) for group in GROUPS]
        readable = [one for one in readings if one.absent is None]
        for listed in readable:
            if listed.items or listed.changed:
                return listed
        tried = [one for one in readings if one.absent is not None and (one.items or one.absent.failed)]
        if readable:
            return readable[0]
        return tried[0] if tried else readings[0]

    def _listed(self, plural: str, file: str) -> Listed:
        before = self._items(file, after=False)
        if isinstance(before, Absent):
            return Listed(plural, absent=before)
        items, partial = before
        absent = Absent(f"api/{file}.json: it leaves items out", failed=self.live) if partial else None
        after = self._items(file, after=True) if self.evidence.api(file, after=True).exists() else before
        if isinstance(after, Absent):
            return Listed(plural, items, after, before=items, after=items)
        old, new = _by_name(items), _by_name(after[0])
        changed = [
            item
            for name in {**old, **new}
            if name not in old or name not in new or _essence(plural, old[name]) != _essence(plural, new[name])
            for item in (old.get(name), new.get(name))
            if item is not None
        ]
        kept = tuple(item for item in items if not any(item is other for other in changed))
        return Listed(plural, kept, absent, tuple(changed), before=items, after=after[0])

    def _items(self, file: str, *, after: bool) -> tuple[tuple[Item, ...], bool] | Absent:
        path = self.evidence.api(file, after=after)
        folder = Folder(path.parent, path.parent.name, self.live, {})
        data = folder.json(path.name)
        if isinstance(data, Absent):
            return data
        items = data.get("items") if isinstance(data, dict) else data
        if items is None and isinstance(data, dict) and "items" in data:
            items = []  # Go writes an empty list as null now and then
        if not isinstance(items, list):
            return Absent(f"{folder.label}/{path.name} is not a list as the API gives it", failed=True)
        kept = [item for item in items if isinstance(item, dict)]
        left_out = [item for item in items if isinstance(item, str) and item in LEFT_OUT]
        if len(kept) + len(left_out) != len(items):
            return Absent(f"{folder.label}/{path.name} has items that are not objects", failed=True)
        return tuple(kept), bool(left_out)


def name_of(item: Item) -> tuple[str, str]:
    """(namespace, name), made printable; "" for what is not there."""
    metadata = mapping(item.get("metadata"))
    return text(metadata.get("namespace")), text(metadata.get("name"))


def _by_name(items: Sequence[Item]) -> dict[tuple[str, str], Item]:
    return {name_of(item): item for item in items}


def _essence(plural: str, item: Item) -> object:
    """What has to stay the same for an object to be judged. Heartbeats and a block's counters may change."""
    metadata, spec, status = (mapping(item.get(key)) for key in ("metadata", "spec", "status"))
    annotations = {k: v for k, v in mapping(metadata.get("annotations")).items() if "projectcalico.org" in str(k)}
    if plural == "nodes":
        return annotations, spec.get("podCIDR")
    if plural == "pods":
        going = "deletionTimestamp" in metadata
        addresses = status.get("podIP"), status.get("podIPs")
        return annotations, spec.get("nodeName"), addresses, status.get("phase"), going
    if plural == "ipamblocks":
        return spec.get("cidr"), spec.get("affinity"), spec.get("deleted")
    return annotations, spec


def changed_names(listed: Listed) -> tuple[str, ...]:
    """Sentences for the report: what was not the same in both readings."""
    names = dict.fromkeys("/".join(part for part in name_of(item) if part) for item in listed.changed)
    return tuple(f"changed during the run, so not judged: {listed.plural} {printable(name)}" for name in names)
