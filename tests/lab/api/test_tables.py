"""What `kubectl get` shows."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_calico_ipip.lab.api import ages, columns, tables
from pytest_calico_ipip.lab.api.resources import RESOURCES
from pytest_calico_ipip.lab.api.store import Store

from . import fakes


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"),
        (-0.5, "0s"),
        (65, "65s"),
        (119, "119s"),
        (120, "2m"),
        (185, "3m5s"),
        (12 * 60 + 5, "12m"),
        (5 * 3600 + 180, "5h3m"),
        (30 * 3600, "30h"),
        (3 * 86400 + 7200, "3d2h"),
        (9 * 86400, "9d"),
        (800 * 86400, "2y70d"),
        (4000 * 86400, "10y"),
    ],
)
def test_ages_read_as_kubectl_writes_them(seconds: float, shown: str) -> None:
    """One or two units, fewer as time goes on."""
    assert ages.span(seconds) == shown


def test_a_time_that_is_none_has_no_age() -> None:
    """Missing or unreadable."""
    assert ages.since(None) == ages.since("yesterday") == "<unknown>"


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ({"running": {}}, "Running"),
        ({"waiting": {"reason": "ContainerCreating"}}, "ContainerCreating"),
        ({"terminated": {"reason": "Completed", "exitCode": 0}}, "Completed"),
        ({"terminated": {"exitCode": 3}}, "ExitCode:3"),
        ({"terminated": {"exitCode": 137, "signal": 9}}, "Signal:9"),
    ],
)
def test_the_status_of_a_pod_is_what_its_containers_do(store: Store, state: dict[str, Any], shown: str) -> None:
    """Not its phase."""
    pod = store.create("pods", fakes.pod("a"))
    pod["status"] = fakes.running(pod)
    pod["status"]["containerStatuses"][0] |= {"state": state, "ready": "running" in state}
    assert columns.pod_status(pod) == shown
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert columns.pod_status(pod) == "Terminating"


def test_pods_have_the_columns_that_people_know(store: Store) -> None:
    """The last four only with `-o wide`."""
    pod = store.create("pods", fakes.pod("a"))
    pod["status"] = fakes.running(pod)
    made = tables.table(RESOURCES["pods"], [pod], "7")
    names = [(column["name"], column["priority"]) for column in made["columnDefinitions"]]
    assert names == [
        ("Name", 0), ("Ready", 0), ("Status", 0), ("Restarts", 0), ("Age", 0),
        ("IP", 1), ("Node", 1), ("Nominated Node", 1), ("Readiness Gates", 1),
    ]  # fmt: skip
    cells = made["rows"][0]["cells"]
    assert [*cells[:4], *cells[5:]] == [
        "a", "1/1", "Running", "0", "10.233.107.1", "virtnest-rook-ceph-1", "<none>", "<none>",
    ]  # fmt: skip


def test_nodes_show_roles_addresses_and_versions() -> None:
    """Ready, its roles, its InternalIP."""
    node = fakes.node("n", 2)
    node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = ""
    node["spec"]["unschedulable"] = True
    cells = tables.table(RESOURCES["nodes"], [node], "7")["rows"][0]["cells"]
    assert cells[:3] + cells[4:7] == [
        "n", "Ready,SchedulingDisabled", "control-plane", "v1.32.4", "10.7.120.12", "<none>",
    ]  # fmt: skip


def test_every_kind_has_a_table(store: Store) -> None:
    """As many cells as columns, for an object with no more than it must have."""
    template = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"spec": fakes.pod("x")["spec"]}}}
    bodies = {"pods": fakes.pod("x"), **dict.fromkeys((key for key in RESOURCES if key.endswith(".apps")), template)}
    for key, kind in RESOURCES.items():
        obj = store.create(key, {**bodies.get(key, {}), "metadata": {"name": "x"}})
        made = tables.table(kind, [obj], "7")
        assert len(made["rows"][0]["cells"]) == len(made["columnDefinitions"]), key


def test_an_event_says_what_happened_to_whom() -> None:
    """LAST SEEN, TYPE, REASON, OBJECT, MESSAGE."""
    event = {
        "metadata": {"name": "a.1"},
        "involvedObject": {"kind": "Pod", "name": "a"},
        "type": "Normal",
        "reason": "Started",
        "message": "Started container main\n",
        "lastTimestamp": ages.timestamp(-65),
        "source": {"component": "kubelet", "host": "n"},
    }
    cells = tables.table(RESOURCES["events"], [event], "7")["rows"][0]["cells"]
    assert cells[:4] == ["65s", "Normal", "Started", "pod/a"]
    assert cells[5:7] == ["kubelet, n", "Started container main"]
