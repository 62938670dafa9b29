"""The catalogue of faults, and what a lab does with the ones that were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import LabUsageError
from ..spec import LabSpec
from . import bgp, datastore, firewall, pods, routes, tunnel, wire
from .fault import BirdEdit, Fault

if TYPE_CHECKING:
    from ..topology.node import Node

__all__ = ["CATALOGUE", "BirdEdit", "Fault", "chosen", "lost", "prepared"]

CATALOGUE: Mapping[str, Fault] = {
    fault.name: fault
    for faults in (
        tunnel.FAULTS,
        routes.FAULTS,
        bgp.FAULTS,
        firewall.FAULTS,
        wire.FAULTS,
        pods.FAULTS,
        datastore.FAULTS,
    )
    for fault in faults
}


def chosen(spec: LabSpec) -> tuple[Fault, ...]:
    """The faults of a spec, in its order. Raises `LabUsageError` for a name that is not in the catalogue."""
    found = []
    for name in spec.faults:
        if name not in CATALOGUE:
            raise LabUsageError(f"there is no fault {name}.", f"The faults are: {', '.join(CATALOGUE)}")
        fault = CATALOGUE[name]
        if spec.nodes < fault.nodes:
            raise LabUsageError(
                f"the fault {name} needs {fault.nodes} nodes, and the lab has {spec.nodes}.",
                f"Use --nodes {fault.nodes} or more.",
            )
        if fault.bird and spec.generation.felix_routes:
            raise LabUsageError(
                f"the fault {name} changes what BIRD programs, and with --profile {spec.profile} Felix programs it.",
                "Use --profile bird or bird-3.32.",
            )
        if fault.uses_iptables and spec.generation.nftables:
            raise LabUsageError(
                f"the fault {name} needs iptables and ipset, and --profile {spec.profile} has nftables instead.",
                "Use --profile bird.",
            )
        found.append(fault)
    return tuple(found)


def prepared(spec: LabSpec) -> LabSpec:
    """The spec with what its faults need to exist. Raises `LabUsageError` as `chosen` does, or where they disagree."""
    for fault in chosen(spec):
        for key, value in fault.needs.items():
            asked = getattr(spec, key)
            if asked not in (value, getattr(LabSpec(), key)):
                raise LabUsageError(
                    f"the fault {fault.name} needs {key} {value}, not {asked}.", "Leave the option out."
                )
            change: dict[str, Any] = {key: value}
            spec = replace(spec, **change)
    needed = {key: value for fault in chosen(spec) for key, value in fault.extra}
    return replace(spec, extra={**needed, **spec.extra})


async def lost(faults: Iterable[Fault], nodes: Mapping[str, Node]) -> list[str]:
    """Which of the faults do not hold any more, one sentence each."""
    sentences = []
    for fault in faults:
        for check in fault.verify:
            done = await nodes[check.node].shell(check.command, check=False)
            if done.returncode != 0:
                said = done.stderr.decode(errors="replace").strip()[:500]
                sentences.append(
                    f"{fault.name} does not hold on {check.node}: {check.command} → {done.returncode} {said}"
                )
    return sentences
