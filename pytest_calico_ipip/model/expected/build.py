"""From the datastore to what every node must look like: a pure function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha1
from ipaddress import IPv4Address, IPv4Network

from pytest_calico_ipip.model.datastore import Allocation, Block, ClusterNode, Datastore, Pod, Pool
from pytest_calico_ipip.model.expected.records import (
    TUNNEL_DEVICE,
    ExpectedRoute,
    LocalPod,
    NodeExpectation,
    Way,
)
from pytest_calico_ipip.model.expected.selectors import selects

# whose address IPAM gives away, by the type that the allocation says (libcalico-go/lib/ipam)
_TUNNEL_DEVICES = {
    "ipipTunnelAddress": TUNNEL_DEVICE,
    "vxlanTunnelAddress": "vxlan.calico",
    "wireguardTunnelAddress": "wireguard.cali",
}


def workload_interface(namespace: str, pod: str, prefix: str = "cali") -> str:
    """The host end's name: `cali` + 11 hex digits (libcalico-go/lib/backend/k8s/conversion)."""
    return prefix + sha1(f"{namespace}.{pod}".encode(), usedforsecurity=False).hexdigest()[:11]


def expect(datastore: Datastore) -> Mapping[str, NodeExpectation]:
    """Every node's expectation, by name."""
    cluster = _Cluster.of(datastore)
    return {name: _expect_node(cluster, node) for name, node in datastore.nodes.items()}


@dataclass(frozen=True)
class _Placed:
    """An address with the pool it comes from and the node it lives on."""

    network: IPv4Network
    owner: ClusterNode
    cross_subnet: bool


@dataclass(frozen=True)
class _Cluster:
    """The datastore, with what every node's expectation asks of it worked out once."""

    datastore: Datastore
    pods: tuple[tuple[Pod, _Placed, bool], ...]  # live, by IPIP; True: its address is borrowed
    blocks: tuple[tuple[Block, _Placed | None], ...]  # of IPIP pools; None: affine to no node of the cluster
    floating: tuple[tuple[Pod, _Placed], ...]  # live pods, with each further address that leads to them
    passing: tuple[tuple[Pod, _Placed], ...]  # pods that start or end, with an address that they have still or already
    tunnels: tuple[_Placed, ...]
    allocations: tuple[tuple[Allocation, _Placed], ...]
    states: Mapping[tuple[IPv4Network, str], str]  # (block, node) → the affinity's state
    used: frozenset[IPv4Address]  # addresses of live pods

    @classmethod
    def of(cls, datastore: Datastore) -> _Cluster:
        def placed(network: IPv4Network, node: str | None) -> _Placed | None:
            owner = datastore.nodes.get(node or "")
            pool = datastore.pool_of(network.network_address)
            if owner is None or pool is None or not pool.ipip:
                return None
            return _Placed(network, owner, pool.ipip_mode == "CrossSubnet")

        blocks = tuple(
            (block, placed(block.cidr, block.host))
            for block in datastore.blocks
            if not block.deleted and _in_ipip_pool(datastore, block.cidr)
        )
        pods = []
        for pod in datastore.workloads():
            place = placed(IPv4Network(pod.ip), pod.node) if pod.ip is not None else None
            if place is not None and pod.ip is not None:
                block = datastore.block_of(pod.ip)
                known = "ipamblocks" not in datastore.absent
                pods.append((pod, place, known and (block is None or block.host != pod.node)))
        tunnels = (
            placed(IPv4Network(node.tunnel_address), node.name)
            for node in datastore.nodes.values()
            if node.tunnel_address is not None
        )
        allocations = (
            (allocation, placed(IPv4Network(allocation.address), allocation.attributes.get("node")))
            for block, _ in blocks
            for allocation in block.allocations
        )
        return cls(
            datastore=datastore,
            pods=tuple(pods),
            floating=tuple(
                (pod, place)
                for pod in datastore.pods
                if pod.phase == "Running" and not pod.host_network
                for ip in pod.floating
                if (place := placed(IPv4Network(ip), pod.node)) is not None
            ),
            passing=tuple(
                (pod, place)
                for pod in datastore.pods
                if pod.ip is not None and not pod.host_network
                if pod.phase == "Pending" or (pod.phase == "Running" and pod.deleting)
                if (place := placed(IPv4Network(pod.ip), pod.node)) is not None
            ),
            blocks=blocks,
            tunnels=tuple(place for place in tunnels if place is not None),
            allocations=tuple((one, place) for one, place in allocations if place is not None),
            states={(a.cidr, a.node): a.state for a in datastore.affinities if not a.deleted and a.type == "host"},
            used=frozenset(pod.ip for pod, _, _ in pods if pod.ip is not None),
        )

    def confirmed(self, block: IPv4Network, node: str) -> bool:
        """Whether the block is this node's for good; so taken where affinities were never read."""
        return "blockaffinities" in self.datastore.absent or self.states.get((block, node)) == "confirmed"


def _in_ipip_pool(datastore: Datastore, network: IPv4Network) -> bool:
    pool = datastore.pool_of(network.network_address)
    return pool is not None and pool.ipip


def _expect_node(cluster: _Cluster, node: ClusterNode) -> NodeExpectation:
    datastore, configuration = cluster.datastore, node.configuration
    pods = tuple(
        LocalPod(pod, workload_interface(pod.namespace, pod.name, configuration.interface_prefix))
        for pod in datastore.workloads(node.name)
    )
    by_pools = any(pool.ipip for pool in datastore.pools) or "ippools" in datastore.absent
    return NodeExpectation(
        node=node,
        # Felix: the setting if there is one, else whether any pool, disabled ones included, has that encapsulation
        ipip=configuration.ipip_enabled if configuration.ipip_enabled is not None else by_pools,
        vxlan=(
            configuration.vxlan_enabled
            if configuration.vxlan_enabled is not None
            else any(pool.vxlan_mode in ("Always", "CrossSubnet") for pool in datastore.pools)
        ),
        vxlan_v6=datastore.vxlan_v6,  # no setting decides this
        tunnel_address=node.tunnel_address,
        has_tunnel_address=_has_tunnel_address(datastore, node),
        pods=pods,
        routes=tuple(_unique(_routes(cluster, node, pods))),
        ways=tuple(sorted(_ways(cluster, node), key=lambda item: -item[0].prefixlen)),
    )


def _has_tunnel_address(datastore: Datastore, node: ClusterNode) -> bool:
    """False in eBPF's host-source mode (from v3.33), and where no pool gives this node a tunnel address."""
    release, configuration = node.release, node.configuration
    if configuration.bpf and configuration.bpf_overlay_host_source == "HostAddress":
        return not (isinstance(release, str) or release.at_least(3, 33))
    if node.tunnel_address is not None or not node.annotated or "ippools" in datastore.absent:
        return True
    return any(_gives_tunnel_address(pool, node) for pool in datastore.pools)


def _gives_tunnel_address(pool: Pool, node: ClusterNode) -> bool:
    uses = not pool.allowed_uses or "Tunnel" in pool.allowed_uses
    return pool.ipip and not pool.disabled and uses and selects(pool.node_selector, node.labels)


def _way(node: ClusterNode, place: _Placed) -> Way:
    """How `node` reaches an address."""
    if place.owner.name == node.name:
        return Way("local", node.name)
    peer = place.owner.address.ip if place.owner.address is not None else None
    # the local mask decides, so two nodes with different masks may disagree (felix/calc/l3_route_resolver.go)
    near = node.address is not None and peer is not None and peer in node.address.network
    return Way("underlay" if place.cross_subnet and near else "tunnel", place.owner.name, peer)


def _ways(cluster: _Cluster, node: ClusterNode) -> Iterator[tuple[IPv4Network, Way]]:
    for _, place, _ in cluster.pods:
        yield place.network, _way(node, place)
    for place in cluster.tunnels:
        yield place.network, _way(node, place)
    for _, block_place in cluster.blocks:
        if block_place is not None:
            yield block_place.network, _way(node, block_place)


def _routes(cluster: _Cluster, node: ClusterNode, pods: tuple[LocalPod, ...]) -> Iterator[ExpectedRoute]:
    for local in pods:
        destination = IPv4Network(local.address)
        yield ExpectedRoute(destination, "workload", None, local.interface, "ROUTE-1", f"pod {local.pod.key}")
    yield from _remote_blocks(cluster, node)
    yield from _own_blocks(cluster, node)
    yield from _remote_pods(cluster, node)
    for place in cluster.tunnels:
        if place.owner.name == node.name:
            yield ExpectedRoute(place.network, "local", None, TUNNEL_DEVICE, "", "own tunnel address")
        else:
            yield from _remote(node, place, "", f"tunnel address of {place.owner.name}")
    for allocation, place in cluster.allocations:
        yield from _allocated(node, allocation, place)
    for pod, place in cluster.floating:
        # Felix routes it to the pod's interface as the pod's own (endpoint_mgr.go), and BIRD announces it
        yield from _may_be(node, pod, place, f"floating address of pod {pod.key}")
    for pod, place in cluster.passing:
        # as `_allocated`, where IPAM is not Calico's, and says nothing of single addresses
        yield from _may_be(node, pod, place, f"pod {pod.key} on {place.owner.name}, which starts or ends")


def _remote(node: ClusterNode, place: _Placed, requirement: str, why: str) -> Iterator[ExpectedRoute]:
    way = _way(node, place)
    if way.kind != "local":
        yield ExpectedRoute(place.network, way.kind, way.next_hop, "", requirement, why, place.owner.name)


def _remote_blocks(cluster: _Cluster, node: ClusterNode) -> Iterator[ExpectedRoute]:
    for block, place in cluster.blocks:
        if place is None:
            continue
        # pending is absent for routing; BIRD announces a /32 block only with its pod; a dead node's BGP session is gone
        settled = cluster.confirmed(block.cidr, place.owner.name) and place.owner.ready
        wanted = settled and (block.cidr.prefixlen < 32 or block.cidr.network_address in cluster.used)
        yield from _remote(node, place, "ROUTE-2" if wanted else "", f"block of {place.owner.name}")


def _own_blocks(cluster: _Cluster, node: ClusterNode) -> Iterator[ExpectedRoute]:
    hosts = {block.cidr: block.host for block, _ in cluster.blocks}
    for cidr, host in hosts.items():
        if host == node.name and cidr.prefixlen < 32:
            wanted = cluster.confirmed(cidr, node.name)
            yield ExpectedRoute(cidr, "blackhole", requirement="ROUTE-3" if wanted else "", why="own block")
    for (cidr, owner), state in cluster.states.items():
        # BIRD's configuration lists every affinity, whatever its state; a block that has another host is not ours
        if owner == node.name and hosts.get(cidr) in (None, node.name):
            yield ExpectedRoute(cidr, "blackhole", why=f"own affinity, {state}")


def _remote_pods(cluster: _Cluster, node: ClusterNode) -> Iterator[ExpectedRoute]:
    for pod, place, borrowed in cluster.pods:
        # a pod in a block of its own node has its block's route; a /32 beside it is CNI's, announced by v3.32
        why = f"pod {pod.key} on {place.owner.name}" + (", address borrowed" if borrowed else "")
        yield from _remote(node, place, "ROUTE-6" if borrowed and place.owner.ready else "", why)


def _allocated(node: ClusterNode, allocation: Allocation, place: _Placed) -> Iterator[ExpectedRoute]:
    """A pod that starts or ends has its address in IPAM while the API does not say Running: its routes may be there."""
    attributes = allocation.attributes
    why = f"allocated on {place.owner.name}"
    own = place.owner.name == node.name
    if device := _TUNNEL_DEVICES.get(attributes.get("type", "")):
        if own:
            yield ExpectedRoute(place.network, "local", None, device, why=why)
    elif "pod" in attributes and own:
        prefix = node.configuration.interface_prefix
        device = workload_interface(attributes.get("namespace", ""), attributes["pod"], prefix)
        yield ExpectedRoute(place.network, "workload", None, device, "", why)
    elif "pod" in attributes:
        yield from _remote(node, place, "", why)


def _may_be(node: ClusterNode, pod: Pod, place: _Placed, why: str) -> Iterator[ExpectedRoute]:
    """A route to a pod that nothing wants: by its interface on its own node, to that node on others."""
    if place.owner.name == node.name:
        device = workload_interface(pod.namespace, pod.name, node.configuration.interface_prefix)
        yield ExpectedRoute(place.network, "workload", None, device, "", why)
    else:
        yield from _remote(node, place, "", why)


def _unique(routes: Iterator[ExpectedRoute]) -> Iterator[ExpectedRoute]:
    """Each explanation once; one that a requirement wants comes before one that may be."""
    seen: set[tuple[IPv4Network, str, IPv4Address | None, str]] = set()
    for route in routes:
        key = (route.destination, route.kind, route.next_hop, route.device)
        if key not in seen:
            seen.add(key)
            yield route
