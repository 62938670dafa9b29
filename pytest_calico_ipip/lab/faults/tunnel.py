"""Faults of the tunnel device and of the node itself."""

from __future__ import annotations

from .fault import Fault
from .places import SECOND, on

_ADDRESS = f"{SECOND.tunnel_address}/32"
# a change of net.ipv4.ip_forward resets the switch of every interface; a value that stays the same does nothing
_OFF = "sysctl -qw net.ipv4.ip_forward=1 && sysctl -qw net.ipv4.ip_forward=0"


def _another(options: str) -> str:
    """Put another tunl0 in place of the kernel's own, whose options are fixed, and wait for BIRD's routes to return."""
    return (
        "ip link set tunl0 down && ip link set tunl0 name tunl9 && "
        f"ip link add tunl0 type ipip {options} && ip link set tunl0 mtu 1480 up && "
        f"ip address del {_ADDRESS} dev tunl9 && ip address add {_ADDRESS} dev tunl0 && "
        "for each in $(seq 100); do ip route show dev tunl0 | grep -q ' proto bird' && exit 0; sleep 0.1; done; "
        "echo no route through the new tunl0 >&2; exit 1"
    )


FAULTS = (
    Fault(
        name="tunnel-mtu-low",
        breaks=f"tunl0 of {SECOND.name} has an MTU of 1400: its pods' full-size packets do not fit",
        fails=("MTU-1", "MTU-2", "MTU-4", "BASE-1"),
        at_start=on(SECOND, "ip link set tunl0 mtu 1400"),
        verify=on(SECOND, "ip -o link show tunl0 | grep -q 'mtu 1400 '"),
    ),
    Fault(
        name="tunnel-mtu-high",
        breaks=f"tunl0 of {SECOND.name} has an MTU of 1500, more than fits into the underlay's",
        fails=("MTU-1",),
        at_start=on(SECOND, "ip link set tunl0 mtu 1500"),
        verify=on(SECOND, "ip -o link show tunl0 | grep -q 'mtu 1500 '"),
    ),
    Fault(
        name="tunnel-down",
        breaks=f"tunl0 of {SECOND.name} is down",
        fails=("TUN-1", "ROUTE-2", "ROUTE-5", "PATH-1", "PATH-3", "PATH-7", "PATH-8", "PATH-9"),
        at_start=on(SECOND, "ip link set tunl0 down"),
        verify=on(SECOND, "! ip -o link show tunl0 | grep -q '[<,]UP[,>]'"),
    ),
    Fault(
        name="tunnel-address-missing",
        breaks=f"tunl0 of {SECOND.name} has no address",
        fails=("TUN-2", "PATH-7"),
        at_start=on(SECOND, f"ip address del {_ADDRESS} dev tunl0"),
        verify=on(SECOND, 'test -z "$(ip -4 -o address show dev tunl0)"'),
    ),
    Fault(
        name="tunnel-address-extra",
        breaks=f"tunl0 of {SECOND.name} has a second address, 192.0.2.2/32",
        fails=("TUN-2",),
        at_start=on(SECOND, "ip address add 192.0.2.2/32 dev tunl0"),
        verify=on(SECOND, "ip -4 -o address show dev tunl0 | grep -q ' 192[.]0[.]2[.]2/32 '"),
    ),
    Fault(
        name="tunnel-local",
        breaks=f"tunl0 of {SECOND.name} is bound to the node's own address",
        fails=("TUN-1",),
        at_start=on(SECOND, _another(f"local {SECOND.address.ip} remote any nopmtudisc")),
        verify=on(SECOND, f"ip -d -o link show tunl0 | grep -q 'local {SECOND.address.ip} '"),
    ),
    Fault(
        name="tunnel-ttl",
        breaks=f"tunl0 of {SECOND.name} gives every packet the TTL 32 outside",
        fails=("TUN-1", "PATH-3", "PATH-4", "PATH-7", "PATH-8"),
        # a TTL of the tunnel's own wants path MTU discovery, and the kernel's own tunl0 takes neither
        at_start=on(SECOND, _another(f"local {SECOND.address.ip} remote any ttl 32")),
        verify=on(SECOND, "ip -d -o link show tunl0 | grep -q ' ttl 32 '"),
    ),
    Fault(
        name="node-address-twice",
        breaks=f"the address of {SECOND.name} is on a second of its interfaces, as IPVS puts addresses on kube-ipvs0",
        fails=("NODE-1",),
        at_start=on(
            SECOND,
            "ip link add kube-ipvs0 type dummy && ip link set kube-ipvs0 up && "
            f"ip address add {SECOND.address.ip}/32 dev kube-ipvs0",
        ),
        verify=on(SECOND, f"ip -4 -o address show dev kube-ipvs0 | grep -q ' {SECOND.address.ip}/32 '"),
    ),
    Fault(
        name="forwarding-off",
        breaks=f"{SECOND.name} does not forward IPv4",
        fails=("NODE-4", "POD-4", "VETH-4", "PATH-1", "PATH-6"),
        at_start=on(SECOND, _OFF),
        # a new workload interface gets its own switch from Calico
        at_pod=on(SECOND, _OFF),
        verify=on(SECOND, 'test "$(cat /proc/sys/net/ipv4/ip_forward)" = 0'),
    ),
)
