"""A fresh lab's datastore beside real Calico clusters' with the same names: equal but for what differs by nature."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.lab.api.store import Store
from pytest_calico_ipip.lab.calico import workload
from pytest_calico_ipip.lab.calico.objects import hostname_hash
from pytest_calico_ipip.lab.controlplane import fill, keep_calico_node
from pytest_calico_ipip.lab.kubelet.status import ContainerState, pod_status
from pytest_calico_ipip.lab.spec import LabSpec

RECORDED = Path(__file__).parents[1] / "recorded"
SPECS = {
    "v3.31.7-always": LabSpec(),
    "v3.31.7-crosssubnet": LabSpec(ipip_mode="CrossSubnet", subnets=2),
    "v3.34dev-always": LabSpec(profile="felix"),
}
CALICO_KINDS = (
    "bgpconfigurations",
    "bgppeers",
    "blockaffinities",
    "clusterinformations",
    "felixconfigurations",
    "ipamconfigs",
    "ippools",
)
PODS = {
    "sleep-curl-1": "virtnest-rook-ceph-1",
    "sleep-curl-2": "virtnest-rook-ceph-2",
    "sleep-curl-3": "virtnest-rook-ceph-3",
    "sleep-curl-4": "virtnest-rook-ceph-1",
}
# what the API server of the recording did not fill in, and what names the machine
LESS_IN_RECORDING = {
    "serviceAccount",
    "automountServiceAccountToken",
    "terminationMessagePolicy",
    "imagePullPolicy",
    "generation",
    "capacity",
    "allocatable",
}
MACHINES_OWN = {"kernelVersion", "osImage", "clusterGUID"}

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+ \+0000 UTC|Z)")
_CONTAINER = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Pair:
    """A lab's datastore and the recording that it stands beside."""

    store: Store
    recording: str

    def recorded(self, resource: str) -> list[dict[str, Any]]:
        path = RECORDED / self.recording / "api" / f"{resource}.json"
        # the recording is of a development build; the lab says that it is the release
        text = path.read_text().replace("v3.34.0-0.dev", "v3.34.0")
        items: list[dict[str, Any]] = json.loads(text)["items"]
        return items


def settled(value: Any, key: str = "") -> Any:
    """Without uids and versions, times and container ids as words, sequence numbers as one word."""
    if isinstance(value, dict):
        drop = {"uid", "resourceVersion"} | LESS_IN_RECORDING | MACHINES_OWN
        return {_CONTAINER.sub("ID", name): settled(inner, name) for name, inner in value.items() if name not in drop}
    if isinstance(value, list):
        return [settled(inner) for inner in value]
    if isinstance(value, str):
        return _CONTAINER.sub("ID", _TIME.sub("TIME", value))
    if isinstance(value, int) and value > 1 << 40:
        return "NUMBER"
    return value


@pytest.fixture(scope="module", params=SPECS)
def pair(request: pytest.FixtureRequest) -> Pair:
    """A lab's datastore with the recorded pods in it, as the kubelets write them."""
    spec, store = SPECS[request.param], Store()
    ipam = fill(store, spec)
    nodes = {node.name: node for node in spec.node_specs()}
    store.create("namespaces", {"metadata": {"name": "sleep-curl"}})
    for name, node in PODS.items():
        container = {"name": "sleep-curl", "image": "curlimages/curl"}
        pod = store.create(
            "pods",
            {
                "metadata": {"name": name, "namespace": "sleep-curl", "labels": {"app": "sleep-curl"}},
                "spec": {"nodeName": node, "containers": [container], "automountServiceAccountToken": False},
            },
        )
        container_id = name.encode().hex().rjust(64, "0")
        address = str(ipam.assign(nodes[node], container_id, "sleep-curl", name))
        running = ContainerState("sleep-curl", "curlimages/curl", {"running": {"startedAt": "2026-11-22T17:49:02Z"}})
        pod["status"] = pod_status(
            pod,
            [running],
            address=address,
            host=str(nodes[node].address.ip),
            started="2026-11-22T17:49:02Z",
            ready=True,
            now="2026-11-22T17:49:02Z",
        )
        pod["metadata"]["annotations"] = {
            "cni.projectcalico.org/containerID": container_id,
            "cni.projectcalico.org/podIP": f"{address}/32",
            "cni.projectcalico.org/podIPs": f"{address}/32",
        }
        store.update("pods", pod, subresource="status")
    return Pair(store, request.param)


@pytest.mark.parametrize("kind", CALICO_KINDS)
def test_calico_s_objects(pair: Pair, kind: str) -> None:
    """Each of Calico's kinds lists what real Calico's does, field by field."""
    resource = f"{kind}.crd.projectcalico.org"
    assert settled(pair.store.list(resource)[0]) == settled(pair.recorded(resource))


def test_blocks(pair: Pair) -> None:
    """Blocks have the recorded allocations, attributes and flags."""
    resource = "ipamblocks.crd.projectcalico.org"
    assert settled(pair.store.list(resource)[0]) == settled(pair.recorded(resource))


def test_handles(pair: Pair) -> None:
    """Handles name the same blocks, one a tunnel address and one a pod."""
    resource = "ipamhandles.crd.projectcalico.org"

    def by_name(items: Any) -> list[str]:
        return sorted(json.dumps(settled(item), sort_keys=True) for item in items)

    assert by_name(pair.store.list(resource)[0]) == by_name(pair.recorded(resource))


def test_nodes(pair: Pair) -> None:
    """Nodes have the recorded addresses, labels and Calico's annotations."""
    assert settled(pair.store.list("nodes")[0]) == settled(pair.recorded("nodes"))


def test_pods(pair: Pair) -> None:
    """Pods with the recorded names have the recorded addresses, annotations, conditions and statuses."""
    assert settled(pair.store.list("pods", "sleep-curl")[0]) == settled(pair.recorded("pods"))


def test_namespaces(pair: Pair) -> None:
    """Namespaces look alike; Calico's own lives in kube-system here, as the plain manifest has it."""
    lab = {one["metadata"]["name"]: settled(one) for one in pair.store.list("namespaces")[0]}
    for one in pair.recorded("namespaces"):
        if one["metadata"]["name"] != "calico-system":
            assert lab[one["metadata"]["name"]] == settled(one)


def test_hostname_hash(pair: Pair) -> None:
    """The label by which an affinity names its node is what Calico computes, for every recorded node."""
    for affinity in pair.recorded("blockaffinities.crd.projectcalico.org"):
        label = affinity["metadata"]["labels"]["projectcalico.org/hostname-hash"]
        assert hostname_hash(affinity["spec"]["node"]) == label


def test_calico_node_is_a_daemon_set_with_a_pod_a_node(pair: Pair) -> None:
    """The DaemonSet owns one pod on each node, found by its label, in the host's network, with the release's image."""
    store = pair.store
    daemon_set = store.get("daemonsets.apps", "kube-system", "calico-node")
    pods = store.list("pods", "kube-system", label_selector="k8s-app=calico-node")[0]
    assert sorted(pod["spec"]["nodeName"] for pod in pods) == sorted(set(PODS.values()))
    for pod in pods:
        assert pod["metadata"]["ownerReferences"][0]["uid"] == daemon_set["metadata"]["uid"]
        assert pod["spec"]["hostNetwork"] is True
        assert (
            pod["spec"]["containers"][0]["image"] == f"docker.io/calico/node:{SPECS[pair.recording].generation.version}"
        )
    assert daemon_set["status"]["numberReady"] == 3


def test_a_deleted_calico_node_pod_comes_back() -> None:
    """The DaemonSet keeps a pod on each node, under another name, and lets go when it is deleted itself."""
    spec, store = LabSpec(nodes=2), Store()
    fill(store, spec)

    def names() -> dict[str, str]:
        pods = store.list("pods", "kube-system", label_selector="k8s-app=calico-node")[0]
        return {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in pods}

    async def work() -> None:
        keeping = asyncio.create_task(keep_calico_node(store, spec))
        await asyncio.sleep(0)
        before = names()
        store.delete("pods", "kube-system", before["virtnest-rook-ceph-2"], grace_period_seconds=0)
        await asyncio.sleep(0.01)
        after = names()
        assert after["virtnest-rook-ceph-1"] == before["virtnest-rook-ceph-1"]
        assert after["virtnest-rook-ceph-2"] != before["virtnest-rook-ceph-2"]
        store.delete("daemonsets.apps", "kube-system", "calico-node")
        await asyncio.sleep(0.01)
        assert names() == {}
        keeping.cancel()

    asyncio.run(work())


def test_environment_follows_the_spec_and_the_config_map() -> None:
    """The pool's mode is in calico-node's environment, and the MTU behind a key of calico-config."""
    environment = {one["name"]: one for one in workload.environment(LabSpec(ipip_mode="CrossSubnet"))}
    assert environment["CALICO_IPV4POOL_IPIP"]["value"] == "CrossSubnet"
    reference = environment["FELIX_IPINIPMTU"]["valueFrom"]["configMapKeyRef"]
    assert workload.config_map()["data"][reference["key"]] == "0"


def test_twenty_nodes_have_blocks_of_their_own() -> None:
    """Any number of nodes up to twenty gets as many distinct blocks, tunnel addresses and calico-node pods."""
    store = Store()
    fill(store, LabSpec(nodes=20))
    blocks = {one["spec"]["cidr"] for one in store.list("ipamblocks.crd.projectcalico.org")[0]}
    assert len(blocks) == 20
    assert len(store.list("pods", "kube-system")[0]) == 20
