"""POOL-1: the pool that a pod's address comes from. (POOL-2 to POOL-4 belong here too.)"""

from __future__ import annotations

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks.case import Case, node_check


@node_check("POOL-1")
def ipip_pool(case: Case) -> None:
    """The pool of every pod under test is enabled, ipipMode Always or CrossSubnet, vxlanMode Never."""
    datastore = case.datastore
    datastore.need("ippools", "pods")
    pods = [pod for pod in case.world.pods if pod.node == case.node and pod.ip is not None and not pod.host_network]
    if not pods:
        case.lack(Absent(f"a pod under test with an address on {case.node}", failed=False))
    for pod in pods:
        pool = datastore.pool_of(pod.ip) if pod.ip is not None else None
        if pool is None:
            reading = case.api("pods", pod.name, pod.namespace)
            case.differ(f"{pod.key} address", "inside an IP pool", f"{pod.ip}, which is in none", reading)
            continue
        what, reading = f"pool {pool.name} ({pool.cidr}) of {pod.key}", case.api("ippools", pool.name)
        case.compare(what, "enabled", "disabled" if pool.disabled else "enabled", reading)
        mode = pool.ipip_mode if pool.ipip else f"ipipMode {pool.ipip_mode}"
        case.compare(
            what, "ipipMode Always or CrossSubnet", "ipipMode Always or CrossSubnet" if pool.ipip else mode, reading
        )
        case.compare(what, "vxlanMode Never", f"vxlanMode {pool.vxlan_mode}", reading)
