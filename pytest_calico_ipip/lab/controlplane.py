"""Everything above the nodes, in one asyncio process: the API, its objects, IPAM, and the kubelets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_calico_ipip.lab.api.resources import serve_calico
from pytest_calico_ipip.lab.api.store import ApiError, Store
from pytest_calico_ipip.lab.calico import objects, workload
from pytest_calico_ipip.lab.calico.ipam import Ipam
from pytest_calico_ipip.lab.kubelet.kubelets import Kubelets, LabTopology
from pytest_calico_ipip.lab.kubelet.nodes import node
from pytest_calico_ipip.lab.nodelife import NodeControllers
from pytest_calico_ipip.lab.policies import Isolate, Policies
from pytest_calico_ipip.lab.spec import MANAGEMENT, Hook, LabSpec

if TYPE_CHECKING:
    from pytest_calico_ipip.lab.api.server import ApiServer

ChangeObjects = Callable[[Store], Awaitable[None]]


def fill(store: Store, spec: LabSpec) -> Ipam:
    """Put a fresh Calico cluster into the store: nodes with blocks and tunnel addresses, its objects and workload."""
    ipam = Ipam(store, spec)
    for resource, obj in objects.cluster_wide(spec):
        store.create(resource, obj)
    for one in spec.node_specs():
        store.create("nodes", node(one))
        ipam.claim(one)
    for resource, obj in workload.objects(spec):
        store.create(resource, obj)
    owner = store.get("daemonsets.apps", workload.NAMESPACE, workload.NAME)["metadata"]["uid"]
    for one in spec.node_specs():
        store.create("pods", workload.pod(spec, one, owner))
    return ipam


async def keep_calico_node(store: Store, spec: LabSpec) -> None:
    """What the DaemonSet's controller does: a calico-node pod that was deleted comes back under another name."""
    nodes = {node.name: node for node in spec.node_specs()}
    selector = ",".join(f"{key}={value}" for key, value in workload.LABELS.items())
    changes = store.watch("pods", workload.NAMESPACE, label_selector=selector, resource_version=store.version)
    async for change, pod in changes:
        node = nodes.get(pod["spec"].get("nodeName", ""))
        if change != "DELETED" or node is None:
            continue
        with suppress(ApiError):  # the DaemonSet has gone, too
            owner = store.get("daemonsets.apps", workload.NAMESPACE, workload.NAME)["metadata"]["uid"]
            again = workload.pod(spec, node, owner)
            again["metadata"]["generateName"] = f"{workload.NAME}-"
            del again["metadata"]["name"]
            store.create("pods", again)


@contextmanager
def _no_certificates() -> Iterator[None]:
    """While aiohttp is imported: its client, which the lab does not use, reads all of the machine's authorities then.

    That is 75 ms of processor time, a third of the import.
    """
    before = {name: os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    os.environ.update(dict.fromkeys(before, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class ControlPlane:
    """The lab's Kubernetes."""

    def __init__(self, spec: LabSpec, store: Store, kubelets: Kubelets, server: ApiServer, isolate: Isolate) -> None:
        self.store = store
        self.kubelets = kubelets
        self.server = server
        self._keeping = asyncio.create_task(keep_calico_node(store, spec))
        self._controllers = NodeControllers(store)
        self._policies = Policies(store, isolate)

    @classmethod
    async def start(
        cls,
        spec: LabSpec,
        topology: LabTopology,
        state: Path,
        *,
        at_pod: Iterable[Hook] = (),
        change_objects: Iterable[ChangeObjects] = (),
    ) -> ControlPlane:
        """Fill the store, start kubelets and API; `<state>/kubeconfig` is written when this returns.

        `at_pod` are the faults' own hooks (those of the spec are known); `change_objects` are what faults do to the
        datastore.
        """
        serve_calico(natively=spec.native)
        store = Store()
        ipam = fill(store, spec)
        for change in change_objects:
            await change(store)
        kubelets = Kubelets(store, topology, ipam, [*at_pod, *spec.at_pod], state / "kubelets.log")
        kubelets.start()  # the shim starts while the API's libraries are imported
        with _no_certificates():
            from pytest_calico_ipip.lab.api.server import ApiServer

        server = ApiServer(store, kubelets)
        try:
            await server.start(state, for_pods=str(MANAGEMENT))
            kubelets.api = server.place
            await kubelets.ready()
        except BaseException:
            await kubelets.stop()
            raise
        return cls(spec, store, kubelets, server, topology.firewall_isolate)

    @property
    def failure(self) -> asyncio.Future[None]:
        """Has an exception as soon as the lab cannot be trusted any more: a hook that failed, a kubelet that broke."""
        return self.kubelets.failure

    async def stop(self) -> None:
        """End the API and every pod."""
        self._keeping.cancel()
        self._controllers.stop()
        self._policies.stop()
        await self.server.stop()
        await self.kubelets.stop()
