"""Faults of block routes, in BIRD's configuration, and foreign routes beside them."""

from __future__ import annotations

from ..spec import UNDERLAY_NIC, NodeSpec
from .fault import BirdEdit, Fault
from .places import FIRST, SECOND, THIRD, on

_KERNEL_FILTER = "filter to_kernel {\n"
_TO = SECOND.block
_UPPER_HALF = list(_TO.subnets(1))[1]


def _kernel(do: str) -> BirdEdit:
    """On the first node, do something else with the route to the second node's block."""
    return BirdEdit(FIRST.name, _KERNEL_FILTER, f"{_KERNEL_FILTER}  if net = {_TO} then {{ {do} }}\n")


def _tunnel_to(next_hop: str) -> str:
    return f'ifname = "tunl0"; onlink = true; gw = {next_hop}; accept;'


def without(node: NodeSpec, other: NodeSpec) -> BirdEdit:
    """One node has no route to the other's block: BIRD knows it, and leaves the kernel alone."""
    change = f"{_KERNEL_FILTER}  if net = {other.block} then reject;\n"
    return BirdEdit(node.name, _KERNEL_FILTER, change, lost=(other.name,))


_WITHOUT = without(FIRST, SECOND)
_HOP = f"nexthop via {SECOND.address.ip} dev tunl0 onlink"
FAULTS = (
    Fault(
        name="block-route-missing",
        breaks=f"{FIRST.name} has no route to the block of {SECOND.name}",
        fails=("ROUTE-2", "ROUTE-5", "PATH-1", "PATH-3", "PATH-7", "PATH-8", "PATH-9"),
        bird=(_WITHOUT,),
        verify=on(FIRST, f'test -z "$(ip route show exact {_TO})"'),
    ),
    Fault(
        name="block-route-wrong-node",
        breaks=f"{FIRST.name} sends packets for the block of {SECOND.name} to {THIRD.name}",
        fails=("ROUTE-2", "ROUTE-4", "ROUTE-5", "PATH-1", "PATH-3", "PATH-4", "PATH-5", "PATH-7", "PATH-8"),
        bird=(_kernel(_tunnel_to(str(THIRD.address.ip))),),
        verify=on(FIRST, f"ip route show exact {_TO} | grep -q 'via {THIRD.address.ip} dev tunl0'"),
        nodes=3,
    ),
    Fault(
        name="block-route-nowhere",
        breaks=f"{FIRST.name} sends packets for the block of {SECOND.name} to an address that nobody has",
        fails=("ROUTE-2", "ROUTE-4", "ROUTE-5", "PATH-1"),
        bird=(_kernel(_tunnel_to("10.7.120.99")),),
        verify=on(FIRST, f"ip route show exact {_TO} | grep -q 'via 10.7.120.99 dev tunl0'"),
    ),
    Fault(
        name="block-route-bare",
        breaks=f"{FIRST.name} sends packets for the block of {SECOND.name} bare through {UNDERLAY_NIC}",
        fails=("ROUTE-2", "ROUTE-4", "ROUTE-5", "PATH-1", "PATH-3", "PATH-7", "PATH-8", "PATH-9", "BASE-1"),
        bird=(_kernel("accept;"),),
        verify=on(FIRST, f"ip route show exact {_TO} | grep -q 'via {SECOND.address.ip} dev {UNDERLAY_NIC}'"),
    ),
    Fault(
        name="block-route-double",
        # twice the same next hop: with two different ones the kernel's hash, another one at each boot, would choose
        # which of the probes go astray
        breaks=f"{FIRST.name} has a route with two next hops to the block of {SECOND.name}",
        fails=("ROUTE-2", "ROUTE-4"),
        bird=(_WITHOUT,),
        # protocol kernel: any other one BIRD would learn and tell its peers
        at_start=on(FIRST, f"ip route add {_TO} proto kernel {_HOP} {_HOP}"),
        verify=on(FIRST, f"test $(ip route show exact {_TO} | grep -c nexthop) = 2"),
    ),
    Fault(
        name="block-route-foreign",
        breaks=f"the route of {FIRST.name} to the block of {SECOND.name} is right, but not BIRD's",
        fails=("ROUTE-7",),
        bird=(_WITHOUT,),
        at_start=on(FIRST, f"ip route add {_TO} proto kernel via {SECOND.address.ip} dev tunl0 onlink"),
        verify=on(FIRST, f"ip route show exact {_TO} | grep -q ' proto kernel '"),
    ),
    Fault(
        name="borrowed-route-missing",
        breaks=f"{FIRST.name} has no route to the pod of {SECOND.name} whose address is from another block",
        fails=("ROUTE-5", "ROUTE-6", "PATH-1", "PATH-3", "PATH-4", "PATH-5", "PATH-7", "PATH-8"),
        bird=(
            BirdEdit(
                FIRST.name, _KERNEL_FILTER, f"{_KERNEL_FILTER}  if source = RTS_BGP && net.len = 32 then reject;\n"
            ),
        ),
        extra=(("borrow", SECOND.name),),
        # a /32 is printed without its length
        verify=on(FIRST, 'test -z "$(ip route show dev tunl0 | grep -v /)"'),
        nodes=3,
    ),
    Fault(
        name="route-of-other-owner",
        breaks=f"{FIRST.name} has Felix's route to the block of {SECOND.name}, too: a leftover of the other owner",
        fails=("ROUTE-7",),
        at_start=on(FIRST, f"ip route add {_TO} via {SECOND.address.ip} dev tunl0 onlink proto 80 metric 512"),
        verify=on(FIRST, f"ip route show exact {_TO} | grep -q ' proto 80 '"),
    ),
    Fault(
        name="policy-rule",
        breaks=f"a policy rule of {FIRST.name} sends packets for the block of {SECOND.name} to the default gateway",
        fails=("ROUTE-4", "ROUTE-5", "PATH-1", "PATH-3", "PATH-7", "PATH-8", "PATH-9"),
        at_start=on(
            FIRST,
            f"ip route add default via {FIRST.gateway} dev {UNDERLAY_NIC} table 100 && "
            f"ip rule add to {_TO} lookup 100 priority 100",
        ),
        verify=on(FIRST, "ip rule show | grep -q 'lookup 100'"),
    ),
    Fault(
        name="default-route-missing",
        breaks=f"{SECOND.name} has no default route: it does not answer its pods' ARP requests for their gateway",
        fails=("NODE-4", "POD-4", "PATH-1", "PATH-6"),
        at_start=on(SECOND, "ip route del default"),
        verify=on(SECOND, 'test -z "$(ip route show default)"'),
    ),
    Fault(
        name="blackhole-missing",
        breaks=f"{SECOND.name} has no blackhole route for its own block",
        fails=("ROUTE-3",),
        bird=(
            BirdEdit(SECOND.name, "  if source = RTS_STATIC then accept;\n  reject;", "  reject;", lost=(SECOND.name,)),
        ),
        verify=on(SECOND, 'test -z "$(ip route show type blackhole)"'),
    ),
    Fault(
        name="route-more-specific",
        breaks=f"{FIRST.name} has a route to half of the block of {SECOND.name} that nothing explains",
        fails=("ROUTE-4", "ROUTE-5", "BGP-2"),
        at_start=on(
            FIRST,
            f"ip route add {_UPPER_HALF} via {SECOND.address.ip} dev tunl0 onlink proto static",
        ),
        verify=on(FIRST, f"ip route show root {_TO} | grep -q ' proto static '"),
    ),
    Fault(
        name="route-stale",
        breaks=f"{FIRST.name} has a route to a block that no node has any more",
        fails=("ROUTE-4", "BGP-2"),
        at_start=on(FIRST, f"ip route add 10.233.127.0/24 via {SECOND.address.ip} dev tunl0 onlink proto static"),
        verify=on(FIRST, "ip route show exact 10.233.127.0/24 | grep -q tunl0"),
    ),
)
