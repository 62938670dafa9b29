"""What `kubectl auth can-i` and `whoami` ask: may I do this, what may I do at all, and who am I."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_calico_ipip.lab.api.errors import bad_request
from pytest_calico_ipip.lab.api.rbac import Action, Authorizer, User

_MAY, _WHO = "authorization.k8s.io", "authentication.k8s.io"
# group → plural → kind; none of them is stored
KINDS = {
    _MAY: {
        "selfsubjectaccessreviews": "SelfSubjectAccessReview",
        "selfsubjectrulesreviews": "SelfSubjectRulesReview",
    },
    _WHO: {"selfsubjectreviews": "SelfSubjectReview"},
}


def is_review(parts: Sequence[str]) -> bool:
    """Whether a path's parts lead to a review."""
    return len(parts) == 4 and parts[0] == "apis" and parts[2] == "v1" and parts[3] in KINDS.get(parts[1], ())


def answered(group: str, plural: str, authorizer: Authorizer, user: User, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The review with its status. Raises `ApiError` 400."""
    meta = {"kind": KINDS[group][plural], "apiVersion": f"{group}/v1", "metadata": {}}
    if group == _WHO:
        who = {"username": user.name, "groups": list(user.groups), **({"uid": user.uid} if user.uid else {})}
        return {**meta, "status": {"userInfo": who}}
    spec = asked.get("spec") or {}
    status = _access(authorizer, user, spec) if plural == "selfsubjectaccessreviews" else _rules(authorizer, user, spec)
    return {**meta, "spec": spec, "status": status}


def _access(authorizer: Authorizer, user: User, spec: Mapping[str, Any]) -> dict[str, Any]:
    if about := spec.get("resourceAttributes"):
        resource = about.get("resource", "") + (f"/{about['subresource']}" if about.get("subresource") else "")
        action = Action(
            about.get("verb", ""), about.get("group", ""), resource, about.get("namespace", ""), about.get("name", "")
        )
    elif about := spec.get("nonResourceAttributes"):
        action = Action(about.get("verb", ""), path=about.get("path", ""))
    else:
        raise bad_request("spec: exactly one of nonResourceAttributes or resourceAttributes must be specified")
    return {"allowed": authorizer.allows(user, action)}


def _rules(authorizer: Authorizer, user: User, spec: Mapping[str, Any]) -> dict[str, Any]:
    if not spec.get("namespace"):
        raise bad_request("no namespace on request")
    resources: list[dict[str, Any]] = []
    paths: list[dict[str, Any]] = []
    for rule in authorizer.rules(user, spec["namespace"]):
        if rule.get("nonResourceURLs"):
            paths.append({"verbs": rule.get("verbs", []), "nonResourceURLs": rule["nonResourceURLs"]})
        else:
            kept = ("verbs", "apiGroups", "resources", "resourceNames")
            resources.append({key: rule[key] for key in kept if rule.get(key)})
    return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
