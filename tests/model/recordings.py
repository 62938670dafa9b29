"""The recordings of real Calico, copies of them with one thing changed, and what the checks say about either."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pytest_calico_ipip.judge import load
from pytest_calico_ipip.model.checks import (
    bgp,
    decisions,
    firewall,
    mtu,
    node,
    owner,
    pods,
    pools,
    routes,
    tunnel,
    veth,
)
from pytest_calico_ipip.model.judgement import Judgement, Outcome
from pytest_calico_ipip.model.world import World

RECORDED = Path(__file__).parents[1] / "recorded"
ALWAYS, CROSS, FELIX = "v3.31.7-always", "v3.31.7-crosssubnet", "v3.34dev-always"
HEALTHY = (ALWAYS, CROSS, FELIX)
_UNREAD = shutil.ignore_patterns(
    "ethtool*",
    "uname*",
    "hostname*",
    "ip-*.txt",
    "ip-link*",
    "ipamhandles*",
)
N1, N2, N3 = (f"virtnest-rook-ceph-{number}" for number in (1, 2, 3))

CHECKS: dict[str, Callable[[World, str], Judgement]] = {
    "POOL-1": pools.ipip_pool,
    "NODE-4": node.forwarding,
    "POD-1": pods.running,
    "POD-2": pods.address,
    "POD-3": pods.default_route,
    "POD-4": pods.gateway,
    "VETH-1": veth.name,
    "VETH-2": veth.peers,
    "VETH-3": veth.state,
    "VETH-4": veth.sysctls,
    "TUN-1": tunnel.device,
    "TUN-2": tunnel.address,
    "MTU-1": mtu.tunnel,
    "MTU-2": mtu.workload,
    "ROUTE-1": routes.local_pods,
    "ROUTE-2": routes.remote_blocks,
    "ROUTE-3": routes.own_blocks,
    "ROUTE-4": routes.unexplained,
}
# further requirements of the catalogue, on nodes and on the cluster
LATER: dict[str, Callable[[World, str], Judgement]] = {
    "NODE-1": node.node_address,
    "NODE-2": node.internal_ip,
    "NODE-3": node.tunnel_address,
    "POOL-4": owner.one_owner,
    "ROUTE-5": decisions.decided,
    "ROUTE-6": routes.borrowed,
    "ROUTE-7": owner.owners_protocol,
    "BGP-1": bgp.established,
    "BGP-2": bgp.announced,
    "SEC-1": firewall.host_set,
    "SEC-2": firewall.input_chain,
}
CLUSTER: dict[str, Callable[[World], Judgement]] = {"POOL-2": pools.apart, "POOL-3": pools.affine, "MTU-3": mtu.alike}


def world(root: Path) -> World:
    """An evidence directory without its packets."""
    return load(root, packets=False)


def copied(recording: str, to: Path) -> Path:
    """A copy of a recording's readings (not its packets) that may be changed."""
    for part in ("api", "nodes"):
        shutil.copytree(RECORDED / recording / part, to / part, ignore=_UNREAD)
    return to


def judged(subject: World, ids: Iterable[str] = CHECKS) -> list[Judgement]:
    """Every check on every selected node."""
    return [CHECKS[ident](subject, name) for ident in ids for name in subject.selected]


def judged_later(subject: World) -> list[Judgement]:
    """Every check of the further requirements."""
    nodes = [check(subject, name) for check in LATER.values() for name in subject.selected]
    return [*nodes, *(check(subject) for check in CLUSTER.values())]


def found(subject: World, *outcomes: Outcome) -> set[tuple[str, str]]:
    """(requirement, node) of the judgements that ended so."""
    return {(one.requirement, one.subject) for one in judged(subject) if one.outcome in outcomes}


def edit(file: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file in place; a change that returns something replaces the content."""
    data = json.loads(file.read_text())
    result = change(data)
    file.write_text(json.dumps(data if result is None else result))


def pod_namespace(root: Path, node_name: str, address: str) -> Path:
    """The folder of the namespace whose eth0 has this address."""
    for folder in (root / "nodes" / node_name / "netns").iterdir():
        if f'"local":"{address}"' in (folder / "ip-addr.json").read_text():
            return folder
    raise LookupError(f"no namespace of {node_name} has {address}")
