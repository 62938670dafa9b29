"""The nodes' second readings, parsed only when something asks for them: on a healthy cluster nothing does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.judge.nodes import read_node_again
from pytest_calico_ipip.model.nodestate import NodeState


class SecondReadings(Mapping[str, NodeState]):
    """By node name, the node as it was after the capture; a node that was not read again is not in it."""

    def __init__(self, evidence: Evidence, names: Sequence[str], *, live: bool) -> None:
        self._evidence, self._names, self._live = evidence, names, live

    @cached_property
    def _read(self) -> dict[str, NodeState]:
        states = {name: read_node_again(self._evidence, name, live=self._live) for name in self._names}
        return {name: state for name, state in states.items() if state is not None}

    def __getitem__(self, name: str) -> NodeState:
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)
