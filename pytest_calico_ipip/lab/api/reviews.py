"""What `kubectl auth can-i` asks: may I do this, and what may I do at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_calico_ipip.lab.api.errors import bad_request
from pytest_calico_ipip.lab.api.rbac import Action, Authorizer, User

GROUP = "authorization.k8s.io"
KINDS = {"selfsubjectaccessreviews": "SelfSubjectAccessReview", "selfsubjectrulesreviews": "SelfSubjectRulesReview"}


def answered(plural: str, authorizer: Authorizer, user: User, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The review with its status. Raises `ApiError` 400."""
    spec = asked.get("spec") or {}
    status = _access(authorizer, user, spec) if plural == "selfsubjectaccessreviews" else _rules(authorizer, user, spec)
    meta = {"kind": KINDS[plural], "apiVersion": f"{GROUP}/v1", "metadata": {}}
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
