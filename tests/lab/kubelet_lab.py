"""Kubelets over two stand-in nodes, and what tests ask of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from pytest_calico_ipip.lab.api.server import ApiServer
from pytest_calico_ipip.lab.api.store import Store
from pytest_calico_ipip.lab.controlplane import fill
from pytest_calico_ipip.lab.kubelet.kubelets import Kubelets
from pytest_calico_ipip.lab.nodelife import NodeControllers
from pytest_calico_ipip.lab.spec import Hook, LabSpec

from .kubelet_ground import StandInTopology

NODE = "virtnest-rook-ceph-1"


class Lab:
    """Kubelets over two stand-in nodes, on an event loop that runs while a test waits for something."""

    def __init__(self, state: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.state = state
        self.served: ApiServer | None = None  # where a test wants the API over TLS
        self.names = (f"pod-{number}" for number in range(1000))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 30))

    async def start(self, hooks: tuple[Hook, ...] = (), extra: dict[str, str] | None = None) -> None:
        self.spec = LabSpec(nodes=2, extra=extra or {})
        self.topology = await StandInTopology.build(self.spec)
        self.store = Store()
        self.ipam = fill(self.store, self.spec)
        self.kubelets = Kubelets(self.store, self.topology, self.ipam, hooks, self.state / "kubelets.log")
        self.kubelets.start()
        self.controllers = NodeControllers(self.store)

    async def stop(self) -> None:
        if self.served is not None:
            await self.served.stop()
        self.controllers.stop()
        await self.kubelets.stop()
        await self.topology.close()

    def create(self, *, name: str = "", node: str = NODE, container: Any = None, **spec: Any) -> str:
        name = name or next(self.names)
        main = {"name": "main", "image": "curlimages/curl", **(container or {})}
        self.store.create(
            "pods",
            {
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [main], **spec},
            },
        )
        return name

    def pod(self, name: str) -> dict[str, Any]:
        return self.store.get("pods", "default", name)

    def wait(self, what: Callable[[], Any], seconds: float = 10) -> Any:
        """Run the loop until `what` is true, and give what it said."""
        end = time.monotonic() + seconds
        while not (answer := what()):
            assert time.monotonic() < end, f"waited {seconds} s in vain; {self.explain()}"
            self.run(asyncio.sleep(0.005))
        return answer

    def explain(self) -> str:
        messages = [event["message"] for event in self.store.list("events")[0]][-5:]
        return f"events {messages}, failure {self.kubelets.failure}, shim {(self.state / 'kubelets.log').read_text()}"

    def running(self, name: str) -> dict[str, Any]:
        """The pod, once it is Ready."""

        def ready() -> Any:
            pod = self.pod(name)
            conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", ())}
            return pod if conditions.get("Ready") == "True" else None

        found: dict[str, Any] = self.wait(ready)
        return found

    def gone(self, name: str) -> None:
        self.wait(lambda: name not in [pod["metadata"]["name"] for pod in self.store.list("pods", "default")[0]])
        self.wait(lambda: not self.kubelets.knows("default", name))

    def in_pod(self, name: str, *command: str, stdin: bytes | None = None, tty: bool = False) -> tuple[int, str, str]:
        async def work() -> tuple[int, str, str]:
            process = await self.kubelets.exec("default", name, None, command, tty=tty, stdin=stdin is not None or tty)
            if stdin is not None:
                await process.write(stdin)
                await process.close_stdin()
            said = {1: b"", 2: b""}
            async for channel, data in process.output():
                said[channel] += data
            return await process.wait(), said[1].decode(), said[2].decode()

        result: tuple[int, str, str] = self.run(work())
        return result

    def on_node(self, command: str, node: str = NODE) -> str:
        done = self.run(self.topology.nodes[node].shell(command))
        return str(done.stdout.decode())

    def reasons(self, name: str) -> list[str]:
        events = self.store.list("events", "default", field_selector=f"involvedObject.name={name}")[0]
        return [event["reason"] for event in events]
