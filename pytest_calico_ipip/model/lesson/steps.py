"""What is to be said of the packet at each point of its way. A sentence is said only where the evidence bears it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pytest_calico_ipip.model.datastore import Datastore, Pod
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE
from pytest_calico_ipip.model.lesson.ground import (
    Ground,
    device_fact,
    inside,
    neighbour_fact,
    pod_device,
    route_facts,
)
from pytest_calico_ipip.model.lesson.records import Fact, Remark, Step
from pytest_calico_ipip.model.nodestate import NextHop, Route
from pytest_calico_ipip.model.paths import Leg, Stop
from pytest_calico_ipip.model.points import Role
from pytest_calico_ipip.model.protocols import protocol_name
from pytest_calico_ipip.model.wire import Packet

IPIP = 4  # the protocol number of IPv4 in IPv4
HEADER = 20  # bytes of an IPv4 header without options

Said = Iterator["Fact | Remark"]


class Walk:
    """One packet's way from pod to pod."""

    def __init__(self, datastore: Datastore, leg: Leg, sender: Pod, receiver: Pod, home: Ground, away: Ground) -> None:
        self._datastore = datastore
        self._leg = leg
        self._sender, self._receiver = sender, receiver
        self._home, self._away = home, away
        self._from, self._to = home.pairing(sender), away.pairing(receiver)

    def step(self, index: int) -> Step:
        """The packet at one point."""
        stop = self._leg.stops[index]
        packet = stop.packets[0] if stop.packets else None
        seen = [one.packets[0] for one in self._leg.stops[:index] if one.packets]
        # only two points next to each other show what was done between them
        before = seen[-1] if seen and self._leg.stops[index - 1].packets else None
        leaving = stop.point.node == self._home.name
        parts = {
            (Role.POD, True): self._pod_sends,
            (Role.WORKLOAD, True): self._node_takes_it,
            (Role.TUNNEL, True): self._tunnel_sends,
            (Role.UNDERLAY, True): self._nic_sends,
            (Role.UNDERLAY, False): self._nic_receives,
            (Role.TUNNEL, False): self._tunnel_receives,
            (Role.WORKLOAD, False): self._node_hands_over,
            (Role.POD, False): self._pod_receives,
        }
        said = [*_sight(stop), *(parts[stop.point.role, leaving](packet, before) if packet is not None else ())]
        return Step(
            stop,
            tuple(each for each in said if isinstance(each, Fact)),
            tuple(each for each in said if isinstance(each, Remark)),
            self._command(stop, leaving),
        )

    def _pod_sends(self, _packet: Packet, _before: Packet | None) -> Said:
        namespace = self._from.namespace if self._from is not None else None
        device = pod_device(namespace, self._sender)
        route, neighbour = inside(namespace, self._leg.destination)
        yield from device_fact(device)
        yield from route_facts(route)
        yield from neighbour_fact(neighbour)
        own = next((a for a in device.addresses if a.ip == self._sender.ip), None) if device is not None else None
        if own is not None and own.network.prefixlen == own.max_prefixlen:
            yield Remark("pod.host-address", {"address": str(own)})
        hop = _hop(route)
        if hop is None or hop.gateway is None:
            return
        if hop.gateway.is_link_local:
            yield Remark("pod.gateway", {"gateway": str(hop.gateway)})
        host_end = self._from.link if self._from is not None else None
        if neighbour is not None and host_end is not None and neighbour.mac == host_end.mac:
            proxy = self._home.sysctl(f"net.ipv4.conf.{host_end.name}.proxy_arp") == "1"
            values = {"gateway": str(hop.gateway), "mac": neighbour.mac, "interface": host_end.name}
            yield Remark("pod.proxy-arp" if proxy else "pod.mac", values)

    def _node_takes_it(self, packet: Packet, before: Packet | None) -> Said:
        if before is not None and before.headers == packet.headers:
            ends = {"device": self._point(Role.POD, self._home), "interface": self._point(Role.WORKLOAD, self._home)}
            yield Remark("workload.other-end", ends)
        yield from self._way_out()

    def _way_out(self) -> Said:
        """The route by which the sender's node sends to the receiver."""
        route = self._home.route(self._leg.destination)
        yield from route_facts(route)
        decision = self._home.decision(self._leg.destination)
        if decision is not None:
            yield decision
        hop = _hop(route)
        if route is None or hop is None or hop.gateway is None or hop.gateway != self._away.address:
            return
        if decision is not None and f"dev {hop.device}" not in decision.text:
            return  # something that is not in the tables decided
        values = {
            "destination": str(self._leg.destination),
            "network": str(route.destination),
            "node": self._away.name,
            "gateway": str(hop.gateway),
            "device": hop.device,
        }
        if hop.device == TUNNEL_DEVICE:
            yield Remark("route.tunnel", values)
            if "onlink" in hop.flags:
                yield Remark("route.onlink", values)
        else:
            own = self._home.node.address if self._home.node is not None else None
            if own is not None and hop.gateway in own.network:
                yield Remark("route.same-subnet", {**values, "subnet": str(own.network)})
        yield from self._owner(route)

    def _owner(self, route: Route) -> Said:
        configuration = self._home.node.configuration if self._home.node is not None else None
        values = {"network": str(route.destination), "node": self._away.name, "protocol": route.protocol}
        if route.protocol == "bird":
            yield Remark("route.by-bird", values)
        elif configuration is not None and route.protocol == protocol_name(configuration.device_route_protocol):
            yield Remark("route.by-felix", values)

    def _tunnel_sends(self, packet: Packet, before: Packet | None) -> Said:
        device, nic = self._home.link(TUNNEL_DEVICE), self._home.nic()
        yield from device_fact(device)
        yield from _forwarded(packet, before)
        hop = _hop(self._home.route(self._leg.destination))
        if device is not None and device.tunnel_remote == "any" and hop is not None and hop.gateway is not None:
            yield Remark("tunnel.open", {"device": device.name, "gateway": str(hop.gateway)})
            yield from route_facts(self._home.route(hop.gateway))
        if device is not None and nic is not None and nic.mtu >= device.mtu + HEADER:
            values = {"mtu": str(device.mtu), "nic": nic.name, "nic_mtu": str(nic.mtu)}
            yield Remark("tunnel.mtu", {**values, "room": str(nic.mtu - device.mtu)})

    def _nic_sends(self, packet: Packet, before: Packet | None) -> Said:
        if len(packet.headers) == 1:
            yield from _forwarded(packet, before)
            yield Remark("bare.leaves", {"nic": self._point(Role.UNDERLAY, self._home), "node": self._away.name})
            return
        outer, inner = packet.outer, packet.headers[1]
        if outer.protocol == IPIP and outer.length == inner.length + outer.header_length:
            values = {"inner": str(inner.length), "header": str(outer.header_length), "outer": str(outer.length)}
            yield Remark("outer.added", {**values, "protocol": str(outer.protocol)})
        if (outer.source, outer.destination) == (self._home.address, self._away.address):
            values = {"source": str(outer.source), "source_node": self._home.name}
            yield Remark("outer.nodes", {**values, "to": str(outer.destination), "to_node": self._away.name})
        if outer.ttl == inner.ttl and outer.dont_fragment == inner.dont_fragment:
            yield Remark("outer.copied-df" if outer.dont_fragment else "outer.copied", {"ttl": str(outer.ttl)})

    def _nic_receives(self, packet: Packet, before: Packet | None) -> Said:
        if before is not None and len(before.headers) == len(packet.headers):
            routers = before.outer.ttl - packet.outer.ttl
            values = {"routers": str(routers), "before": str(before.outer.ttl), "after": str(packet.outer.ttl)}
            if routers == 0:
                yield Remark("wire.unchanged")
            elif routers > 0:
                yield Remark("wire.router" if routers == 1 else "wire.routers", values)
        if len(packet.headers) == 1:
            yield from self._local_pod()
            return
        route = self._away.route(packet.outer.destination)
        yield from route_facts(route)
        if route is not None and route.type == "local":
            values = {"address": str(packet.outer.destination), "protocol": str(packet.outer.protocol)}
            yield Remark("outer.arrived", {**values, "device": TUNNEL_DEVICE})

    def _tunnel_receives(self, packet: Packet, before: Packet | None) -> Said:
        if before is not None and len(before.headers) > len(packet.headers) and before.headers[1:] == packet.headers:
            values = {"ttl": str(packet.inner.ttl), "node": self._home.name, "device": TUNNEL_DEVICE}
            yield Remark("tunnel.removed", values)
        yield from self._local_pod()

    def _local_pod(self) -> Said:
        """Why the receiver's node hands the packet to the pod and does not drop it."""
        address = self._leg.destination
        route, blackhole = self._away.route(address), self._away.blackhole(address)
        if route is None or route.type != "unicast":
            yield from route_facts(route)
            return
        yield from route_facts(route, blackhole)
        decision = self._away.decision(address)
        if decision is not None:
            yield decision
        hop = _hop(route)
        if hop is not None and blackhole is not None and blackhole.destination.prefixlen < route.destination.prefixlen:
            values = {"address": str(address), "length": str(route.destination.prefixlen), "device": hop.device}
            block = {"block": str(blackhole.destination), "block_length": str(blackhole.destination.prefixlen)}
            yield Remark("local.longest", {**values, **block})
            yield Remark("local.blackhole", block)

    def _node_hands_over(self, packet: Packet, before: Packet | None) -> Said:
        yield from _forwarded(packet, before)
        host_end = self._to.link if self._to is not None else None
        device = pod_device(self._to.namespace if self._to is not None else None, self._receiver)
        neighbour = self._away.neighbour(self._leg.destination, host_end.name) if host_end is not None else None
        yield from neighbour_fact(neighbour)
        if neighbour is not None and device is not None and host_end is not None and neighbour.mac == device.mac:
            values = {"address": neighbour.address, "mac": neighbour.mac, "interface": host_end.name}
            yield Remark("workload.real-mac", {**values, "device": device.name})

    def _pod_receives(self, _packet: Packet, _before: Packet | None) -> Said:
        namespace = self._to.namespace if self._to is not None else None
        route, _ = inside(namespace, self._leg.destination)
        yield from route_facts(route)
        if route is not None and route.type == "local":
            yield Remark("pod.arrived", {"address": str(self._leg.destination)})

    def _point(self, role: Role, ground: Ground) -> str:
        """The name that the way has for a device."""
        return next(s.point.interface for s in self._leg.stops if s.point.role is role and s.point.node == ground.name)

    def _command(self, stop: Stop, leaving: bool) -> str:
        """What a person types on the node to see what decided this step."""
        role, name = stop.point.role, shlex.quote(stop.point.interface)
        destination = self._leg.destination
        pairing = self._from if leaving else self._to
        if role is Role.POD:
            if pairing is None or pairing.namespace is None:
                return ""
            enter = f"ip netns exec {shlex.quote(pairing.namespace.name)}"
            return f"{enter} ip neigh" if leaving else f"{enter} ip route get {destination}"
        if role is Role.UNDERLAY:
            only = "ip proto 4" if self._leg.tunnelled else f"host {destination}"
            return f"tcpdump -nnv -i {name} '{only}'"
        if role is Role.TUNNEL:
            return f"ip -d link show {name}" if leaving else f"ip route show match {destination}"
        return f"ip route get {destination}" if leaving else f"ip neigh show dev {name}"


def _sight(stop: Stop) -> Said:
    if len(stop.packets) > 1:
        yield Remark("sight.more", {"count": str(len(stop.packets))})
    elif not stop.packets and stop.point.optional:
        yield Remark("sight.optional")
    elif not stop.packets and stop.point.tap is None:
        yield Remark("sight.no-tap")
    elif not stop.packets and stop.point.problem:
        yield Remark("sight.problem", {"problem": stop.point.problem})
    elif not stop.packets:
        yield Remark("sight.never")


def _forwarded(packet: Packet, before: Packet | None) -> Said:
    """A node that forwards takes one off the TTL."""
    if before is not None and before.inner.ttl - packet.inner.ttl == 1:
        yield Remark("forwarded", {"before": str(before.inner.ttl), "after": str(packet.inner.ttl)})


def _hop(route: Route | None) -> NextHop | None:
    """The one way out of a route; of several ways nobody can say which one the packet took."""
    return route.next_hops[0] if route is not None and len(route.next_hops) == 1 else None
