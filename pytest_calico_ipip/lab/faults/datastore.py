"""Faults of what Calico's datastore says: the kernel is as it was, and one object is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fault import Fault
from .places import SECOND

if TYPE_CHECKING:
    from ..api.store import Store

_POOLS = "ippools.crd.projectcalico.org"
_FELIX = "felixconfigurations.crd.projectcalico.org"
_BLOCKS = "ipamblocks.crd.projectcalico.org"
_AFFINITIES = "blockaffinities.crd.projectcalico.org"
_ADDRESS = "projectcalico.org/IPv4Address"
_GONE = "virtnest-rook-ceph-gone"
_ELSEWHERE = "10.7.120.112"


def _merge(store: Store, resource: str, name: str, change: dict[str, Any], subresource: str | None = None) -> None:
    store.patch(resource, None, name, change, "application/merge-patch+json", subresource)


def _change_pools(store: Store, spec: dict[str, Any]) -> None:
    pools, _ = store.list(_POOLS)
    for pool in pools:
        _merge(store, _POOLS, pool["metadata"]["name"], {"spec": spec})


async def _disable(store: Store) -> None:
    _change_pools(store, {"disabled": True})


async def _resize(store: Store) -> None:
    _change_pools(store, {"blockSize": 26})


async def _give_up(store: Store) -> None:
    affinities, _ = store.list(_AFFINITIES)
    for affinity in affinities:
        if affinity["spec"]["node"] == SECOND.name:
            _merge(store, _AFFINITIES, affinity["metadata"]["name"], {"spec": {"state": "pendingDeletion"}})


async def _felix_programs(store: Store) -> None:
    _merge(store, _FELIX, "default", {"spec": {"programClusterRoutes": "Enabled"}})


async def _move_internal_ip(store: Store) -> None:
    addresses = store.get("nodes", None, SECOND.name)["status"]["addresses"]
    moved = [{**each, "address": _ELSEWHERE} if each["type"] == "InternalIP" else each for each in addresses]
    _merge(store, "nodes", SECOND.name, {"status": {"addresses": moved}}, "status")


async def _cut_prefix(store: Store) -> None:
    _merge(store, "nodes", SECOND.name, {"metadata": {"annotations": {_ADDRESS: str(SECOND.address.ip)}}})


async def _forget_tunnel_address(store: Store) -> None:
    blocks, _ = store.list(_BLOCKS)
    for block in blocks:
        for attribute in block["spec"]["attributes"]:
            if attribute["handle_id"] == f"ipip-tunnel-addr-{SECOND.name}":
                attribute["handle_id"] = f"ipip-tunnel-addr-{_GONE}"
                store.update(_BLOCKS, block)


FAULTS = (
    Fault(
        name="pool-disabled",
        breaks="the IPPool that all pods have their addresses from is disabled",
        fails=("POOL-1",),
        objects=_disable,
        nodes=1,
    ),
    Fault(
        name="pool-block-size",
        breaks="the IPPool says another block size than its blocks have",
        fails=("POOL-2",),
        objects=_resize,
        nodes=1,
    ),
    Fault(
        name="affinity-pending",
        breaks=f"the affinity of the block of {SECOND.name} is about to be deleted, although the block is in use",
        fails=("POOL-3",),
        objects=_give_up,
    ),
    Fault(
        name="two-owners",
        breaks="FelixConfiguration tells Felix to program the routes that BIRD programs",
        fails=("POOL-4", "ROUTE-7"),
        objects=_felix_programs,
        nodes=1,
    ),
    Fault(
        name="node-address-bare",
        breaks=f"Calico's address of {SECOND.name} is written without the length of its prefix",
        fails=("NODE-1",),
        objects=_cut_prefix,
    ),
    Fault(
        name="internal-ip",
        breaks=f"Kubernetes knows {SECOND.name} by another address than Calico",
        fails=("NODE-2",),
        objects=_move_internal_ip,
    ),
    Fault(
        name="tunnel-address-unallocated",
        breaks=f"IPAM has given the tunnel address of {SECOND.name} to somebody else",
        fails=("NODE-3",),
        objects=_forget_tunnel_address,
    ),
)
