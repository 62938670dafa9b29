"""A healthy capture round of three nodes, made from the rules of IPIP and not by the code under test, to be broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha1
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from pytest_calico_ipip.model.checks import wire_bare, wire_local, wire_mtu, wire_path, wire_tcp
from pytest_calico_ipip.model.datastore import Affinity, Block, ClusterNode, Configuration, Datastore, Pod, Pool
from pytest_calico_ipip.model.expected import expect
from pytest_calico_ipip.model.judgement import Judgement
from pytest_calico_ipip.model.nodestate import Link, NamespaceState, NodeState
from pytest_calico_ipip.model.paths import follow
from pytest_calico_ipip.model.wire import Capture, Header, Icmp, Packet, Probe, Tap, TapReading, Tcp
from pytest_calico_ipip.model.world import World

A, B, C = (f"virtnest-rook-ceph-{number}" for number in (1, 2, 3))
ADDRESSES = {A: "10.7.120.11", B: "10.7.120.12", C: "10.7.121.13"}
BLOCKS = {A: "10.233.107.", B: "10.233.109.", C: "10.233.88."}
MTU = 1480

PAIR_CHECKS: tuple[Callable[[World, str, str], Judgement], ...] = (
    wire_path.seen_once,
    wire_path.bare,
    wire_path.encapsulated,
    wire_path.mirrored,
    wire_path.untouched,
    wire_path.from_node,
    wire_mtu.full_size,
    wire_mtu.one_more,
    wire_tcp.transferred,
    wire_tcp.encapsulated,
    wire_bare.by_subnet,
)
NODE_CHECKS: tuple[Callable[[World, str], Judgement], ...] = (wire_local.same_node, wire_bare.never_bare)
SYN, FIN, ACK = 0x02, 0x01, 0x10


def pod(node: str, number: int = 1) -> Pod:
    """The first or second pod under test of a node."""
    name = f"sleep-curl-{node[-1]}-{number}"
    address = IPv4Address(f"{BLOCKS[node]}{number}")
    return Pod("sleep-curl", name, node, address, under_test=True)


def host_end(of: Pod) -> str:
    """The name of a pod's workload interface."""
    return "cali" + sha1(f"{of.namespace}.{of.name}".encode()).hexdigest()[:11]


def datastore(mode: str = "Always", **configuration: bool) -> Datastore:
    """Three nodes, the third in another subnet; two pods on each."""
    nodes = {
        name: ClusterNode(
            name,
            IPv4Interface(f"{address}/24"),
            tunnel_address=IPv4Address(f"{BLOCKS[name]}0"),
            configuration=Configuration(**configuration),  # type: ignore[arg-type]
        )
        for name, address in ADDRESSES.items()
    }
    cidrs = {name: IPv4Network(f"{start}0/24") for name, start in BLOCKS.items()}
    return Datastore(
        nodes,
        pods=tuple(pod(name, number) for name in nodes for number in (1, 2)),
        pools=(Pool("default", IPv4Network("10.233.64.0/18"), mode, "Never", 24),),
        blocks=tuple(Block(cidr, f"host:{name}") for name, cidr in cidrs.items()),
        affinities=tuple(Affinity(cidr, name, "confirmed") for name, cidr in cidrs.items()),
    )


def state(node: str) -> NodeState:
    """What a healthy node's kernel says of its devices and of its pods' namespaces."""
    up = ("UP", "LOWER_UP")
    links = [
        Link(2, "ens192", "", 1500, up, "UP", "", (IPv4Interface(f"{ADDRESSES[node]}/24"),)),
        Link(3, "tunl0", "ipip", MTU, up, "UNKNOWN", "", (IPv4Interface(f"{BLOCKS[node]}0/32"),)),
    ]
    namespaces = {}
    for number in (1, 2):
        of, name = pod(node, number), f"cni-{node[-1]}-{number}"
        links.append(Link(5 + number, host_end(of), "veth", MTU, up, "UP", "", (), 3, number))
        inside = (Link(3, "eth0", "veth", MTU, up, "UP", "", (IPv4Interface(f"{of.ip}/32"),), 5 + number, 0),)
        namespaces[name] = NamespaceState(name, inside, (), (), {})
    ids = {number: f"cni-{node[-1]}-{number}" for number in (1, 2)}
    return NodeState(node, tuple(links), (), (), (), {}, ids, {}, MTU, namespaces)


@dataclass
class Scene:
    """A capture round that a test may break before it is judged."""

    store: Datastore = field(default_factory=datastore)
    live: bool = True
    taps: list[TapReading] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)
    probes: list[Probe] | None = field(default_factory=list)
    states: dict[str, NodeState] = field(default_factory=lambda: {name: state(name) for name in ADDRESSES})

    def tap(self, node: str, interface: str, netns: str | None = None) -> int:
        """The index of a tap."""
        for index, reading in enumerate(self.taps):
            tap = reading.tap
            if (tap.node, tap.interface) == (node, interface) and netns in (None, tap.netns):
                return index
        raise LookupError(f"{node} {interface} {netns}")

    def select(self, kind: str, source: str, destination: str, leg: str, node: str, interface: str) -> list[int]:
        """The places in `packets` of one probe's request or reply at one tap (interface "cali": the pod's own)."""
        assert self.probes is not None
        probe = next(p for p in self.probes if p.id == f"{source}:{destination} {kind}")
        tapped = self._name(node, interface, destination if node == destination else source)
        return [
            index
            for index, packet in enumerate(self.packets)
            if packet.tap == tapped
            and packet.icmp is not None
            and (packet.icmp.type, packet.icmp.id) == (8 if leg == "request" else 0, probe.icmp_id)
        ]

    def segments(self, source: str, destination: str, flags: int, at: tuple[str, str] | None = None) -> list[int]:
        """The places in `packets` of the TCP segments from one pod to another with these flags, at one tap or all."""
        tapped = self._name(*at, "") if at is not None else None
        return [
            index
            for index, packet in enumerate(self.packets)
            if packet.tcp is not None
            and packet.tcp.flags == flags
            and (packet.inner.source, packet.inner.destination) == (pod(source).ip, pod(destination).ip)
            and tapped in (None, packet.tap)
        ]

    def _name(self, node: str, interface: str, _of: str) -> int:
        if interface == "cali":
            return self.tap(node, host_end(pod(node)))
        if interface == "eth0":
            return self.tap(node, "eth0", f"cni-{node[-1]}-1")
        return self.tap(node, interface)

    def world(self) -> World:
        """What the judge sees."""
        expected = expect(self.store)
        probes = None if self.probes is None else tuple(self.probes)
        capture = Capture(tuple(self.taps), tuple(self.packets), probes)
        paths = follow(self.store, expected, capture, self.store.pods, self.states)
        selected = tuple(self.store.nodes)
        return World(self.store, expected, self.states, capture, paths, selected, self.store.pods, self.live)

    def judgements(self) -> dict[tuple[str, str], Judgement]:
        """Every judgement of the wire, by requirement and subject (`1:2` for the pair from node 1 to node 2)."""
        world = self.world()
        found = [check(world, a, b) for a, b in world.pairs() for check in PAIR_CHECKS]
        found += [check(world, node) for node in world.selected for check in NODE_CHECKS]
        return {(j.requirement, j.subject.replace("virtnest-rook-ceph-", "")): j for j in found}


def healthy(mode: str = "Always", **configuration: bool) -> Scene:
    """A whole round: every pair's echo, echo-full, echo-over, echo-from-node and TCP transfer; echo-same-node."""
    scene = Scene(datastore(mode, **configuration))
    assert scene.probes is not None
    for node in ADDRESSES:
        places: list[tuple[str | None, str, str]] = [(None, "tunl0", "RAW"), (None, "ens192", "EN10MB")]
        for number in (1, 2):
            places.append((f"cni-{node[-1]}-{number}", "eth0", "EN10MB"))
            places.append((None, host_end(pod(node, number)), "EN10MB"))
        for netns, interface, link_type in places:
            file = f"{node}.{netns or 'host'}.{interface}.pcap"
            scene.taps.append(TapReading(Tap(file, node, netns, interface), "", link_type))
    number = 100
    for source in ADDRESSES:
        for destination in ADDRESSES:
            for kind in ("echo", "echo-full", "echo-over", "echo-from-node"):
                if source != destination:
                    number += 1
                    send(scene, kind, source, destination, number)
            if source != destination:
                number += 1
                _transfer(scene, source, destination, 30000 + number)
        number += 1
        send(scene, "echo-same-node", source, source, number)
        scene.probes.append(_serves(source))
    return scene


def tunnelled(scene: Scene, source: str, destination: str) -> bool:
    """Whether packets between these nodes are encapsulated: Always, or CrossSubnet where only node 3 is elsewhere."""
    return source != destination and (scene.store.pools[0].ipip_mode == "Always" or C in (source, destination))


def send(scene: Scene, kind: str, source: str, destination: str, icmp_id: int) -> None:
    from_node = kind == "echo-from-node"
    receiver = pod(destination, 2 if source == destination else 1)
    tunnel = tunnelled(scene, source, destination)
    own = f"{BLOCKS[source]}0" if tunnel else ADDRESSES[source]
    source_address = IPv4Address(own) if from_node else pod(source).ip
    assert source_address is not None
    assert receiver.ip is not None
    size = {"echo-full": MTU - 28, "echo-over": MTU - 27}.get(kind, 56)
    over = kind == "echo-over"
    said = "ping: local error: message too long, mtu=1480" if over else ""
    assert scene.probes is not None
    scene.probes.append(
        Probe(
            f"{source}:{destination} {kind}", kind, source_address, receiver.ip, source, f"ping -c 1 {receiver.ip}",
            1 if over else 0, "", said, icmp_id, (1,), size,
        )
    )  # fmt: skip
    if over:
        return
    sender = None if from_node else pod(source)
    there = _way(sender, source, receiver, tunnel)
    request = Header(source_address, receiver.ip, 1, size + 28, 64, icmp_id, True, False, 0, 0, 0)
    _fly(scene, there, request, 8, icmp_id, tunnel)
    back = [(node, at, -fall) for node, at, fall in reversed(there)]
    reply = replace(request, source=receiver.ip, destination=source_address, dont_fragment=False)
    total = back[0][2]
    _fly(scene, [(node, at, fall - total) for node, at, fall in back], reply, 0, icmp_id, tunnel)


def _way(sender: Pod | None, source: str, receiver: Pod, tunnel: bool) -> list[tuple[str, str, int]]:
    """(node, interface or namespace, how often the TTL has fallen there), in order."""
    ends = (f"cni-{receiver.node[-1]}-{receiver.name[-1]}", host_end(receiver))
    if source == receiver.node and sender is not None:
        start = [(source, f"cni-{source[-1]}-1", 0), (source, host_end(sender), 0)]
        return [*start, (source, ends[1], 1), (source, ends[0], 1)]
    way = [] if sender is None else [(source, f"cni-{source[-1]}-1", 0), (source, host_end(sender), 0)]
    first = 0 if sender is None else 1
    way += [(source, "tunl0", first)] if tunnel else []
    way += [(source, "ens192", first), (receiver.node, "ens192", first)]
    way += [(receiver.node, "tunl0", first)] if tunnel else []
    return [*way, (receiver.node, ends[1], first + 1), (receiver.node, ends[0], first + 1)]


def _serves(node: str) -> Probe:
    address = pod(node).ip
    assert address is not None
    return Probe(f"{node} tcp-server", "tcp-server", address, address, node, "command -v nc", 0)


def _transfer(scene: Scene, source: str, destination: str, port: int) -> None:
    """A connection from pod to pod: its SYNs at every tap, the FINs of both sides on the underlay alone."""
    sender, receiver, tunnel = pod(source), pod(destination), tunnelled(scene, source, destination)
    assert sender.ip is not None
    assert receiver.ip is not None
    assert scene.probes is not None
    scene.probes.append(
        Probe(
            f"{source}:{destination} tcp-transfer", "tcp-transfer", sender.ip, receiver.ip, source,
            f"curl http://{receiver.ip}:8080/", 0, "200 1048576", size=1048576,
        )
    )  # fmt: skip
    for flags in (SYN, SYN | ACK, FIN | ACK):
        for one, other, ports in ((sender, receiver, (port, 8080)), (receiver, sender, (8080, port))):
            if (flags, one) in ((SYN, receiver), (SYN | ACK, sender)):
                continue
            assert one.ip is not None
            assert other.ip is not None
            options = 20 if flags & SYN else 12
            header = Header(one.ip, other.ip, 6, 40 + options, 64, port if flags == SYN else 0, True, False, 0, 0, 0)
            way = _way(one, one.node, other, tunnel)
            if not flags & SYN:
                way = [each for each in way if each[1] == "ens192"]
            tcp = Tcp(*ports, flags, MTU - 40 if flags & SYN else None)
            _pass(scene, way, (one.node, other.node), header, tunnel, tcp)


def _fly(scene: Scene, way: list[tuple[str, str, int]], header: Header, kind: int, icmp_id: int, tunnel: bool) -> None:
    icmp = Icmp(kind, 0, icmp_id, 1, b"abcdefgh" * 6, checksum=0x1234 + kind)
    _pass(scene, way, (way[0][0], way[-1][0]), header, tunnel, icmp)


def _pass(
    scene: Scene,
    way: list[tuple[str, str, int]],
    nodes: tuple[str, str],
    header: Header,
    tunnel: bool,
    carried: Icmp | Tcp,
) -> None:
    addresses = (IPv4Address(ADDRESSES[nodes[0]]), IPv4Address(ADDRESSES[nodes[1]]))
    icmp, tcp = (carried, None) if isinstance(carried, Icmp) else (None, carried)
    for node, at, fallen in way:
        tap = scene.tap(node, "eth0", at) if at.startswith("cni-") else scene.tap(node, at)
        inner = replace(header, ttl=header.ttl - fallen)
        headers: tuple[Header, ...] = (inner,)
        if at == "ens192" and tunnel:
            outer = replace(inner, source=addresses[0], destination=addresses[1], protocol=4, length=inner.length + 20)
            headers = (outer, inner)
        number = len(scene.packets) + 1
        layers = ("raw" if at == "tunl0" else "eth", *("ip" for _ in headers), "icmp" if icmp else "tcp")
        scene.packets.append(Packet(tap, number, number / 1000, headers, layers, icmp, tcp))
