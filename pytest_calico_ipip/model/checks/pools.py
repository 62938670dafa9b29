"""POOL-1 to POOL-3: the pools, and what IPAM made of them. (POOL-4, the owner of the routes, is in owner.py.)"""

from __future__ import annotations

from itertools import pairwise

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks.case import Case, cluster_check, node_check
from pytest_calico_ipip.model.checks.pods import one_by_ipip
from pytest_calico_ipip.model.datastore import Block


@node_check("POOL-1")
def ipip_pool(case: Case) -> None:
    """The pool of every pod under test is enabled, ipipMode Always or CrossSubnet, vxlanMode Never."""
    datastore = case.datastore
    datastore.need("ippools", "pods")
    pods = [pod for pod in case.world.pods if pod.node == case.node and pod.ip is not None and not pod.host_network]
    if not pods:
        case.lack(Absent(f"a pod under test with an address on {case.node}", failed=False))
    for pod in pods:
        pool = datastore.pool_of(pod.ip) if pod.ip is not None else None
        if pool is None:
            reading = case.api("pods", pod.name, pod.namespace)
            case.differ(f"{pod.key} address", "inside an IP pool", f"{pod.ip}, which is in none", reading)
            continue
        if not pool.ipip and one_by_ipip(case):
            continue  # POD-1 says so
        what, reading = f"pool {pool.name} ({pool.cidr}) of {pod.key}", case.api("ippools", pool.name)
        case.compare(what, "enabled", "disabled" if pool.disabled else "enabled", reading)
        mode = pool.ipip_mode if pool.ipip else f"ipipMode {pool.ipip_mode}"
        case.compare(
            what, "ipipMode Always or CrossSubnet", "ipipMode Always or CrossSubnet" if pool.ipip else mode, reading
        )
        case.compare(what, "vxlanMode Never", f"vxlanMode {pool.vxlan_mode}", reading)


@cluster_check("POOL-2")
def apart(case: Case) -> None:
    """Pools do not overlap; every block lies in one pool and has that pool's size; blocks do not overlap."""
    datastore = case.datastore
    datastore.need("ippools", "ipamblocks")
    pools = sorted(datastore.pools, key=lambda pool: (pool.cidr.network_address, pool.cidr.prefixlen))
    # in this order, networks that overlap include two that follow each other
    for one, other in pairwise(pools):
        overlap = f"{other.cidr} of {other.name}" if one.cidr.overlaps(other.cidr) else "none"
        case.compare(f"pool that overlaps {one.name} ({one.cidr})", "none", overlap, case.api("ippools", other.name))
    blocks = sorted(
        (block.cidr for block in datastore.blocks if not block.deleted),
        key=lambda cidr: (cidr.network_address, cidr.prefixlen),
    )
    for cidr, following in pairwise(blocks):
        overlap = str(following) if cidr.overlaps(following) else "none"
        case.compare(f"block that overlaps {cidr}", "none", overlap, case.api("ipamblocks"))
    given = {block.cidr for block in datastore.blocks if block.host_local}
    for cidr in blocks:
        holding = [pool for pool in pools if cidr.subnet_of(pool.cidr)]
        size = cidr.prefixlen if cidr in given or not holding else holding[0].block_size
        wanted = f"in one pool, a /{size}" if holding else "in one pool"
        observed = f"in {len(holding)} pools, a /{cidr.prefixlen}".replace("in 1 pools", "in one pool")
        case.compare(f"block {cidr}", wanted, observed, case.api("ipamblocks"))
    case.hold()


@cluster_check("POOL-3")
def affine(case: Case) -> None:
    """Every block of an IPIP pool with a host has exactly one live, confirmed affinity; its host is a node."""
    datastore = case.datastore
    datastore.need("ippools", "ipamblocks", "blockaffinities")
    for block in datastore.blocks:
        pool = datastore.pool_of(block.cidr.network_address)
        if block.deleted or pool is None or not pool.ipip:
            continue
        if block.host is not None:
            _one_affinity(case, block, block.host)
        elif block.affinity or block.allocations:
            case.note(f"block {block.cidr}: affinity {block.affinity or 'none'}, {len(block.allocations)} allocations")
    case.hold()


def _one_affinity(case: Case, block: Block, host: str) -> None:
    reading = case.api("blockaffinities")
    live = [one for one in case.datastore.affinities if one.cidr == block.cidr and not one.deleted]
    observed = ", ".join(sorted(f"{one.state} of {one.node}" for one in live)) or "none"
    case.compare(f"affinities of block {block.cidr}", f"confirmed of {host}", observed, reading)
    there = host in case.datastore.nodes or host in case.datastore.others
    known = "a node of the cluster" if there else "no node of the cluster"
    case.compare(f"host {host} of block {block.cidr}", "a node of the cluster", known, case.api("ipamblocks"))
