"""The life of one pod on one node: sandbox, hooks, containers, status; and its end in reverse."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any
from uuid import uuid4

from pytest_calico_ipip.lab import tools
from pytest_calico_ipip.lab.api.accounts import ApiPlace
from pytest_calico_ipip.lab.api.store import ApiError, Store, timestamp
from pytest_calico_ipip.lab.calico.ipam import BlockFull, Ipam
from pytest_calico_ipip.lab.kubelet import admission, events, podspec, security, volumes
from pytest_calico_ipip.lab.kubelet.container_life import Container, Program
from pytest_calico_ipip.lab.kubelet.engine import NodeEngine, Refused
from pytest_calico_ipip.lab.kubelet.status import ContainerState, phase, pod_status
from pytest_calico_ipip.lab.spec import NodeSpec, workload_interface

Object = dict[str, Any]
Firewall = Callable[[str, str, str, str], Awaitable[None]]
Unfirewall = Callable[[str, str], Awaitable[None]]
Tell = Callable[[str, IPv4Address], Awaitable[None]]


@dataclass(frozen=True)
class Sandbox:
    """A pod's network: the names of its parts, its address, and the id that IPAM and annotations know it by."""

    container_id: str
    netns: str  # empty with hostNetwork
    interface: str
    address: str


@dataclass(frozen=True)
class Ground:
    """What a pod needs of the lab around it."""

    store: Store
    ipam: Ipam
    engine: NodeEngine
    node: NodeSpec
    firewall_add: Firewall
    firewall_remove: Unfirewall
    announce: Tell  # the other nodes
    withdraw: Tell
    metric: int  # of the route to a pod
    hooks: Callable[[Object, Sandbox], Awaitable[None]]  # raises when one fails
    image: dict[str, Any] | None = None  # of pods that bring no tools; None: the machine's own files
    hidden: Sequence[str] = ()  # programs that the node does not show
    api: ApiPlace | None = None  # where pods reach the API; None: there is none for them

    def node_object(self) -> Object | None:
        """The node as the API has it."""
        try:
            return self.store.get("nodes", None, self.node.name)
        except ApiError:
            return None

    def rejection(self, pod: Object) -> admission.Verdict | None:
        """Why the node's kubelet does not take a pod."""
        node = self.node_object()
        if node is None:
            return None
        others = self.store.list("pods", field_selector=f"spec.nodeName={self.node.name}")[0]
        mine = pod["metadata"]["uid"]
        return admission.rejection(pod, node, [other for other in others if other["metadata"]["uid"] != mine])


class Pod:
    """One pod, by its uid; `run` lives as long as it does."""

    def __init__(self, ground: Ground, pod: Object) -> None:
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.namespace: str = pod["metadata"]["namespace"]
        self.name: str = pod["metadata"]["name"]
        self._ground = ground
        self._started = timestamp()
        self._ready = False
        self._sandbox: Sandbox | None = None
        self._deleted = asyncio.Event()
        self._evicted = asyncio.Event()
        self._failed: admission.Verdict | None = None
        self._grace: float = 0
        self.is_calico_node = podspec.is_calico_node(pod)
        policy: str = pod["spec"]["restartPolicy"]
        self.containers = [self._container(spec, policy) for spec in pod["spec"]["containers"]]
        policy = "Never" if policy == "Never" else "OnFailure"
        self.inits = [self._container(spec, policy) for spec in pod["spec"].get("initContainers") or ()]
        for container in self.containers if self.inits else ():
            container.state.state = {"waiting": {"reason": "PodInitializing"}}

    def _container(self, spec: Object, policy: str) -> Container:
        return Container(spec, policy, self._ground.engine, self._publish, self._container_says(spec["name"]))

    @property
    def node(self) -> str:
        """Where it runs."""
        return self._ground.node.name

    @property
    def engine(self) -> NodeEngine:
        """Its node's."""
        return self._ground.engine

    def delete(self, grace: float) -> None:
        """It shall go, within `grace` seconds; said again with 0, at once."""
        if self._deleted.is_set() and grace <= 0:
            for container in (*self.inits, *self.containers):
                container.kill()
        self._grace = min(grace, self._grace) if self._deleted.is_set() else grace
        self._deleted.set()

    def evict(self, why: admission.Verdict) -> None:
        """Its processes end and it is Failed; the object stays until somebody deletes it."""
        if not self._failed and not self._deleted.is_set():
            self._failed = why
            self._evicted.set()

    async def run(self) -> None:
        """From the sandbox to the object's removal."""
        try:
            self._say(
                "Scheduled", f"Successfully assigned {self.namespace}/{self.name} to {self.node}", "default-scheduler"
            )
            if self.is_calico_node:
                self._run_calico_node()
            elif rejected := self._ground.rejection(self.pod):
                self._fail(rejected)
            elif await self._set_up() and await self._initialise():
                for container, spec in zip(self.containers, self.pod["spec"]["containers"], strict=True):
                    self._begin(container, spec)
            await self._until_deleted()
            for container in self.containers:
                if container.task is not None:
                    self._say("Killing", f"Stopping container {container.name}", container=container.name)
        finally:
            await asyncio.gather(*(container.stop(self._grace) for container in (*self.inits, *self.containers)))
        await self._tear_down()

    async def _initialise(self) -> bool:
        """Run the init containers, one after the other; whether the others may start."""
        either = asyncio.ensure_future(self._deleted.wait()), asyncio.ensure_future(self._evicted.wait())
        try:
            for container, spec in zip(self.inits, self.pod["spec"].get("initContainers") or (), strict=True):
                self._begin(container, spec)
                ended = asyncio.ensure_future(container.ended())
                await asyncio.wait({ended, *either}, return_when=asyncio.FIRST_COMPLETED)
                ended.cancel()
                if container.state.exit_code != 0:
                    break
            self._publish()
            return not any(each.done() for each in either) and all(one.state.exit_code == 0 for one in self.inits)
        finally:
            for each in either:
                each.cancel()

    def _begin(self, container: Container, spec: Object) -> None:
        if tools.cannot_be_pulled(spec["image"]):
            container.begin_pulling(spec["imagePullPolicy"])
            return
        try:
            container.begin(self._program(spec))
        except (security.NotAllowed, volumes.NoVolume) as error:
            container.refuse("CreateContainerConfigError", str(error))

    async def _until_deleted(self) -> None:
        """Wait; where the kubelet ends the pod before, its containers stop and it is Failed."""
        deadline = self.pod["spec"].get("activeDeadlineSeconds")
        either = {asyncio.ensure_future(event.wait()) for event in (self._deleted, self._evicted)}
        try:
            done, _ = await asyncio.wait(either, timeout=deadline, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in either:
                each.cancel()
        if self._deleted.is_set():
            return
        if not done and not self._over():
            self._failed = (
                "DeadlineExceeded",
                "Pod was active on the node longer than the specified deadline",
            )
        if self._failed:
            await asyncio.gather(*(container.stop(0) for container in (*self.inits, *self.containers)))
            self._fail(self._failed)
        await self._deleted.wait()

    def _over(self) -> bool:
        """Whether it has ended by itself."""
        states = [container.state for container in self.containers]
        return phase(self.pod["spec"]["restartPolicy"], states) in ("Succeeded", "Failed")

    def _fail(self, why: admission.Verdict) -> None:
        self._failed = why
        self._say(why[0], why[1], kind="Warning")
        self._publish()

    def node_changed(self, node: Object) -> None:
        """The node's object has: the pod may have to go, or be Ready again."""
        if not self.is_calico_node and (why := admission.eviction(self.pod, node)):
            self.evict(why)
        elif self._sandbox is not None:
            self._publish()

    def _run_calico_node(self) -> None:
        """Its programs are the node's: nothing to start."""
        for container in self.containers:
            container.state.state = {"running": {"startedAt": timestamp()}}
        self._sandbox = Sandbox(secrets.token_hex(32), "", "", str(self._ground.node.address.ip))
        self._ready = True
        self._publish()

    async def _set_up(self) -> bool:
        """Sandbox, firewall, hooks; whether the containers may start."""
        try:
            podspec.refuse_what_is_missing(self.pod)
            sysctls = podspec.sysctls(self.pod)
            if self.pod["spec"].get("hostNetwork"):
                self._sandbox = Sandbox(secrets.token_hex(32), "", "", str(self._ground.node.address.ip))
            else:
                self._sandbox = await self._network(sysctls)
        except (podspec.BadSpec, BlockFull, Refused) as error:
            self._say("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}", kind="Warning")
            return False
        await self._ground.hooks(self.pod, self._sandbox)
        self._ready = True
        for spec in [*(self.pod["spec"].get("initContainers") or ()), *self.pod["spec"]["containers"]]:
            if tools.cannot_be_pulled(spec["image"]):
                continue
            self._say("Pulled", f'Container image "{spec["image"]}" already present on machine', container=spec["name"])
            self._say("Created", f"Created container: {spec['name']}", container=spec["name"])
        return True

    async def _network(self, sysctls: dict[str, str]) -> Sandbox:
        """Address, namespace and firewall; on failure nothing of it stays."""
        ground, interface = self._ground, workload_interface(self.namespace, self.name)
        container_id, netns = secrets.token_hex(32), f"cni-{uuid4()}"
        given = ground.ipam.assign(ground.node, container_id, self.namespace, self.name)
        address = str(given)
        account: str = self.pod["spec"]["serviceAccountName"]
        try:
            # Felix programs the rules when the pod is known, and drops packets of interfaces that it does not know
            await ground.firewall_add(self.node, interface, self.namespace, account)
            await ground.engine.ask(
                "sandbox", netns=netns, interface=interface, address=address, sysctls=sysctls, metric=ground.metric
            )
            await ground.announce(self.node, given)
        except BaseException:
            ground.ipam.release(container_id)
            raise
        return Sandbox(container_id, netns, interface, address)

    def _program(self, spec: Object) -> Program:
        assert self._sandbox is not None
        addresses = {"podIP": self._sandbox.address, "hostIP": str(self._ground.node.address.ip)}
        helper = tools.is_helper(spec["image"])
        ground = self._ground
        image = None if helper else ground.image
        return Program(
            argv=podspec.command(spec),
            environment={
                **(ground.api.environment() if ground.api else {}),
                **podspec.environment(self.pod, spec, addresses, "/home/curl_user" if image else "/root"),
            },
            cwd=spec.get("workingDir") or "/",
            netns=self._sandbox.netns,
            hostname=podspec.hostname(self.pod),
            files=podspec.files(self.pod, self._sandbox.address) if self._sandbox.netns else {},
            stdin=bool(spec.get("stdin")),
            terminal=bool(spec.get("tty")),
            container_id=self._sandbox.container_id,
            host_pid=bool(self.pod["spec"].get("hostPID")),
            confinement=security.confinement(self.pod, spec, tools.CURL_USER if image else (0, 0)),
            volumes=volumes.mounts(self.pod, spec, self._account if ground.api else None),
            image=image,
            revealed=list(ground.hidden) if helper else [],
        )

    def _account(self) -> Mapping[str, str]:
        """The files of its service account. Raises `NoVolume`."""
        assert self._ground.api is not None
        try:
            return self._ground.api.files(self.namespace, self.pod["spec"]["serviceAccountName"])
        except ApiError as error:
            raise volumes.NoVolume(f'MountVolume.SetUp failed for volume "kube-api-access": {error.message}') from None

    async def _tear_down(self) -> None:
        sandbox, ground = self._sandbox, self._ground
        if sandbox is not None and sandbox.netns:
            with suppress(Refused):
                await ground.engine.ask("remove", netns=sandbox.netns, interface=sandbox.interface)
            await ground.withdraw(self.node, IPv4Address(sandbox.address))
            await ground.firewall_remove(self.node, sandbox.interface)
            ground.ipam.release(sandbox.container_id)
        if self.pod["spec"].get("volumes"):
            with suppress(Refused):
                await ground.engine.ask("forget", uid=self.uid)
        gone = dict.fromkeys(self._annotations(), "")
        with suppress(ApiError):  # removed already: a deletion without grace
            ground.store.patch(
                "pods",
                self.namespace,
                self.name,
                {"metadata": {"uid": self.uid, "annotations": gone}},
                subresource="status",
            )
            ground.store.delete("pods", self.namespace, self.name, grace_period_seconds=0, uid=self.uid)

    def _annotations(self) -> dict[str, str]:
        """What Calico's CNI plugin writes on the pod."""
        sandbox = self._sandbox
        if sandbox is None or not sandbox.netns:
            return {}
        return {
            "cni.projectcalico.org/containerID": sandbox.container_id,
            "cni.projectcalico.org/podIP": f"{sandbox.address}/32",
            "cni.projectcalico.org/podIPs": f"{sandbox.address}/32",
        }

    def _publish(self) -> None:
        """Write the status, and Calico's annotations with it."""
        states: list[ContainerState] = [container.state for container in self.containers]
        try:
            current = self._ground.store.get("pods", self.namespace, self.name)
            if current["metadata"]["uid"] != self.uid:
                return
            status = pod_status(
                current,
                states,
                address=self._sandbox.address if self._sandbox else None,
                host=str(self._ground.node.address.ip),
                started=self._started,
                ready=self._ready and not self._deleted.is_set() and admission.ready(self._ground.node_object()),
                now=timestamp(),
                failed=self._failed,
                inits=[container.state for container in self.inits],
            )
            current["status"] = status
            if annotations := self._annotations():
                current["metadata"]["annotations"] = {**current["metadata"].get("annotations", {}), **annotations}
            self._ground.store.update("pods", current, subresource="status")
        except ApiError as error:
            if error.code != 404:
                raise

    def _container_says(self, name: str) -> Callable[[str, str, str], None]:
        def say(reason: str, message: str, kind: str) -> None:
            self._say(reason, message, kind=kind, container=name)

        return say

    def _say(
        self,
        reason: str,
        message: str,
        component: str = "kubelet",
        *,
        kind: str = "Normal",
        container: str | None = None,
    ) -> None:
        host = self.node if component == "kubelet" else None
        events.record(
            self._ground.store,
            self.pod,
            reason,
            message,
            component=component,
            host=host,
            kind=kind,
            container=container,
        )
