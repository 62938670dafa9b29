"""The columns of each kind, and what stands in them: as Kubernetes' own printers have it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_calico_ipip.lab.api.ages import since
from pytest_calico_ipip.lab.api.selectors import Object, at_path

Cells = Callable[[Object], Sequence[Any]]
NONE = "<none>"


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _age(obj: Object) -> str:
    return since(obj["metadata"].get("creationTimestamp"))


def _pairs(values: Any, empty: str = NONE) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((values or {}).items())) or empty


def _selector(selector: Any) -> str:
    if selector is None:
        return NONE
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for one in selector.get("matchExpressions") or ():
        values = f" ({','.join(one['values'])})" if one.get("values") else ""
        terms.append(f"{one['key']} {one['operator'].lower()}{values}")
    return ",".join(terms) or NONE


def _pod(pod: Object) -> Sequence[Any]:
    spec, status = pod["spec"], pod.get("status") or {}
    states = status.get("containerStatuses") or ()
    ready = sum(bool(one.get("ready") and "running" in (one.get("state") or {})) for one in states)
    gates = [gate["conditionType"] for gate in spec.get("readinessGates") or ()]
    true = {one["type"] for one in status.get("conditions") or () if one["status"] == "True"}
    return (
        _name(pod),
        f"{ready}/{len(spec['containers'])}",
        pod_status(pod),
        _restarts(states),
        _age(pod),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{len(true & set(gates))}/{len(gates)}" if gates else NONE,
    )


def pod_status(pod: Object) -> str:
    """What stands under STATUS: what hinders or ended the containers rather than the phase."""
    status = pod.get("status") or {}
    phase = status.get("phase") or "Unknown"
    shown, running = status.get("reason") or phase, False
    for one in reversed(status.get("containerStatuses") or ()):
        state = one.get("state") or {}
        ended = state.get("terminated")
        if (state.get("waiting") or {}).get("reason"):
            shown = state["waiting"]["reason"]
        elif ended:
            signalled = f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"
            shown = ended.get("reason") or signalled
        elif one.get("ready") and "running" in state:
            running = True
    if shown == "Completed" and running:
        conditions = status.get("conditions") or ()
        shown = (
            "Running" if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions) else "NotReady"
        )
    if "deletionTimestamp" in pod["metadata"] and phase not in ("Succeeded", "Failed"):
        return "Terminating"
    return str(shown)


def _restarts(states: Sequence[Any]) -> str:
    count = sum(one.get("restartCount", 0) for one in states)
    ends = [at_path(one, "lastState.terminated.finishedAt") for one in states]
    last = max((end for end in ends if end), default=None)
    return f"{count} ({since(last)} ago)" if count and last else str(count)


def _node(node: Object) -> Sequence[Any]:
    status, labels = node.get("status") or {}, node["metadata"].get("labels") or {}
    states = [
        "Ready" if one["status"] == "True" else "NotReady"
        for one in status.get("conditions") or ()
        if one["type"] == "Ready"
    ] or ["Unknown"]
    if (node.get("spec") or {}).get("unschedulable"):
        states.append("SchedulingDisabled")
    prefix = "node-role.kubernetes.io/"
    roles = sorted(label.removeprefix(prefix) for label in labels if label.startswith(prefix))
    info = status.get("nodeInfo") or {}
    addresses = {one["type"]: one["address"] for one in reversed(status.get("addresses") or ())}
    return (
        _name(node),
        ",".join(states),
        ",".join(roles) or NONE,
        _age(node),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    )


def _containers(obj: Object) -> tuple[str, str, str]:
    """The three wide columns of everything that has a pod template."""
    containers = at_path(obj, "spec.template.spec.containers") or ()
    names = ",".join(one["name"] for one in containers)
    return names, ",".join(one["image"] for one in containers), _selector(obj["spec"].get("selector"))


def _daemon_set(obj: Object) -> Sequence[Any]:
    status = obj.get("status") or {}
    return (
        _name(obj),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        _pairs(at_path(obj, "spec.template.spec.nodeSelector")),
        _age(obj),
        *_containers(obj),
    )


def _deployment(obj: Object) -> Sequence[Any]:
    status, wanted = obj.get("status") or {}, obj["spec"].get("replicas", 1)
    ready = f"{status.get('readyReplicas', 0)}/{wanted}"
    return (
        _name(obj),
        ready,
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _age(obj),
        *_containers(obj),
    )


def _replica_set(obj: Object) -> Sequence[Any]:
    status = obj.get("status") or {}
    counts = (obj["spec"].get("replicas", 1), status.get("replicas", 0), status.get("readyReplicas", 0))
    return (_name(obj), *counts, _age(obj), *_containers(obj))


def _event(event: Object) -> Sequence[Any]:
    about, source = event.get("involvedObject") or {}, event.get("source") or {}
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = event.get("lastTimestamp") or first
    component = source.get("component") or event.get("reportingComponent") or ""
    return (
        since(last),
        event.get("type", ""),
        event.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        ", ".join(part for part in (component, source.get("host")) if part),
        (event.get("message") or "").strip(),
        since(first),
        event.get("count") or 1,
        _name(event),
    )


def _service(service: Object) -> Sequence[Any]:
    spec = service["spec"]
    ports = [
        f"{one['port']}{':' + str(one['nodePort']) if one.get('nodePort') else ''}/{one.get('protocol', 'TCP')}"
        for one in spec.get("ports") or ()
    ]
    outside = (
        spec.get("externalName") if spec.get("type") == "ExternalName" else ",".join(spec.get("externalIPs") or ())
    )
    return (
        _name(service),
        spec.get("type", "ClusterIP"),
        spec.get("clusterIP") or NONE,
        outside or NONE,
        ",".join(ports) or NONE,
        _age(service),
        _pairs(spec.get("selector")),
    )


def _endpoints(obj: Object) -> Sequence[Any]:
    found = [
        f"{address['ip']}:{port['port']}"
        for subset in obj.get("subsets") or ()
        for address in subset.get("addresses") or ()
        for port in subset.get("ports") or ()
    ]
    shown = ",".join(found[:3]) + (f" + {len(found) - 3} more..." if len(found) > 3 else "")
    return _name(obj), shown or NONE, _age(obj)


_WORKLOAD = ("+Containers", "+Images", "+Selector")
NAME_AND_AGE: tuple[tuple[str, ...], Cells] = (("Name", "Age"), lambda obj: (_name(obj), _age(obj)))
# a + before the name: only with -o wide
COLUMNS: dict[str, tuple[tuple[str, ...], Cells]] = {
    "pods": (
        ("Name", "Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates"),
        _pod,
    ),
    "nodes": (
        (
            "Name",
            "Status",
            "Roles",
            "Age",
            "Version",
            "+Internal-IP",
            "+External-IP",
            "+OS-Image",
            "+Kernel-Version",
            "+Container-Runtime",
        ),
        _node,
    ),
    "namespaces": (
        ("Name", "Status", "Age"),
        lambda obj: (_name(obj), (obj.get("status") or {}).get("phase", ""), _age(obj)),
    ),
    "daemonsets.apps": (
        ("Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age", *_WORKLOAD),
        _daemon_set,
    ),
    "deployments.apps": (("Name", "Ready", "Up-to-date", "Available", "Age", *_WORKLOAD), _deployment),
    "replicasets.apps": (("Name", "Desired", "Current", "Ready", "Age", *_WORKLOAD), _replica_set),
    "events": (
        (
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            "+Subobject",
            "+Source",
            "Message",
            "+First Seen",
            "+Count",
            "+Name",
        ),
        _event,
    ),
    "services": (("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"), _service),
    "endpoints": (("Name", "Endpoints", "Age"), _endpoints),
    "serviceaccounts": (
        ("Name", "Secrets", "Age"),
        lambda obj: (_name(obj), len(obj.get("secrets") or ()), _age(obj)),
    ),
    "configmaps": (
        ("Name", "Data", "Age"),
        lambda obj: (_name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), _age(obj)),
    ),
    "secrets": (
        ("Name", "Type", "Data", "Age"),
        lambda obj: (_name(obj), obj.get("type", ""), len(obj.get("data") or ()), _age(obj)),
    ),
    "networkpolicies.networking.k8s.io": (
        ("Name", "Pod-Selector", "Age"),
        lambda obj: (_name(obj), _selector(at_path(obj, "spec.podSelector")), _age(obj)),
    ),
}
