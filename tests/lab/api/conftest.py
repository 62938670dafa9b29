"""A lab API on this machine: the real store and server in a thread, stand-ins for the kubelets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.lab.api.store import Store

from . import fakes

NODES = ("virtnest-rook-ceph-1", "virtnest-rook-ceph-2", "virtnest-rook-ceph-3")


class LabApi:
    """The server, running in a thread of its own; `call` runs something there."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="lab-api")
        self.runtime = fakes.LocalRuntime()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._failure = error
            self._started.set()

    async def _serve(self) -> None:
        from pytest_calico_ipip.lab.api.server import ApiServer

        self._stop = asyncio.Event()
        self.store = Store()
        self.fill()
        self.server = ApiServer(self.store, self.runtime)
        self.kubeconfig = await self.server.start(self._state)
        kubelet = asyncio.create_task(fakes.kubelet(self.store))
        self._started.set()
        await self._stop.wait()
        kubelet.cancel()
        await self.server.stop()

    def fill(self) -> None:
        """Three ready nodes."""
        for number, name in enumerate(NODES, start=1):
            self.store.create("nodes", fakes.node(name, number))

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(20), "the API did not start within 20 s"
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive(), "the API did not stop within 20 s"

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Run a function in the server's thread, where the store lives."""

        async def run() -> Any:
            return function(*args, **options)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(20)


@pytest.fixture
def store() -> Store:
    """An empty cluster with three ready nodes, and no server."""
    made = Store()
    for number, name in enumerate(NODES, start=1):
        made.create("nodes", fakes.node(name, number))
    return made


@pytest.fixture(scope="session")
def lab_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabApi]:
    """One server for all tests; each test uses its own namespace."""
    api = LabApi(tmp_path_factory.mktemp("lab-api"))
    api.start()
    yield api
    api.stop()


@pytest.fixture
def namespace(lab_api: LabApi, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**9}"
    lab_api.call(lab_api.store.create, "namespaces", {"metadata": {"name": name}})
    yield name
    if ("", name) in lab_api.store.held("namespaces"):
        lab_api.call(lab_api.store.delete, "namespaces", None, name)
