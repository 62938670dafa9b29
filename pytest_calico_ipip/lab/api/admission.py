"""What an API server adds to an object that a client wrote: names, defaults, a first status, a node."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

from pytest_calico_ipip.lab.api import accounts, errors, podsecurity, quota, scheduler
from pytest_calico_ipip.lab.api.resources import RBAC, Resource
from pytest_calico_ipip.lab.api.selectors import Object

if TYPE_CHECKING:
    from pytest_calico_ipip.lab.api.store import Store

_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_NO_SEGMENT = re.compile(r"[/%]|^\.{1,2}$")
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes': nothing that could spell a word
_WHAT_IS_A_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_WHAT_IS_A_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
# what may change in the spec of a pod that exists
_POD_CHANGES = ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations")


def named(kind: Resource, obj: Object, namespace: str | None) -> Object:
    """The object with its kind, name and namespace in place. Raises `ApiError` 400, 422."""
    meta = obj.get("metadata")
    if meta is None:
        meta = obj["metadata"] = {}
    if obj.get("kind", kind.kind) != kind.kind or obj.get("apiVersion", kind.api_version) != kind.api_version:
        given = f"{obj.get('apiVersion')}, Kind={obj.get('kind')}"
        raise errors.bad_request(f"the object ({given}) does not match the path: {kind.api_version}, Kind={kind.kind}")
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = meta["generateName"][:58] + "".join(secrets.choice(_SUFFIX) for _ in range(5))
    name = meta.get("name") or ""
    if not name:
        raise errors.invalid(
            kind.kind,
            kind.group,
            "",
            "metadata.name",
            "Required value: name or generateName is required",
            "FieldValueRequired",
        )
    if kind.key in ("namespaces", "services") and not _LABEL.match(name):
        raise errors.invalid(
            kind.kind, kind.group, name, "metadata.name", f'Invalid value: "{name}": {_WHAT_IS_A_LABEL}'
        )
    if kind.group == RBAC and not _NO_SEGMENT.search(name):
        pass  # roles may have any name that can stand in a path, as `system:discovery`
    elif len(name) > 253 or not _SUBDOMAIN.match(name):
        raise errors.invalid(
            kind.kind, kind.group, name, "metadata.name", f'Invalid value: "{name}": {_WHAT_IS_A_SUBDOMAIN}'
        )
    if kind.namespaced:
        wanted = namespace or meta.get("namespace") or "default"
        if meta.get("namespace", wanted) != wanted:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        meta["namespace"] = wanted
    else:
        meta.pop("namespace", None)
    for field in ("resourceVersion", "uid", "creationTimestamp", "deletionTimestamp", "generation", "managedFields"):
        meta.pop(field, None)
    return {"kind": kind.kind, "apiVersion": kind.api_version, **obj}


def complete(store: Store, kind: Resource, obj: Object) -> None:
    """Defaults and first status of a new object, in place. Raises `ApiError` 422."""
    if kind.key == "pods":
        obj["status"] = {"phase": "Pending"}
        _complete_pod_spec(obj, obj.get("spec"))
        place = (obj["metadata"]["namespace"], obj["spec"]["serviceAccountName"])
        accounts.automount(obj["spec"], store.held("serviceaccounts").get(place, {}))
        _admit(store, obj)
        _bind_or_wait(store, obj)
        obj["status"]["qosClass"] = _quality(obj["spec"])
    elif kind.key == "namespaces":
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}
    elif kind.key == "nodes":
        obj.setdefault("spec", {})
        obj.setdefault("status", {})
    elif kind.group == "apps":
        _complete_workload(kind, obj)
    elif kind.key == "services":
        _complete_service(store, obj)
    elif kind.key == "secrets":
        obj.setdefault("type", "Opaque")
    elif kind.key == "networkpolicies.networking.k8s.io":
        obj.setdefault("spec", {}).setdefault("policyTypes", ["Ingress"])


def complete_update(kind: Resource, old: Object, new: Object) -> None:
    """Defaults of an object that replaces another, in place. Raises `ApiError` 422 where the change is not allowed."""
    new["kind"], new["apiVersion"] = kind.kind, kind.api_version
    if kind.key == "pods":
        _complete_pod_spec(new, new.get("spec"))
        if _settled(new["spec"]) != _settled(old["spec"]):
            raise errors.invalid(
                "Pod",
                "",
                new["metadata"]["name"],
                "spec",
                "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
                "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
                "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
                "previously negative)",
                "FieldValueForbidden",
            )


def _settled(spec: Object) -> Object:
    rest = {key: value for key, value in spec.items() if key not in _POD_CHANGES}
    for field in ("containers", "initContainers", "ephemeralContainers"):
        if field in rest:
            rest[field] = [{**container, "image": None} for container in rest[field]]
    return rest


def _complete_pod_spec(obj: Object, spec: Any) -> None:
    name = obj["metadata"].get("name", "")
    if not isinstance(spec, dict) or not spec.get("containers"):
        raise errors.invalid("Pod", "", name, "spec.containers", "Required value", "FieldValueRequired")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    names: set[str] = set()
    for index, container in enumerate([*spec.get("initContainers", []), *spec["containers"]]):
        if not container.get("name"):
            raise errors.invalid(
                "Pod", "", name, f"spec.containers[{index}].name", "Required value", "FieldValueRequired"
            )
        if container["name"] in names:
            why = f'Duplicate value: "{container["name"]}"'
            raise errors.invalid("Pod", "", name, f"spec.containers[{index}].name", why, "FieldValueDuplicate")
        names.add(container["name"])
        if not container.get("image"):
            raise errors.invalid(
                "Pod", "", name, f"spec.containers[{index}].image", "Required value", "FieldValueRequired"
            )
        _complete_container(container)
        _refuse_contradictions(name, index, container.get("securityContext") or {})


def _refuse_contradictions(name: str, index: int, context: Object) -> None:
    """As an API server, which compares one spelling of the capability only."""
    if context.get("allowPrivilegeEscalation") is not False:
        return
    for contradicts, what in (
        (context.get("privileged"), "`privileged` to true"),
        ("CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()), "`capabilities.Add` CAP_SYS_ADMIN"),
    ):
        if contradicts:
            why = f"Invalid value: cannot set `allowPrivilegeEscalation` to false and {what}"
            raise errors.invalid("Pod", "", name, f"spec.containers[{index}].securityContext", why)


def _complete_container(container: Object) -> None:
    latest = container["image"].endswith(":latest") or ":" not in container["image"].rpartition("/")[2]
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")


def _admit(store: Store, pod: Object) -> None:
    """What the namespace's labels and quotas say to a new pod. Raises `ApiError` 403."""
    meta, spec = pod["metadata"], pod["spec"]
    place = meta["namespace"]
    labels = store.held("namespaces").get(("", place), {}).get("metadata", {}).get("labels") or {}
    quotas = [each for (namespace, _), each in store.held("resourcequotas").items() if namespace == place]
    why = podsecurity.refusal(labels, spec)
    if not why and quotas:
        pods = [other for (namespace, _), other in store.held("pods").items() if namespace == place]
        why = quota.refusal(quotas, pods, spec)
    if why:
        raise errors.forbidden("pods", meta["name"], why)


def _bind_or_wait(store: Store, pod: Object) -> None:
    if not pod["spec"].get("nodeName"):
        node = scheduler.place(store, pod)
        if node is not None:
            pod["spec"]["nodeName"] = node
    pod["status"]["conditions"] = [scheduler.condition(store, pod)]


def _quality(spec: Object) -> str:
    """Kubernetes' quality of service, from requests and limits."""
    resources = [container.get("resources") or {} for container in spec["containers"]]
    if not any(one.get("requests") or one.get("limits") for one in resources):
        return "BestEffort"
    limits = [one.get("limits") or {} for one in resources]
    requests = [one.get("requests") or one.get("limits") or {} for one in resources]
    if limits == requests and all({"cpu", "memory"} <= limit.keys() for limit in limits):
        return "Guaranteed"
    return "Burstable"


def _complete_workload(kind: Resource, obj: Object) -> None:
    spec = obj.get("spec")
    if not isinstance(spec, dict) or "selector" not in spec or "template" not in spec:
        raise errors.invalid(
            kind.kind, kind.group, obj["metadata"]["name"], "spec.selector", "Required value", "FieldValueRequired"
        )
    template = spec["template"]
    template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    _complete_pod_spec({"metadata": obj["metadata"]}, template.get("spec"))
    if kind.plural == "daemonsets":
        spec.setdefault(
            "updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
        )
        spec.setdefault("revisionHistoryLimit", 10)
        counts = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
        obj["status"] = {**dict.fromkeys(counts, 0), **(obj.get("status") or {})}
    else:
        spec.setdefault("replicas", 1)
        obj["status"] = {**({"replicas": 0} if kind.plural == "replicasets" else {}), **(obj.get("status") or {})}


def _complete_service(store: Store, obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if spec["type"] != "ExternalName" and "clusterIP" not in spec:
        taken = {service["spec"].get("clusterIP") for service in store.held("services").values()}
        free = (f"10.233.{third}.{fourth}" for third in range(64) for fourth in range(1, 255))
        spec["clusterIP"] = next(address for address in free if address not in taken)
        spec["clusterIPs"] = [spec["clusterIP"]]
    obj.setdefault("status", {"loadBalancer": {}})
