"""One observation from its beginning to its end, phase by phase."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import IPv4Address
from types import TracebackType

from pytest_calico_ipip import __version__
from pytest_calico_ipip.cluster import calico, cleanup, facts, lists, rights
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.entrusted import Entrusted
from pytest_calico_ipip.cluster.exec import Executed, execute
from pytest_calico_ipip.cluster.facts import CalicoPod, NodeFacts, PodFacts
from pytest_calico_ipip.cluster.nodes import left_out
from pytest_calico_ipip.cluster.pods import CONTAINER, PodsUnderTest
from pytest_calico_ipip.errors import IpipError, SetupProblem
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.model.expected import workload_interface
from pytest_calico_ipip.nodes.connection import Connections
from pytest_calico_ipip.nodes.reading import Line, Reading, add, read_node, refused
from pytest_calico_ipip.nodes.script import PodPlace
from pytest_calico_ipip.observation import ways
from pytest_calico_ipip.observation.round import CaptureRound
from pytest_calico_ipip.packets import probes
from pytest_calico_ipip.remote import Answer, Remote
from pytest_calico_ipip.settings import Settings

BIRD = {
    "birdcl-protocols.txt": ["birdcl", "-s", "/var/run/calico/bird.ctl", "show", "protocols"],
    "birdcl-routes.txt": ["birdcl", "-s", "/var/run/calico/bird.ctl", "show", "route", "all"],
}
BIRD_MARK = "=== next ==="
NO_POD = "no calico-node pod runs on this node, and the node itself has no birdcl that answers"
EXEC_SECONDS = 20.0


class Sitting:
    """The observer at work. As a context: leaving it ends everything that was begun."""

    def __init__(
        self,
        settings: Settings,
        nodes: tuple[str, ...],
        evidence: Evidence,
        progress: Callable[[str], None],
        entrusted: Entrusted | None = None,
    ) -> None:
        self.settings = settings
        self.nodes = nodes
        self.evidence = evidence
        self.problems: list[str] = []
        self._progress = progress
        self._stack = ExitStack()
        self._entrusted = entrusted or self._stack.enter_context(Entrusted(settings))
        self._began = time.monotonic()
        self._group = calico.STORED
        self._left_out: dict[str, str] = {}

    def __enter__(self) -> Sitting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self) -> None:
        """Everything. Raises `SetupProblem` where nothing can go on."""
        self._entrusted.start()
        api = Api.connect(self.settings)
        self._stack.callback(api.close)
        self._tell(f"Creating two pods on each of {len(self.nodes)} nodes of {api.server}")
        found = calico.find(api)
        self._group = found.group
        self.problems += rights.require(api, self.settings.namespace, self._group)
        listed = api.list("/api/v1/nodes")
        calico.require_ipip(found, listed, api.server)
        self._remove_leftovers(api)
        nodes = facts.node_facts(listed)
        if not (self.settings.nodes or self.settings.node_selector):
            self._left_out = left_out(listed, self.settings, {*nodes} - {*self.nodes})
        pods = self._stack.enter_context(PodsUnderTest(api, self.settings, self.nodes, self._entrusted))
        try:
            self._observe(api, nodes, pods)
        finally:
            pods.delete()
            self._write_run(pods)

    def _observe(self, api: Api, nodes: dict[str, NodeFacts], pods: PodsUnderTest) -> None:
        connections = self._connect(api, nodes, pods)
        self._tell(
            f"{len(pods.ready())} pods under test are Ready; reading Calico's datastore and {len(self.nodes)} nodes"
        )
        bodies, problems = lists.fetch(api, self.evidence, self._group)
        self._tell(facts.calico_words(bodies, self._group))
        self.problems += [each for each in problems if not self._told(each)]
        if self.settings.namespace:
            for namespace in sorted({pod.namespace for pod in facts.calico_pods(bodies).values()}):
                self.problems += rights.may_ask_bird(api, namespace)
        tested = facts.pod_facts(bodies, pods.namespace, pods.names)
        readings = self._read_nodes(api, connections, bodies, tested)
        capture = CaptureRound(self.settings, self.evidence, nodes, readings, tested, connections.open)
        self._tell("Opening the taps")
        capture.open()
        self._tell(f"Sending {capture.count} probes")
        capture.send(
            lambda pod, command, seconds: execute(
                api, pod.namespace, pod.name, CONTAINER, command, EXEC_SECONDS + seconds
            )
        )
        self._tell("Closing the taps, reading the firewalls and the datastore again")
        with ThreadPoolExecutor(1) as threads:
            again = threads.submit(self._read_again, api)
            capture.close()
            again.result()
        self._tell("Observed")

    def _connect(self, api: Api, nodes: dict[str, NodeFacts], pods: PodsUnderTest) -> ways.Ways:
        """Wait for the pods; meanwhile, or by them, get to the nodes."""
        if self.settings.node_access == "pod":
            pods.wait(self._tell)
            return self._stack.enter_context(ways.by_pod(api, pods, self.settings))
        connections = self._stack.enter_context(Connections(self.settings))
        addresses = {name: str(nodes[name].internal_ip) if nodes[name].internal_ip else None for name in self.nodes}
        with ThreadPoolExecutor(1) as threads:
            logins = threads.submit(connections.connect, addresses)
            try:
                pods.wait(self._tell)
                logins.result()
            except BaseException:
                connections.close()  # or the thread would be waited for until every node has answered
                raise
        return connections

    def _read_nodes(
        self, api: Api, connections: ways.Ways, bodies: dict[str, bytes], tested: dict[str, list[PodFacts]]
    ) -> dict[str, Reading]:
        prefix = facts.interface_prefix(bodies)
        agents = facts.calico_pods(bodies)
        everyone = [pod for node in self.nodes for pod in tested[node]]
        with ThreadPoolExecutor(max(4, min(32, 2 * len(self.nodes)))) as threads:
            waiting = {}
            for node in self.nodes:
                places = [
                    PodPlace(
                        f"{pod.namespace}/{pod.name}",
                        workload_interface(pod.namespace, pod.name, prefix),
                        pod.ip,
                        pod.uid,
                    )
                    for pod in tested[node]
                ]
                if node in connections.refused:
                    # with its remedy: this is what every judgement that needs this node will say
                    problem = _sentences(connections.refused[node])
                    waiting[node] = threads.submit(refused, self.evidence, node, places, problem)
                    continue
                waiting[node] = threads.submit(
                    read_node,
                    connections.open[node],
                    self.evidence,
                    places,
                    warm_up(node, tested),
                    [*(pod.ip for pod in everyone), *(block[-1] for block in facts.foreign_blocks(bodies, node))],
                    self.settings.settle,
                    self.settings.in_time(self.settings.node_timeout, len(self.nodes)),
                    probes.at_once(len(self.nodes)),
                )
            birds = {
                node: threads.submit(_read_bird, api, agents.get(node), connections.open.get(node))
                for node in self.nodes
            }
            try:
                readings = {node: future.result() for node, future in waiting.items()}
                for node, future in birds.items():
                    add(self.evidence, node, *future.result())
            except BaseException:
                connections.close()  # or the threads would be waited for until their nodes answer
                raise
        self.problems += [f"{node}: {reading.problem}" for node, reading in readings.items() if reading.problem]
        return readings

    def _told(self, problem: str) -> bool:
        """Whether the same right was missed before, with what its lack costs."""
        rights = (re.match(r".* may not \S+ \S+", told.partition(": ")[0]) for told in self.problems)
        return any(right[0] in problem for right in rights if right)

    def _read_again(self, api: Api) -> None:
        try:
            lists.fetch(api, self.evidence, self._group, after=True)
        except SetupProblem as problem:
            self.problems.append(f"the second reading of the API: {problem.problem}")

    def _remove_leftovers(self, api: Api) -> None:
        try:
            removed = cleanup.remove_expired(api)
        except IpipError as error:
            if not self._told(error.problem):
                self.problems.append(f"leftovers of earlier runs: {error.problem}")
            return
        if removed:
            self._tell(f"Removed what an interrupted run had left: {', '.join(removed)}")

    def _write_run(self, pods: PodsUnderTest) -> None:
        self.evidence.run.parent.mkdir(parents=True, exist_ok=True)
        run = {
            "live": True,
            "version": __version__,
            "selected": list(self.nodes),
            "run": pods.run,
            "pods": pods.pods,
            "ready": sorted(f"{pods.namespace}/{name}" for name in pods.ready()),
            "namespace": pods.namespace,
            "left_out": self._left_out,
            "helpers": [f"{pods.namespace}/{name}" for name in pods.helpers.values()],
            "helper_image": self.settings.helper_image if pods.helpers else "",
            "kept": self.settings.keep,
            "problems": [*self.problems, *pods.problems],
        }
        self.evidence.run.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")

    def _tell(self, line: str) -> None:
        self._progress(f"{line} ({time.monotonic() - self._began:.1f} s)")


def _sentences(problem: IpipError) -> str:
    """Problem and remedy on one line."""
    return f"{problem.problem.rstrip('.')}. {problem.remedy}"


def warm_up(node: str, tested: dict[str, list[PodFacts]]) -> list[list[IPv4Address]]:
    """Whom each of a node's pods sends echoes before anything is read; a reply warms the receiver up as well.

    A node's other pods send to its first, or they would not have asked for their gateway where no echo reaches them.
    """
    others = [pods[0].ip for other, pods in tested.items() if other != node and pods]
    own = tested[node]
    return [[*others, *(pod.ip for pod in own[1:])], *([own[0].ip] for _ in own[1:])] if own else []


def _read_bird(api: Api, pod: CalicoPod | None, remote: Remote | None) -> tuple[dict[str, bytes], Sequence[Line]]:
    """Both answers of BIRD by one exec; where the image has no shell, by one each. Without a pod the node is asked."""
    files: dict[str, bytes] = {}
    lines: list[Line] = []
    if pod is None:
        for file, words in BIRD.items():
            typed = " ".join(words)
            answer = remote.run(remote.wrap(typed, EXEC_SECONDS), EXEC_SECONDS) if remote else Answer(255)
            if answer.status == 0:
                files[file] = answer.stdout
            stderr = answer.words() if answer.status == 0 else f"{NO_POD} ({answer.words() or answer.status})"
            lines.append(Line(file, answer.status, typed, stderr))
        return files, lines
    script = f"; echo '{BIRD_MARK}'; ".join(" ".join(words) for words in BIRD.values())
    both = execute(api, pod.namespace, pod.name, pod.container, ["/bin/sh", "-c", script], EXEC_SECONDS)
    parts = both.stdout.split(f"{BIRD_MARK}\n".encode())
    together = both.status == 0 and not both.stderr and len(parts) == len(BIRD) and all(parts)
    for (file, words), part in zip(BIRD.items(), parts if together else [b""] * len(BIRD), strict=True):
        done = Executed(0, part)
        if not together:
            done = execute(api, pod.namespace, pod.name, pod.container, words, EXEC_SECONDS)
        if done.status == 0:
            files[file] = done.stdout
        stderr = done.stderr.decode("utf-8", "replace")[:4000]
        lines.append(Line(file, 1 if done.status is None else done.status, " ".join(words), stderr))
    return files, lines
