"""Clusters out of thin air: datastores of any shape, and the nodes that Calico would make of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import islice

from hypothesis import strategies as st

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.bird import Bird, BirdProtocol, BirdRoute
from pytest_calico_ipip.model.datastore import (
    Affinity,
    Allocation,
    Block,
    ClusterNode,
    Configuration,
    Datastore,
    Pod,
    Pool,
    Release,
)
from pytest_calico_ipip.model.expected import ExpectedRoute, NodeExpectation, expect
from pytest_calico_ipip.model.expected.mtu import pod_mtu, tunnel_mtu
from pytest_calico_ipip.model.firewall import FilterRule, Firewall
from pytest_calico_ipip.model.nodestate import (
    Decision,
    Link,
    NamespaceState,
    Neighbour,
    NextHop,
    NodeState,
    Route,
    Rule,
)
from pytest_calico_ipip.model.protocols import protocol_name
from pytest_calico_ipip.model.world import World

RELEASES = tuple(Release(3, minor, 1, f"v3.{minor}.1") for minor in (29, 31, 32, 33, 34))
# who programs the routes: FelixConfiguration's and BGPConfiguration's words, all that are legal from a release on
_LATE = (("", "", "felix"), ("EnabledIPIPOnly", "EnabledNoEncapOnly", "felix"), ("Enabled", "Disabled", "felix"),
         ("Disabled", "Enabled", "bird"), ("EnabledNoEncapOnly", "EnabledIPIPOnly", "bird"))  # fmt: skip
OWNERS: dict[int, tuple[tuple[str, str, str], ...]] = {
    29: (("", "", "bird"),),
    31: (("", "", "bird"), ("Disabled", "", "bird"), ("", "Enabled", "bird")),
    32: (("", "", "bird"), ("Enabled", "Disabled", "felix"), ("Disabled", "Enabled", "bird")),
    33: _LATE,
    34: _LATE,
}
METRICS = (0, 1024, 2147483547)  # of BIRD's routes from v3.32 on, by the release of the peer
_FLAGS = ("BROADCAST", "MULTICAST", "UP", "LOWER_UP")
_NOTHING = Absent("the packets", failed=False)
WORKLOAD_MAC = "ee:ee:ee:ee:ee:ee"


@st.composite
def datastores(draw: st.DrawFn) -> Datastore:
    """A healthy cluster: one to four nodes, one or two pools, blocks of any size, pods at home and borrowed."""
    modes = st.sampled_from(["Always", "CrossSubnet"])
    pools = [Pool("first", IPv4Network("10.233.64.0/18"), draw(modes), "Never", 26, draw(st.booleans()))]
    if draw(st.booleans()):
        other = draw(
            st.sampled_from([("Never", "Never"), ("Never", "Always"), ("Always", "Never"), ("CrossSubnet", "Never")])
        )
        pools.append(Pool("second", IPv4Network("10.50.0.0/16"), *other, 26))
    nodes, blocks, affinities = {}, [], []
    for number in range(draw(st.integers(1, 4))):
        name = f"node-{number}"
        subnet = draw(st.sampled_from([120, 121]))
        own = _blocks(draw, pools[0], number, name)
        if len(pools) > 1 and draw(st.booleans()):
            own += _blocks(draw, pools[1], number, name)
        blocks += own
        for block in own:
            affinities.append(Affinity(block.cidr, name, "confirmed"))
        nodes[name] = ClusterNode(
            name=name,
            address=IPv4Interface(f"10.7.{subnet}.{11 + number}/{draw(st.sampled_from([16, 24, 32]))}"),
            tunnel_address=own[0].cidr.network_address,
            release=(release := draw(st.sampled_from(RELEASES))),
            configuration=draw(configurations(release)),
            ready=draw(st.integers(0, 9)) > 0,
        )
    pods, taken = _pods(draw, list(nodes), blocks)
    by_ipip = [pool.cidr for pool in pools if pool.ipip]
    pods = tuple(
        pod if any(pod.ip in cidr for cidr in by_ipip) else replace(pod, under_test=False)  # type: ignore[operator]
        for pod in pods
    )
    blocks = [replace(block, allocations=tuple(a for a in taken if a.address in block.cidr)) for block in blocks]
    others = {"win-1": (IPv4Address("10.7.120.200"),)} if draw(st.booleans()) else {}
    return Datastore(nodes, pods, tuple(pools), tuple(blocks), tuple(affinities), others=others)


@st.composite
def configurations(draw: st.DrawFn, release: Release) -> Configuration:
    """A configuration that concerns IPIP, with an owner of the routes that is legal in this release."""
    felix, bgp, _ = draw(st.sampled_from(OWNERS[release.minor]))
    bpf = draw(st.integers(0, 4)) == 0
    return Configuration(
        felix_programs=felix,
        bgp_programs=bgp,
        device_route_protocol=draw(st.sampled_from([80, 80, 99])),
        external_nodes=draw(st.sampled_from([(), ("198.51.100.0/24",), ("198.51.100.7", "fd00::1")])),
        bpf=bpf,
        bpf_overlay_host_source=draw(st.sampled_from(["", "TunnelAddress", "HostAddress"])) if bpf else "",
        ipip_mtu=draw(st.sampled_from([0, 0, 0, 1300])),
        interface_prefix=draw(st.sampled_from(["cali", "cali", "k8s"])),
        mtu_interface_pattern=draw(st.sampled_from([Configuration().mtu_interface_pattern, "^nothing$"])),
    )


def _blocks(draw: st.DrawFn, pool: Pool, number: int, name: str) -> list[Block]:
    size = draw(st.sampled_from([24, 26, 29, 32]))
    base = IPv4Network((int(pool.cidr.network_address) + number * 4096, 20))
    return [Block(cidr, f"host:{name}") for cidr in islice(base.subnets(new_prefix=size), draw(st.integers(1, 2)))]


def _pods(draw: st.DrawFn, nodes: list[str], blocks: list[Block]) -> tuple[tuple[Pod, ...], list[Allocation]]:
    pods, taken = [], []
    used = {block.cidr.network_address for block in blocks}
    for number in range(draw(st.integers(0, 6))):
        block = draw(st.sampled_from(blocks))
        home = (block.affinity or "")[5:]
        node = draw(st.sampled_from(nodes)) if draw(st.booleans()) else home
        address = block.cidr.network_address + 1 + number
        if address not in block.cidr or address in used:
            continue
        used.add(address)
        name = f"pod-{number}"
        pods.append(Pod("default", name, node, address, (address,), under_test=draw(st.booleans())))
        taken.append(Allocation(address, name, {"namespace": "default", "pod": name, "node": node}))
    return tuple(pods), taken


def node_state(expectation: NodeExpectation, host_mtu: int = 1500) -> NodeState:
    """The node as Calico's release would have made it."""
    node = expectation.node
    nic = Link(3, "ens192", "", host_mtu, _FLAGS, "UP", "52:54:00:00:00:01", (node.address,) if node.address else ())
    tunnel = Link(
        index=2,
        name="tunl0",
        kind="ipip",
        mtu=min(tunnel_mtu(expectation, [nic]), host_mtu - 20),
        flags=("NOARP", "UP", "LOWER_UP"),
        operstate="UNKNOWN",
        mac="0.0.0.0",
        addresses=(IPv4Interface(f"{expectation.tunnel_address}/32"),) if expectation.has_tunnel_address else (),
        tunnel_local="any",
        tunnel_remote="any",
        tunnel_ttl=0,
    )
    mtu = min(pod_mtu(expectation, [nic]), host_mtu - 20)
    links = [_loopback(), tunnel, nic]
    namespaces, sysctl = {}, {"net.ipv4.ip_forward": "1", "net.ipv4.conf.tunl0.forwarding": "1"}
    for number, local in enumerate(expectation.pods):
        interface = Link(10 + number, local.interface, "veth", mtu, _FLAGS, "UP", WORKLOAD_MAC, (), 3, number)
        links.append(interface)
        sysctl |= {f"net.ipv4.conf.{local.interface}.{key}": "1" for key in ("proxy_arp", "forwarding")}
        namespaces[f"cni-{number}"] = _namespace(f"cni-{number}", interface, local.address)
    return NodeState(
        name=node.name,
        links=tuple(links),
        routes=tuple(_routes(expectation)),
        rules=tuple(Rule(*rule) for rule in ((0, "local", "0"), (32766, "main", "1"), (32767, "default", "2"))),
        neighbours=(),
        sysctl=sysctl,
        namespace_ids={number: f"cni-{number}" for number in range(len(expectation.pods))},
        decisions=dict(_decisions(expectation)),
        calico_mtu=mtu,
        namespaces=namespaces,
    )


def _firewall(datastore: Datastore, node: ClusterNode, kind: str) -> Firewall:
    """Calico's two rules about IPIP, as either tool names chains and sets."""
    base, own, hosts = ("filter/INPUT", "filter/cali-INPUT", "cali40all-hosts-net")
    if kind == "nft.json":
        base, own, hosts = ("ip/calico/filter-INPUT", "ip/calico/filter-cali-INPUT", "ip/calico/cali40all-hosts-net")
    chains = {
        base: (FilterRule("jump", own),),
        own: (FilterRule("accept", protocol="4", source_set=hosts, packets=8), FilterRule("drop", "", "4", packets=0)),
    }
    addresses = [IPv4Network(one.address.ip) for one in datastore.nodes.values() if one.address]
    addresses += [IPv4Network(address) for other in datastore.others.values() for address in other]
    addresses += [IPv4Network(one) for one in node.configuration.external_nodes if ":" not in one]
    return Firewall(
        kind, (base,), (), chains, {hosts: tuple(addresses)}, "ipset.txt", True, chains, "the second reading"
    )


def _bird(datastore: Datastore, expected: Mapping[str, NodeExpectation], name: str) -> Bird:
    """A session with every other node, and its blocks and borrowed pods from each."""
    protocols, routes = [BirdProtocol("static1", "Static", "up", "")], []
    for other, one in expected.items():
        if other != name and one.node.address is not None:
            session = f"Mesh_{str(one.node.address.ip).replace('.', '_')}"
            protocols.append(BirdProtocol(session, "BGP", "up", "Established"))
            routes += [BirdRoute(r.destination, session) for r in one.routes_for("ROUTE-3")]
            routes += [BirdRoute(IPv4Network(p.ip), session) for p in datastore.workloads(other) if p.ip is not None]
    return Bird(True, "", tuple(protocols), tuple(routes))


def _loopback() -> Link:
    return Link(1, "lo", "", 65536, ("LOOPBACK", "UP"), "UNKNOWN", "00:00:00:00:00:00")


def _namespace(name: str, interface: Link, address: IPv4Address) -> NamespaceState:
    gateway = IPv4Address("169.254.1.1")
    eth0 = replace(
        interface,
        index=3,
        name="eth0",
        mac="12:00:00:00:00:01",
        addresses=(IPv4Interface(f"{address}/32"),),
        peer_index=interface.index,
        peer_netnsid=0,
    )
    routes = (
        _route("unicast", "0.0.0.0/0", NextHop(gateway, "eth0")),
        replace(_route("unicast", "169.254.1.1/32", NextHop(None, "eth0")), scope="link"),
    )
    entry = Neighbour("169.254.1.1", "eth0", WORKLOAD_MAC, "STALE")
    return NamespaceState(name, (_loopback(), eth0), routes, (entry,), {})


def _route(kind: str, destination: str | IPv4Network, *hops: NextHop) -> Route:
    return Route(kind, IPv4Network(destination), next_hops=hops, text=f"{kind} {destination}")


def _routes(expectation: NodeExpectation) -> Iterator[Route]:
    yield _route("unicast", "0.0.0.0/0", NextHop(IPv4Address("10.7.120.1"), "ens192"))
    for expected in expectation.routes:
        if expected.requirement:
            route = _as_programmed(expectation, expected)
            yield route
            if route.scope == "link" and route.metric and expected.destination.network_address.packed[3] % 2:
                yield replace(route, metric=0)  # CNI's, which Felix takes away a little later
    if expectation.tunnel_address is not None and expectation.has_tunnel_address:
        local = _route("local", IPv4Network(expectation.tunnel_address), NextHop(None, "tunl0"))
        yield replace(local, table="local", scope="host")


def _as_programmed(expectation: NodeExpectation, expected: ExpectedRoute) -> Route:
    release = expectation.node.release
    felix = owner_of(expectation.node) == "felix"
    late = not isinstance(release, str) and release.at_least(3, 32)
    if expected.kind == "workload":
        route = _route("unicast", expected.destination, NextHop(None, expected.device))
        return replace(route, scope="link", metric=1024 if late else 0)
    protocol = protocol_name(expectation.node.configuration.device_route_protocol) if felix else "bird"
    if expected.kind == "blackhole":
        return replace(_route("blackhole", expected.destination), protocol=protocol)
    tunnel = expected.kind == "tunnel"
    hop = NextHop(expected.next_hop, "tunl0" if tunnel else "ens192", ("onlink",) if tunnel or felix else ())
    route = replace(_route("unicast", expected.destination, hop), protocol=protocol)
    metric = METRICS[expected.destination.network_address.packed[2] % 3] if late and not felix else 0
    return replace(route, metric=metric, mtu=1480 if felix and tunnel else None)


def owner_of(node: ClusterNode) -> str:
    """Who programs this node's routes, by the pair that it was given; BIRD where it was given no release."""
    if isinstance(node.release, str):
        return "bird"
    configuration = node.configuration
    pair = (configuration.felix_programs, configuration.bgp_programs)
    return next(owner for felix, bgp, owner in OWNERS[node.release.minor] if (felix, bgp) == pair)


def _decisions(expectation: NodeExpectation) -> Iterator[tuple[IPv4Address, Decision]]:
    """Every pod, and the last address of every other node's block."""
    devices = {local.address: local.interface for local in expectation.pods}
    for network, _ in expectation.ways:
        address = network.network_address + network.num_addresses - 1
        way = expectation.way_to(address)
        if address in devices:
            yield address, Decision(address, devices[address], None)
        elif way is not None and way.kind != "local":
            yield address, Decision(address, "tunl0" if way.kind == "tunnel" else "ens192", way.next_hop)


def world_of(datastore: Datastore, host_mtu: int = 1500) -> World:
    """The whole cluster, every node as it must be."""
    expected = expect(datastore)
    nodes = {
        name: replace(
            node_state(one, host_mtu),
            firewalls=(_firewall(datastore, one.node, "nft.json" if number % 2 else "iptables-save.txt"),),
            bird=_bird(datastore, expected, name),
        )
        for number, (name, one) in enumerate(expected.items())
    }
    pods = tuple(pod for pod in datastore.pods if pod.under_test)
    return World(datastore, expected, nodes, _NOTHING, _NOTHING, tuple(expected), pods)
