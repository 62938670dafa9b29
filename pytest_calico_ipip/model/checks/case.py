"""One requirement on one node while it is being judged: what it may look at, and what it finds."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import wraps

from pytest_calico_ipip.model.absent import Absent, Missing, present
from pytest_calico_ipip.model.datastore import Datastore
from pytest_calico_ipip.model.expected import NodeExpectation
from pytest_calico_ipip.model.judgement import Difference, Judgement, Reading
from pytest_calico_ipip.model.nodestate import Link, NodeState
from pytest_calico_ipip.model.world import World

NodeCheck = Callable[[World, str], Judgement]
ClusterCheck = Callable[[World], Judgement]
CLUSTER = "cluster"  # the subject of what concerns no single node

# what reads a file again where the evidence (made by hand) does not say
_COMMANDS = {
    "ip-addr.json": "ip -j -d addr",
    "ip-route.json": "ip -j -d route show table all",
    "ip-rule.json": "ip -j rule",
    "ip-neigh.json": "ip -j neigh",
    "ip-netns.json": "ip -j netns list",
    "ip-route-get.json": "ip -j route get ADDRESS",
    "iptables-save.txt": "iptables-save -c",
    "iptables-nft-save.txt": "iptables-nft-save -c",
    "ipset.txt": "ipset list",
    "nft.json": "nft -j list ruleset",
    "birdcl-protocols.txt": "birdcl show protocols",
    "birdcl-routes.txt": "birdcl show route all",
    "sysctl.txt": "sysctl -a",
}


class Case:
    """Collects what a check compares. Looking at something that is not there ends the check by `Missing`."""

    def __init__(self, world: World, requirement: str, node: str) -> None:
        self.world = world
        self.requirement = requirement
        self.node = node
        self._asserted = 0
        self._differences: list[Difference] = []
        self._warnings: list[Difference] = []
        self._inconclusive: list[str] = []
        self._missing: list[str] = []
        self._notes: list[str] = []
        self._not_applicable = ""

    @property
    def datastore(self) -> Datastore:
        """The API's reading."""
        return present(self.world.datastore)

    @property
    def expected(self) -> NodeExpectation:
        """What the datastore leads to expect of this node."""
        nodes = self.datastore.nodes
        if self.node not in nodes or self.node not in self.world.expected:
            raise Missing(Absent(f"api/nodes.json: it has no Linux node {self.node} that runs Calico", failed=True))
        return self.world.expected[self.node]

    @property
    def state(self) -> NodeState:
        """What this node's kernel said."""
        if self.node not in self.world.nodes:
            raise Missing(Absent(f"nodes/{self.node}", failed=False))
        return self.world.nodes[self.node]

    def link(self, name: str) -> Link | None:
        """A device of this node; None where it is surely not there."""
        found = self.state.link(name)
        if found is None:
            self.whole("ip-addr.json", name)
        return found

    def whole(self, file: str, what: str) -> None:
        """Raise `Missing` where a listing leaves lines out, so that what it lacks may be there after all."""
        if file in self.state.partial:
            raise Missing(Absent(f"nodes/{self.node}/{file} leaves lines out: {what}", failed=False))

    def reading(self, file: str) -> Reading:
        """One of this node's files, and the command that reads it again."""
        command = self.state.commands.get(file) or _COMMANDS.get(file.rpartition("/")[2], "")
        if file.startswith("netns/") and file not in self.state.commands and command:
            command = f"ip netns exec {shlex.quote(file.split('/')[1])} {command}"
        return Reading(f"nodes/{self.node}/{file}", command)

    def api(self, plural: str, name: str = "", namespace: str = "") -> Reading:
        """One of the API's lists, and the command that reads an object of it again."""
        group = self.datastore.groups.get(plural, self.datastore.group)
        kind = plural if plural in ("nodes", "pods") else f"{plural}.{group}"
        words = ["kubectl", "get", kind, *([name] if name else []), *(["-n", namespace] if namespace else [])]
        return Reading(f"api/{kind}.json", shlex.join([*words, "-o", "yaml"]))

    def compare(self, what: str, expected: str, observed: str, reading: Reading | None, note: str = "") -> None:
        """Two texts that must be equal."""
        self._asserted += 1
        if expected != observed:
            self._differences.append(Difference(what, expected, observed, reading, note))

    def hold(self, count: int = 1) -> None:
        """Things that were compared and are as they must be."""
        self._asserted += count

    def differ(self, what: str, expected: str, observed: str, reading: Reading | None, note: str = "") -> None:
        """A thing that is not as it must be."""
        self._asserted += 1
        self._differences.append(Difference(what, expected, observed, reading, note))

    def warn(self, what: str, expected: str, observed: str, reading: Reading | None, note: str = "") -> None:
        """A thing that is not as it should be."""
        self._asserted += 1
        self._warnings.append(Difference(what, expected, observed, reading, note))

    def lack(self, absent: Absent) -> None:
        """Something that is not there; the check goes on with the rest."""
        if absent.failed or self.world.live:
            self._inconclusive.append(absent.reason)
        else:
            self._missing.append(absent.reason)

    def switch(self, what: str, key: str) -> None:
        """A switch of the kernel that must be on. A kernel has them all: one that is not listed was not read."""
        value = present(self.state.sysctl).get(key)
        if value is None:
            file = "sysctl.txt"
            self.lack(Absent(f"nodes/{self.node}/{file}: it does not say {key}", failed=file in self.state.commands))
        else:
            self.compare(what, "1", value, self.reading("sysctl.txt"))

    def note(self, sentence: str) -> None:
        """A sentence that is shown although nothing is wrong."""
        self._notes.append(sentence)

    def not_applicable(self, reason: str) -> None:
        """The accepted reason why there is nothing to compare here."""
        self._not_applicable = reason

    def judgement(self, should: bool = False) -> Judgement:
        """What was found. A requirement that is only partly in the evidence is not said to hold."""
        differences, notes = self._differences, list(self._notes)
        if differences:
            notes += [f"{one.what}: should be {one.expected}, is {one.observed}" for one in self._warnings]
        unseen = bool(self._missing) and not differences and not self._warnings
        return Judgement(
            requirement=self.requirement,
            subject=self.node,
            asserted=0 if unseen else self._asserted,
            differences=tuple(differences or self._warnings),
            inconclusive=tuple(self._inconclusive),
            missing=tuple(self._missing),
            not_applicable=self._not_applicable,
            notes=tuple(notes),
            strict=not should and not (self._warnings and not differences),
        )


def node_check(requirement: str, *, should: bool = False) -> Callable[[Callable[[Case], None]], NodeCheck]:
    """Make a requirement's function of a body: `Missing` becomes "not in this evidence", or an ERROR, in this place."""

    def decorate(body: Callable[[Case], None]) -> NodeCheck:
        @wraps(body)
        def check(world: World, node: str) -> Judgement:
            case = Case(world, requirement, node)
            try:
                body(case)
            except Missing as missing:
                case.lack(missing.absent)
            return case.judgement(should)

        return check

    return decorate


def cluster_check(requirement: str, *, should: bool = False) -> Callable[[Callable[[Case], None]], ClusterCheck]:
    """As `node_check`, for a requirement on the cluster as a whole: its subject is "cluster"."""

    def decorate(body: Callable[[Case], None]) -> ClusterCheck:
        of_a_node = node_check(requirement, should=should)(body)

        @wraps(body)
        def check(world: World) -> Judgement:
            return of_a_node(world, CLUSTER)

        return check

    return decorate
