"""Calico's configuration and release on each node, from every source, in Felix's order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.judge.configuration import parse_release
from pytest_calico_ipip.judge.datastore import read_datastore
from pytest_calico_ipip.model.datastore import ClusterNode, Datastore, Release

IMAGE = "docker.io/calico/node:v3.32.1"


class Cluster:
    """An evidence directory's api/, written item by item."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("nodes", [{"metadata": {"name": "a", "labels": {"rack": "r1"}, "annotations": {
            "projectcalico.org/IPv4Address": "10.0.0.1/24"}}}])  # fmt: skip

    def write(self, plural: str, items: list[dict[str, Any]], *, after: bool = False) -> None:
        path = Evidence(self.root).api(plural, after=after)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"kind": "List", "items": items}))

    def felix(self, **specs: dict[str, Any]) -> None:
        items = [{"metadata": {"name": name.replace("__", ".")}, "spec": spec} for name, spec in specs.items()]
        self.write("felixconfigurations.crd.projectcalico.org", items)

    def daemonset(self, env: list[dict[str, Any]], image: str = IMAGE) -> None:
        spec = {"containers": [{"name": "calico-node", "image": image, "env": env}]}
        metadata = {"name": "calico-node", "namespace": "kube-system"}
        self.write("daemonsets.apps", [{"metadata": metadata, "spec": {"template": {"spec": spec}}}])

    def read(self) -> Datastore:
        found = read_datastore(Evidence(self.root))
        assert isinstance(found, Datastore)
        return found

    @property
    def node(self) -> ClusterNode:
        return self.read().nodes["a"]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """One node, no configuration at all."""
    return Cluster(tmp_path)


def test_nothing_set_is_the_default(cluster: Cluster) -> None:
    """Without any object every value is Felix's default, and the report says that there was no DaemonSet."""
    configuration = cluster.node.configuration
    assert (configuration.ipip_mtu, configuration.interface_prefix, configuration.ipip_enabled) == (0, "cali", None)
    assert configuration.device_route_protocol == 80
    assert any("DaemonSet" in note for note in cluster.read().notes)


def test_the_default_object_counts(cluster: Cluster) -> None:
    """FelixConfiguration default is in force where nothing more special is."""
    cluster.felix(default={"ipipMTU": 1400, "interfacePrefix": "tap,cali", "deviceRouteProtocol": 3})
    configuration = cluster.node.configuration
    assert (configuration.ipip_mtu, configuration.interface_prefix) == (1400, "tap")
    assert configuration.device_route_protocol == 80


def test_a_nodes_own_object_wins(cluster: Cluster) -> None:
    """node.<name> wins over a selector's, and that over default; each only for what it sets."""
    cluster.felix(
        default={"ipipMTU": 1400, "vxlanMTU": 1390, "wireguardEnabled": True},
        rack={"nodeSelector": "rack == 'r1'", "ipipMTU": 1350, "vxlanMTU": 1340},
        other={"nodeSelector": "rack == 'r2'", "wireguardEnabled": False},
        node__a={"ipipMTU": 1300},
        node__b={"ipipMTU": 1200},
    )
    configuration = cluster.node.configuration
    assert (configuration.ipip_mtu, configuration.vxlan_mtu, configuration.wireguard) == (1300, 1340, True)


def test_the_environment_wins_over_all(cluster: Cluster) -> None:
    """calico-node's environment, literal or from a ConfigMap, is asked first; 0 is a value."""
    cluster.felix(default={"ipipMTU": 1400, "mtuIfacePattern": "^eth0$"})
    cluster.daemonset(
        [
            {"name": "FELIX_IPINIPMTU", "valueFrom": {"configMapKeyRef": {"name": "calico-config", "key": "veth_mtu"}}},
            {"name": "FELIX_MTUIFACEPATTERN", "value": "^bond0$"},
            {"name": "NODENAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ]
    )
    config = {"metadata": {"name": "calico-config", "namespace": "kube-system"}, "data": {"veth_mtu": "0"}}
    cluster.write("configmaps", [config])
    configuration = cluster.node.configuration
    assert (configuration.ipip_mtu, configuration.mtu_interface_pattern) == (0, "^bond0$")


def test_a_configmap_that_is_not_there_sets_nothing(cluster: Cluster) -> None:
    """A reference that cannot be followed leaves the next source in force."""
    cluster.felix(default={"ipipMTU": 1400})
    reference = {"configMapKeyRef": {"name": "gone", "key": "x", "optional": True}}
    cluster.daemonset([{"name": "FELIX_IPINIPMTU", "valueFrom": reference}])
    assert cluster.node.configuration.ipip_mtu == 1400


def test_half_way_through_an_upgrade_each_node_has_its_own_release(cluster: Cluster) -> None:
    """The pod on the node says what runs there, its image and its environment; the DaemonSet says what will."""
    cluster.daemonset([{"name": "FELIX_IPINIPMTU", "value": "1440"}], image="quay.io/calico/node:v3.33.0")
    cluster.write("clusterinformations.crd.projectcalico.org", [{"spec": {"calicoVersion": "v3.33.0"}}])
    nodes = [{"metadata": {"name": name, "annotations": {"projectcalico.org/IPv4Address": "10.0.0.1/24"}}}
             for name in "ab"]  # fmt: skip
    cluster.write("nodes", nodes)
    old = {"name": "calico-node", "image": "quay.io/calico/node:v3.31.7@sha256:abc", "env": []}
    pod = {"metadata": {"name": "x", "namespace": "kube-system"}, "spec": {"nodeName": "a", "containers": [old]}}
    cluster.write("pods", [pod])
    found = cluster.read().nodes
    assert found["a"].release == Release(3, 31, 7, "v3.31.7")
    assert found["b"].release == Release(3, 33, 0, "v3.33.0")
    assert (found["a"].configuration.ipip_mtu, found["b"].configuration.ipip_mtu) == (0, 1440)


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("v3.31.7", (3, 31, 7)),
        ("3.29.0", (3, 29, 0)),
        ("v3.34.0-0.dev-1234-gabcdef012345", (3, 34, 0)),
        ("v3.30", (3, 30, 0)),
        ("master", None),
        ("", None),
        ("v3", None),
    ],
)
def test_releases_as_calico_writes_them(text: str, release: tuple[int, int, int] | None) -> None:
    """Releases and development builds parse; anything else is kept as the string that it is."""
    found = parse_release(text)
    assert (None if found is None else (found.major, found.minor, found.patch)) == release


@pytest.mark.parametrize(
    ("image", "version", "release"),
    [
        ("registry:5000/mirror/calico/node:v3.29.3", "v3.31.7", "v3.29.3"),
        ("registry:5000/calico/node@sha256:0123", "v3.31.7", "v3.31.7"),
        ("calico/node:latest", "v3.31.7", "v3.31.7"),
        ("calico/node:latest", "", "latest"),
        ("", "odd", "odd"),
        ("", "", ""),
    ],
)
def test_the_release_comes_from_the_image_or_the_cluster(
    cluster: Cluster, image: str, version: str, release: str
) -> None:
    """The image's tag where it is a release, else ClusterInformation; what cannot be parsed stays readable."""
    if image:
        cluster.daemonset([], image)
    cluster.write("clusterinformations.crd.projectcalico.org", [{"spec": {"calicoVersion": version}}])
    found = cluster.node.release
    assert (found.text if isinstance(found, Release) else found) == release


def test_host_local_ipam_makes_blocks_of_pod_cidrs(cluster: Cluster) -> None:
    """With USE_POD_CIDR a node's block is its podCIDR and its tunnel address the second address of it."""
    cluster.daemonset([{"name": "USE_POD_CIDR", "value": "true"}])
    cluster.write("nodes", [{"metadata": {"name": "a", "annotations": {"projectcalico.org/IPv4Address": "10.0.0.1/24"}},
                             "spec": {"podCIDR": "10.233.64.0/24"}}])  # fmt: skip
    found = cluster.read()
    assert [str(block.cidr) for block in found.blocks] == ["10.233.64.0/24"]
    assert str(found.nodes["a"].tunnel_address) == "10.233.64.1"


def test_a_node_without_calico_is_no_node_of_the_overlay(cluster: Cluster) -> None:
    """Where calico-node pods are known, a node with neither such a pod nor an annotation is left out."""
    calico = {"containers": [{"name": "calico-node", "image": IMAGE}], "nodeName": "a"}
    cluster.write("pods", [{"metadata": {"name": "x", "namespace": "calico-system"}, "spec": calico}])
    cluster.write("nodes", [{"metadata": {"name": name, "annotations": {}}} for name in "ab"])
    assert list(cluster.read().nodes) == ["a"]
