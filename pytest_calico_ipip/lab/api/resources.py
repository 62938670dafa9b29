"""The kinds that the lab's API serves: names, groups and subresources, in one table."""

from __future__ import annotations

from dataclasses import dataclass, replace

CALICO = "crd.projectcalico.org"
RBAC = "rbac.authorization.k8s.io"
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """One kind, as discovery describes it."""

    plural: str
    kind: str
    group: str = ""  # "" is Kubernetes' core group
    version: str = "v1"
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()  # "status": spec and status are written separately
    custom: bool = False  # a CRD: refuses strategic merge patches
    counts_generations: bool = True  # metadata.generation follows the spec
    stored_as: str = ""  # its key, where that is another group's name for it

    @property
    def key(self) -> str:
        """`pods`, `daemonsets.apps`: how the rest of the lab names it."""
        return self.stored_as or (f"{self.plural}.{self.group}" if self.group else self.plural)

    @property
    def api_version(self) -> str:
        """`v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """`pod`, `daemonset`."""
        return self.kind.lower()

    @property
    def has_status(self) -> bool:
        """Whether its status is a subresource."""
        return "status" in self.subresources


def _calico(plural: str, kind: str, *, namespaced: bool = False) -> Resource:
    return Resource(plural, kind, CALICO, namespaced=namespaced, custom=True)


_ALL = ("all",)
_ORDERED = (
    Resource(
        "namespaces",
        "Namespace",
        namespaced=False,
        short_names=("ns",),
        subresources=("status", "finalize"),
        counts_generations=False,
    ),
    Resource(
        "nodes", "Node", namespaced=False, short_names=("no",), subresources=("status",), counts_generations=False
    ),
    Resource(
        "pods",
        "Pod",
        short_names=("po",),
        categories=_ALL,
        counts_generations=False,
        subresources=("status", "exec", "attach", "log", "binding", "eviction"),
    ),
    Resource("events", "Event", short_names=("ev",), counts_generations=False),
    Resource("configmaps", "ConfigMap", short_names=("cm",), counts_generations=False),
    Resource("secrets", "Secret", counts_generations=False),
    Resource(
        "services", "Service", short_names=("svc",), categories=_ALL, subresources=("status",), counts_generations=False
    ),
    Resource("endpoints", "Endpoints", short_names=("ep",), counts_generations=False),
    Resource("resourcequotas", "ResourceQuota", short_names=("quota",), subresources=("status",)),
    Resource(
        "serviceaccounts", "ServiceAccount", short_names=("sa",), subresources=("token",), counts_generations=False
    ),
    Resource("daemonsets", "DaemonSet", "apps", short_names=("ds",), categories=_ALL, subresources=("status",)),
    Resource("deployments", "Deployment", "apps", short_names=("deploy",), categories=_ALL, subresources=("status",)),
    Resource("replicasets", "ReplicaSet", "apps", short_names=("rs",), categories=_ALL, subresources=("status",)),
    Resource("networkpolicies", "NetworkPolicy", "networking.k8s.io", short_names=("netpol",)),
    Resource("endpointslices", "EndpointSlice", "discovery.k8s.io"),
    Resource("roles", "Role", RBAC, counts_generations=False),
    Resource("rolebindings", "RoleBinding", RBAC, counts_generations=False),
    Resource("clusterroles", "ClusterRole", RBAC, namespaced=False, counts_generations=False),
    Resource("clusterrolebindings", "ClusterRoleBinding", RBAC, namespaced=False, counts_generations=False),
    Resource("leases", "Lease", "coordination.k8s.io", counts_generations=False),
    _calico("ippools", "IPPool"),
    _calico("felixconfigurations", "FelixConfiguration"),
    _calico("bgpconfigurations", "BGPConfiguration"),
    _calico("bgppeers", "BGPPeer"),
    _calico("bgpfilters", "BGPFilter"),
    _calico("blockaffinities", "BlockAffinity"),
    _calico("ipamblocks", "IPAMBlock"),
    _calico("ipamhandles", "IPAMHandle"),
    _calico("ipamconfigs", "IPAMConfig"),
    _calico("ipreservations", "IPReservation"),
    _calico("clusterinformations", "ClusterInformation"),
    _calico("caliconodestatuses", "CalicoNodeStatus"),
    _calico("kubecontrollersconfigurations", "KubeControllersConfiguration"),
    _calico("hostendpoints", "HostEndpoint"),
    _calico("globalnetworkpolicies", "GlobalNetworkPolicy"),
    _calico("globalnetworksets", "GlobalNetworkSet"),
    _calico("networkpolicies", "NetworkPolicy", namespaced=True),
    _calico("networksets", "NetworkSet", namespaced=True),
)

RESOURCES: dict[str, Resource] = {resource.key: resource for resource in _ORDERED}
_NATIVE_NAMES = {"ipamconfigs": ("ipamconfigurations", "IPAMConfiguration")}


def serve_calico(*, natively: bool) -> None:
    """Whether Calico's kinds are served as native CRDs, `projectcalico.org/v3`, and not as what those replaced.

    A process serves one cluster. In the lab a kind keeps its key, `ippools.crd.projectcalico.org`, either way.
    """
    for resource in _ORDERED:
        if natively and resource.group == CALICO:
            plural, kind = _NATIVE_NAMES.get(resource.plural, (resource.plural, resource.kind))
            native = replace(resource, plural=plural, kind=kind, group="projectcalico.org", version="v3")
            RESOURCES[resource.key] = replace(native, stored_as=resource.key)
        else:
            RESOURCES[resource.key] = resource


def groups() -> dict[str, tuple[str, ...]]:
    """Every named group with its versions, in the order in which they were declared."""
    found: dict[str, list[str]] = {}
    for resource in RESOURCES.values():
        if resource.group and resource.version not in found.setdefault(resource.group, []):
            found[resource.group].append(resource.version)
    return {group: tuple(versions) for group, versions in found.items()}


def in_group(group: str, version: str) -> list[Resource]:
    """The kinds of one group and version."""
    return [resource for resource in RESOURCES.values() if (resource.group, resource.version) == (group, version)]


def at(group: str, version: str, plural: str) -> Resource | None:
    """The kind behind a path, if it is served."""
    return next((resource for resource in in_group(group, version) if resource.plural == plural), None)
