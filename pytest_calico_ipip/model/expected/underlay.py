"""The underlay NIC: which of a node's devices holds its IPv4Address annotation."""

from __future__ import annotations

from collections.abc import Sequence

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


def beneath(nic: Link, links: Sequence[Link]) -> tuple[str, ...]:
    """The devices that carry the NIC's packets: a bridge's or bond's ports, what a VLAN sits on.

    An address on lo, or on a dummy, has its packets carried by whichever device a route says.
    """
    if _carries_nothing(nic):
        return tuple(link.name for link in links if not _carries_nothing(link))
    found = {nic.name: None}
    for _ in links:  # no device is deeper than there are devices
        below = [link.name for link in links if link.master in found]
        below += [link.parent for link in links if link.name in found and link.parent]
        if set(below) <= found.keys():
            break
        found.update(dict.fromkeys(below))
    return tuple(name for name in found if name != nic.name)


def _carries_nothing(link: Link) -> bool:
    return "LOOPBACK" in link.flags or link.kind == "dummy"
