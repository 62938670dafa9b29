"""BGP-1 and BGP-2: BIRD's sessions, and what the peers were told."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from pytest_calico_ipip.model.absent import Absent, Missing, present
from pytest_calico_ipip.model.bird import Bird, BirdProtocol
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.checks.matching import settled
from pytest_calico_ipip.model.datastore import BgpPeer, ClusterNode
from pytest_calico_ipip.model.expected.selectors import selects

PROTOCOLS, ROUTES = "birdcl-protocols.txt", "birdcl-routes.txt"
_FULL = 32


@node_check("BGP-1")
def established(case: Case) -> None:
    """Where BIRD runs, every peer of the mesh and every configured peer is Established."""
    case.datastore.need("bgpconfigurations")
    bird = _bird(case)
    if bird is None:
        return
    sessions = [one for one in present(bird.protocols) if one.kind == "BGP"]
    excused = {node.address.ip for node in _absent_nodes(case) if node.address is not None}
    excused |= {case.expected.node.address.ip} if case.expected.node.address is not None else set()  # NODE-1 says so
    asked: set[IPv4Address] = set()
    for address, why in _peers(case):
        if address in asked or address in excused:
            continue
        asked.add(address)
        _session(case, [one for one in sessions if one.peer == address], f"{address} ({why})")
    for one in sessions:
        if one.peer not in asked and one.peer not in excused:
            _session(case, [one], one.name)
    if not asked and not sessions:
        case.not_applicable(f"{case.node} has no BGP peer")


def _bird(case: Case) -> Bird | None:
    """What BIRD said; None where it does not run, and (where it must) that is a difference."""
    backend = case.expected.node.configuration.networking_backend
    if case.expected.node.configuration.without_bird:
        case.not_applicable(f"BIRD does not run: CALICO_NETWORKING_BACKEND is {backend}")
        return None
    bird = present(case.state.bird)
    if bird.running:
        return bird
    if backend == "bird":
        case.differ(f"{case.node} BIRD", "running (CALICO_NETWORKING_BACKEND)", bird.said, case.reading(PROTOCOLS))
    else:
        case.not_applicable(f"BIRD does not run on {case.node}: {bird.said}")
    return None


def _session(case: Case, sessions: list[BirdProtocol], who: str) -> None:
    bird = present(case.state.bird)
    if not sessions and bird.cut is not None:
        raise Missing(bird.cut)
    words = [one.info or one.state for one in sessions if not one.established]
    observed = ", ".join(words) if words or not sessions else "Established"
    note = "a calico-node pod stays Ready with one session of many"
    case.compare(
        f"{case.node} BGP session with {who}",
        "Established",
        observed or "no such session",
        case.reading(PROTOCOLS),
        note,
    )


def _absent_nodes(case: Case) -> Iterator[ClusterNode]:
    """Nodes whose sessions may be down: they are gone, as far as Kubernetes knows."""
    return (node for node in case.datastore.nodes.values() if not node.ready)


def _meshed(node: ClusterNode) -> bool:
    return node.address is not None and not node.route_reflector


def _peers(case: Case) -> Iterator[tuple[IPv4Address, str]]:
    """Whom this node surely has as a peer, by the datastore; each address with the reason."""
    own = case.expected.node
    others = [one for one in case.datastore.nodes.values() if one.name != own.name]
    if case.datastore.mesh and _meshed(own):
        yield from ((one.address.ip, f"{one.name}, mesh") for one in others if one.address and _meshed(one))
    for peer in case.datastore.bgp_peers:
        if not _concerns(peer, own):
            continue
        if peer.peer is not None:
            yield peer.peer, f"BGPPeer {peer.name}"
        elif peer.peer is None:
            chosen = (one for one in others if selects(peer.peer_selector, one.labels, unreadable=False))
            yield from ((one.address.ip, f"{one.name}, BGPPeer {peer.name}") for one in chosen if one.address)


def _concerns(peer: BgpPeer, node: ClusterNode) -> bool:
    return peer.node == node.name if peer.node else selects(peer.node_selector, node.labels, unreadable=False)


@node_check("BGP-2")
def announced(case: Case) -> None:
    """Inside IPIP pools, what peers hold from a node is its own blocks and /32s of its own live pods."""
    datastore = case.datastore
    datastore.need("ippools", "ipamblocks", "pods", "bgpconfigurations")
    own = case.expected.node
    if own.configuration.without_bird:
        case.not_applicable(f"BIRD does not run: CALICO_NETWORKING_BACKEND is {own.configuration.networking_backend}")
        return
    if own.address is None or not datastore.mesh or not _meshed(own):
        case.not_applicable(f"{case.node} is in no mesh: what its peers hold may come from other nodes")
        return
    if [one.name for one in datastore.nodes.values() if one.address and one.address.ip == own.address.ip] != [own.name]:
        case.not_applicable(f"another node has the address of {case.node}, too (NODE-1)")
        return
    observers = [name for name in case.world.selected if name != case.node and name in case.world.nodes]
    told = 0
    for observer in observers:
        bird = case.world.nodes[observer].bird
        if isinstance(bird, Absent):
            case.lack(bird)
        elif bird.running and _holds(bird, own.address.ip):
            told += 1
            _from_node(case, Observer(case, observer, bird), own.address.ip)
    if not told:
        case.not_applicable(f"no other node in scope has a BGP session with {case.node}")


def _holds(bird: Bird, address: IPv4Address) -> bool:
    """Whether this BIRD has an Established session with the node: without one it holds nothing (BGP-1)."""
    return any(one.peer == address and one.established for one in present(bird.protocols))


class Observer:
    """A peer of the judged node, by what its own BIRD says."""

    def __init__(self, case: Case, name: str, bird: Bird) -> None:
        self.name = name
        self.bird = bird
        self.reading = Case(case.world, case.requirement, name).reading(ROUTES)


def _from_node(case: Case, observer: Observer, address: IPv4Address) -> None:
    routes = present(observer.bird.routes)
    held = {route.destination for route in routes if route.peer == address and _by_ipip(case, route.destination)}
    blocks = {route.destination for route in case.expected.routes_for("ROUTE-3")}
    may_be = set(_may_be_announced(case))
    what = f"{observer.name} BGP routes from {case.node}"
    for destination in sorted(held, key=str):
        if not settled(case, destination):
            continue
        if destination in may_be:
            case.hold()
        else:
            case.differ(what, "its own blocks and pods", str(destination), observer.reading, _owner(case, destination))
    for block in sorted(blocks, key=str):
        if settled(case, block) and _must_be_announced(case, block) and block not in held:
            if observer.bird.cut is not None:
                raise Missing(observer.bird.cut)
            case.differ(what, f"its block {block}", "no such route", observer.reading)
    case.hold()


def _by_ipip(case: Case, destination: IPv4Network) -> bool:
    return any(pool.ipip and destination.subnet_of(pool.cidr) for pool in case.datastore.pools)


def _may_be_announced(case: Case) -> Iterator[IPv4Network]:
    """Own blocks, whatever their affinity's state; own pods and addresses given to them; the tunnel address."""
    datastore = case.datastore
    for route in case.expected.routes:
        if route.kind in ("blackhole", "workload", "local"):
            yield route.destination
    for block in datastore.blocks:
        if block.host == case.node:
            yield block.cidr  # a /32 block is no blackhole
        for given in block.allocations:
            if given.attributes.get("node") == case.node:
                yield IPv4Network(given.address)
    yield from (IPv4Network(ip) for pod in datastore.pods if pod.node == case.node for ip in pod.ips)


def _must_be_announced(case: Case, block: IPv4Network) -> bool:
    """Not where the pool's export is off, filters decide, or BIRD was told to leave IPIP's routes alone."""
    pool = case.datastore.pool_of(block.network_address)
    exported = pool is not None and pool.bgp_export and not case.datastore.bgp_filtered
    return exported and case.expected.node.configuration.bgp_programs != "Disabled" and block.prefixlen < _FULL


def _owner(case: Case, destination: IPv4Network) -> str:
    owner = next((block.host for block in case.datastore.blocks if block.cidr == destination), None)
    return f"block of {owner}" if owner else "no block, and no live pod, of this node"
