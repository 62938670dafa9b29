"""What a run may do, asked before it does anything: everything that is missing is told at once.

A run that learns in the middle that it may not exec, or at the end that it may not delete, has wasted its time or
leaves something behind. One review lists the rules that are in force; only what they do not show is asked one by one,
for an authorizer that is no RBAC need not list its rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pytest_calico_ipip.cluster import policy
from pytest_calico_ipip.cluster.calico import STORED, CalicoGroup
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.permission import Permission, sentences
from pytest_calico_ipip.cluster.problems import ApiRefusal
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.remote import one_line

_MAY = "/apis/authorization.k8s.io/v1"
# there is no such namespace: the rules that hold in it are those that hold everywhere
_NOWHERE = "sleep-curl-rights"
NO_LEFTOVERS = "what interrupted runs left behind is not found"
NO_CONFIGMAPS = "settings that calico-node takes from that ConfigMap are unknown, and its defaults are expected"
NO_OPERATOR = "the operator's Installation is not kept in the evidence"
NO_EVENTS = "a pod that does not come up is told without the kubelet's own words"
NO_POLICY = "where a policy denies what none allows, the packets of the pods under test are dropped"
NO_BIRD = "BIRD cannot be asked in calico-node's pods there, so BGP-1 and BGP-2 are not judged"


def needed(namespace: str | None, group: CalicoGroup = STORED) -> tuple[Permission, ...]:
    """Every right that a run uses: with pods in an existing namespace, or (None) in one of its own."""
    there = namespace or ""
    own = [] if namespace else [Permission(verb, "namespaces") for verb in ("create", "delete")]
    pods = ("create", "delete", "watch") if namespace else ("create", "watch")
    return (
        Permission("list", "nodes"),
        Permission("list", "pods"),
        Permission("list", "namespaces", without=NO_LEFTOVERS),
        Permission("list", "daemonsets", "apps"),
        *(Permission("list", kind, group.name) for kind in group.kinds),
        Permission("list", "installations", "operator.tigera.io", without=NO_OPERATOR),
        Permission("get", "configmaps", name="calico-config", without=NO_CONFIGMAPS),
        *own,
        *(Permission(verb, "pods", namespace=there) for verb in pods),
        *(Permission(verb, "pods/exec", namespace=there) for verb in ("create", "get")),
        Permission("list", "events", namespace=there, without=NO_EVENTS),
        Permission("create", "networkpolicies", policy.GROUP, there, without=NO_POLICY),
    )


def require(api: Api, namespace: str | None, group: CalicoGroup = STORED) -> list[str]:
    """A sentence for each right that is missing and can be done without.

    Raises `SetupProblem` that names all the others, the user, and the remedy. Where the reviews themselves are not
    allowed nothing is known: the requests of the run are then refused one by one.
    """
    try:
        missing = _missing(api, needed(namespace, group))
        who = _who(api) if missing else ""
    except ApiRefusal as refusal:
        return [f"what this run may do could not be asked beforehand: {refusal.problem}"]
    if decisive := [one for one in missing if not one.without]:
        problem, remedy = sentences(who, decisive)
        raise SetupProblem(f"{api.server}: {problem}", remedy)
    return [f"{sentences(who, [one])[0]}: {one.without}" for one in missing]


def may_ask_bird(api: Api, namespace: str) -> list[str]:
    """A sentence for each right that is missing in calico-node's namespace: for who has rights by namespace."""
    wanted = [Permission(verb, "pods/exec", namespace=namespace, without=NO_BIRD) for verb in ("create", "get")]
    try:
        missing = _missing(api, wanted)
        return [f"{sentences(_who(api), [one])[0]}: {one.without}" for one in missing]
    except ApiRefusal:
        return []  # already told by `require`


def _missing(api: Api, wanted: Sequence[Permission]) -> list[Permission]:
    unseen = list(wanted)
    for namespace in dict.fromkeys(one.namespace or _NOWHERE for one in wanted):
        review = api.send("POST", f"{_MAY}/selfsubjectrulesreviews", _body("Rules", {"namespace": namespace}))
        rules = (review.get("status") or {}).get("resourceRules") or []
        unseen = [one for one in unseen if (one.namespace or _NOWHERE) != namespace or not one.given_by(rules)]
    with ThreadPoolExecutor(8) as threads:
        allowed = threads.map(lambda one: _allowed(api, one), unseen)
        return [one for one, may in zip(unseen, allowed, strict=True) if not may]


def _allowed(api: Api, wanted: Permission) -> bool:
    body = _body("Access", {"resourceAttributes": wanted.attributes()})
    review = api.send("POST", f"{_MAY}/selfsubjectaccessreviews", body)
    return bool((review.get("status") or {}).get("allowed"))


def _body(kind: str, spec: dict[str, object]) -> dict[str, object]:
    return {"apiVersion": "authorization.k8s.io/v1", "kind": f"SelfSubject{kind}Review", "spec": spec}


def _who(api: Api) -> str:
    """The user's name, from Kubernetes 1.28 on; else ""."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        review = api.send("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
    except ApiRefusal:
        return ""
    return one_line(str(((review.get("status") or {}).get("userInfo") or {}).get("username") or ""), 200)
