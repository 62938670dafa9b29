"""Faults of Calico's and Kubernetes' objects; some with what BIRD or the kernel then does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from .fault import BirdEdit, Fault
from .places import FIRST, SECOND, THIRD, on

if TYPE_CHECKING:
    from ..api.store import Store

Change = Callable[["Store"], Awaitable[None]]

_GROUP = "crd.projectcalico.org"
_POOLS, _BLOCKS, _AFFINITIES = f"ippools.{_GROUP}", f"ipamblocks.{_GROUP}", f"blockaffinities.{_GROUP}"
_BGP = f"bgpconfigurations.{_GROUP}"
_MERGE = "application/merge-patch+json"
_OVERLAPPING = "10.233.112.0/20"
_ELSEWHERE = SECOND.address.ip + 100


def _named(network: IPv4Network) -> str:
    return str(network).replace(".", "-").replace("/", "-")


def _pools(spec: dict[str, Any]) -> Change:
    """Change every pool."""

    async def change(store: Store) -> None:
        items, _ = store.list(_POOLS)
        for pool in items:
            store.patch(_POOLS, None, pool["metadata"]["name"], {"spec": spec}, _MERGE)

    return change


def _set(resource: str, name: str, patch: dict[str, Any], subresource: str | None = None) -> Change:
    """Change one object."""

    async def change(store: Store) -> None:
        store.patch(resource, None, name, patch, _MERGE, subresource)

    return change


def _annotated(**annotations: str | None) -> Change:
    """Change annotations of the second node."""
    keys = {f"projectcalico.org/{key}": value for key, value in annotations.items()}
    return _set("nodes", SECOND.name, {"metadata": {"annotations": keys}})


def _crd(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


async def _overlap(store: Store) -> None:
    spec = {"cidr": _OVERLAPPING, "ipipMode": "Always", "vxlanMode": "Never", "blockSize": 24, "disabled": True}
    store.create(_POOLS, _crd("IPPool", "old-ippool", spec))


async def _forget_tunnel_address(store: Store) -> None:
    """What the collector of leaked addresses does when it takes a node's own for one; the next pods get others."""
    block = store.get(_BLOCKS, None, _named(SECOND.block))
    spec = block["spec"]
    ordinal = spec["allocations"].index(0)
    spec["allocations"][ordinal] = None
    spec["unallocated"].append(ordinal)
    spec["attributes"] = []
    store.update(_BLOCKS, block)


async def _owned_twice(store: Store) -> None:
    store.patch(_BGP, None, "default", {"spec": {"programClusterRoutes": "Enabled"}}, _MERGE)


_BARE = 'ifname = "tunl0"; onlink = true; gw = bgp_next_hop;'

FAULTS = (
    Fault(
        name="pool-disabled",
        breaks="the IPPool that all pods have their addresses from is disabled",
        fails=("POOL-1",),
        objects=_pools({"disabled": True}),
        nodes=1,
    ),
    Fault(
        name="pool-not-ipip",
        breaks="the IPPool that all pods have their addresses from has IPIP off, and BIRD sends everything bare",
        fails=("POOL-1", "POD-1"),
        objects=_pools({"ipipMode": "Never"}),
        bird=tuple(BirdEdit(node.name, _BARE, "") for node in (FIRST, SECOND, THIRD)),
        nodes=3,
    ),
    Fault(
        name="pools-overlap",
        breaks=f"there is a second IPPool, {_OVERLAPPING}, inside the first one",
        fails=("POOL-2",),
        objects=_overlap,
        nodes=1,
    ),
    Fault(
        name="block-affinity-pending",
        breaks=f"the affinity of the block of {SECOND.name} is in deletion, and its blackhole route is still there",
        fails=("POOL-3",),
        objects=_set(_AFFINITIES, f"{SECOND.name}-{_named(SECOND.block)}", {"spec": {"state": "pendingDeletion"}}),
        verify=on(SECOND, f"ip route show exact {SECOND.block} | grep -q blackhole"),
    ),
    Fault(
        name="route-owners-disagree",
        breaks="BGPConfiguration lets BIRD program the routes that Felix has by default in this release",
        fails=("POOL-4",),
        objects=_owned_twice,
        needs={"profile": "felix"},
    ),
    Fault(
        name="node-address-bare",
        breaks=f"Calico's address of {SECOND.name} is written without the length of its prefix",
        fails=("NODE-1", "ROUTE-2", "ROUTE-4", "SEC-1"),
        objects=_annotated(IPv4Address=str(SECOND.address.ip)),
    ),
    Fault(
        name="node-internal-ip",
        breaks=f"kubelet of {SECOND.name} reports its second address, {_ELSEWHERE}, and Calico took the first",
        fails=("NODE-2",),
        objects=_set(
            "nodes",
            SECOND.name,
            {
                "status": {
                    "addresses": [
                        {"type": "InternalIP", "address": str(_ELSEWHERE)},
                        {"type": "Hostname", "address": SECOND.name},
                    ]
                }
            },
            "status",
        ),
        at_start=on(SECOND, f"ip address add {_ELSEWHERE}/24 dev ens192"),
        verify=on(SECOND, f"ip -4 -o address show dev ens192 | grep -q ' {_ELSEWHERE}/24 '"),
    ),
    Fault(
        name="tunnel-address-duplicate",
        breaks=f"{SECOND.name} has the tunnel address of {FIRST.name}, in its annotation and on its tunl0",
        fails=("NODE-3", "PATH-7"),
        objects=_annotated(IPv4IPIPTunnelAddr=str(FIRST.tunnel_address)),
        at_start=on(
            SECOND,
            f"ip address add {FIRST.tunnel_address}/32 dev tunl0 && "
            f"ip address del {SECOND.tunnel_address}/32 dev tunl0",
        ),
        verify=on(SECOND, f"ip -4 -o address show dev tunl0 | grep -q ' {FIRST.tunnel_address}/32 '"),
    ),
    Fault(
        name="tunnel-address-not-allocated",
        breaks=f"IPAM does not know that the tunnel address of {SECOND.name} is taken",
        fails=("NODE-3",),
        objects=_forget_tunnel_address,
    ),
)
