"""The run's own NetworkPolicy: where a policy denies whatever none allows, the pods under test are let through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

GROUP = "networking.k8s.io"
REFUSED = "the NetworkPolicy that lets the pods under test through was refused"


def path(namespace: str) -> str:
    """Where it is created."""
    return f"/apis/{GROUP}/v1/namespaces/{namespace}/networkpolicies"


def manifest(
    metadata: Mapping[str, Any], name: str, labels: Mapping[str, str], owners: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Everything from and to the pods with these labels, while they live.

    NetworkPolicies add up, so this one lifts what another denies by default. `owners` are pods that take it along when
    the last of them goes: in a namespace of somebody else nothing has to be deleted.
    """
    own = {**metadata, "name": name}
    known = [owner["metadata"] for owner in owners if (owner.get("metadata") or {}).get("uid")]
    if known:
        own["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Pod", "name": one["name"], "uid": one["uid"]} for one in known
        ]
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "NetworkPolicy",
        "metadata": own,
        "spec": {
            "podSelector": {"matchLabels": dict(labels)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{}],
            "egress": [{}],
        },
    }
