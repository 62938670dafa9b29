"""The pools that pods' addresses come from, and who programs the routes to them."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import owner, pools


@pytest.mark.requirement("POOL-1")
def test_ipip_pool(judged: Judged, node: str) -> None:
    """The pool that a pod's address comes from is enabled, encapsulates with IPIP, and not with VXLAN."""
    assert judged(pools.ipip_pool, node)


@pytest.mark.requirement("POOL-2")
def test_pools_apart(judged: Judged) -> None:
    """Pools do not overlap, blocks do not overlap, and every block lies in one pool and has that pool's size."""
    assert judged(pools.apart)


@pytest.mark.requirement("POOL-3")
def test_block_affinities(judged: Judged) -> None:
    """Every block with a host has exactly one live affinity, confirmed, and its host is a node of the cluster."""
    assert judged(pools.affine)


@pytest.mark.requirement("POOL-4")
def test_one_owner(judged: Judged, node: str) -> None:
    """FelixConfiguration and BGPConfiguration name one owner for IPIP routes, as the node's release allows."""
    assert judged(owner.one_owner, node)
