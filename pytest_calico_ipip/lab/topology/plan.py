"""What has to be made, as data: from a `LabSpec` to the plan that holders.py carries out. Pure, but for its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from .. import tools
from ..spec import MANAGEMENT, UNDERLAY_MTU, UNDERLAY_NIC, LabSpec, NodeSpec
from . import bird, felix, firewall

UNDERLAY = "underlay"
MANAGEMENT_NIC = "mgmt0"
TUNNEL_MTU = UNDERLAY_MTU - 20
# Whatever a machine's own defaults are, a node has these. `all` and `default` come first: interfaces inherit from them.
_SETTINGS = (
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/ip_no_pmtu_disc", "0"),
    ("net/ipv4/ip_forward_use_pmtu", "0"),
    ("net/ipv4/fib_multipath_hash_policy", "0"),
)
_INTERFACE_SETTINGS = {
    "accept_local": "0",
    "forwarding": "1",
    "proxy_arp": "0",
    "proxy_arp_pvlan": "0",
    "route_localnet": "0",
    "rp_filter": "1",
    "send_redirects": "0",
}


@dataclass(frozen=True)
class Paths:
    """Where the lab's generated files are, all below its state directory."""

    state: Path

    @property
    def home(self) -> Path:
        """Home of root, in the lab, in the nodes and beside them."""
        return self.state / "home"

    @property
    def sshd_config(self) -> Path:
        """One configuration for all nodes."""
        return self.state / "sshd_config"

    @property
    def ssh_config(self) -> Path:
        """The client's."""
        return self.state / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The nodes' host keys."""
        return self.state / "known_hosts"

    @property
    def behind(self) -> Path:
        """Where directories of the machine stay visible that the lab shows with something added."""
        return self.state / "behind"

    @property
    def login_shell(self) -> Path:
        """What sshd runs for root."""
        return self.state / "login-shell"

    def bird_config(self, node: str) -> Path:
        """A node's BIRD configuration."""
        return self.state / "nodes" / node / "bird.conf"

    def bird_log(self, node: str) -> Path:
        """A node's BIRD log."""
        return self.state / "nodes" / node / "bird.log"


def settings() -> list[tuple[str, str]]:
    """Paths in /proc/sys and values that every node gets before its links exist."""
    found = [(f"/proc/sys/{path}", value) for path, value in _SETTINGS]
    for interface in ("all", "default", "lo", "tunl0"):
        found += [(f"/proc/sys/net/ipv4/conf/{interface}/{name}", value) for name, value in _INTERFACE_SETTINGS.items()]
    return found


def node_links(node: NodeSpec) -> str:
    """`ip -batch` in the node, when its NIC is there. The tunnel device is the kernel's own, as on a real node."""
    return f"""link set lo up
link set tunl0 mtu {TUNNEL_MTU} up
address add {node.tunnel_address}/32 dev tunl0
link set {UNDERLAY_NIC} up
address add {node.address} dev {UNDERLAY_NIC}
route add default via {node.gateway}
"""


def _gateway(node: NodeSpec) -> IPv4Interface:
    return IPv4Interface((node.gateway, node.address.network.prefixlen))


def gateways(nodes: Sequence[NodeSpec]) -> list[IPv4Interface]:
    """The router's addresses, one in each subnet, in the nodes' order."""
    return list(dict.fromkeys(_gateway(node) for node in nodes))


def underlay_links(nodes: Sequence[NodeSpec]) -> str:
    """`ip -batch` in the underlay: for each subnet a bridge with its gateway's address, a veth into each node and out.

    With several subnets the underlay is the router between them.
    """
    bridges = {gateway: f"br{number}" for number, gateway in enumerate(gateways(nodes))}
    lines = ["link set lo up"]
    for gateway, bridge in bridges.items():
        lines += [
            f"link add {bridge} type bridge forward_delay 0 mcast_snooping 0",
            f"address add {gateway} dev {bridge}",
            f"link set {bridge} up",
        ]
    ends = [
        (f"node{node.index}", UNDERLAY_NIC, f"index 3 netns @{node.name}@", bridges[_gateway(node)]) for node in nodes
    ]
    for port, name, where, bridge in [*ends, ("outside", MANAGEMENT_NIC, "netns @management@", "br0")]:
        lines += [
            f"link add {port} mtu {UNDERLAY_MTU} type veth peer name {name} mtu {UNDERLAY_MTU} {where}",
            f"link set {port} master {bridge} up",
        ]
    return "\n".join(lines) + "\n"


def management_links(nodes: Sequence[NodeSpec]) -> str:
    """`ip -batch` where the user's command runs."""
    near, *far = gateways(nodes)
    lines = [
        "link set lo up",
        f"address add {MANAGEMENT}/{near.network.prefixlen} dev {MANAGEMENT_NIC}",
        f"link set {MANAGEMENT_NIC} up",
        *(f"route add {gateway.network} via {near.ip}" for gateway in far),
    ]
    return "\n".join(lines) + "\n"


def hosts(nodes: Sequence[NodeSpec]) -> str:
    """/etc/hosts for everybody in the lab."""
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    return "\n".join([*lines, *(f"{node.address.ip}\t{node.name}" for node in nodes)]) + "\n"


@dataclass(frozen=True)
class Programs:
    """Where the machine has the programs that nodes are set up with."""

    ip: str
    bird: str
    sshd: str
    firewall: Mapping[str, str]  # those that program it, by name


def _node(node: NodeSpec, nodes: Sequence[NodeSpec], spec: LabSpec, paths: Paths, programs: Programs) -> dict[str, Any]:
    rules = firewall.of(spec.generation).start(
        node, [other.address.ip for other in nodes], [str(pool) for pool in spec.pools]
    )
    routes = felix.block_routes(node, nodes, spec.ipip_mode) if spec.generation.felix_routes else ""
    return {
        "name": node.name,
        "ip": programs.ip,
        "directories": ["/run/netns", "/run/calico", "/run/sshd", "/run/lock"],
        "files": {"/var/lib/calico/mtu": str(TUNNEL_MTU), "/var/lib/calico/nodename": node.name},
        "settings": settings(),
        "tunnel": "link add tunl0 index 2 type ipip remote any local any nopmtudisc\n",
        "links": node_links(node) + routes,
        "steps": [
            # BIRD first: its peers' timers run while the rest is done
            {"argv": [programs.bird, "-c", str(paths.bird_config(node.name)), "-s", bird.SOCKET], "input": ""},
            *({"argv": [programs.firewall[name], *rest], "input": text} for (name, *rest), text in rules),
            # -r: one process start less for each connection
            *([{"argv": [programs.sshd, "-r", "-f", str(paths.sshd_config)], "input": ""}] if spec.sshd else []),
        ],
        "hidden": tools.hidden(spec.extra),
    }


def whole_plan(
    spec: LabSpec,
    paths: Paths,
    binds: Sequence[tuple[str, str]],
    alternatives: dict[str, str],
    programs: Programs,
) -> dict[str, Any]:
    """The whole plan. `binds` are (generated file, machine's file); `alternatives` new targets in /etc/alternatives."""
    nodes = spec.node_specs()
    extend: list[dict[str, Any]] = [
        {"directory": "/var/lib", "behind": str(paths.behind / "lib"), "links": {}, "directories": ["calico"]}
    ]
    if alternatives:
        behind = str(paths.behind / "alternatives")
        extend.append({"directory": "/etc/alternatives", "behind": behind, "links": alternatives, "directories": []})
    return {
        "ip": programs.ip,
        "keep": [str(paths.state)],
        "base": {"binds": [list(bind) for bind in binds], "extend": extend},
        "underlays": {UNDERLAY: [("/proc/sys/net/ipv4/ip_forward", "1" if spec.subnets > 1 else "0")]},
        "nodes": [_node(node, nodes, spec, paths, programs) for node in nodes],
        "wiring": [
            {"in": UNDERLAY, "batch": underlay_links(nodes)},
            {"in": "management", "batch": management_links(nodes)},
        ],
    }
