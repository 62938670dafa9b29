"""A pod's network namespace on its node, as the CNI plugin and Felix leave it.

Runs inside the shim, in the node's namespaces. Two `ip` processes a pod: one in the node (the veth, the host route),
one in the pod (addresses, routes). Everything else is file writes.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_calico_ipip.lab.kubelet import syscalls

NETNS = Path("/run/netns")
MTU_FILE = Path("/var/lib/calico/mtu")  # Felix writes it; the CNI plugin reads it for each new pod
HOST_MAC = "ee:ee:ee:ee:ee:ee"
_LINK_LOCAL = "169.254.1.1"
_SYSCTL = Path("/proc/sys")
_CONF = _SYSCTL / "net/ipv4/conf"

# what Calico sets on the host end of each pod's veth
_WORKLOAD_SYSCTLS = {
    "net/ipv4/conf/{interface}/route_localnet": "1",
    "net/ipv4/conf/{interface}/proxy_arp": "1",
    "net/ipv4/conf/{interface}/forwarding": "1",
    # the kernel's default would delay each proxy ARP answer by up to 0.8 s
    "net/ipv4/neigh/{interface}/proxy_delay": "0",
    "net/ipv6/conf/{interface}/accept_ra": "0",
}


class SandboxFailed(Exception):
    """The sandbox could not be made; the text says at which step."""


def create(request: dict[str, Any]) -> dict[str, Any]:
    """Make the namespace `netns` with the address `address` behind the host interface `interface`; returns the MTU."""
    name, interface, address = request["netns"], request["interface"], request["address"]
    mtu = int(MTU_FILE.read_text(encoding="ascii"))
    pod = _Inside(name, request["sysctls"])
    try:
        _ip_in_node(
            f"link add {interface} txqueuelen 0 mtu {mtu} address {HOST_MAC} type veth"
            f" peer name eth0 mtu {mtu} netns {name}\n"
            f"link set {interface} up\n"
            f"route add {address}/32 dev {interface} scope link\n"
        )
        for path, value in _WORKLOAD_SYSCTLS.items():
            file = _SYSCTL / path.format(interface=interface)
            if file.exists():  # no IPv6 in some kernels
                file.write_text(value, encoding="ascii")
        pod.ip(
            "link set lo up\n"
            "link set eth0 up\n"
            f"address add {address}/32 dev eth0\n"
            f"route add {_LINK_LOCAL} dev eth0 scope link\n"
            f"route add default via {_LINK_LOCAL} dev eth0\n"
        )
    except BaseException:
        pod.abandon()
        remove({"netns": name, "interface": interface})
        raise
    return {"mtu": mtu}


def remove(request: dict[str, Any]) -> dict[str, Any]:
    """Remove the veth and the namespace; what is gone already is fine."""
    if (Path("/sys/class/net") / request["interface"]).exists() or (_CONF / request["interface"]).exists():
        _ip_in_node(f"link delete {request['interface']}\n")
    path = NETNS / request["netns"]
    with suppress(OSError):
        syscalls.detach(str(path))
    with suppress(FileNotFoundError):
        path.unlink()
    return {}


class _Inside:
    """A process in the new namespace: it makes and names it, then becomes the pod's `ip -batch`."""

    def __init__(self, name: str, sysctls: dict[str, str]) -> None:
        NETNS.mkdir(parents=True, exist_ok=True)
        commands, self._commands = os.pipe()
        self._said, says = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _enter_new(name, sysctls)
                os.write(says, b"ready\n")
                os.dup2(commands, 0)
                os.dup2(says, 1)
                os.dup2(says, 2)
                _exec_ip()
            except BaseException as error:
                os.write(says, f"{error}\n".encode())
            finally:
                os._exit(1)
        os.close(commands)
        os.close(says)
        first = os.read(self._said, 4096)
        if first != b"ready\n":
            text = first.decode(errors="replace").strip()
            self._end()
            raise SandboxFailed(f"network namespace {name}: {text}")

    def ip(self, batch: str) -> None:
        os.write(self._commands, batch.encode())
        said, status = self._end()
        if status:
            raise SandboxFailed(f"ip in the pod: {said}")

    def _end(self) -> tuple[str, int]:
        if self._pid == 0:
            return "", 0
        os.close(self._commands)
        said = _read_all(self._said)
        os.close(self._said)
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return said, status

    def abandon(self) -> None:
        """After a failure: it must not stay."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self._end()


def _enter_new(name: str, sysctls: dict[str, str]) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    # a new namespace inherits IPv4 settings from the machine's first one: back to what a pod has
    (_SYSCTL / "net/ipv4/ip_forward").write_text("0", encoding="ascii")
    for interface in _CONF.iterdir():
        for key in ("rp_filter", "send_redirects"):
            (interface / key).write_text("0", encoding="ascii")
    for key, value in sysctls.items():
        (_SYSCTL / key.replace(".", "/")).write_text(value, encoding="ascii")
    path = NETNS / name
    path.touch(mode=0o444)
    syscalls.mount("/proc/self/ns/net", str(path), None, syscalls.MS_BIND)


def _exec_ip() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp("ip", ["ip", "-batch", "-"])  # noqa: S606


def _ip_in_node(batch: str) -> None:
    commands, feed = os.pipe()
    said, says = os.pipe()
    os.write(feed, batch.encode())  # far below a pipe's capacity
    os.close(feed)
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(commands, 0)
            os.dup2(says, 1)
            os.dup2(says, 2)
            _exec_ip()
        finally:
            os._exit(1)
    os.close(commands)
    os.close(says)
    text = _read_all(said)
    os.close(said)
    _, status = os.waitpid(pid, 0)
    if status:
        raise SandboxFailed(f"ip on the node: {text}")


def _read_all(fd: int) -> str:
    data = b""
    while chunk := os.read(fd, 65536):
        data += chunk
    return data.decode(errors="replace").strip()
