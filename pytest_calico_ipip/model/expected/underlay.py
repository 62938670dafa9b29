"""The underlay NIC: which of a node's devices holds its IPv4Address annotation."""

from __future__ import annotations

from pytest_calico_ipip.model.absent import Absent, Missing, present
from pytest_calico_ipip.model.datastore import ClusterNode
from pytest_calico_ipip.model.nodestate import Link, NodeState


def underlay(node: ClusterNode, state: NodeState) -> Link | None:
    """The up device that carries the annotation's address, as Felix finds it (route_mgr.go, detectParentIface).

    None where no device does. Raises `Missing` where the links, or the node's annotations, are not in the evidence.
    """
    links = present(state.links)
    if node.address is None:
        if not node.annotated:
            raise Missing(Absent(f"the annotations of {node.name}", failed=False))
        return None
    for link in links:
        if link.up and any(address.ip == node.address.ip for address in link.addresses):
            return link
    if "ip-addr.json" in state.partial:
        raise Missing(Absent(f"the underlay NIC of {node.name}", failed=False))
    return None
