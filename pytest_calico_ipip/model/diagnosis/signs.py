"""What a rule may look at: the symptoms that nothing explains yet, and the world, without ever raising."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address

from pytest_calico_ipip.model.absent import Absent, Missing
from pytest_calico_ipip.model.checks.wire_scope import label
from pytest_calico_ipip.model.datastore import ClusterNode, Datastore, Pod
from pytest_calico_ipip.model.diagnosis.cause import Found, kubectl, on
from pytest_calico_ipip.model.diagnosis.symptom import Symptom
from pytest_calico_ipip.model.expected import underlay
from pytest_calico_ipip.model.judgement import Judgement, Outcome
from pytest_calico_ipip.model.nodestate import Link, NamespaceState, NodeState, Route
from pytest_calico_ipip.model.paths import Flight, Leg
from pytest_calico_ipip.model.world import World

AGENT = "calico-node"  # the DaemonSet and its container
Rule = Callable[["Signs"], Iterator[Found]]


class Signs:
    """The failures of a run, and how much of them is explained."""

    def __init__(self, world: World, judgements: Sequence[Judgement]) -> None:
        self.world = world
        every = {(s.requirement, s.subject, s.difference, s.reason): s for s in _symptoms(world, judgements)}
        self.all = tuple(every.values())
        self.left: dict[Symptom, None] = dict.fromkeys(self.all)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that any failure may be about."""
        return tuple(dict.fromkeys((*self.world.selected, *self.world.nodes)))

    @property
    def store(self) -> Datastore:
        """The API's reading; an empty one where it is absent."""
        return Datastore({}) if isinstance(self.world.datastore, Absent) else self.world.datastore

    def birdcl(self, node: str, *words: str) -> str:
        """A question for a node's BIRD: in its calico-node pod where the API knows one, else on the node."""
        asked = ("birdcl", "-s", "/var/run/calico/bird.ctl", *words)
        pod = self._calico_node(node)
        return kubectl("exec", "-n", pod.namespace, pod.name, "-c", AGENT, "--", *asked) if pod else on(node, *asked)

    def logs(self, node: str) -> str:
        """The last words of a node's calico-node pod; of all of them where the API knows none."""
        pod = self._calico_node(node)
        whose = ("-n", pod.namespace, pod.name) if pod else ("-n", "kube-system", "-l", f"k8s-app={AGENT}")
        return kubectl("logs", *whose, "-c", AGENT, "--tail=50")

    def _calico_node(self, node: str) -> Pod | None:
        agents = (p for p in self.store.pods if p.node == node and p.host_network and p.name.startswith(f"{AGENT}-"))
        return next(agents, None)

    def of(self, *requirements: str, on: str | None = None) -> tuple[Symptom, ...]:
        """What does not hold of these requirements (on this subject), and nothing explains yet.

        What could not be judged is none of it: nothing that a rule knows follows from that.
        """
        return tuple(s for s in self.left if s.requirement in requirements and on in (None, s.subject) and s.difference)

    def packets(self) -> Iterator[tuple[Symptom, Leg]]:
        """The symptoms of packets that nothing explains yet, each with the packet's way."""
        return ((s, s.leg) for s in tuple(self.left) if s.leg is not None)

    def broken_at(self, node: str) -> tuple[Symptom, ...]:
        """Symptoms of packets that left their way inside this node."""
        return tuple(s for s, _ in self.packets() if s.broken is not None and s.broken.within(node))

    def take(self, found: Found) -> bool:
        """Mark as explained; False where nothing of it was left to explain."""
        new = [symptom for symptom in dict.fromkeys(found.symptoms) if symptom in self.left]
        for symptom in new:
            del self.left[symptom]
        return bool(new)

    def state(self, node: str) -> NodeState | None:
        """What the node said."""
        return self.world.nodes.get(node)

    def known(self, node: str) -> ClusterNode | None:
        """The node as the API says it."""
        return self.store.nodes.get(node)

    def address(self, node: str) -> IPv4Address | None:
        """The node's own address."""
        known = self.known(node)
        return known.address.ip if known is not None and known.address is not None else None

    def node_with(self, address: IPv4Address | None) -> str | None:
        """Whose own address this is."""
        return next((name for name in self.store.nodes if address is not None and self.address(name) == address), None)

    def node_of(self, address: str) -> str | None:
        """The node of the pod with this address, or the node whose tunnel address it is."""
        every = (pod for pod in (*self.store.pods, *self.world.pods) if not (pod.host_network or pod.ended))
        pods = {str(pod.ip): pod.node for pod in every}
        tunnels = {str(node.tunnel_address): name for name, node in self.store.nodes.items()}
        return pods.get(address) or tunnels.get(address)

    def links(self, node: str) -> tuple[Link, ...]:
        """The node's devices, as far as they were read."""
        state = self.state(node)
        return () if state is None or isinstance(state.links, Absent) else state.links

    def link(self, node: str, name: str) -> Link | None:
        """One device."""
        return next((link for link in self.links(node) if link.name == name), None)

    def nic(self, node: str) -> Link | None:
        """The underlay NIC."""
        known, state = self.known(node), self.state(node)
        if known is None or state is None:
            return None
        try:
            return underlay(known, state)
        except Missing:
            return None

    def nic_name(self, node: str) -> str:
        """Its name, for a command."""
        nic = self.nic(node)
        return nic.name if nic is not None else "any"

    def routes(self, node: str) -> tuple[Route, ...]:
        """All routes of a node, as far as they were read."""
        state = self.state(node)
        return () if state is None or isinstance(state.routes, Absent) else state.routes

    def sysctl(self, node: str, key: str) -> str | None:
        """A switch of the kernel."""
        state = self.state(node)
        return None if state is None or isinstance(state.sysctl, Absent) else state.sysctl.get(key)

    def namespace_of(self, node: str, address: IPv4Address) -> NamespaceState | None:
        """The network namespace of the pod with this address."""
        state = self.state(node)
        for namespace in state.namespaces.values() if state is not None else ():
            links = () if isinstance(namespace.links, Absent) else namespace.links
            if any(one.ip == address for link in links if link.name == "eth0" for one in link.addresses):
                return namespace
        return None


def _symptoms(world: World, judgements: Sequence[Judgement]) -> Iterator[Symptom]:
    for judgement in judgements:
        if judgement.outcome is Outcome.FAILED:
            for difference in judgement.differences:
                flight, leg = _packet(world, judgement, difference.what)
                yield Symptom(judgement.requirement, judgement.subject, difference, "", flight, leg)
        elif judgement.outcome is Outcome.ERROR:
            for reason in judgement.inconclusive:
                yield Symptom(judgement.requirement, judgement.subject, None, reason)


def _packet(world: World, judgement: Judgement, what: str) -> tuple[Flight | None, Leg | None]:
    """The packet that a difference is about: the checks begin with its label."""
    if isinstance(world.paths, Absent) or "echo" not in what:
        return None, None
    source, _, destination = judgement.subject.partition(":")
    for flight in world.paths.flights:
        if flight.nodes != (source, destination or source):
            continue
        for leg in (flight.request, flight.reply):
            text = label(flight, leg)
            if what.startswith(text) and what[len(text) : len(text) + 1] in (":", ",", ""):
                gone = judgement.requirement == "MTU-4" and not (flight.request.lost and not flight.reply.seen)
                return flight, flight.reply if gone else leg
    return None, None
