"""A whole evidence directory → the World that every check compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_calico_ipip.errors import UsageProblem
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.judge.again import SecondReadings
from pytest_calico_ipip.judge.datastore import read_datastore, read_run
from pytest_calico_ipip.judge.nodes import read_node
from pytest_calico_ipip.judge.values import mapping, sequence, text
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.datastore import Datastore, Pod
from pytest_calico_ipip.model.expected import NodeExpectation, expect
from pytest_calico_ipip.model.names import is_node_name
from pytest_calico_ipip.model.world import World

if TYPE_CHECKING:
    from pytest_calico_ipip.model.nodestate import NodeState
    from pytest_calico_ipip.model.paths import Paths
    from pytest_calico_ipip.model.wire import Capture

_SHOWN = 6  # names in one note


def load(root: Path, *, packets: bool = True) -> World:
    """Read everything in an evidence directory.

    Without `packets` the captures are left alone (they need tshark, and most of the time).
    Raises UsageProblem where `root` is no evidence. Whatever else is wrong inside it becomes an `Absent` in its place.
    """
    evidence = Evidence(root)
    _refuse_what_is_none(evidence)
    run = read_run(evidence)
    live = run.get("live") is True
    listed = [text(key) for key in sequence(run.get("pods"))]
    under_test = listed if run.get("pods") is not None else None
    ready = [text(key) for key in sequence(run.get("ready"))]
    datastore = read_datastore(evidence, live=live, under_test=under_test, ready=ready)
    if isinstance(datastore, Datastore):
        datastore = replace(datastore, notes=(*_left_out(run), *datastore.notes))
    selected = _selected(evidence, run, datastore)
    nodes = {name: read_node(evidence, name, live=live) for name in selected}
    expected: Mapping[str, NodeExpectation] = expect(datastore) if isinstance(datastore, Datastore) else {}
    pods = _pods(datastore, listed)
    capture: Capture | Absent = Absent("the packets, which were not read", failed=False)
    if packets:
        # the decoder is the heaviest reader, and only a World needs it
        from pytest_calico_ipip.packets.decode import read_capture

        capture = read_capture(evidence, live)
    return World(
        datastore,
        expected,
        nodes,
        capture,
        _paths(datastore, expected, capture, pods, nodes),
        selected,
        pods,
        live,
        helper_image=text(run.get("helper_image")),
        again=SecondReadings(evidence, selected, live=live),
    )


def _paths(
    datastore: Datastore | Absent,
    expected: Mapping[str, NodeExpectation],
    capture: Capture | Absent,
    pods: tuple[Pod, ...],
    nodes: Mapping[str, NodeState],
) -> Paths | Absent:
    """The packets on their ways, where there are packets and ways."""
    if isinstance(capture, Absent):
        return capture
    if isinstance(datastore, Absent):
        return datastore
    from pytest_calico_ipip.model.paths import follow

    return follow(datastore, expected, capture, pods, nodes)


def _left_out(run: Mapping[str, object]) -> tuple[str, ...]:
    """The nodes that the run did not look at, those with one reason in one sentence."""
    reasons: dict[str, list[str]] = {}
    for name, reason in mapping(run.get("left_out")).items():
        reasons.setdefault(text(reason), []).append(text(name))
    told = []
    for why, names in reasons.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        told.append(f"left out ({why}): {', '.join(names[:_SHOWN])}{more}")
    return tuple(told)


def scope(root: Path) -> tuple[str, ...]:
    """The nodes in scope, `load(root).selected`, without reading kernels and packets: for the collection of tests."""
    evidence = Evidence(root)
    run = read_run(evidence)
    under_test = [text(key) for key in sequence(run.get("pods"))] if run.get("pods") is not None else None
    datastore = read_datastore(evidence, live=run.get("live") is True, under_test=under_test)
    return _selected(evidence, run, datastore)


def _refuse_what_is_none(evidence: Evidence) -> None:
    root = evidence.root
    if not root.is_dir():
        raise UsageProblem(f"{root} is not a directory", "give the directory that --ipip-evidence wrote")
    if not any((root / part).is_dir() for part in ("api", "nodes", "packets")):
        raise UsageProblem(
            f"{root} holds no evidence: it has neither api/ nor nodes/ nor packets/",
            "give the directory that --ipip-evidence wrote, or make one by hand in its layout",
        )


def _selected(evidence: Evidence, run: Mapping[str, object], datastore: Datastore | Absent) -> tuple[str, ...]:
    """The nodes in scope: run.json's, else all that the API lists or that have a folder."""
    chosen = [name for name in sequence(run.get("selected")) if is_node_name(name)]
    if not chosen:
        chosen = list(datastore.nodes) if isinstance(datastore, Datastore) else []
        folder = evidence.root / "nodes"
        chosen += sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    return tuple(dict.fromkeys(name for name in chosen if is_node_name(name)))


def _pods(datastore: Datastore | Absent, order: list[str]) -> tuple[Pod, ...]:
    """The pods under test, in run.json's order, else in the API's."""
    if isinstance(datastore, Absent):
        return ()
    place = {key: index for index, key in enumerate(order)}
    under_test = [pod for pod in datastore.pods if pod.under_test]
    return tuple(sorted(under_test, key=lambda pod: place.get(pod.key, len(place))))
