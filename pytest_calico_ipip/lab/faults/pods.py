"""Faults of pods and their workload interfaces: applied to each new pod of one node before it is Ready."""

from __future__ import annotations

from .fault import Fault
from .places import SECOND, on


def _each(check: str) -> str:
    """A check of every workload interface, named $each in it; pods go while it is checked."""
    gone = '[ ! -e "/sys/class/net/$each" ]'
    return f"for each in $(ls /sys/class/net | grep ^cali); do {check} || {gone} || exit 1; done"


_IN_POD = 'ip -n "$NETNS"'
_MAC = "02:00:00:00:00:ee"
# the pod's own end gets another name and joins a bridge; a new eth0 is on the bridge's other side
_BRIDGE = """set -e
ip -n "$NETNS" -batch - <<END
link set eth0 down
link set eth0 name outer0
address flush dev outer0
link add br0 mtu 1480 type bridge forward_delay 0 mcast_snooping 0
link add eth0 mtu 1480 type veth peer name inner0 mtu 1480
link set outer0 master br0 up
link set inner0 master br0 up
link set br0 up
link set eth0 up
address add $POD_IP/32 dev eth0
route add 169.254.1.1 dev eth0 scope link
route add default via 169.254.1.1 dev eth0
END
"""

FAULTS = (
    Fault(
        name="workload-mac",
        breaks=f"the workload interfaces of {SECOND.name} have another MAC address than Calico's",
        fails=("VETH-3",),
        at_pod=on(SECOND, f'ip link set "$HOST_IFACE" address {_MAC}'),
        verify=on(SECOND, _each(f'grep -q {_MAC} "/sys/class/net/$each/address"')),
    ),
    Fault(
        name="workload-renamed",
        breaks=f"the workload interfaces of {SECOND.name} have names that are not Calico's",
        fails=("VETH-1", "ROUTE-1", "ROUTE-4", "ROUTE-5"),
        at_pod=on(
            SECOND,
            'other="veth${HOST_IFACE#cali}" && ip link set "$HOST_IFACE" down && '
            'ip link set "$HOST_IFACE" name "$other" && ip link set "$other" up && '
            'ip route add "$POD_IP" dev "$other" scope link',
        ),
        verify=on(SECOND, "! ls /sys/class/net | grep -q ^cali"),
    ),
    Fault(
        name="pod-behind-bridge",
        breaks=f"in the pods of {SECOND.name} a bridge stands between eth0 and the workload interface",
        fails=("VETH-2",),
        at_pod=on(SECOND, _BRIDGE),
    ),
    Fault(
        name="workload-route-missing",
        breaks=f"{SECOND.name} has no route to its own pods",
        fails=("POD-4", "ROUTE-1", "ROUTE-5", "PATH-1", "PATH-6"),
        at_pod=on(SECOND, 'ip route del "$POD_IP" dev "$HOST_IFACE"'),
        verify=on(SECOND, _each('test -z "$(ip -4 route show dev "$each")"')),
    ),
    Fault(
        name="proxy-arp-off",
        breaks=f"{SECOND.name} does not answer its pods' ARP requests for their gateway",
        fails=("POD-4", "VETH-4", "PATH-1", "PATH-6"),
        at_pod=on(SECOND, 'sysctl -qw "net.ipv4.conf.$HOST_IFACE.proxy_arp=0"'),
        verify=on(SECOND, _each('grep -q 0 "/proc/sys/net/ipv4/conf/$each/proxy_arp"')),
    ),
    Fault(
        name="pod-mtu",
        breaks=f"the pods of {SECOND.name} have an MTU of 1500, as if there were no tunnel",
        fails=("MTU-2", "MTU-3", "MTU-4"),
        at_pod=on(SECOND, f'ip link set "$HOST_IFACE" mtu 1500 && {_IN_POD} link set eth0 mtu 1500'),
        verify=on(SECOND, _each('grep -q 1500 "/sys/class/net/$each/mtu"')),
    ),
    Fault(
        name="pod-route-mtu",
        breaks=f"the default route of the pods of {SECOND.name} says 1500 bytes: what is too long is lost",
        fails=("MTU-5",),
        at_pod=on(SECOND, f"{_IN_POD} route replace default via 169.254.1.1 dev eth0 mtu 1500"),
    ),
    Fault(
        name="pod-second-address",
        breaks=f"the pods of {SECOND.name} have a second address, 192.0.2.7/32",
        fails=("POD-2",),
        at_pod=on(SECOND, f"{_IN_POD} address add 192.0.2.7/32 dev eth0"),
    ),
    Fault(
        name="pod-gateway-route-missing",
        breaks=f"the pods of {SECOND.name} have no route to their gateway itself, only one through it",
        fails=("POD-3",),
        at_pod=on(
            SECOND,
            f"{_IN_POD} route replace default via 169.254.1.1 dev eth0 onlink && {_IN_POD} route del 169.254.1.1",
        ),
    ),
    Fault(
        name="pod-mtu-small",
        breaks=f"the pods of {SECOND.name} have an MTU of 1400, less than all others",
        fails=("MTU-2", "MTU-3", "MTU-4"),
        at_pod=on(SECOND, f'ip link set "$HOST_IFACE" mtu 1400 && {_IN_POD} link set eth0 mtu 1400'),
        verify=on(SECOND, _each('grep -q 1400 "/sys/class/net/$each/mtu"')),
    ),
    Fault(
        name="pod-netmask",
        breaks=f"the pods of {SECOND.name} have their address with the mask of the block",
        fails=("POD-2",),
        at_pod=on(
            SECOND,
            f'{_IN_POD} address add "$POD_IP/24" dev eth0 && {_IN_POD} address del "$POD_IP/32" dev eth0',
        ),
    ),
    Fault(
        name="pod-other-gateway",
        breaks=f"the default route of the pods of {SECOND.name} is via 169.254.1.2",
        fails=("POD-3",),
        at_pod=on(SECOND, f"{_IN_POD} route replace default via 169.254.1.2 dev eth0 onlink"),
    ),
    Fault(
        name="pod-gateway-mac",
        breaks=f"the pods of {SECOND.name} have a fixed, wrong MAC address for their gateway",
        fails=("POD-4", "PATH-1", "PATH-6"),
        at_pod=on(SECOND, f"{_IN_POD} neighbour replace 169.254.1.1 lladdr {_MAC} dev eth0 nud permanent"),
    ),
    Fault(
        name="workload-down",
        breaks=f"the workload interfaces of {SECOND.name} are down",
        fails=("POD-4", "VETH-3", "ROUTE-1", "ROUTE-5", "PATH-1", "PATH-6"),
        at_pod=on(SECOND, 'ip link set "$HOST_IFACE" down'),
        verify=on(SECOND, _each('ip -o link show "$each" | grep -qv "[<,]UP[,>]"')),
    ),
)
