"""What every node must look like, from Calico's datastore alone."""

from __future__ import annotations

from pytest_calico_ipip.model.expected.build import expect, workload_interface
from pytest_calico_ipip.model.expected.records import (
    TUNNEL_DEVICE,
    ExpectedRoute,
    LocalPod,
    NodeExpectation,
    Way,
)
from pytest_calico_ipip.model.expected.underlay import beneath, underlay

__all__ = [
    "TUNNEL_DEVICE",
    "ExpectedRoute",
    "LocalPod",
    "NodeExpectation",
    "Way",
    "beneath",
    "expect",
    "underlay",
    "workload_interface",
]
