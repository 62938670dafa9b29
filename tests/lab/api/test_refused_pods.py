"""Pods that the API refuses, and the words it has for it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_calico_ipip.lab.api import podsecurity
from pytest_calico_ipip.lab.api.quantities import number
from pytest_calico_ipip.lab.api.store import ApiError, Store

# the wording of an API server's PodSecurity admission
PLAIN = (
    'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set '
    'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set '
    'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set '
    'securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set '
    'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)
HELPER = (
    'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true, hostPID=true), non-default '
    'capabilities (container "c" must not include "NET_ADMIN", "SYS_ADMIN" in securityContext.capabilities.add), '
    'hostPath volumes (volume "run")'
)
GOOD = {
    "securityContext": {"runAsNonRoot": True, "runAsUser": 100, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "c",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


def labels(level: str) -> dict[str, str]:
    return {podsecurity.ENFORCE: level}


def test_a_plain_pod_is_not_restricted() -> None:
    """A pod without security contexts breaks four rules of `restricted`, none of `baseline`."""
    spec = {"containers": [{"name": "c"}]}
    assert podsecurity.refusal(labels("restricted"), spec) == PLAIN
    assert podsecurity.refusal(labels("baseline"), spec) == ""


def test_a_helper_pod_breaks_the_baseline() -> None:
    """Host namespaces, capabilities and host paths are named, each with its place; `privileged` admits all."""
    spec = {
        "hostNetwork": True,
        "hostPID": True,
        "volumes": [{"name": "run", "hostPath": {"path": "/run"}}, {"name": "own", "emptyDir": {}}],
        "containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["SYS_ADMIN", "NET_ADMIN"]}}}],
    }
    assert podsecurity.refusal(labels("baseline"), spec) == HELPER
    assert podsecurity.refusal(labels("privileged"), spec) == podsecurity.refusal({}, spec) == ""


def test_what_restricted_admits() -> None:
    """A pod that says all four things may be, with the sysctl for ping."""
    assert podsecurity.refusal(labels("restricted"), GOOD) == ""
    pinging = [{"name": "net.ipv4.ping_group_range", "value": "0 1"}]
    context = {**GOOD["securityContext"], "sysctls": pinging}  # type: ignore[dict-item]
    assert podsecurity.refusal(labels("restricted"), {**GOOD, "securityContext": context}) == ""
    other = {**context, "sysctls": [{"name": "net.ipv4.ip_forward", "value": "1"}]}
    said = podsecurity.refusal(labels("restricted"), {**GOOD, "securityContext": other})
    assert said == 'violates PodSecurity "restricted:latest": forbidden sysctls (net.ipv4.ip_forward)'


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("500m", 0.5), ("1Ki", 1024), ("2M", 2_000_000), ("1e3", 1000), ("1.5Gi", 1.5 * 2**30)],
)
def test_quantities(text: str, value: float) -> None:
    """Quantities are numbers with binary, decimal or exponent suffixes."""
    assert number(text) == value


@pytest.fixture
def store() -> Store:
    store = Store()
    store.create("namespaces", {"metadata": {"name": "ns", "labels": labels("restricted")}})
    store.create("namespaces", {"metadata": {"name": "small"}})
    return store


def pod(name: str, **container: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", **container}]}}


def refused(store: Store, namespace: str, obj: dict[str, Any]) -> str:
    with pytest.raises(ApiError) as error:
        store.create("pods", obj, namespace=namespace)
    assert (error.value.code, error.value.reason) == (403, "Forbidden")
    return error.value.message


def test_the_label_of_the_namespace_decides(store: Store) -> None:
    """The same pod is refused in a restricted namespace, with 403, and created in another."""
    assert refused(store, "ns", pod("p")) == f'pods "p" is forbidden: {PLAIN}'
    store.create("pods", pod("p"), namespace="small")


def test_a_quota_on_the_number_of_pods(store: Store) -> None:
    """The third pod where two may be is refused, with what was requested, is used and is the limit."""
    store.create("resourcequotas", {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "2"}}}, namespace="small")
    for name in ("a", "b"):
        store.create("pods", pod(name), namespace="small")
    assert refused(store, "small", pod("c")) == (
        'pods "c" is forbidden: exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2'
    )
    store.delete("pods", "small", "a", grace_period_seconds=0)
    store.create("pods", pod("c"), namespace="small")


def test_a_quota_on_resources(store: Store) -> None:
    """A pod must say what it takes where that is limited, and may not take more than is left."""
    hard = {"requests.cpu": "1", "requests.memory": "1Gi"}
    store.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}}, namespace="small")
    assert refused(store, "small", pod("a")) == (
        'pods "a" is forbidden: failed quota: q: must specify requests.cpu for: c; requests.memory for: c'
    )
    asks = {"requests": {"cpu": "600m", "memory": "1Mi"}}
    store.create("pods", pod("a", resources=asks), namespace="small")
    assert refused(store, "small", pod("b", resources=asks)) == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, '
        "limited: requests.cpu=1"
    )


def test_contradictions_are_invalid(store: Store) -> None:
    """no_new_privs and privileged exclude each other: 422."""
    context = {"allowPrivilegeEscalation": False, "privileged": True}
    with pytest.raises(ApiError, match="cannot set `allowPrivilegeEscalation` to false and `privileged` to true"):
        store.create("pods", pod("p", securityContext=context), namespace="small")
