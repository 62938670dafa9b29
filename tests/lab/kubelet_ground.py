"""Nodes for tests of the kubelets on any kernel: namespaces with an underlay interface, and nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from pytest_calico_ipip.lab.calico.policy import Isolation
from pytest_calico_ipip.lab.spec import LabSpec, NodeSpec

# the interface pair is the default route, without which no proxy ARP answer is given
_SET_UP = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/netns /var/lib/calico
printf 1480 > /var/lib/calico/mtu
ip link set lo up
ip link add ens192 type veth peer name wire
ip link set wire up
ip link set ens192 up
ip addr add {address} dev ens192
ip route add default via 10.7.120.1
for key in all default lo ens192; do
    echo 1 > /proc/sys/net/ipv4/conf/$key/rp_filter
    echo 0 > /proc/sys/net/ipv4/conf/$key/send_redirects
done
echo 1 > /proc/sys/net/ipv4/ip_forward
hostname {name}
echo ready
exec sleep infinity
"""


@dataclass(frozen=True)
class Completed:
    returncode: int
    stdout: bytes
    stderr: bytes


@dataclass
class StandInNode:
    spec: NodeSpec
    pid: int

    def enter(self, *argv: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-n", "-p", "--", *argv]

    async def shell(
        self, command: str, *, env: Mapping[str, str] | None = None, check: bool = True, timeout: float = 60
    ) -> Completed:
        process = await asyncio.create_subprocess_exec(
            *self.enter("/bin/sh", "-c", command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env) if env is not None else None,
        )
        out, err = await asyncio.wait_for(process.communicate(), timeout)
        assert process.returncode is not None
        done = Completed(process.returncode, out, err)
        assert not check or done.returncode == 0, err.decode()
        return done


class StandInTopology:
    """`firewall` remembers what was asked of it."""

    def __init__(self, spec: LabSpec, nodes: dict[str, StandInNode], processes: list[Any]) -> None:
        self.spec = spec
        self.nodes = nodes
        self.announced: list[tuple[str, str, str]] = []
        self.firewall: list[tuple[str, ...]] = []
        self._processes = processes

    @classmethod
    async def build(cls, spec: LabSpec) -> StandInTopology:
        nodes, processes = {}, []
        for node in spec.node_specs():
            process = await asyncio.create_subprocess_exec(
                *("unshare", "-m", "-n", "-u", "-p", "-f", "--mount-proc", "--kill-child"),
                *("sh", "-c", _SET_UP.format(address=node.address, name=node.name)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
            )
            processes.append(process)
            assert process.stdout is not None
            assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            nodes[node.name] = StandInNode(node, int(children[0]))
        return cls(spec, nodes, processes)

    async def firewall_add_pod(
        self, node: str, workload_interface: str, namespace: str, service_account: str = "default"
    ) -> None:
        self.firewall.append(("add", node, workload_interface, namespace, service_account))

    async def firewall_remove_pod(self, node: str, workload_interface: str) -> None:
        self.firewall.append(("remove", node, workload_interface))

    async def firewall_isolate(self, node: str, isolations: Mapping[str, Isolation]) -> None:
        self.firewall += [("isolate", node, interface) for interface in isolations]

    async def announce(self, node: str, address: IPv4Address) -> None:
        self.announced.append(("add", node, str(address)))

    async def withdraw(self, node: str, address: IPv4Address) -> None:
        self.announced.append(("remove", node, str(address)))

    async def close(self) -> None:
        for node in self.nodes.values():
            os.kill(node.pid, 9)
        for process in self._processes:
            await asyncio.wait_for(process.wait(), 10)
