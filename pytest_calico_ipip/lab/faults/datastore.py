"""Faults of Calico's configuration: the kernel is as it was, and the datastore says something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fault import Fault

if TYPE_CHECKING:
    from ..api.store import Store

_POOLS = "ippools.crd.projectcalico.org"


async def _change_pools(store: Store, spec: dict[str, Any]) -> None:
    items, _ = store.list(_POOLS)
    for pool in items:
        store.patch(_POOLS, None, pool["metadata"]["name"], {"spec": spec}, "application/merge-patch+json")


async def _disable(store: Store) -> None:
    await _change_pools(store, {"disabled": True})


FAULTS = (
    Fault(
        name="pool-disabled",
        breaks="the IPPool that all pods have their addresses from is disabled",
        fails=("POOL-1",),
        objects=_disable,
        nodes=1,
    ),
)
