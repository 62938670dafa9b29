"""The public fixtures. A project overrides `ipip_pod_image` or `ipip_namespace` to change how the run is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from pytest_calico_ipip import session, sharing, temporary
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.judged import Held, judge
from pytest_calico_ipip.judged import Judged as Judged  # the type of `judged`, for annotations
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.selection import Alone, Unread
from pytest_calico_ipip.settings import Settings

if TYPE_CHECKING:
    # a project that only has the plugin installed does not pay for the records
    from pytest_calico_ipip.model.datastore import Datastore, Pod
    from pytest_calico_ipip.model.expected import NodeExpectation
    from pytest_calico_ipip.model.judgement import Judgement
    from pytest_calico_ipip.model.nodestate import NodeState
    from pytest_calico_ipip.model.paths import Paths
    from pytest_calico_ipip.model.wire import Capture
    from pytest_calico_ipip.model.world import World

T = TypeVar("T")


@pytest.fixture(scope="session")
def ipip_pod_image(pytestconfig: pytest.Config) -> str:
    """The image of the pods under test: `curlimages/curl`. Override it to change it in code."""
    return session.settings(pytestconfig).pod_image


@pytest.fixture(scope="session")
def ipip_namespace(pytestconfig: pytest.Config) -> str | None:
    """An existing namespace for the pods under test; None makes one for the run. Override it to change it in code."""
    return session.settings(pytestconfig).namespace


@pytest.fixture(scope="session")
def ipip_settings(pytestconfig: pytest.Config, ipip_pod_image: str, ipip_namespace: str | None) -> Settings:
    """Everything that options, environment, ini file and the overridable fixtures decide."""
    return replace(session.settings(pytestconfig), pod_image=ipip_pod_image, namespace=ipip_namespace)


@pytest.fixture(scope="session")
def nodes(pytestconfig: pytest.Config) -> tuple[str, ...]:
    """The names of the nodes in scope: `("virtnest-rook-ceph-1", …)`."""
    subjects = session.subjects(pytestconfig)
    if subjects.problem is not None:
        raise subjects.problem
    return subjects.nodes


@pytest.fixture
def node(request: pytest.FixtureRequest) -> str:
    """One node's name; a test that asks for it runs once for each node in scope."""
    value: str = _subject(request)
    return value


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Two nodes' names, from and to; a test that asks for it runs once for each ordered pair in scope."""
    value: tuple[str, str] = _subject(request)
    return value


def _subject(request: pytest.FixtureRequest) -> Any:
    value = request.param
    if isinstance(value, Unread):
        raise value.problem
    if isinstance(value, Alone):
        pytest.skip(f"not asserted: {value.reason}")
    return value


@pytest.fixture(scope="session")
def world(pytestconfig: pytest.Config, ipip_settings: Settings, nodes: tuple[str, ...]) -> Iterator[World]:
    """Everything that was read: observed once in a live run, or loaded from kept evidence. Errors: SetupProblem."""
    from pytest_calico_ipip.judge.load import load  # the judges load only when something is judged
    from pytest_calico_ipip.model.datastore import Datastore
    from pytest_calico_ipip.model.outside import NOTHING_TO_JUDGE, outside_ipip
    from pytest_calico_ipip.model.releases import releases_in_words

    root = ipip_settings.replay or sharing.evidence(pytestconfig, ipip_settings.evidence)
    held: temporary.Held | None = None
    try:
        if root is None:
            root = ipip_settings.evidence
            if root is None:
                held = temporary.make("evidence")
                root = held.path
            session.observe(pytestconfig, ipip_settings, nodes, root)
        with sharing.in_turn(pytestconfig):
            loaded = replace(load(root), selected=nodes, baseline=session.baseline(pytestconfig))
        if ipip_settings.replay is not None and isinstance(loaded.datastore, Datastore):
            releases = [getattr(node.release, "text", node.release) for node in loaded.datastore.nodes.values()]
            session.progress(pytestconfig)(releases_in_words(map(str, releases)))
        if reason := outside_ipip(loaded.datastore):
            raise SetupProblem(f"the cluster of this evidence: {reason}", NOTHING_TO_JUDGE)
        pytestconfig.stash[session.WORLD] = loaded  # what failed is explained at the end of the run
        yield loaded
    finally:
        if held is not None:
            held.remove()


@pytest.fixture
def judged(request: pytest.FixtureRequest, world: World, ipip_settings: Settings) -> Judged:
    """Judge one requirement on a node or pair; the assertion passes, fails, errs or skips as it turns out."""

    def judged(check: Callable[..., Judgement], *subject: str) -> Held:
        __tracebackhide__ = True
        return judge(request.node, world, ipip_settings.strict, check, *subject)

    return judged


def _present(value: T | Absent) -> T:
    if isinstance(value, Absent):
        raise SetupProblem(f"not read: {value.reason}", "look at what the run printed, or at the evidence directory")
    return value


@pytest.fixture(scope="session")
def calico(world: World) -> Datastore:
    """What the API server says: nodes, pods, pools, blocks, affinities, configuration."""
    return _present(world.datastore)


@pytest.fixture(scope="session")
def pods(world: World) -> tuple[Pod, ...]:
    """The pods under test."""
    return world.pods


@pytest.fixture(scope="session")
def expected(world: World) -> Mapping[str, NodeExpectation]:
    """What every node must look like, by its name, from the datastore alone."""
    return world.expected


@pytest.fixture(scope="session")
def observed(world: World) -> Mapping[str, NodeState]:
    """What every node's kernel says, by its name."""
    return world.nodes


@pytest.fixture(scope="session")
def captured(world: World) -> Capture:
    """Every packet that the taps recorded, decoded."""
    return _present(world.capture)


@pytest.fixture(scope="session")
def packet_paths(world: World) -> Paths:
    """The way of each probe and each reply, hop by hop."""
    return _present(world.paths)
