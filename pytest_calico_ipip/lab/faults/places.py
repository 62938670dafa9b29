"""Where the catalogue's faults are: the reference setup's first three nodes."""

from __future__ import annotations

from ..spec import Hook, LabSpec, NodeSpec

FIRST, SECOND, THIRD = LabSpec(nodes=3).node_specs()


def on(node: NodeSpec, command: str) -> tuple[Hook, ...]:
    """One command on one node."""
    return (Hook(node.name, command),)
