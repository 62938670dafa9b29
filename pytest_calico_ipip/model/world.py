"""Everything a requirement may compare: the datastore, what it leads to expect, the kernels, the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.datastore import Datastore, Pod
from pytest_calico_ipip.model.nodestate import NodeState
from pytest_calico_ipip.model.wire import Capture

if TYPE_CHECKING:
    from pytest_calico_ipip.model.baseline import Baseline
    from pytest_calico_ipip.model.expected import NodeExpectation
    from pytest_calico_ipip.model.paths import Paths


@dataclass(frozen=True)
class World:
    """One run's readings side by side. Every check is a function of a World and a node or a pair."""

    datastore: Datastore | Absent
    expected: Mapping[str, NodeExpectation]  # by node name
    nodes: Mapping[str, NodeState]  # by node name
    capture: Capture | Absent
    paths: Paths | Absent
    selected: tuple[str, ...]  # the nodes in scope, in order
    pods: tuple[Pod, ...] = ()  # the pods under test, in order
    live: bool = False  # written by a run of ours: what is missing is then an ERROR
    baseline: Baseline | None = None  # what BASE-1 compares with, where it was asked for
    helper_image: str = ""  # of the pods by which the nodes were reached; "" where it was by ssh, or is not known
    again: Mapping[str, NodeState] = field(default_factory=dict)  # by node name: as it was after the capture

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every ordered pair of selected nodes."""
        return tuple((a, b) for a in self.selected for b in self.selected if a != b)
