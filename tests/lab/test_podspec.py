"""What a kubelet reads out of a pod's spec, and what it says in a status. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_calico_ipip.lab.kubelet import podspec
from pytest_calico_ipip.lab.kubelet.status import ContainerState, conditions, phase

RUNNING = {"running": {"startedAt": "2026-11-22T17:49:02Z"}}


def ended(code: int) -> dict[str, Any]:
    return {"terminated": {"exitCode": code}}


@pytest.mark.parametrize(
    ("container", "argv"),
    [
        ({}, ["sleep", "infinity"]),
        ({"args": ["/bin/sh", "-c", "sleep 1"]}, ["/bin/sh", "-c", "sleep 1"]),
        ({"args": ["-s", "http://a"]}, ["curl", "-s", "http://a"]),
        ({"command": ["a"], "args": ["-b"]}, ["a", "-b"]),
    ],
)
def test_command(container: dict[str, Any], argv: list[str]) -> None:
    """A command is run with its arguments; without one, arguments alone are, options go to curl, and nothing sleeps."""
    assert podspec.command(container) == argv


@pytest.mark.parametrize("name", ["kernel.panic", "vm.swappiness", "net.ipv4..conf", "/net.x"])
def test_foreign_settings_are_refused(name: str) -> None:
    """Only settings of the pod's own network namespace may be asked for."""
    pod = {"spec": {"securityContext": {"sysctls": [{"name": name, "value": "1"}]}}}
    with pytest.raises(podspec.BadSpec, match="forbidden sysctl"):
        podspec.sysctls(pod)


def test_slashes_in_a_setting_s_name() -> None:
    """A name may be written with slashes, as sysctl(8) has it."""
    pod = {"spec": {"securityContext": {"sysctls": [{"name": "net/ipv4/ping_group_range", "value": "0 1"}]}}}
    assert podspec.sysctls(pod) == {"net.ipv4.ping_group_range": "0 1"}


def test_what_is_not_there_is_refused() -> None:
    """A pod that needs what the lab does not have does not start without it."""
    with pytest.raises(podspec.BadSpec, match="this lab's kubelet has no"):
        podspec.refuse_what_is_missing({"spec": {"volumes": [{"name": "x", "nfs": {}}]}})


def test_a_long_name_becomes_a_host_name() -> None:
    """Host names end after 63 characters, and not with a dash."""
    pod = {"metadata": {"name": "a" * 62 + "-" + "b" * 9}, "spec": {}}
    assert podspec.hostname(pod) == "a" * 62


@pytest.mark.parametrize(
    ("policy", "states", "expected"),
    [
        ("Always", [{"waiting": {}}], "Pending"),
        ("Always", [RUNNING], "Running"),
        ("Always", [ended(0)], "Running"),
        ("Never", [ended(0), ended(0)], "Succeeded"),
        ("Never", [ended(0), ended(2)], "Failed"),
        ("Never", [ended(2), RUNNING], "Running"),
        ("OnFailure", [ended(0)], "Succeeded"),
        ("OnFailure", [ended(1)], "Running"),
    ],
)
def test_phase(policy: str, states: list[dict[str, Any]], expected: str) -> None:
    """The phase follows from the restart policy and from what each container does."""
    assert phase(policy, [ContainerState("c", "i", state) for state in states]) == expected


def test_a_condition_that_stays_keeps_its_time() -> None:
    """Only a condition that changes gets the time of the change."""
    first = conditions([], False, "T1", over=False)
    second = {one["type"]: one for one in conditions(first, True, "T2", over=False)}
    assert second["PodScheduled"]["lastTransitionTime"] == "T1"
    assert second["Ready"]["lastTransitionTime"] == "T2"
    assert "reason" not in second["Ready"]
