"""The capture round: every tap of every node open, then all probes of all pairs, then everything closed and kept."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Address

from pytest_calico_ipip.cluster.exec import Executed
from pytest_calico_ipip.cluster.facts import NodeFacts, PodFacts
from pytest_calico_ipip.cluster.pods import PORTS, SERVED
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.model.wire import Tap
from pytest_calico_ipip.nodes.reading import Reading, after, eth0_mtu, underlay_nic
from pytest_calico_ipip.nodes.script import after_script
from pytest_calico_ipip.packets import filters, inside, probes, spoofed, taps
from pytest_calico_ipip.packets.probes import Sender, Sent, Station
from pytest_calico_ipip.packets.spoofed import Spoof
from pytest_calico_ipip.packets.taps import NodeCapture, Plan
from pytest_calico_ipip.remote import Remote, Unpacked
from pytest_calico_ipip.settings import Settings

TUNNEL = "tunl0"
NOT_SENT = "not sent: no connection to the node, or the network namespace of the pod was not found"
Inside = Callable[[PodFacts, Sequence[str], float], Executed]  # a pod, a command, the seconds that it may take


class CaptureRound:
    """Taps and probes of all nodes."""

    def __init__(
        self,
        settings: Settings,
        evidence: Evidence,
        nodes: Mapping[str, NodeFacts],
        readings: Mapping[str, Reading],
        pods: Mapping[str, Sequence[PodFacts]],
        connections: Mapping[str, Remote],
    ) -> None:
        self._settings = settings
        self._evidence = evidence
        self._nodes = nodes
        self._readings = readings
        self._pods = pods
        self._connections = connections
        stations = [self._station(node) for node in readings]
        # far from the low ones, which a ping inside a pod takes where it takes its process id
        first_id = 20000 + secrets.randbelow(40000)
        self._probes = probes.plan(stations, first_id)
        self._spoofed: list[Spoof] = []
        if settings.spoof:
            reachable = {name: one.address for name, one in nodes.items() if one.address is not None}
            self._spoofed = spoofed.plan(stations, reachable, first_id + len(self._probes))
        self._inside = [(self._pods[at.node][0], some) for at, some in inside.plan(stations, PORTS, SERVED)]
        self._sent: dict[str, list[Sent]] = {}
        self._told: list[Sent] = []
        self._plans = {node: self._taps(node) for node in readings}
        # far above what our probes make, far below what could trouble a node
        self._limit = 1000 + 20 * self.count
        self._seconds = settings.in_time(settings.capture_timeout, len(readings))
        self._captures: dict[str, NodeCapture] = {}

    @property
    def count(self) -> int:
        """How many probes are sent."""
        return len(self._probes) + sum(len(some.probes) for _, some in self._inside) + len(self._spoofed)

    def open(self) -> None:
        """Open every tap of every node; returns when each listens or has failed."""
        for node, plans in self._plans.items():
            if node in self._connections:
                self._captures[node] = NodeCapture(self._connections[node], plans)
        seconds = self._settings.in_time(taps.LISTEN_SECONDS, len(self._captures))
        self._everywhere(lambda node: self._captures[node].start(self._limit, seconds))

    def send(self, execute: Inside) -> None:
        """Send every probe: each node its own through its shell, and the pods theirs through the API."""
        with ThreadPoolExecutor(max(1, len(self._inside))) as threads:
            told = [threads.submit(self._send_inside, pod, some, execute) for pod, some in self._inside]
            self._everywhere(self._send_from)
            if self._spoofed:
                self._everywhere(self._send_spoofed)
            self._told = [probe for future in told for probe in future.result()]

    def close(self) -> None:
        """Close the taps; write what they saw, what the probes said, and what the nodes say now."""
        unpacked: dict[str, Unpacked] = {}

        def finish(node: str) -> None:
            reading = self._readings[node]
            script = after_script(reading.netnses, reading.look_up)
            unpacked[node] = self._captures[node].finish(script, self._seconds)

        self._everywhere(finish)
        entries: list[Sent] = []
        for node, plans in self._plans.items():
            problem = self._readings[node].problem or "there was no connection to this node"
            answer = unpacked.get(node, Unpacked(problem=problem))
            missing = self._connections[node].missing_tcpdump if node in self._connections else ""
            taps.write(self._evidence.packets, plans, answer, missing)
            after(self._evidence, self._readings[node], answer)
            entries += probes.collect(self._sent.get(node, []), answer)
        known = {probe.id: probe for probe in entries}
        listed = [taps.entry(plan.tap, self._limit) for plans in self._plans.values() for plan in plans]
        self._write_json("taps.json", listed)
        everything = [known.get(probe.id, replace(probe, stderr=NOT_SENT)) for probe in self._probes] + self._told
        entries_of_spoofed = [one.entry() for one in self._spoofed]
        self._write_json("probes.json", [*(probe.entry() for probe in everything), *entries_of_spoofed])

    def _everywhere(self, act: Callable[[str], None]) -> None:
        """On every node with a capture, side by side."""
        with ThreadPoolExecutor(max(1, len(self._captures))) as threads:
            waiting = [threads.submit(act, node) for node in self._captures]
            try:
                for future in waiting:
                    future.result()
            except BaseException:
                # an interrupt: the threads end when their connections do
                for node in self._captures:
                    self._connections[node].close()
                raise

    def _send_from(self, node: str) -> None:
        together = probes.at_once(len(self._captures))
        mine = [probe for probe in self._probes if probe.node == node and self._sendable(probe)]
        self._sent[node] = probes.send(self._connections[node], mine, self._seconds, together)

    def _send_spoofed(self, node: str) -> None:
        mine = [one for one in self._spoofed if one.sender == node]
        sent = spoofed.send(self._connections[node], mine, self._seconds)
        self._spoofed = [next((two for two in sent if two.receiver == one.receiver), one) for one in self._spoofed]

    def _station(self, node: str) -> Station:
        reading, facts = self._readings[node], self._nodes[node]
        senders = []
        for pod in self._pods[node]:
            place = reading.places.get(f"{pod.namespace}/{pod.name}")
            addresses = reading.files.get(f"netns/{place.netns}/ip-addr.json", b"") if place else b""
            senders.append(
                Sender(f"{pod.namespace}/{pod.name}", pod.ip, place.netns if place else None, eth0_mtu(addresses))
            )
        decisions = _devices(reading.files.get("ip-route-get.json", b"[]"))
        own: dict[IPv4Address, IPv4Address] = {}
        for pods in self._pods.values():
            for pod in pods:
                address = facts.tunnel_address if decisions.get(str(pod.ip)) == TUNNEL else facts.address
                if address := address or facts.internal_ip:
                    own[pod.ip] = address
        return Station(node, senders, own)

    def _send_inside(self, pod: PodFacts, some: inside.Plan, execute: Inside) -> list[Sent]:
        done = execute(pod, inside.script(some), self._settings.in_time(some.seconds, len(self._inside)))
        return inside.told(some, done.status, done.stdout, done.stderr, f"{pod.namespace}/{pod.name}")

    def _sendable(self, probe: Sent) -> bool:
        """A pod whose namespace was not found sends nothing; its probes are listed without an exit status."""
        return probe.kind == "echo-from-node" or probe.netns is not None

    def _taps(self, node: str) -> list[Plan]:
        addresses = [pod.ip for pods in self._pods.values() for pod in pods]
        reading = self._readings[node]
        found = []
        for pod in self._pods[node]:
            key = f"{pod.namespace}/{pod.name}"
            place = reading.places.get(key)
            narrow = filters.bare([pod.ip])
            netns = place.netns if place else "not-found"
            found.append(Plan(Tap(f"{node}.{pod.name}.eth0.pcap", node, netns, "eth0"), narrow))
            interface = reading.interfaces[key]
            found.append(Plan(Tap(f"{node}.{interface}.pcap", node, None, interface), narrow))
        if addresses:
            facts = self._nodes[node]
            nic = underlay_nic(reading.files.get("ip-addr.json", b""), (facts.address, facts.internal_ip))
            nic = nic or "underlay-nic"
            found.append(Plan(Tap(f"{node}.{TUNNEL}.pcap", node, None, TUNNEL), filters.bare(addresses)))
            found.append(Plan(Tap(f"{node}.{nic}.pcap", node, None, nic), filters.underlay(addresses)))
        return found

    def _write_json(self, name: str, content: object) -> None:
        self._evidence.packets.mkdir(parents=True, exist_ok=True)
        (self._evidence.packets / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _devices(route_get: bytes) -> dict[str, str]:
    """Destination → device, from ip-route-get.json."""
    try:
        return {str(one["dst"]): str(one.get("dev", "")) for one in json.loads(route_get)}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
