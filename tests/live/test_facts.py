"""What the observer takes from the lists to find its way."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from typing import Any

import pytest

from pytest_calico_ipip.cluster import facts
from pytest_calico_ipip.cluster.calico import NATIVE, STORED

FOUR, SIX = "10.233.107.9", "fd00:10::9"


def listed(*items: dict[str, Any]) -> bytes:
    """A list's body."""
    return json.dumps({"items": items}).encode()


@pytest.mark.parametrize(
    "status",
    [
        {"podIP": SIX, "podIPs": [{"ip": SIX}, {"ip": FOUR}]},
        {"podIP": FOUR, "podIPs": [{"ip": FOUR}, {"ip": SIX}]},
        {"podIP": FOUR},
    ],
)
def test_of_two_families_ipip_carries_the_fourth(status: dict[str, Any]) -> None:
    """Whichever is first in podIPs, and among a node's InternalIPs."""
    pod = {
        "metadata": {"namespace": "x", "name": "sleep-curl-1", "uid": "u"},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", **status},
    }
    found = facts.pod_facts({"pods": listed(pod)}, "x", {"n1": ["sleep-curl-1"]})
    assert [one.ip for one in found["n1"]] == [IPv4Address(FOUR)]
    addresses = [{"type": "InternalIP", "address": "fd00:7::1"}, {"type": "InternalIP", "address": "10.7.120.11"}]
    node = {"metadata": {"name": "n1"}, "status": {"addresses": addresses}}
    assert facts.node_facts([node])["n1"].internal_ip == IPv4Address("10.7.120.11")


def agent(node: str, image: str, namespace: str = "calico-system") -> dict[str, Any]:
    """A calico-node pod."""
    return {
        "metadata": {"namespace": namespace, "name": f"calico-node-{node}", "labels": {"k8s-app": "calico-node"}},
        "spec": {"nodeName": node, "containers": [{"name": "calico-node", "image": image}]},
        "status": {"phase": "Running"},
    }


def test_calico_is_found_wherever_it_is_and_its_release_told() -> None:
    """By calico-node's image, in any namespace; half-way through an upgrade both are told; else ClusterInformation."""
    one, two = agent("a", "quay.io/calico/node:v3.31.7"), agent("b", "mirror:5000/calico/node:v3.32.1@sha256:ab")
    assert facts.calico_words({"pods": listed(one, agent("c", "calico/node:v3.31.7"))}, STORED) == (
        "Calico v3.31.7 in calico-system, its objects in crd.projectcalico.org/v1"
    )
    assert facts.calico_words({"pods": listed(one, two)}, NATIVE) == (
        "Calico v3.31.7 on 1 node, v3.32.1 on 1 node in calico-system, its objects in projectcalico.org/v3"
    )
    by_digest = {
        "pods": listed(agent("a", "calico/node@sha256:ab", "kube-system")),
        STORED.file("clusterinformations"): listed({"spec": {"calicoVersion": "v3.29.7"}}),
    }
    assert facts.calico_words(by_digest, STORED).startswith("Calico v3.29.7 in kube-system")
    assert facts.calico_words({"pods": listed()}, STORED).startswith("Calico of a release that nothing names")
