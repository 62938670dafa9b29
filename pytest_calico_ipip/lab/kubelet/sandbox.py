"""A pod's network namespace on its node, as the CNI plugin and Felix leave it.

Runs inside the shim, in the node's namespaces. Two `ip` processes a pod: one in the node (the veth, the host route),
one in the pod (addresses, routes). Everything else is file writes, and nothing is forked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pytest_calico_ipip.lab.kubelet import syscalls
from pytest_calico_ipip.lab.kubelet.programs import ip

NETNS = "/run/netns"
MTU_FILE = "/var/lib/calico/mtu"  # Felix writes it; the CNI plugin reads it for each new pod
HOST_MAC = "ee:ee:ee:ee:ee:ee"
_LINK_LOCAL = "169.254.1.1"
_OWN_NET = "/proc/self/ns/net"
_CONF = "/proc/sys/net/ipv4/conf"

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
    """The sandbox could not be made; the text says why."""


def create(request: dict[str, Any]) -> dict[str, Any]:
    """Make the namespace `netns` with the address `address` behind the host interface `interface`; returns the MTU."""
    name, interface, address = request["netns"], request["interface"], request["address"]
    mtu = int(syscalls.read(MTU_FILE))
    metric = f" metric {request['metric']}" if request.get("metric") else ""
    try:
        _make(name, request["sysctls"])
        ip(
            f"link add {interface} txqueuelen 0 mtu {mtu} address {HOST_MAC} type veth"
            f" peer name eth0 mtu {mtu} netns {name}\n"
            f"link set {interface} up\n"
            f"route add {address}/32 dev {interface} scope link{metric}\n"
        )
        for key, value in _WORKLOAD_SYSCTLS.items():
            with suppress(FileNotFoundError):  # a kernel without IPv6
                _write("/proc/sys/" + key.format(interface=interface), value)
        with _back_here():
            syscalls.setns(f"{NETNS}/{name}")
            ip(
                "link set lo up\n"
                "link set eth0 up\n"
                f"address add {address}/32 dev eth0\n"
                f"route add {_LINK_LOCAL} dev eth0 scope link\n"
                f"route add default via {_LINK_LOCAL} dev eth0\n"
            )
    except BaseException:
        remove(request)
        raise
    return {"mtu": mtu}


def remove(request: dict[str, Any]) -> dict[str, Any]:
    """Remove the veth and the namespace; what is gone already is fine."""
    if os.access(f"{_CONF}/{request['interface']}", os.F_OK):
        ip(f"link delete {request['interface']}\n")
    path = f"{NETNS}/{request['netns']}"
    with suppress(OSError):
        syscalls.detach(path)
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108
    return {}


def _make(name: str, sysctls: dict[str, str]) -> None:
    """A new namespace with its name; settings that were inherited from the machine's go back to what a pod has."""
    path = f"{NETNS}/{name}"
    os.makedirs(NETNS, exist_ok=True)  # noqa: PTH103
    with _back_here():
        syscalls.unshare(syscalls.CLONE_NEWNET)
        _write("/proc/sys/net/ipv4/ip_forward", "0")
        for interface in os.listdir(_CONF):  # noqa: PTH208
            for key in ("rp_filter", "send_redirects"):
                _write(f"{_CONF}/{interface}/{key}", "0")
        for key, value in sysctls.items():
            if key == "net.ipv4.ping_group_range":
                value = _existing_groups(value)
            try:
                _write("/proc/sys/" + key.replace(".", "/"), value)
            except OSError as error:
                raise SandboxFailed(f"sysctl {key} = {value}: {error.strerror}") from None
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
        syscalls.mount(_OWN_NET, path, None, syscalls.MS_BIND)


def _existing_groups(value: str) -> str:
    """A range of groups, cut to those that exist: in a user namespace the kernel refuses a range that ends beyond."""
    words = value.split()
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return value  # for the kernel to refuse
    maps = [[int(word) for word in line.split()] for line in syscalls.read("/proc/self/gid_map").splitlines()]
    last = max(first + count - 1 for first, _, count in maps)
    return f"{words[0]} {min(int(words[1]), last)}"


@contextmanager
def _back_here() -> Iterator[None]:
    """Come back to the network namespace that we are in, whatever happens."""
    here = os.open(_OWN_NET, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        syscalls.setns_fd(here, "the node's network")
        os.close(here)


def _write(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
