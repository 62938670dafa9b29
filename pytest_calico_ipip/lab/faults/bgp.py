"""Faults of BIRD's sessions, and of what it announces."""

from __future__ import annotations

from ipaddress import IPv4Network

from ..spec import AS_NUMBER, NodeSpec
from .fault import BirdEdit, Fault
from .places import FIRST, SECOND, on

_FOREIGN = IPv4Network("10.233.100.0/24")
_OWN = f"  route {SECOND.block} blackhole;"
_CTL = "-s /run/calico/bird.ctl"


def _neighbour(node: NodeSpec, as_number: int) -> str:
    return f"  neighbor {node.address.ip} as {as_number};"


FAULTS = (
    Fault(
        name="bgp-session-down",
        breaks=f"{SECOND.name} has a wrong AS number for {FIRST.name}: this one session stays down",
        fails=("BGP-1", "PATH-1", "PATH-3", "PATH-7", "PATH-8", "PATH-9", "ROUTE-2", "ROUTE-5"),
        bird=(
            BirdEdit(
                SECOND.name,
                _neighbour(FIRST, AS_NUMBER),
                _neighbour(FIRST, AS_NUMBER + 1),
                lost=(FIRST.name,),
                down=(FIRST.name,),
            ),
            # nothing is changed here, and the session is down here, too
            BirdEdit(
                FIRST.name,
                _neighbour(SECOND, AS_NUMBER),
                _neighbour(SECOND, AS_NUMBER),
                lost=(SECOND.name,),
                down=(SECOND.name,),
            ),
        ),
        verify=on(FIRST, f"birdcl {_CTL} show protocols | grep Mesh_10_7_120_12 | grep -qv Established"),
    ),
    Fault(
        name="foreign-route-announced",
        breaks=f"{SECOND.name} announces {_FOREIGN}, which is no block of its own",
        fails=("BGP-2", "ROUTE-4"),
        bird=(
            BirdEdit(SECOND.name, _OWN, f"{_OWN}\n  route {_FOREIGN} blackhole;"),
            BirdEdit(SECOND.name, f"net ~ [ {SECOND.block} ]", f"net ~ [ {SECOND.block}, {_FOREIGN} ]"),
        ),
        verify=on(FIRST, f"ip route show exact {_FOREIGN} | grep -q tunl0"),
    ),
)
