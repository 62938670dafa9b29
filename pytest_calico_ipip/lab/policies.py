"""NetworkPolicies take effect: watches them, pods and namespaces, and gives each node's firewall what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from pytest_calico_ipip.lab.api.selectors import Object
from pytest_calico_ipip.lab.api.store import Store
from pytest_calico_ipip.lab.calico.policy import OPEN, Isolation, isolation
from pytest_calico_ipip.lab.spec import workload_interface

Isolate = Callable[[str, Mapping[str, Isolation]], Awaitable[None]]  # node, by workload interface

_POLICIES = "networkpolicies.networking.k8s.io"
_EVERYWHERE = "globalnetworkpolicies.crd.projectcalico.org"


class Policies:
    """As long as there is no policy it does nothing at all."""

    def __init__(self, store: Store, isolate: Isolate) -> None:
        self._store = store
        self._isolate = isolate
        self._changed = asyncio.Event()
        self._isolated: set[str] = set()  # nodes that have been told of a policy
        kinds = (_POLICIES, _EVERYWHERE, "pods", "namespaces")
        self._tasks = [asyncio.create_task(self._watch(kind)) for kind in kinds]
        self._tasks.append(asyncio.create_task(self._apply()))

    def stop(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()

    async def _watch(self, kind: str) -> None:
        async for _ in self._store.watch(kind):
            if self._isolated or kind in (_POLICIES, _EVERYWHERE) or self._held(_POLICIES) or self._held(_EVERYWHERE):
                self._changed.set()

    async def _apply(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            found = self._all()
            for node in sorted({*found, *self._isolated}):
                await self._isolate(node, found.get(node, {}))
            self._isolated = set(found)

    def _held(self, kind: str) -> list[Object]:
        return list(self._store.held(kind).values())

    def _all(self) -> dict[str, dict[str, Isolation]]:
        """Every isolated pod's, by node and workload interface."""
        policies, everywhere = self._held(_POLICIES), self._held(_EVERYWHERE)
        pods = list(self._store.held("pods").values())
        namespaces = {name: obj for (_, name), obj in self._store.held("namespaces").items()}
        found: dict[str, dict[str, Isolation]] = {}
        for pod in pods if policies or everywhere else ():
            node, meta = pod["spec"].get("nodeName"), pod["metadata"]
            if node and not pod["spec"].get("hostNetwork"):
                one = isolation(pod, policies, pods, namespaces, everywhere)
                if one != OPEN:
                    found.setdefault(node, {})[workload_interface(meta["namespace"], meta["name"])] = one
        return found
