"""Faults of Calico's and Kubernetes' objects; some with what BIRD or the kernel then does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from .bgp import also_announced
from .fault import BirdEdit, Fault
from .objects import GROUP, custom
from .places import FIRST, SECOND, THIRD, on

if TYPE_CHECKING:
    from ..api.store import Store

Change = Callable[["Store"], Awaitable[None]]

_POOLS, _BLOCKS, _AFFINITIES = f"ippools.{GROUP}", f"ipamblocks.{GROUP}", f"blockaffinities.{GROUP}"
_FELIX, _BGP = f"felixconfigurations.{GROUP}", f"bgpconfigurations.{GROUP}"
_MERGE = "application/merge-patch+json"
_OVERLAPPING = "10.233.112.0/20"
_NESTED = IPv4Network("10.233.107.64/26")
_GONE = "virtnest-rook-ceph-9"
_GONE_BLOCK = IPv4Network("10.233.99.0/24")
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


def _affinity(node: str, block: IPv4Network) -> dict[str, Any]:
    spec = {"state": "confirmed", "node": node, "type": "host", "cidr": str(block), "deleted": "false"}
    return custom(f"{node}-{_named(block)}", spec)


def _empty_block(node: str, block: IPv4Network) -> dict[str, Any]:
    size = block.num_addresses
    spec = {
        "cidr": str(block),
        "affinity": f"host:{node}",
        "allocations": [None] * size,
        "unallocated": list(range(size)),
        "attributes": [],
        "deleted": False,
        "strictAffinity": False,
    }
    return custom(_named(block), spec)


async def _deny(store: Store) -> None:
    spec = {"order": 10, "selector": "app == 'sleep-curl'", "types": ["Ingress"], "ingress": [{"action": "Deny"}]}
    store.create(f"globalnetworkpolicies.{GROUP}", custom("nothing-comes-in", spec))


async def _overlap(store: Store) -> None:
    spec = {"cidr": _OVERLAPPING, "ipipMode": "Always", "vxlanMode": "Never", "blockSize": 24, "disabled": True}
    store.create(_POOLS, custom("old-ippool", spec))


async def _nest(store: Store) -> None:
    store.create(_BLOCKS, _empty_block(SECOND.name, _NESTED))
    store.create(_AFFINITIES, _affinity(SECOND.name, _NESTED))


async def _outlive(store: Store) -> None:
    store.create(_BLOCKS, _empty_block(_GONE, _GONE_BLOCK))
    store.create(_AFFINITIES, _affinity(_GONE, _GONE_BLOCK))


async def _claim_twice(store: Store) -> None:
    store.create(_AFFINITIES, _affinity(THIRD.name, SECOND.block))


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


async def _delete(store: Store, resource: str, name: str) -> None:
    store.delete(resource, None, name)


_BARE = 'ifname = "tunl0"; onlink = true; gw = bgp_next_hop;'

# what others have of it is compared with the annotation: routes to it, its packets, its place in their host sets
_ADDRESS_WRONG = ("NODE-1", "NODE-2", "ROUTE-2", "ROUTE-4", "ROUTE-5", "PATH-3", "PATH-4", "PATH-7", "PATH-8", "SEC-1")

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
        name="policy-denies",
        breaks="a GlobalNetworkPolicy with a low order lets nothing into the pods under test",
        fails=("PATH-1", "PATH-6"),
        objects=_deny,
        nodes=2,
    ),
    Fault(
        name="pools-overlap",
        breaks=f"there is a second IPPool, {_OVERLAPPING}, inside the first one",
        fails=("POOL-2",),
        objects=_overlap,
        nodes=1,
    ),
    Fault(
        name="pool-block-size",
        breaks="the IPPool says another block size than its blocks have",
        fails=("POOL-2",),
        objects=_pools({"blockSize": 26}),
        nodes=1,
    ),
    Fault(
        name="blocks-nested",
        breaks=f"{SECOND.name} has a block, {_NESTED}, inside the one of {FIRST.name}, and announces it",
        fails=("POOL-2",),
        objects=_nest,
        bird=also_announced(SECOND, _NESTED),
        verify=on(SECOND, f"ip route show exact {_NESTED} | grep -q blackhole"),
    ),
    Fault(
        name="block-of-no-node",
        breaks=f"the block {_GONE_BLOCK} belongs to {_GONE}, which the cluster does not have any more",
        fails=("POOL-3",),
        objects=_outlive,
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
        name="block-affinity-missing",
        breaks=f"the block of {SECOND.name} has no affinity: nothing confirms whose it is",
        fails=("POOL-3",),
        objects=lambda store: _delete(store, _AFFINITIES, f"{SECOND.name}-{_named(SECOND.block)}"),
    ),
    Fault(
        name="block-announced-twice",
        breaks=f"{THIRD.name} has an affinity for the block of {SECOND.name}, too, and both announce it",
        fails=("POOL-3", "ROUTE-2", "ROUTE-4", "ROUTE-5", "PATH-1", "BGP-2"),
        objects=_claim_twice,
        bird=also_announced(THIRD, SECOND.block),
        verify=on(THIRD, f"ip route show exact {SECOND.block} | grep -q blackhole"),
        nodes=3,
    ),
    Fault(
        name="two-owners",
        breaks="FelixConfiguration tells Felix to program the routes that BIRD programs",
        fails=("POOL-4", "ROUTE-7"),
        objects=_set(_FELIX, "default", {"spec": {"programClusterRoutes": "Enabled"}}),
        nodes=1,
    ),
    Fault(
        name="route-owners-disagree",
        breaks="BGPConfiguration lets BIRD program the routes that Felix has by default in this release",
        fails=("POOL-4",),
        objects=_owned_twice,
        needs={"profile": "felix"},
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
        name="node-address-stale",
        breaks=f"{SECOND.name} is still {_ELSEWHERE} in its annotation, an address that it does not have any more",
        fails=(*_ADDRESS_WRONG, "BGP-1"),
        objects=_annotated(IPv4Address=f"{_ELSEWHERE}/24"),
    ),
    Fault(
        name="node-address-of-other",
        breaks=f"the annotation of {SECOND.name} says the address of {FIRST.name}",
        fails=_ADDRESS_WRONG,
        objects=_annotated(IPv4Address=f"{FIRST.address.ip}/24"),
    ),
    Fault(
        name="tunnel-address-unset",
        breaks=f"{SECOND.name} was given no tunnel address: neither its annotation nor its tunl0 has one",
        fails=("NODE-3", "TUN-2", "PATH-7"),
        objects=_annotated(IPv4IPIPTunnelAddr=None),
        at_start=on(SECOND, f"ip address del {SECOND.tunnel_address}/32 dev tunl0"),
        verify=on(SECOND, 'test -z "$(ip -4 -o address show dev tunl0)"'),
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
