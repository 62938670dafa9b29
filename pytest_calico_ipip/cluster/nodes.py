"""Which nodes are in scope: by name, or by label, readiness and taints."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_calico_ipip.cluster import calico, rights
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.problems import Unauthorized
from pytest_calico_ipip.errors import SetupProblem, UnknownNode
from pytest_calico_ipip.model.names import is_node_name
from pytest_calico_ipip.remote import one_line
from pytest_calico_ipip.settings import Settings

NO_CALICO = "runs no calico-node: another CNI serves it"
# nodes that are no machines: nothing can be read on them, and no packet of theirs is IPIP's
_VIRTUAL_LABELS = {"type": "virtual-kubelet", "eks.amazonaws.com/compute-type": "fargate"}
_VIRTUAL_TAINTS = ("virtual-kubelet.io/provider", "eks.amazonaws.com/compute-type")


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


@dataclass(frozen=True)
class Scope:
    """The nodes of a run, and why each of the others is none of them."""

    nodes: tuple[str, ...]
    left_out: Mapping[str, str]  # "is not Ready", by name


def list_nodes(settings: Settings) -> tuple[str, ...]:
    """The names of the nodes in scope, in the API's order."""
    return scope(settings).nodes


def scope(settings: Settings) -> Scope:
    """The nodes in scope: one API call, and one more where a node bears no trace of Calico.

    Raises `UnknownNode` where a named node does not exist, `SetupProblem` where the API or the selection fails.
    """
    api = Api.connect(settings)
    try:
        query = {"labelSelector": settings.node_selector} if settings.node_selector and not settings.nodes else {}
        listed = api.list("/api/v1/nodes", query)
        chosen = select(listed, settings)
        if settings.nodes:
            return Scope(chosen, {})
        foreign = _without_calico(api, listed, chosen)
        return Scope(tuple(name for name in chosen if name not in foreign), left_out(listed, settings, foreign))
    except Unauthorized:
        # tells of everything that is missing, not only of this
        rights.require(api, settings.namespace, calico.group_of(api))
        raise
    finally:
        api.close()


def left_out(nodes: Sequence[Mapping[str, Any]], settings: Settings, foreign: Collection[str]) -> dict[str, str]:
    """Why nodes are not in scope, by name; `foreign` are those that were left out because Calico is not on them."""
    tolerated = tolerations(settings)
    reasons = {str(node["metadata"]["name"]): unsuited(node, tolerated) for node in nodes}
    return {name: reason or NO_CALICO for name, reason in reasons.items() if reason or name in foreign}


def _without_calico(api: Api, nodes: Sequence[Mapping[str, Any]], chosen: Sequence[str]) -> set[str]:
    """The nodes that another CNI serves: no annotation of Calico's, as other nodes have, and no calico-node pod."""
    bare = {str(node["metadata"]["name"]) for node in nodes if not _annotated(node)}
    if not bare & set(chosen) or len(bare) == len(nodes):
        return set()
    pods = api.list("/api/v1/pods", {"labelSelector": "k8s-app=calico-node"})
    served = {str((pod.get("spec") or {}).get("nodeName")) for pod in pods}
    return (bare & set(chosen)) - served


def _annotated(node: Mapping[str, Any]) -> bool:
    return any(str(key).startswith("projectcalico.org/") for key in node["metadata"].get("annotations") or {})


def select(nodes: Sequence[Mapping[str, Any]], settings: Settings) -> tuple[str, ...]:
    """Pure: which of the API's nodes are in scope. A named one is, whatever its state: the run says what is wrong."""
    known = [str(node["metadata"]["name"]) for node in nodes]
    if odd := [name for name in known if not is_node_name(name)]:
        raise SetupProblem(
            f"The API server lists a node with a name that no node can have: {one_line(odd[0], 100)}",
            "Is this a Kubernetes API, or does something between answer for it?",
        )
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
        return one_line(f"runs {system}")
    taints = [taint.get("key") for taint in spec.get("taints") or []]
    if any(labels.get(key) == value for key, value in _VIRTUAL_LABELS.items()) or set(taints) & set(_VIRTUAL_TAINTS):
        return "is a virtual node, without a kernel of its own to look at"
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
