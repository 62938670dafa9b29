"""Which echoes were sent, from where to where: from probes.json, or found in the packets where it is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.datastore import Datastore, Pod
from pytest_calico_ipip.model.echo_ids import EchoIds
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE, NodeExpectation
from pytest_calico_ipip.model.nodestate import NodeState
from pytest_calico_ipip.model.sightings import Sightings
from pytest_calico_ipip.model.wire import Capture, Packet, Probe


@dataclass(frozen=True)
class Travel:
    """One echo that was sent. `sender` is None where the node itself sent it."""

    id: str
    kind: str
    icmp_id: int
    seq: int
    source: IPv4Address  # what its packets must carry
    destination: IPv4Address
    nodes: tuple[str, str]
    sender: Pod | None
    receiver: Pod
    strict: bool  # recognised by both addresses, not only by its id
    probe: Probe | None = None


def travels(
    datastore: Datastore,
    expected: Mapping[str, NodeExpectation],
    capture: Capture,
    pods: Sequence[Pod],
    nodes: Mapping[str, NodeState],
    sightings: Sightings,
) -> tuple[list[Travel], list[str]]:
    """Every echo that was sent, and a note for each probe that cannot be followed."""
    by_address = pods_by_address(datastore, pods)
    if capture.probes is None:
        return list(_derived(datastore, capture, nodes, sightings, by_address)), []
    ids = EchoIds(capture, capture.probes, sightings, by_address)
    numbers = ids.numbers()
    found: list[Travel] = []
    notes: list[str] = []
    for probe in capture.probes:
        if not probe.kind.startswith("echo"):
            continue
        receiver = by_address.get(probe.destination)
        sender = None if probe.kind == "echo-from-node" else by_address.get(probe.source)
        if receiver is None or (sender is None and probe.kind != "echo-from-node"):
            unknown = probe.source if receiver is not None else probe.destination
            notes.append(f"probe {probe.id} was not followed: no pod of the datastore has the address {unknown}")
            continue
        ways = (sender.node if sender else probe.node, receiver.node)
        source = probe.source
        if sender is None:
            source = node_source(datastore, expected, probe.node, probe.destination) or probe.source
        for icmp_id, seq in numbers[probe.id]:
            found.append(
                Travel(
                    probe.id, probe.kind, icmp_id, seq, source, probe.destination, ways, sender, receiver,
                    strict=probe.icmp_id is None or icmp_id in ids.shared, probe=probe,
                )
            )  # fmt: skip
    return found, notes


def node_source(
    datastore: Datastore, expected: Mapping[str, NodeExpectation], node: str, destination: IPv4Address
) -> IPv4Address | None:
    """The address that a node's own packet to a pod must carry: its tunnel address where it goes by tunl0."""
    known = datastore.nodes.get(node)
    expectation = expected.get(node)
    if known is None or expectation is None:
        return None
    own = known.address.ip if known.address is not None else None
    way = expectation.way_to(destination)
    if way is not None and way.kind == "tunnel" and expectation.has_tunnel_address:
        return expectation.tunnel_address
    return own


def pods_by_address(datastore: Datastore, pods: Sequence[Pod]) -> dict[IPv4Address, Pod]:
    """Pods by address; those that have not ended before those that have, those under test before all others."""
    found: dict[IPv4Address, Pod] = {}
    for pod in sorted((*pods, *datastore.pods), key=lambda pod: pod.ended):
        if pod.ip is not None and not pod.host_network:
            found.setdefault(pod.ip, pod)
    return found


def _derived(
    datastore: Datastore,
    capture: Capture,
    nodes: Mapping[str, NodeState],
    sightings: Sightings,
    by_address: Mapping[IPv4Address, Pod],
) -> Iterator[Travel]:
    """Echo requests from pod to pod at the sender's eth0, and from a node to another's pod at its tunl0 or NIC."""
    node_of: dict[IPv4Address, str] = {}
    for node in datastore.nodes.values():
        for address in (node.tunnel_address, node.address.ip if node.address is not None else None):
            if address is not None:
                node_of[address] = node.name
    seen: set[tuple[int, int, IPv4Address, IPv4Address]] = set()
    for packet in sightings.requests():
        icmp, inner, tap = packet.icmp, packet.inner, capture.taps[packet.tap].tap
        receiver = by_address.get(inner.destination)
        if icmp is None or icmp.id is None or icmp.seq is None or receiver is None:
            continue
        key = (icmp.id, icmp.seq, inner.source, inner.destination)
        sender = by_address.get(inner.source)
        if (
            key in seen
            or not _by_ipip(datastore, inner.destination)
            or (sender and not _by_ipip(datastore, inner.source))
        ):
            continue
        if sender is not None:
            if tap.node != sender.node or tap.netns is None:
                continue
            kind = _kind(packet, sender, receiver, nodes)
            home, source = sender.node, inner.source
        else:
            home = node_of.get(inner.source, "")
            if tap.node != home or tap.netns is not None or home == receiver.node:
                continue
            if tap.interface != TUNNEL_DEVICE and tap.interface.startswith(_prefix(datastore, home)):
                continue
            kind, source = "echo-from-node", inner.source
        seen.add(key)
        name = f"icmp id {icmp.id} seq {icmp.seq}"
        yield Travel(
            name, kind, icmp.id, icmp.seq, source, inner.destination, (home, receiver.node), sender, receiver,
            strict=True,
        )  # fmt: skip


def _by_ipip(datastore: Datastore, address: IPv4Address) -> bool:
    """Whether an echo of this pod may be IPIP's matter: its pool is not known to be of another kind."""
    pool = datastore.pool_of(address)
    return pool is None or pool.ipip


def _prefix(datastore: Datastore, node: str) -> str:
    known = datastore.nodes.get(node)
    return known.configuration.interface_prefix if known is not None else "cali"


def _kind(packet: Packet, sender: Pod, receiver: Pod, nodes: Mapping[str, NodeState]) -> str:
    if sender.node == receiver.node:
        return "echo-same-node"
    full = packet.inner.dont_fragment and packet.inner.length == pod_mtu(nodes, sender)
    return "echo-full" if full else "echo"


def pod_mtu(nodes: Mapping[str, NodeState], pod: Pod) -> int | None:
    """The MTU of the pod's eth0 as its own namespace says it; None where that is not in the evidence."""
    state = nodes.get(pod.node)
    for namespace in state.namespaces.values() if state is not None else ():
        for link in () if isinstance(namespace.links, Absent) else namespace.links:
            if any(address.ip == pod.ip for address in link.addresses):
                return link.mtu
    return None
