"""Which nodes and pairs the tests are about: read once at collection, before any test is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytest_calico_ipip.errors import IpipError, SetupProblem, UnknownNode, UsageProblem
from pytest_calico_ipip.settings import Settings

_SHOWN = 8  # nodes in one line


@dataclass(frozen=True)
class Unread:
    """Stands in the place of a node or pair where the node list could not be read: its test is an ERROR."""

    problem: IpipError


@dataclass(frozen=True)
class Alone:
    """Stands in the place of a pair where there is none: its test says why it asserts nothing."""

    reason: str


@dataclass(frozen=True)
class Subjects:
    """The nodes in scope. `problem` is set where they could not be read; `planned` where nobody asked."""

    nodes: tuple[str, ...] = ()
    problem: IpipError | None = None
    planned: bool = False  # --collect-only: ids stand for nodes and pairs that are read in a run

    def node_parameters(self) -> tuple[list[object], list[str]]:
        """Values and ids of tests that are about a node."""
        return self._placeholder("node") or ([*self.nodes], [*self.nodes])

    def pair_parameters(self) -> tuple[list[object], list[str]]:
        """Values and ids of tests that are about an ordered pair of nodes."""
        pairs = [(a, b) for a in self.nodes for b in self.nodes if a != b]
        return self._placeholder("pair") or (
            ([*pairs], [f"{a}:{b}" for a, b in pairs])
            if pairs
            else ([Alone(f"a pair needs two nodes, and {self.nodes[0]} is the only one in scope")], ["no pair"])
        )

    def _placeholder(self, word: str) -> tuple[list[object], list[str]] | None:
        if self.planned:
            return [None], [word]
        if self.problem is not None:
            return [Unread(self.problem)], ["cluster"]
        return None


def read(settings: Settings, progress: Callable[[str], None]) -> Subjects:
    """The nodes in scope, from the cluster or from the evidence. Raises UnknownNode and UsageProblem, nothing else."""
    try:
        if settings.replay is not None:
            nodes = _recorded(settings)
        elif not settings.live:
            raise UsageProblem(
                "the lab is entered before tests are collected, and nothing on the command line says that it is wanted",
                "give --ipip-lab, or name the suite on the command line",
            )
        else:
            from pytest_calico_ipip.cluster.nodes import scope  # loads the Kubernetes client

            progress(f"Reading the nodes of {settings.place}")
            found = scope(settings)
            nodes = found.nodes
            if found.left_out:
                progress(f"Left out: {_few(found.left_out)}")
        if not nodes:
            raise SetupProblem(
                "no node is in scope", "look at --ipip-nodes and --ipip-node-selector, and at the nodes' taints"
            )
    except (UnknownNode, UsageProblem):
        raise
    except IpipError as problem:
        return Subjects(problem=problem)
    return Subjects(nodes=nodes)


def _few(left_out: Mapping[str, str]) -> str:
    told = [f"{name} {reason}" for name, reason in left_out.items()]
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return "; ".join(told[:_SHOWN]) + more


def _recorded(settings: Settings) -> tuple[str, ...]:
    assert settings.replay is not None
    from pytest_calico_ipip.judge.load import scope  # the judge's own reading of the evidence

    recorded = scope(settings.replay)
    for name in settings.nodes:
        if name not in recorded:
            raise UnknownNode(
                f"--ipip-nodes: the evidence has no node {name!r}", f"it has: {', '.join(recorded) or 'none'}"
            )
    return tuple(name for name in recorded if name in settings.nodes) if settings.nodes else recorded
