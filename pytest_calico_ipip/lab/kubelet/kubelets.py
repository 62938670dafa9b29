"""All kubelets of the lab: what the API says should run does, and `exec`, `attach` and `logs` reach it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Protocol

from pytest_calico_ipip.lab import tools
from pytest_calico_ipip.lab.api.accounts import ApiPlace
from pytest_calico_ipip.lab.api.runtime import Process, RuntimeRefusal
from pytest_calico_ipip.lab.api.store import ApiError, Store
from pytest_calico_ipip.lab.calico.ipam import Ipam
from pytest_calico_ipip.lab.calico.policy import Isolation
from pytest_calico_ipip.lab.errors import LabError
from pytest_calico_ipip.lab.kubelet import image, podspec
from pytest_calico_ipip.lab.kubelet.container_life import Container
from pytest_calico_ipip.lab.kubelet.engine import Engine, Refused
from pytest_calico_ipip.lab.kubelet.pod import Ground, Object, Pod, Sandbox
from pytest_calico_ipip.lab.kubelet.process import ContainerProcess
from pytest_calico_ipip.lab.spec import Hook, LabSpec, NodeSpec

_EXEC_FAILED = "OCI runtime exec failed: exec failed: unable to start container process: "


class Ended(Protocol):
    """How a command in a node ended."""

    @property
    def returncode(self) -> int:
        """Exit status."""

    @property
    def stderr(self) -> bytes:
        """What it complained about."""


class LabNode(Protocol):
    """What a kubelet needs of a node: who it is, its first process, and a shell in it."""

    spec: NodeSpec
    pid: int

    async def shell(
        self, command: str, *, env: Mapping[str, str] | None = None, check: bool = True, timeout: float = 60
    ) -> Ended:
        """Run a command line in the node."""


class LabTopology(Protocol):
    """What the kubelets need of the topology."""

    @property
    def spec(self) -> LabSpec:
        """What the lab is."""

    @property
    def nodes(self) -> Mapping[str, LabNode]:
        """By name."""

    async def firewall_add_pod(
        self, node: str, workload_interface: str, namespace: str, service_account: str = "default"
    ) -> None:
        """A workload's chains."""

    async def firewall_remove_pod(self, node: str, workload_interface: str) -> None:
        """Remove them."""

    async def firewall_isolate(self, node: str, isolations: Mapping[str, Isolation]) -> None:
        """What NetworkPolicies let through, by workload interface."""

    async def announce(self, node: str, address: IPv4Address) -> None:
        """A pod of the node has this address."""

    async def withdraw(self, node: str, address: IPv4Address) -> None:
        """It has it no more."""


class Kubelets:
    """Watches pods; implements the contract `Runtime`.

    `failure` is set when the lab cannot be trusted any more (a hook failed, a kubelet broke): whoever runs the lab ends
    it then.
    """

    def __init__(self, store: Store, topology: LabTopology, ipam: Ipam, hooks: Iterable[Hook], log: Path) -> None:
        self._store = store
        self._topology = topology
        self._hooks = tuple(hooks)
        self._pods: dict[str, Pod] = {}  # by uid
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._ipam = ipam
        self._log = log
        self._engine: Engine | None = None
        self._image: dict[str, Any] | None = None
        self.api: ApiPlace | None = None  # what pods are told of it, once it is there
        self._hidden = tools.hidden(topology.spec.extra)
        self._watching: asyncio.Task[None] | None = None
        self._watching_nodes: asyncio.Task[None] | None = None
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Enter the nodes and begin to watch."""
        if tools.busybox(self._topology.spec.extra):
            self._image = image.make(self._log.parent / "images" / "curl", tools.pod_programs())
        self._engine = Engine.start(self._log)
        for name, node in self._topology.nodes.items():
            self._engine.enter(name, node.pid)
        self._watching = asyncio.create_task(self._watch())
        self._watching_nodes = asyncio.create_task(self._watch_nodes())

    async def ready(self) -> None:
        """Until every node's shim answers. Raises `LabError`."""
        assert self._engine is not None
        try:
            await asyncio.gather(*(node.ask("hello") for node in self._engine.nodes.values()))
        except Refused as refusal:
            said = self._log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
            raise LabError(f"the kubelets could not enter the nodes: {refusal}", said) from None

    async def stop(self) -> None:
        """End every pod's processes; the namespaces go with the nodes."""
        tasks = [task for task in (self._watching, self._watching_nodes, *self._lives.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._engine is not None:
            await self._engine.close()
        if not self.failure.done():
            self.failure.cancel()

    def knows(self, namespace: str, name: str) -> bool:
        """Whether anything of a pod of that name is still here, also after its object has gone."""
        return any((pod.namespace, pod.name) == (namespace, name) for pod in self._pods.values())

    # watching

    async def _watch(self) -> None:
        with self._store.watch("pods") as changes:
            async for kind, pod in changes:
                try:
                    self._changed(kind, pod)
                except Exception as error:
                    self._fail(error)

    async def _watch_nodes(self) -> None:
        """Pods follow their node's conditions."""
        with self._store.watch("nodes", resource_version=self._store.version) as changes:
            async for _, node in changes:
                for pod in list(self._pods.values()):
                    if pod.node == node["metadata"]["name"]:
                        pod.node_changed(node)

    def _changed(self, kind: str, pod: Object) -> None:
        uid: str = pod["metadata"]["uid"]
        node = pod["spec"].get("nodeName")
        if node not in self._topology.nodes:
            return
        if kind == "DELETED":
            if uid in self._pods:
                self._pods[uid].delete(0)
            return
        deleted = "deletionTimestamp" in pod["metadata"]
        if uid not in self._pods:
            if deleted:  # it was deleted before it began, or has ended meanwhile
                with suppress(ApiError):
                    place = (pod["metadata"]["namespace"], pod["metadata"]["name"])
                    self._store.delete("pods", *place, grace_period_seconds=0, uid=uid)
                return
            life = self._pods[uid] = Pod(self._ground(node), pod)
            self._lives[uid] = asyncio.create_task(self._live(life))
        elif deleted:
            self._pods[uid].delete(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))

    async def _live(self, pod: Pod) -> None:
        try:
            await pod.run()
        except Exception as error:
            self._fail(error)
        finally:
            self._pods.pop(pod.uid, None)
            self._lives.pop(pod.uid, None)

    def _fail(self, error: Exception) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)
            self.failure.exception()  # it is no longer asyncio's business that somebody reads it

    def _ground(self, node: str) -> Ground:
        assert self._engine is not None
        return Ground(
            store=self._store,
            ipam=self._ipam,
            engine=self._engine.nodes[node],
            node=self._topology.nodes[node].spec,
            firewall_add=self._topology.firewall_add_pod,
            firewall_remove=self._topology.firewall_remove_pod,
            announce=self._topology.announce,
            withdraw=self._topology.withdraw,
            metric=self._topology.spec.generation.metric,
            hooks=self._run_hooks,
            image=self._image,
            hidden=self._hidden,
            api=self.api,
        )

    async def _run_hooks(self, pod: Object, sandbox: Sandbox) -> None:
        """The commands for each new pod of a node; not for pods that use the node's own network."""
        node = pod["spec"]["nodeName"]
        environment = {
            "PATH": podspec.PATH,
            "POD_NAME": pod["metadata"]["name"],
            "POD_NAMESPACE": pod["metadata"]["namespace"],
            "POD_IP": sandbox.address,
            "HOST_IFACE": sandbox.interface,
            "NETNS": sandbox.netns,
        }
        for hook in self._hooks:
            if hook.node == node and sandbox.netns:
                done = await self._topology.nodes[node].shell(hook.command, env=environment, check=False)
                if done.returncode != 0:
                    raise LabError(
                        f"--at-pod {node} failed with {done.returncode} for {environment['POD_NAME']}: {hook.command}",
                        done.stderr.decode(errors="replace").strip(),
                    )

    # the runtime

    async def exec(
        self, namespace: str, pod: str, container: str | None, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> Process:
        """Start a command in a container."""
        life, chosen = self._find(namespace, pod, container)
        argv = list(command)
        if not argv:
            raise RuntimeRefusal("you must specify at least one command for the container")
        target: str | None = None
        if life.is_calico_node:
            argv[0] = podspec.CALICO_PROGRAMS.get(argv[0], argv[0])
        elif chosen.task is None:
            raise RuntimeRefusal(f'container not found ("{chosen.name}")')
        else:
            target = chosen.task
        environment = {**chosen.environment, **({"TERM": "xterm"} if tty else {})}
        program = chosen.program
        try:
            return await ContainerProcess.start(
                life.engine,
                target,
                argv,
                environment,
                terminal=tty,
                stdin=stdin,
                cwd=program.cwd if program else "/",
                confinement=program.confinement if program else None,
            )
        except Refused as refusal:
            raise RuntimeRefusal(f"{_EXEC_FAILED}{refusal}: unknown") from None

    async def attach(self, namespace: str, pod: str, container: str | None, *, stdin: bool) -> Process:
        """Join a container's main process."""
        _, chosen = self._find(namespace, pod, container)
        if chosen.process is None:
            raise RuntimeRefusal(f'container not found ("{chosen.name}")')
        return Attached(chosen, chosen.process, stdin=stdin)

    async def logs(
        self, namespace: str, pod: str, container: str | None, *, follow: bool, tail: int | None, timestamps: bool
    ) -> AsyncIterator[bytes]:
        """A container's output."""
        _, chosen = self._find(namespace, pod, container)
        waiting = chosen.state.state.get("waiting")
        if waiting and chosen.state.last_state == {}:
            why = f'container "{chosen.name}" in pod "{pod}" is waiting to start: {waiting["reason"]}'
            raise RuntimeRefusal(why)
        async for line in chosen.log.read(follow=follow, tail=tail, timestamps=timestamps):
            yield line

    def _find(self, namespace: str, name: str, container: str | None) -> tuple[Pod, Container]:
        lives = [life for life in self._pods.values() if (life.namespace, life.name) == (namespace, name)]
        if not lives:
            raise RuntimeRefusal(f'pod "{name}" in namespace "{namespace}" is not running here')
        life = lives[-1]  # a pod of the same name may just be ending
        annotations: Mapping[str, Any] = life.pod["metadata"].get("annotations") or {}
        wanted = container or annotations.get("kubectl.kubernetes.io/default-container") or life.containers[0].name
        for one in (*life.containers, *life.inits):
            if one.name == wanted:
                return life, one
        raise RuntimeRefusal(f"container {wanted} is not valid for pod {name}")


class Attached:
    """A container's main process, seen by somebody who joined it."""

    def __init__(self, container: Container, process: ContainerProcess, *, stdin: bool) -> None:
        self._log = container.log
        self._process = process
        self._stdin = stdin

    async def write(self, data: bytes) -> None:
        """Feed its standard input, if that was asked for."""
        if self._stdin:
            await self._process.write(data)

    async def close_stdin(self) -> None:
        """End of its standard input."""
        if self._stdin:
            await self._process.close_stdin()

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal a new size."""
        self._process.resize(rows, columns)

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """What it says from now on."""
        return self._log.live()

    async def wait(self) -> int:
        """Its exit status."""
        return await self._process.exit_status()

    def kill(self) -> None:
        """Leave: the process stays."""
