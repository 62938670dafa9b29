"""Observation: one pass over a cluster that writes the evidence directory. It never judges what it reads.

pods under test → lists → each node's script → one capture round → lists again → the pods' end
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.settings import Settings

if TYPE_CHECKING:
    from pytest_calico_ipip.cluster.entrusted import Entrusted

__all__ = ["observe"]


def observe(
    settings: Settings,
    nodes: Sequence[str],
    evidence: Evidence,
    progress: Callable[[str], None],
    entrusted: Entrusted | None = None,
) -> None:
    """Observe a cluster; `progress` gets a line for each phase.

    `entrusted` is for a caller whose temporary directories last longer than the observation: they go with its survivor,
    too, where the caller is killed. Without it the observation has one of its own.

    Raises `SetupProblem` where nothing can go on (API gone, no pods, no Calico); one node's trouble is written into
    the evidence. KeyboardInterrupt (also on SIGTERM) leaves after everything that was made has been ended.
    """
    from pytest_calico_ipip.observation.signals import ended_by_sigterm
    from pytest_calico_ipip.observation.sitting import Sitting

    with ended_by_sigterm(), Sitting(settings, tuple(nodes), evidence, progress, entrusted) as sitting:
        sitting.run()
