"""Role-based access control as Kubernetes decides it: who may do what, from roles and bindings in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_calico_ipip.lab.api.errors import ApiError, qualified_details
from pytest_calico_ipip.lab.api.resources import RBAC as GROUP
from pytest_calico_ipip.lab.api.store import Object, Store

MASTERS = "system:masters"  # may do everything, whatever the bindings say
AUTHENTICATED = "system:authenticated"
_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


@dataclass(frozen=True)
class Action:
    """What is asked for: a verb on a resource (`pods/exec` has its subresource), or on a path that is none."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""  # "": the whole cluster
    name: str = ""  # "": any
    path: str = ""

    @property
    def sentence(self) -> str:
        """As an API server's refusal names it, after `User "x" cannot`."""
        if self.path:
            return f'{self.verb} path "{self.path}"'
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return f'{self.verb} resource "{self.resource}" in API group "{self.group}" {where}'


class Authorizer:
    """Answers from the store as it is at that moment; a change of a role holds from the next request on."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, user: User, action: Action) -> bool:
        """Whether a rule covers it."""
        if MASTERS in user.groups:
            return True
        return any(_covers(rule, action) for rule in self.rules(user, action.namespace))

    def require(self, user: User, action: Action) -> None:
        """Raise `ApiError` 403, in the words of an API server, where no rule covers it."""
        if not self.allows(user, action):
            raise refusal(user, action)

    def rules(self, user: User, namespace: str) -> Iterator[Mapping[str, Any]]:
        """Every rule that is bound to a user: for the whole cluster, and in a namespace if one is given."""
        if MASTERS in user.groups:
            yield {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            yield {"verbs": ["*"], "nonResourceURLs": ["*"]}
        for binding in self._store.held(f"clusterrolebindings.{GROUP}").values():
            if _binds(binding, user, ""):
                yield from self._rules_of(binding, "")
        for (place, _), binding in self._store.held(f"rolebindings.{GROUP}").items():
            if namespace and place == namespace and _binds(binding, user, place):
                yield from self._rules_of(binding, place)

    def _rules_of(self, binding: Object, namespace: str) -> Iterable[Mapping[str, Any]]:
        reference = binding.get("roleRef") or {}
        in_namespace = reference.get("kind") == "Role"
        kind = "roles" if in_namespace else "clusterroles"
        role = self._store.held(f"{kind}.{GROUP}").get((namespace if in_namespace else "", reference.get("name", "")))
        return (role or {}).get("rules") or ()


def refusal(user: User, action: Action) -> ApiError:
    """403 as an API server words it."""
    why = f'User "{user.name}" cannot {action.sentence}'
    if action.path:
        return ApiError(403, "Forbidden", f"forbidden: {why}")
    plural = action.resource.partition("/")[0]
    full = f"{plural}.{action.group}" if action.group else plural
    named = f'{full} "{action.name}"' if action.name else full
    return ApiError(403, "Forbidden", f"{named} is forbidden: {why}", qualified_details(full, action.name))


def _binds(binding: Object, user: User, namespace: str) -> bool:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        if kind == "User" and name == user.name:
            return True
        if kind == "Group" and name in user.groups:
            return True
        place = subject.get("namespace") or namespace
        if kind == "ServiceAccount" and user.name == f"{_SERVICE_ACCOUNT}{place}:{name}":
            return True
    return False


def _covers(rule: Mapping[str, Any], action: Action) -> bool:
    if not {action.verb, "*"} & set(rule.get("verbs") or ()):
        return False
    if action.path:
        return any(_path_fits(pattern, action.path) for pattern in rule.get("nonResourceURLs") or ())
    if not {action.group, "*"} & set(rule.get("apiGroups") or ()):
        return False
    _, slash, subresource = action.resource.partition("/")
    wanted = {action.resource, "*"} | ({f"*/{subresource}"} if slash else set())
    if not wanted & set(rule.get("resources") or ()):
        return False
    # a rule for some names says nothing about a request without one
    names = rule.get("resourceNames") or ()
    return not names or action.name in names


def _path_fits(pattern: str, path: str) -> bool:
    return pattern == path or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def defaults() -> Iterator[tuple[str, Object]]:
    """The roles that every cluster has, as far as this lab needs them: (resource, object)."""
    everything = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]
    about = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz"]
    reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    for name, subject, rules in (
        ("cluster-admin", MASTERS, everything),
        ("system:discovery", AUTHENTICATED, [{"nonResourceURLs": [*about, "/version", "/version/"], "verbs": ["get"]}]),
        (
            "system:basic-user",
            AUTHENTICATED,
            [
                {"apiGroups": ["authorization.k8s.io"], "resources": reviews, "verbs": ["create"]},
                {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
            ],
        ),
    ):
        metadata = {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
        yield f"clusterroles.{GROUP}", {"metadata": dict(metadata), "rules": rules}
        yield (
            f"clusterrolebindings.{GROUP}",
            {
                "metadata": dict(metadata),
                "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": subject}],
            },
        )
