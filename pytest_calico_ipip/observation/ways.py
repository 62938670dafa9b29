"""The ways to the nodes, as the observation sees them: ssh, or the API's exec into the helper pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.exec import Execution
from pytest_calico_ipip.cluster.helper_pods import HELPER
from pytest_calico_ipip.cluster.pods import PodsUnderTest
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.nodes.in_pod import PodConnection, PodConnections
from pytest_calico_ipip.remote import Remote
from pytest_calico_ipip.settings import Settings

START_SECONDS = 20.0


class Ways(Protocol):
    """The nodes that are reached, and why the others are not."""

    @property
    def open(self) -> Mapping[str, Remote]:
        """By node."""

    @property
    def refused(self) -> Mapping[str, SetupProblem]:
        """By node."""

    def close(self) -> None:
        """End every connection; safe from any thread."""


def by_pod(api: Api, pods: PodsUnderTest, settings: Settings) -> PodConnections:
    """To each node by its helper pod."""

    def start(name: str, command: Sequence[str]) -> Execution:
        return Execution(api, pods.namespace, name, HELPER, command, START_SECONDS, stdin=True)

    found = {
        node: PodConnection(node, f"{pods.namespace}/{name}", partial(start, name), settings.longest)
        for node, name in pods.helpers.items()
    }
    return PodConnections(found, pods.no_helper)
