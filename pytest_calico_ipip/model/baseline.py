"""A cluster's data path in short, to compare a later run with: what must survive an upgrade, and nothing else.

By node and block, never by pod: pods under test have other names in each run. Free, and so not in it: who wrote a
route (its protocol, its metric, its MTU, `onlink`), names of pods and workload interfaces, tunnel addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pytest_calico_ipip.model.absent import Absent, Missing, present
from pytest_calico_ipip.model.datastore import Datastore
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE, underlay
from pytest_calico_ipip.model.nodestate import NodeState, Route
from pytest_calico_ipip.model.paths import Leg, Sight
from pytest_calico_ipip.model.points import Role
from pytest_calico_ipip.model.wire import Packet
from pytest_calico_ipip.model.world import World

NOTHING = "nothing"  # the packets of a pair never came to the underlay NIC


@dataclass(frozen=True)
class NodeBaseline:
    """One node. What could not be read is left out: None, or no key."""

    underlay: str | None = None  # "ens192"
    underlay_mtu: int | None = None
    tunnel_mtu: int | None = None
    pod_mtus: tuple[int, ...] = ()  # of workload interface and eth0 of the pods under test, each once
    routes: Mapping[str, tuple[str, ...]] | None = None  # block → "via 10.7.120.12 dev tunl0", "blackhole"
    sends: Mapping[str, str] = field(default_factory=dict)  # other node → "IPIP", "bare", …: as the underlay NIC saw it


@dataclass(frozen=True)
class Baseline:
    """A run's cluster."""

    nodes: Mapping[str, NodeBaseline]
    blocks: Mapping[str, str]  # block of an IPIP pool → the node that it belongs to
    broken: tuple[str, ...] = ()  # requirements that did not hold when it was made


def baseline_of(world: World, broken: tuple[str, ...] = ()) -> Baseline:
    """What a later run may be compared with. Raises `Missing` where the API's lists are not in the evidence."""
    datastore = present(world.datastore)
    datastore.need("ippools", "ipamblocks")
    blocks = dict(_blocks(datastore))
    return Baseline({name: node_now(world, name, blocks) for name in world.selected}, blocks, broken)


def _blocks(datastore: Datastore) -> Iterator[tuple[str, str]]:
    for block in datastore.blocks:
        pool = datastore.pool_of(block.cidr.network_address)
        if block.host is not None and not block.deleted and pool is not None and pool.ipip:
            yield str(block.cidr), block.host


def node_now(world: World, name: str, blocks: Mapping[str, str]) -> NodeBaseline:
    """One node as it is."""
    state = world.nodes.get(name)
    if state is None:
        return NodeBaseline()
    nic, nic_mtu = _underlay(world, name, state)
    return NodeBaseline(
        underlay=nic,
        underlay_mtu=nic_mtu,
        tunnel_mtu=_mtu(state, TUNNEL_DEVICE),
        pod_mtus=tuple(sorted(set(_pod_mtus(world, name, state)))),
        routes=_routes(state, blocks),
        sends=dict(_sends(world, name)),
    )


def _underlay(world: World, name: str, state: NodeState) -> tuple[str | None, int | None]:
    node = present(world.datastore).nodes.get(name)
    try:
        nic = underlay(node, state) if node is not None else None
    except Missing:
        return None, None
    return (nic.name, nic.mtu) if nic is not None else ("none", None)


def _mtu(state: NodeState, device: str) -> int | None:
    if isinstance(state.links, Absent):
        return None
    link = state.link(device)
    return link.mtu if link is not None else None


def _pod_mtus(world: World, name: str, state: NodeState) -> Iterator[int]:
    """Both ends of each pod under test: new pods get what Calico gives now, older ones keep what they have."""
    ours = {pod.key for pod in world.pods}
    expected = world.expected.get(name)
    for local in expected.pods if expected is not None else ():
        mtu = _mtu(state, local.interface) if local.pod.key in ours else None
        if mtu is not None:
            yield mtu
    for namespace in state.namespaces.values():  # only those of the pods under test are read
        for link in () if isinstance(namespace.links, Absent) else namespace.links:
            if link.name == "eth0":
                yield link.mtu


def _routes(state: NodeState, blocks: Mapping[str, str]) -> Mapping[str, tuple[str, ...]] | None:
    if isinstance(state.routes, Absent) or "ip-route.json" in state.partial:
        return None
    found: dict[str, set[str]] = {block: set() for block in blocks}
    for route in state.routes:
        if route.table == "main" and str(route.destination) in found:
            found[str(route.destination)].add(_decides(route))
    return {block: tuple(sorted(ways)) for block, ways in found.items()}


def _decides(route: Route) -> str:
    """What a route decides: the same for BIRD's and for Felix's."""
    hops = [f"via {hop.gateway} dev {hop.device}" if hop.gateway else f"dev {hop.device}" for hop in route.next_hops]
    kind = [] if route.type == "unicast" else [route.type]
    return " ".join([*kind, ", ".join(hops)]).strip()


def _sends(world: World, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(world.paths, Absent):
        return
    for other in world.selected:
        legs = [flight.request for flight in world.paths.between(name, other, ("echo", "echo-full"))]
        seen = [packet for leg in legs for packet in _at_nic(leg, name)]
        if other == name or not legs:
            continue
        if seen:
            yield other, ", ".join(sorted({encapsulation(packet) for packet in seen}))
        elif all(_surely_unseen(leg, name) for leg in legs):
            yield other, NOTHING


def _at_nic(leg: Leg, node: str) -> Iterator[Packet]:
    for stop in leg.stops:
        if stop.point.node == node and stop.point.role is Role.UNDERLAY:
            yield from stop.packets


def _surely_unseen(leg: Leg, node: str) -> bool:
    nics = [stop for stop in leg.stops if stop.point.node == node and stop.point.role is Role.UNDERLAY]
    return bool(nics) and all(stop.sight is Sight.NEVER for stop in nics)


def encapsulation(packet: Packet) -> str:
    """What carries a pod's packet: "IPIP", "bare", "IPIP in IPIP", "protocol 17"."""
    names = ["IPIP" if header.protocol == 4 else f"protocol {header.protocol}" for header in packet.headers[:-1]]
    return " in ".join(reversed(names)) or "bare"
