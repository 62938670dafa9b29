"""A cluster whose pods do not talk over IPIP: no requirement of the catalogue says anything about it."""

from __future__ import annotations

from collections.abc import Iterable

NOTHING_TO_JUDGE = (
    "This suite judges Calico's IPIP, and there is none here. Name a cluster that has it, or give an IPPool ipipMode "
    "Always or CrossSubnet."
)
_SHOWN = 5


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
