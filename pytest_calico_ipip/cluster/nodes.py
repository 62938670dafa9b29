"""Which nodes are in scope: by name, or by label, readiness and taints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_calico_ipip.cluster import calico, rights
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.problems import Unauthorized
from pytest_calico_ipip.errors import SetupProblem, UnknownNode
from pytest_calico_ipip.remote import one_line
from pytest_calico_ipip.settings import Settings


@dataclass(frozen=True)
class Toleration:
    """KEY[=VALUE][:EFFECT]; an empty effect tolerates every effect, a missing value every value."""

    key: str
    value: str | None
    effect: str

    @classmethod
    def parse(cls, text: str) -> Toleration:
        """As the option is written."""
        rest, _, effect = text.partition(":")
        key, equals, value = rest.partition("=")
        return cls(key, value if equals else None, effect)

    def tolerates(self, taint: Mapping[str, Any]) -> bool:
        """As Kubernetes decides it."""
        return (
            self.key == taint.get("key")
            and self.value in (None, taint.get("value") or "")
            and self.effect in ("", taint.get("effect"))
        )

    def manifest(self) -> dict[str, str]:
        """As a pod's spec has it."""
        toleration = {"key": self.key, "operator": "Exists" if self.value is None else "Equal"}
        if self.value is not None:
            toleration["value"] = self.value
        if self.effect:
            toleration["effect"] = self.effect
        return toleration


def tolerations(settings: Settings) -> tuple[Toleration, ...]:
    """The settings' tolerations, parsed."""
    return tuple(Toleration.parse(text) for text in settings.tolerations)


def list_nodes(settings: Settings) -> tuple[str, ...]:
    """The names of the nodes in scope, in the API's order: one API call.

    Raises `UnknownNode` where a named node does not exist, `SetupProblem` where the API or the selection fails.
    """
    api = Api.connect(settings)
    try:
        query = {"labelSelector": settings.node_selector} if settings.node_selector and not settings.nodes else {}
        return select(api.list("/api/v1/nodes", query), settings)
    except Unauthorized:
        # tells of everything that is missing, not only of this
        rights.require(api, settings.namespace, calico.group_of(api))
        raise
    finally:
        api.close()


def select(nodes: Sequence[Mapping[str, Any]], settings: Settings) -> tuple[str, ...]:
    """Pure: which of the API's nodes are in scope. A named one is, whatever its state: the run says what is wrong."""
    known = [str(node["metadata"]["name"]) for node in nodes]
    if settings.nodes:
        unknown = [name for name in settings.nodes if name not in known]
        if unknown:
            raise UnknownNode(
                f"The cluster has no node {', '.join(unknown)}",
                f"--ipip-nodes takes names from: {', '.join(known) or 'none (the cluster has no nodes)'}.",
            )
        return tuple(name for name in known if name in settings.nodes)
    reasons = {str(node["metadata"]["name"]): unsuited(node, tolerations(settings)) for node in nodes}
    chosen = tuple(name for name, reason in reasons.items() if not reason)
    if not chosen:
        why = "; ".join(f"{name} {reason}" for name, reason in list(reasons.items())[:10])
        where = f" match {settings.node_selector!r}" if settings.node_selector else ""
        raise SetupProblem(
            f"No node is in scope: {why or f'no nodes{where}'}",
            "Choose nodes with --ipip-nodes or --ipip-node-selector, and tolerate taints with --ipip-tolerate.",
        )
    return chosen


def unsuited(node: Mapping[str, Any], tolerated: Sequence[Toleration]) -> str:
    """Why no pod under test can be expected to run on this node; "" where one can."""
    metadata, spec, status = node.get("metadata", {}), node.get("spec") or {}, node.get("status") or {}
    labels = metadata.get("labels") or {}
    system = labels.get("kubernetes.io/os") or (status.get("nodeInfo") or {}).get("operatingSystem") or "linux"
    if system != "linux":
        return f"runs {system}"
    ready = [c.get("status") for c in status.get("conditions") or [] if c.get("type") == "Ready"]
    if ready != ["True"]:
        return "is not Ready"
    for taint in spec.get("taints") or []:
        if taint.get("effect") not in ("NoSchedule", "NoExecute") or any(t.tolerates(taint) for t in tolerated):
            continue
        value = f"={taint['value']}" if taint.get("value") else ""
        return one_line(f"has the taint {taint.get('key')}{value}:{taint.get('effect')}")
    if spec.get("unschedulable") and not any(t.key == "node.kubernetes.io/unschedulable" for t in tolerated):
        return "is unschedulable"
    return ""
