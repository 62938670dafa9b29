"""What could not be judged names no fault; what is bare at a NIC goes with the cause of its pair."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pytest_calico_ipip.model.diagnosis import diagnose
from pytest_calico_ipip.model.diagnosis.signs import Signs
from pytest_calico_ipip.model.judgement import Judgement
from pytest_calico_ipip.nodes.reading import underlay_nic
from pytest_calico_ipip.packets import filters
from tests.model.recordings import ALWAYS, N1, N2, copied, world

REQUIREMENTS = (
    "MTU-5",
    "ROUTE-1",
    "ROUTE-7",
    "NODE-1",
    "SEC-2",
    "POD-2",
    "POD-3",
    "POD-4",
    "VETH-2",
    "POOL-4",
    "BGP-1",
)


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_what_could_not_be_judged_names_no_fault(requirement: str, tmp_path: Path) -> None:
    """An error has a reason, and no difference from which a fault could be told: at most the reading is missed."""
    subject = f"{N1}:{N2}" if requirement == "MTU-5" else N1
    judgement = Judgement(requirement, subject, inconclusive=("nothing is known of this",))
    found = diagnose(world(copied(ALWAYS, tmp_path / "evidence")), [judgement])
    assert {cause.id for cause in found} <= {"node-not-read", "captures-unreadable"}


def test_a_pod_s_address_leads_to_its_node(tmp_path: Path) -> None:
    """An address of a pod, or a node's tunnel address, is told as the node; another one is not."""
    subject = world(copied(ALWAYS, tmp_path / "evidence"))
    signs = Signs(subject, [])
    pod = next(pod for pod in signs.store.pods if pod.node == N2 and not pod.host_network)
    assert signs.node_of(str(pod.ip)) == N2
    assert signs.node_of(str(signs.store.nodes[N1].tunnel_address)) == N1
    assert signs.node_of("192.0.2.1") is None


def test_a_second_device_with_the_node_s_address_leaves_the_first_to_watch() -> None:
    """The NIC is the first device that is up and has the address, also where a dummy has it, too."""
    devices = b"""[
        {"ifname": "off0", "flags": [], "addr_info": [{"local": "10.7.120.12"}]},
        {"ifname": "ens192", "flags": ["UP"], "addr_info": [{"local": "10.7.120.12"}]},
        {"ifname": "kube-ipvs0", "flags": ["UP"], "addr_info": [{"local": "10.7.120.12"}]}]"""
    assert underlay_nic(devices, [IPv4Address("10.7.120.12")]) == "ens192"
    assert underlay_nic(devices, [IPv4Address("10.7.120.13")]) is None


def test_a_wrong_annotation_leaves_the_internal_ip_s_device_to_watch() -> None:
    """Where no device has the annotation's address, the one with the InternalIP is the wire."""
    devices = b"""[{"ifname": "ens192", "flags": ["UP"], "addr_info": [{"local": "10.7.120.12"}]}]"""
    own, stale = IPv4Address("10.7.120.12"), IPv4Address("10.7.120.112")
    assert underlay_nic(devices, [stale, own]) == "ens192"
    assert underlay_nic(devices, [None, own]) == "ens192"
    assert underlay_nic(devices, [stale, None]) is None


def test_a_pod_image_without_tools_is_named_as_that(tmp_path: Path) -> None:
    """A transfer that cannot be served, or an echo that cannot be sent from inside, is the image's fault."""
    pod = "the pod 10.233.109.1 has no nc or no head to serve a transfer with: name an image with --ipip-pod-image"
    told = (
        Judgement("MTU-6", f"{N1}:{N2}", inconclusive=(f"{N2}: {pod}",)),
        Judgement(
            "PATH-1",
            f"{N1}:{N2}",
            inconclusive=(f"{N1}: the probe {N1}:{N2} echo-inside (echo-inside) could not be sent: not found",),
        ),
    )
    found = diagnose(world(copied(ALWAYS, tmp_path / "evidence")), told)
    assert [cause.id for cause in found] == ["pod-image-lacks-tools"]


def test_a_packet_inside_two_tunnels_is_captured() -> None:
    """At the underlay NIC whatever has a tunnel inside a tunnel is taken: its pods cannot be seen from outside."""
    assert "=4)" in filters.underlay([IPv4Address("10.233.107.1")])
