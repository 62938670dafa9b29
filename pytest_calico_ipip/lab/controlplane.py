"""Everything above the nodes, in one asyncio process: the API, its objects, IPAM, and the kubelets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_calico_ipip.lab.api.store import Store
from pytest_calico_ipip.lab.calico import objects, workload
from pytest_calico_ipip.lab.calico.ipam import Ipam
from pytest_calico_ipip.lab.kubelet.kubelets import Kubelets, LabTopology
from pytest_calico_ipip.lab.kubelet.nodes import node
from pytest_calico_ipip.lab.spec import Hook, LabSpec

if TYPE_CHECKING:
    from pytest_calico_ipip.lab.api.server import ApiServer

ChangeObjects = Callable[[Store], Awaitable[None]]


def fill(store: Store, spec: LabSpec) -> Ipam:
    """Put a fresh Calico cluster into the store: nodes with blocks and tunnel addresses, its objects and workload."""
    ipam = Ipam(store)
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


class ControlPlane:
    """The lab's Kubernetes."""

    def __init__(self, store: Store, kubelets: Kubelets, server: ApiServer) -> None:
        self.store = store
        self.kubelets = kubelets
        self.server = server

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
        store = Store()
        ipam = fill(store, spec)
        for change in change_objects:
            await change(store)
        kubelets = Kubelets(store, topology, ipam, [*at_pod, *spec.at_pod], state / "kubelets.log")
        kubelets.start()  # the shim starts while the API's libraries are imported
        from pytest_calico_ipip.lab.api.server import ApiServer

        server = ApiServer(store, kubelets)
        try:
            await server.start(state)
            await kubelets.ready()
        except BaseException:
            await kubelets.stop()
            raise
        return cls(store, kubelets, server)

    @property
    def failure(self) -> asyncio.Future[None]:
        """Has an exception as soon as the lab cannot be trusted any more: a hook that failed, a kubelet that broke."""
        return self.kubelets.failure

    async def stop(self) -> None:
        """End the API and every pod."""
        await self.server.stop()
        await self.kubelets.stop()
