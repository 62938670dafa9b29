"""Where a cluster keeps Calico's objects, and whether its pods talk over IPIP at all: asked before anything is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.problems import ApiRefusal
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.model.outside import NOTHING_TO_JUDGE, without_ipip

_TUNNEL = "projectcalico.org/IPv4IPIPTunnelAddr"


@dataclass(frozen=True)
class CalicoGroup:
    """One of the two API groups that Calico's objects may be stored in."""

    name: str
    version: str
    ipam_configurations: str  # the plural that differs

    @property
    def kinds(self) -> tuple[str, ...]:
        """The plurals that are read."""
        return (
            "bgpconfigurations",
            "bgppeers",
            "blockaffinities",
            "clusterinformations",
            "felixconfigurations",
            "ipamblocks",
            self.ipam_configurations,
            "ipamhandles",
            "ippools",
        )

    def file(self, kind: str) -> str:
        """The name of a kind's list in the evidence: `ippools.crd.projectcalico.org`."""
        return f"{kind}.{self.name}"

    def path(self, kind: str) -> str:
        """Where the API serves it."""
        return f"/apis/{self.name}/{self.version}/{kind}"


STORED = CalicoGroup("crd.projectcalico.org", "v1", "ipamconfigs")
NATIVE = CalicoGroup("projectcalico.org", "v3", "ipamconfigurations")
GROUPS = (STORED, NATIVE)


@dataclass(frozen=True)
class Found:
    """What was found."""

    group: CalicoGroup
    pools: Sequence[Mapping[str, Any]] | None  # None: the user may not list them


def find(api: Api) -> Found:
    """The group that the objects are stored in: one request, and one more where it is the native one.

    As Calico itself decides: where both are served the native names are a façade (calico-apiserver) over what is
    stored in the other, and reading both would be reading one thing twice. Raises `SetupProblem` without Calico.
    """
    refusals: dict[CalicoGroup, ApiRefusal] = {}
    empty: list[CalicoGroup] = []
    for group in GROUPS:
        try:
            pools = api.list(group.path("ippools"))
        except ApiRefusal as refusal:
            if refusal.status not in (403, 404):
                raise
            refusals[group] = refusal
        else:
            if pools:
                return Found(group, pools)
            empty.append(group)
    if empty:
        return Found(empty[0], [])
    if all(refusal.status == 404 for refusal in refusals.values()):
        raise _no_calico(api) from refusals[STORED]
    # who may not list a kind is not told whether it exists; discovery tells
    return Found(_served(api), None)


def group_of(api: Api) -> CalicoGroup:
    """The group, for who asks because something else was refused: never raises for what the cluster lacks."""
    try:
        return find(api).group
    except SetupProblem:
        return STORED


def require_ipip(found: Found, nodes: Sequence[Mapping[str, Any]], server: str) -> None:
    """Raise `SetupProblem` where no pool is one of IPIP's and no node has a tunnel address."""
    if found.pools is None:
        return
    specs = [((pool.get("metadata") or {}).get("name"), pool.get("spec") or {}) for pool in found.pools]
    pools = [
        (str(name), str(spec.get("cidr")), str(spec.get("ipipMode") or "Never"), str(spec.get("vxlanMode") or "Never"))
        for name, spec in specs
    ]
    tunnels = any(((node.get("metadata") or {}).get("annotations") or {}).get(_TUNNEL) for node in nodes)
    if reason := without_ipip(pools, tunnels=tunnels):
        raise SetupProblem(f"{server}: {reason}", NOTHING_TO_JUDGE)


def _served(api: Api) -> CalicoGroup:
    """By discovery, which every user may ask who is known. Raises `SetupProblem` without Calico."""
    try:
        groups = api.send("GET", "/apis").get("groups") or []
    except ApiRefusal:
        return STORED
    names = {one.get("name") for one in groups if isinstance(one, dict)}
    served = [group for group in GROUPS if group.name in names]
    if names and not served:
        raise _no_calico(api)
    return served[0] if served else STORED


def _no_calico(api: Api) -> SetupProblem:
    return SetupProblem(
        f"{api.server} has no Calico: it serves no ippools, neither of {STORED.name} nor of {NATIVE.name}",
        "Name a cluster whose network is Calico in Kubernetes-datastore mode (an etcd datastore cannot be read).",
    )
