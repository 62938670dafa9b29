"""The pools that pods' addresses come from."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import pools


@pytest.mark.requirement("POOL-1")
def test_ipip_pool(judged: Judged, node: str) -> None:
    """The pool that a pod's address comes from is enabled, encapsulates with IPIP, and not with VXLAN."""
    assert judged(pools.ipip_pool, node)
