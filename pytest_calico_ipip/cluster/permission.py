"""A permission: as a rule of a role has it, as `kubectl auth can-i` asks for it, and as a refusal names it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# what every API server's authorization says; those of cloud providers add their own words behind it
_REFUSED = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)" '
    r'(?:at the cluster scope|in the namespace "(?P<namespace>[^"]*)")'
)


@dataclass(frozen=True)
class Permission:
    """One verb on one resource (`pods/exec`: on a subresource), in one namespace or (""), in all of the cluster."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""  # "": of any name
    without: str = ""  # what a run cannot tell without it; "": it cannot go on

    @property
    def words(self) -> str:
        """`list ippools.crd.projectcalico.org at the cluster scope`."""
        where = f"in the namespace {self.namespace}" if self.namespace else "at the cluster scope"
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {self._resource()}{name} {where}"

    def question(self, user: str = "") -> str:
        """The command that asks the API server the same."""
        plural, _, subresource = self.resource.partition("/")
        words = ["kubectl", "auth", "can-i", self.verb, f"{plural}.{self.group}" if self.group else plural]
        words += [self.name] if self.name else []
        words += [f"--subresource={subresource}"] if subresource else []
        words += ["-n", self.namespace] if self.namespace else ["-A"]
        return shlex.join([*words, *([f"--as={user}"] if user else [])])

    def attributes(self) -> dict[str, str]:
        """As a SelfSubjectAccessReview has them."""
        plural, _, subresource = self.resource.partition("/")
        told = {"verb": self.verb, "group": self.group, "resource": plural, "subresource": subresource}
        return {key: value for key, value in {**told, "namespace": self.namespace, "name": self.name}.items() if value}

    def given_by(self, rules: Sequence[Mapping[str, Any]]) -> bool:
        """Whether a rule of a role gives it."""
        return any(self._in(rule) for rule in rules)

    def _in(self, rule: Mapping[str, Any]) -> bool:
        _, slash, subresource = self.resource.partition("/")
        resources = {self.resource, "*"} | ({f"*/{subresource}"} if slash else set())
        names = rule.get("resourceNames") or ()
        return bool(
            {self.verb, "*"} & set(rule.get("verbs") or ())
            and {self.group, "*"} & set(rule.get("apiGroups") or ())
            and resources & set(rule.get("resources") or ())
            and (not names or self.name in names)
        )

    def _resource(self) -> str:
        plural, slash, subresource = self.resource.partition("/")
        return f"{plural}.{self.group}{slash}{subresource}" if self.group else self.resource


def refused(message: str) -> tuple[str, Permission] | None:
    """User and permission of an API server's refusal; None where it was not authorization that refused."""
    found = _REFUSED.search(message)
    if found is None:
        return None
    return found["user"], Permission(found["verb"], found["resource"], found["group"], found["namespace"] or "")


def sentences(user: str, missing: Sequence[Permission]) -> tuple[str, str]:
    """What a user may not, and what to do about it."""
    who = user or "the kubeconfig's user"
    ask = f"`{missing[0].question(user)}`" + (", and so on" if len(missing) > 1 else "")
    return (
        f"{who} may not {'; may not '.join(one.words for one in missing)}",
        f"Check with {ask}. deploy/rbac.yaml holds every right that a run needs, and deploy/rbac-namespace.yaml those "
        "of a run with --ipip-namespace: `kubectl apply -f` it, or add the missing verb to the role that is in force.",
    )
