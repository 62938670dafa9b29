"""The catalogue of faults: complete, well-formed, and kept to. (What each fault breaks is proved in tests/matrix.)"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_calico_ipip.lab.errors import LabUsageError
from pytest_calico_ipip.lab.faults import (
    CATALOGUE,
    Fault,
    bgp,
    chosen,
    datastore,
    firewall,
    pods,
    prepared,
    routes,
    tunnel,
    wire,
)
from pytest_calico_ipip.lab.spec import LabSpec
from pytest_calico_ipip.lab.topology import bird

REQUIRED = {
    "tunnel-mtu-low",
    "tunnel-down",
    "block-route-missing",
    "block-route-wrong-node",
    "block-route-bare",
    "ipip-dropped",
    "forwarding-off",
    "workload-mac",
    "pod-mtu",
    "workload-route-missing",
    "tunnel-address-missing",
    "proxy-arp-off",
}


@pytest.mark.lab
def test_fault_that_does_not_hold_is_no_result(tmp_path: Path) -> None:
    """A command that repairs the fault makes the lab fail: what ran on it says nothing about the fault."""
    repair = ["ssh", "virtnest-rook-ceph-2", "ip link set tunl0 mtu 1480"]
    command = [sys.executable, "-m", "pytest_calico_ipip.lab", "run", "--fault", "tunnel-mtu-low", "--", *repair]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 125
    assert "tunnel-mtu-low" in done.stderr


def test_catalogue_has_the_faults_that_matter_most() -> None:
    """The twelve that every release of the lab must have are there."""
    assert set(CATALOGUE) >= REQUIRED


def test_unknown_fault_is_refused_with_the_names_of_those_there_are() -> None:
    """A mistyped name is a usage error that lists the catalogue."""
    with pytest.raises(LabUsageError, match="there is no fault tunnel-up") as refusal:
        chosen(LabSpec(faults=("tunnel-up",)))
    assert "tunnel-down" in str(refusal.value)


def test_fault_that_needs_more_nodes_is_refused() -> None:
    """A fault about a third node cannot be in a lab of two."""
    with pytest.raises(LabUsageError, match="needs 3 nodes"):
        chosen(LabSpec(nodes=2, faults=("block-route-wrong-node",)))


@pytest.mark.parametrize("fault", CATALOGUE.values(), ids=CATALOGUE)
def test_fault_changes_bird_s_configuration_where_it_says(fault: Fault) -> None:
    """Each edit of BIRD's configuration finds its place, and together they change it."""
    spec = prepared(LabSpec(faults=(fault.name,)))
    nodes = {node.name: node for node in spec.node_specs()}
    before = {name: bird.configuration(node, nodes.values(), "/dev/null", spec) for name, node in nodes.items()}
    after = dict(before)
    for edit in fault.bird:
        after[edit.node] = edit.apply(after[edit.node])
    assert (after != before) == bool(fault.bird)


@pytest.mark.parametrize("fault", CATALOGUE.values(), ids=CATALOGUE)
def test_fault_is_made_somewhere_and_can_be_checked(fault: Fault) -> None:
    """Each fault has a way to be made; one that somebody else could undo in the node has a check."""
    assert fault.bird or fault.at_start or fault.at_pod or fault.objects
    if fault.at_start:
        assert fault.verify


def test_no_two_faults_have_one_name() -> None:
    """A name that is given twice would hide a fault from the catalogue."""
    modules = (bgp, datastore, firewall, pods, routes, tunnel, wire)
    names = [fault.name for module in modules for fault in module.FAULTS]
    assert sorted(names) == sorted(CATALOGUE)
