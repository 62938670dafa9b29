"""A cluster whose pods do not talk over IPIP: no requirement of the catalogue says anything about it."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.datastore import Datastore

NOTHING_TO_JUDGE = (
    "This suite judges Calico's IPIP, and there is none here. Name a cluster that has it, or give an IPPool ipipMode "
    "Always or CrossSubnet."
)
_SHOWN = 5
_ALWAYS_THERE = ("ippools", "ipamblocks", "blockaffinities", "felixconfigurations", "clusterinformations")


def outside_ipip(datastore: Datastore | Absent) -> str:
    """Why no requirement says anything about this cluster, as a sentence; "" where it may have IPIP."""
    if isinstance(datastore, Absent) or not all(node.annotated for node in datastore.nodes.values()):
        return ""  # what is not in this evidence may be what would tell
    tunnels = any(node.tunnel_address_text for node in datastore.nodes.values())
    if "ippools" not in datastore.absent:
        pools = [(pool.name, str(pool.cidr), pool.ipip_mode, pool.vxlan_mode) for pool in datastore.pools]
        changing = any(note.endswith(tuple(f"ippools {name}" for name, *_ in pools)) for note in datastore.notes)
        return "" if changing else without_ipip(pools, tunnels=tunnels)
    nothing = all(kind in datastore.absent and not datastore.absent[kind].failed for kind in _ALWAYS_THERE)
    traces = tunnels or any(node.address_text for node in datastore.nodes.values())
    if nothing and datastore.nodes and not traces:
        return "it has no Calico: none of Calico's kinds is in it, and no node carries an annotation of Calico's"
    return ""


def without_ipip(pools: Iterable[tuple[str, str, str, str]], *, tunnels: bool) -> str:
    """Why the cluster has no IPIP, as a sentence; "" where it has, or had a moment ago.

    A pool is (name, CIDR, ipipMode, vxlanMode). Calico takes a node's tunnel address away when no pool wants it any
    more: where `tunnels` says that nodes have one, a pool that says Never is a fault in a cluster of IPIP's.
    """
    four = [pool for pool in pools if ":" not in pool[1]]
    if tunnels or any(mode != "Never" for _, _, mode, _ in four):
        return ""
    if not four:
        return "its pods do not talk over IPIP: there is no IPv4 IPPool, and no node has a tunnel address"
    listed = ", ".join(f"{name} {cidr} has ipipMode Never, vxlanMode {vxlan}" for name, cidr, _, vxlan in four[:_SHOWN])
    more = f", and {len(four) - _SHOWN} more" if len(four) > _SHOWN else ""
    return f"its pods do not talk over IPIP: {listed}{more}, and no node has a tunnel address"
