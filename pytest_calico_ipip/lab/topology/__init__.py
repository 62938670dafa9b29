"""The lab's nodes and the network between them, real: namespaces, tunnel devices, BIRD, sshd, Calico's firewall."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from ..calico.policy import OPEN, Isolation
from ..errors import LabError, LabRefusedError
from ..faults import BirdEdit, chosen
from ..spec import LabSpec
from . import accounts, bird, felix, firewall, ssh
from .endpoints import PodRules
from .modules import MODULES
from .node import Completed, Node
from .plan import Paths, Programs, hosts, whole_plan

__all__ = ["MODULES", "Completed", "Node", "Topology"]

_BUILD_TIMEOUT = 60.0  # seconds, for all nodes together
_POLL = 0.03  # seconds between two looks at BIRD and the kernel; one look costs about 1 ms a node
# seconds in which further changes of a node's firewall may join one that has come: a restore costs two programs
_GATHER = 0.05
_IPTABLES = ("iptables", "iptables-save", "iptables-restore")


@dataclass
class Topology:
    """Everything below Kubernetes. Built by `build`, usable after `ready`, gone after `close`."""

    spec: LabSpec
    paths: Paths
    nodes: dict[str, Node]
    holders: asyncio.subprocess.Process
    edits: Sequence[BirdEdit] = ()
    seconds: dict[str, float] = field(default_factory=dict)  # how long each node's set-up took
    _wanted: dict[str, set[PodRules]] = field(default_factory=dict)
    _programmed: dict[str, frozenset[PodRules]] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _isolations: dict[str, dict[str, Isolation]] = field(default_factory=dict)

    @classmethod
    async def build(cls, spec: LabSpec, state: Path) -> Topology:
        """Make every node of `spec`. The current mount, network and PID namespaces must be the lab's own.

        `state` is an absolute directory; everything generated is written below it. Of the spec's faults only what
        changes BIRD's configuration is done here. Raises `LabError` with the node and the step that failed.
        """
        edits = [edit for fault in chosen(spec) for edit in fault.bird]
        _refuse_machine_mounts()
        nodes = spec.node_specs()
        paths = Paths(state)
        rules = firewall.of(spec.generation)
        programs = _programs(rules.packages)
        await firewall.refuse_kernel(rules, programs.firewall)
        binds = await _write_files(spec, paths, edits)
        work = json.dumps(whole_plan(spec, paths, binds, _legacy_iptables(), programs))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-B", str(Path(__file__).with_name("holders.py"))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=(state / "holders.log").open("wb"),
            start_new_session=True,  # a Ctrl-C is for the user's command
            limit=1 << 20,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(work.encode() + b"\n")
            line = await asyncio.wait_for(process.stdout.readline(), _BUILD_TIMEOUT)
            answer: dict[str, Any] = json.loads(line) if line else {"error": "their maker ended without an answer"}
            if "error" in answer:
                raise LabError(f"the lab's nodes could not be made: {answer['error']}")
        except asyncio.TimeoutError as error:
            process.kill()
            raise LabError(f"the lab's nodes were not made within {_BUILD_TIMEOUT:g} s") from error
        return cls(
            spec=spec,
            paths=paths,
            nodes={node.name: Node(node, answer["pids"][node.name]) for node in nodes},
            holders=process,
            edits=edits,
            seconds=answer["seconds"],
            _wanted={node.name: set() for node in nodes},
            _programmed={node.name: frozenset() for node in nodes},
            _locks={node.name: asyncio.Lock() for node in nodes},
        )

    async def ready(self, timeout: float = 30) -> None:
        """Until every BGP session is Established and every block route is in every kernel.

        Sessions and routes that an edit of BIRD's configuration takes away are not waited for. Raises `LabError` with
        what is still missing.
        """
        deadline = time.monotonic() + timeout
        waiting = dict(self.nodes)
        missing: dict[str, str] = {}
        while waiting:
            for name, node in list(waiting.items()):
                missing[name] = await self._missing(node)
                if not missing[name]:
                    del waiting[name]
            if waiting and time.monotonic() > deadline:
                raise LabError(
                    f"the lab is not ready after {timeout:g} s: "
                    + "; ".join(f"{name}: {missing[name]}" for name in waiting),
                    f"BIRD's logs are in {self.paths.state / 'nodes'}",
                )
            await asyncio.sleep(_POLL)

    async def _missing(self, node: Node) -> str:
        """What a node still lacks, in words; empty when nothing."""
        try:
            states = bird.sessions(await node.ask_bird("show protocols"))
        except (OSError, asyncio.TimeoutError) as error:
            return f"BIRD does not answer ({error})"
        peers = [other.spec for other in self.nodes.values() if other is not node]
        mine = [edit for edit in self.edits if edit.node == node.spec.name]
        silent = {name for edit in mine for name in edit.down}
        peers = [peer for peer in peers if peer.name not in silent]
        if down := [name for peer in peers if not states.get(name := bird.mesh_name(peer.address.ip))]:
            return f"not Established: {', '.join(down)}"
        lost = {name for edit in mine for name in edit.lost}
        routes = node.kernel_routes()
        blocks = [str(block) for other in [*peers, node.spec] if other.name not in lost for block in other.blocks]
        if absent := [block for block in blocks if block not in routes]:
            return f"no route to {', '.join(absent)}"
        return ""

    async def firewall_add_pod(
        self, node: str, workload_interface: str, namespace: str, service_account: str = "default"
    ) -> None:
        """Add a workload's chains, and its profiles' where they are new; one restore call for all that wait."""
        self._wanted[node] |= {PodRules(workload_interface, namespace, service_account)}
        await self._program(node)

    async def firewall_remove_pod(self, node: str, workload_interface: str) -> None:
        """Remove a workload's chains, and those of profiles that nobody else on the node has."""
        self._wanted[node] = {pod for pod in self._wanted[node] if pod.interface != workload_interface}
        await self._program(node)

    async def firewall_isolate(self, node: str, isolations: Mapping[str, Isolation]) -> None:
        """What NetworkPolicies let through, by workload interface; an interface that is not named is open."""
        self._isolations[node] = dict(isolations)
        await self._program(node)

    async def announce(self, node: str, address: IPv4Address) -> None:
        """A pod of a node has this address: the others get a route to it where it is in none of the node's blocks.

        Only where Felix programs the routes: BIRD sees the pod's own route in the kernel, and tells its peers.
        """
        await self._tell(node, address, "replace")

    async def withdraw(self, node: str, address: IPv4Address) -> None:
        """The pod has gone, and the routes that `announce` made go, too."""
        await self._tell(node, address, "del")

    async def _tell(self, name: str, address: IPv4Address, verb: str) -> None:
        owner = self.nodes[name].spec
        if not self.spec.generation.felix_routes or not felix.is_borrowed(owner, address):
            return
        for node in self.nodes.values():
            if node.spec is not owner:
                way = felix.way(node.spec, owner, self.spec.ipip_mode)
                # what a fault has taken away is no reason to stop
                await node.run(["ip", "route", verb, str(address), *way.split()], check=verb != "del")

    async def _program(self, node: str) -> None:
        async with self._locks[node]:
            if self._rules(node) == self._programmed[node]:
                return
            await asyncio.sleep(_GATHER)
            before, after = self._programmed[node], self._rules(node)
            argv, text = firewall.of(self.spec.generation).change(before, after)
            await self.nodes[node].run(argv, input=text.encode())
            self._programmed[node] = after

    def _rules(self, node: str) -> frozenset[PodRules]:
        """What the node's firewall shall have for its pods."""
        isolations = self._isolations.get(node, {})
        return frozenset(replace(pod, isolation=isolations.get(pod.interface, OPEN)) for pod in self._wanted[node])

    async def close(self) -> None:
        """End every process of every node; safe to call twice."""
        if self.holders.returncode is None:
            assert self.holders.stdin is not None
            self.holders.stdin.close()
            try:
                await asyncio.wait_for(self.holders.wait(), 10)
            except asyncio.TimeoutError:
                self.holders.kill()  # the kernel then kills the nodes
                await self.holders.wait()


def _refuse_machine_mounts() -> None:
    """The lab binds files over /etc: never where that could be seen outside."""
    with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if words[4] == "/" and any(word.startswith("shared:") for word in words[6 : words.index("-")]):
                raise LabError(
                    "the lab's mounts would be seen outside the lab: / is shared with another mount namespace",
                    "run it through calico-ipip-lab, which makes its own namespaces first",
                )


def _legacy_iptables() -> dict[str, str]:
    """New targets for /etc/alternatives, so that a plain `iptables` in a node is the one that has the rules."""
    found = {}
    for name in _IPTABLES:
        legacy = shutil.which(name.replace("iptables", "iptables-legacy", 1), path=_sbin())
        if legacy and Path("/etc/alternatives", name).is_symlink():
            found[name] = legacy
    return found


_PACKAGES = {"ip": "iproute2", "bird": "bird2", "sshd": "openssh-server"}


def _programs(firewall_packages: Mapping[str, str]) -> Programs:
    """Where they are; a `LabRefusedError` names all that are missing, and their packages."""
    packages = {**_PACKAGES, **firewall_packages}
    found = {name: shutil.which(name, path=_sbin()) or "" for name in packages}
    if missing := [name for name, path in found.items() if not path]:
        raise LabRefusedError(
            f"the lab needs {', '.join(missing)}, and this machine has no such program",
            f"install: {' '.join(packages[name] for name in missing)}",
        )
    of_firewall = {name: found[name] for name in firewall_packages}
    return Programs(ip=found["ip"], bird=found["bird"], sshd=found["sshd"], firewall=of_firewall)


def _sbin() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


async def _write_files(spec: LabSpec, paths: Paths, edits: Sequence[BirdEdit]) -> list[tuple[str, str]]:
    """Write what the nodes read; returns the files to bind over the machine's."""
    nodes = spec.node_specs()
    ssh_home = paths.home / ".ssh"
    ssh_home.mkdir(parents=True, exist_ok=True)
    keys = await ssh.make_keys(ssh_home)
    paths.known_hosts.write_text(ssh.known_hosts(keys, nodes))
    paths.ssh_config.write_text(ssh.ssh_config(keys, paths.known_hosts, nodes))
    (ssh_home / "config").write_text(paths.ssh_config.read_text())
    (ssh_home / "config").chmod(0o600)
    paths.sshd_config.write_text(ssh.sshd_config(keys))
    for node in nodes:
        paths.bird_config(node.name).parent.mkdir(parents=True, exist_ok=True)
        text = bird.configuration(node, nodes, str(paths.bird_log(node.name)), spec)
        for edit in edits:
            if edit.node == node.name:
                text = edit.apply(text)
        paths.bird_config(node.name).write_text(text)
    # an ordinary account that may become root, for who wants to see the suite do that; only where the machine has sudo
    operator = paths.state / accounts.OPERATOR if shutil.which("sudo", path=_sbin()) else None
    passwd = accounts.passwd(
        Path("/etc/passwd").read_text(), str(paths.home), str(paths.login_shell), str(operator) if operator else None
    )
    paths.login_shell.write_text(accounts.LOGIN_SHELL)
    paths.login_shell.chmod(0o755)
    generated = {
        "/etc/passwd": passwd,
        "/etc/shadow": accounts.shadow(accounts.names(passwd)),
        "/etc/group": accounts.group(Path("/etc/group").read_text(), with_operator=operator is not None),
        "/etc/hosts": hosts(nodes),
    }
    if operator is not None:
        operator.mkdir(exist_ok=True)
        os.chown(operator, accounts.OPERATOR_ID, accounts.OPERATOR_ID)
        generated["/etc/sudoers"] = accounts.SUDOERS
    binds = []
    (paths.state / "etc").mkdir(exist_ok=True)
    for target, text in generated.items():
        source = paths.state / "etc" / Path(target).name
        source.write_text(text)
        source.chmod({"/etc/shadow": 0o640, "/etc/sudoers": 0o440}.get(target, 0o644))
        binds.append((str(source), target))
    return binds
