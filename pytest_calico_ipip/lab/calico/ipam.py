"""Calico's IPAM on the lab's datastore: which pod has which address, kept in blocks, handles and affinities."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pytest_calico_ipip.lab.api.store import ApiError, Store
from pytest_calico_ipip.lab.calico.objects import Object, block_affinity, cidr_name, stored, timestamp, unborn
from pytest_calico_ipip.lab.spec import LabSpec, NodeSpec

AFFINITIES = "blockaffinities.crd.projectcalico.org"
BLOCKS = "ipamblocks.crd.projectcalico.org"
HANDLES = "ipamhandles.crd.projectcalico.org"


class BlockFull(Exception):
    """No address is left in the block; the lab does not claim further ones."""


def new_block(node: str, cidr: IPv4Network) -> Object:
    """An empty block that a node has claimed."""
    size = cidr.num_addresses
    return {
        "cidr": str(cidr),
        "affinity": f"host:{node}",
        "allocations": [None] * size,
        "unallocated": list(range(size)),
        "attributes": [],
        # Calico starts from the clock, so that a block that is made again never repeats a number
        "sequenceNumber": time.time_ns(),
        "sequenceNumberForAllocation": {},
        "deleted": False,
        "strictAffinity": False,
    }


def take(block: Object, handle: str, secondary: dict[str, str]) -> IPv4Address:
    """Assign the block's next free address (changes `block`, a block's spec)."""
    if not block["unallocated"]:
        raise BlockFull(f"no address left in block {block['cidr']} ({block['affinity']})")
    ordinal = block["unallocated"].pop(0)
    block["allocations"][ordinal] = len(block["attributes"])
    block["attributes"].append({"handle_id": handle, "secondary": dict(sorted(secondary.items()))})
    block["sequenceNumberForAllocation"][str(ordinal)] = block["sequenceNumber"]
    block["sequenceNumber"] += 1
    return IPv4Network(block["cidr"])[ordinal]


def give_back(block: Object, handle: str) -> int:
    """Release all addresses of a handle (changes `block`): they queue up behind the free ones; returns how many."""
    gone = {index for index, attribute in enumerate(block["attributes"]) if attribute["handle_id"] == handle}
    ordinals = [ordinal for ordinal, index in enumerate(block["allocations"]) if index in gone]
    if not ordinals:
        return 0
    block["unallocated"].extend(ordinals)
    moved: dict[int, int] = {}
    kept: list[Any] = []
    for index, attribute in enumerate(block["attributes"]):
        if index not in gone:
            moved[index] = len(kept)
            kept.append(attribute)
    block["attributes"] = kept
    block["allocations"] = [None if index is None else moved.get(index) for index in block["allocations"]]
    for ordinal in ordinals:
        block["sequenceNumberForAllocation"].pop(str(ordinal), None)
    block["sequenceNumber"] += 1
    return len(ordinals)


def pod_handle(container_id: str) -> str:
    """The handle of a pod's sandbox."""
    return f"k8s-pod-network.{container_id}"


def tunnel_handle(node: str) -> str:
    """The handle of a node's tunnel address."""
    return f"ipip-tunnel-addr-{node}"


class Ipam:
    """Assigns and releases; the store is the only memory."""

    def __init__(self, store: Store, spec: LabSpec | None = None) -> None:
        self._store = store
        self._spec = spec or LabSpec()
        self._own = unborn(self._spec.generation)

    def claim(self, node: NodeSpec) -> IPv4Address:
        """Give a node its blocks and, as the first one's first address, its tunnel address."""
        address = None
        profile = self._spec.generation
        for cidr in node.blocks:
            self._store.create(AFFINITIES, block_affinity(node.name, cidr, profile, native=self._spec.native))
            block = new_block(node.name, cidr)
            if profile.affinity_claim_time:
                block["affinityClaimTime"] = timestamp()
            if address is None:
                handle = tunnel_handle(node.name)
                address = take(block, handle, {"node": node.name, "type": "ipipTunnelAddress"})
                self._add_handle(handle, cidr)
            self._store.create(BLOCKS, stored(cidr_name(cidr), block, own=self._own))
        assert address is not None
        return address

    def assign(self, node: NodeSpec, container_id: str, namespace: str, pod: str) -> IPv4Address:
        """An address for a pod: from its node's emptiest block, or borrowed. Raises `BlockFull`."""
        handle = pod_handle(container_id)
        now = datetime.now(timezone.utc)
        secondary = {
            "namespace": namespace,
            "node": node.name,
            "pod": pod,
            "timestamp": f"{now:%Y-%m-%d %H:%M:%S.}{now.microsecond:06d}000 +0000 UTC",
        }
        block = self._lender_s(node) or self._emptiest(node)
        address = take(block["spec"], handle, secondary)
        self._store.update(BLOCKS, block)
        self._add_handle(handle, IPv4Network(block["spec"]["cidr"]))
        return address

    def _block(self, cidr: IPv4Network) -> Object:
        return self._store.get(BLOCKS, None, cidr_name(cidr))

    def _lender_s(self, node: NodeSpec) -> Object | None:
        """The block of the next node, if this one is to borrow an address and has none that is borrowed."""
        if node.name != self._spec.borrower:
            return None
        nodes = self._spec.node_specs()
        block = self._block(nodes[node.index % len(nodes)].block)
        borrowed = any(each["secondary"]["node"] == node.name for each in block["spec"]["attributes"])
        return None if borrowed else block

    def _emptiest(self, node: NodeSpec) -> Object:
        """The own block with the fewest addresses taken."""
        blocks = [self._block(cidr) for cidr in node.blocks]
        return min(blocks, key=lambda block: len(block["spec"]["attributes"]))

    def release(self, container_id: str) -> None:
        """Give a pod's address back; nothing when it has none."""
        handle = pod_handle(container_id)
        try:
            cidrs = self._store.get(HANDLES, None, handle)["spec"]["block"]
        except ApiError as error:
            if error.code != 404:
                raise
            return
        for cidr in cidrs:
            block = self._block(IPv4Network(cidr))
            give_back(block["spec"], handle)
            self._store.update(BLOCKS, block)
        self._store.delete(HANDLES, None, handle)

    def _add_handle(self, handle: str, block: IPv4Network) -> None:
        spec = {"handleID": handle, "block": {str(block): 1}, "deleted": False}
        self._store.create(HANDLES, stored(handle, spec, own=self._own))
