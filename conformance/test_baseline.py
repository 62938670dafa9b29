"""The data path now, against an earlier run."""

import pytest

from pytest_calico_ipip.fixtures import Judged
from pytest_calico_ipip.model.checks import baseline


@pytest.mark.requirement("BASE-1")
def test_unchanged(judged: Judged, node: str) -> None:
    """Next hops, devices, MTUs and encapsulation are as in the baseline of an earlier run."""
    assert judged(baseline.unchanged, node)
