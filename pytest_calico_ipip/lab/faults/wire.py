"""Faults of packets on their way: what they look like on the underlay, and what happens to some of them."""

from __future__ import annotations

from ..spec import UNDERLAY_NIC
from .fault import BirdEdit, Fault
from .places import FIRST, SECOND, THIRD, on
from .routes import without

_OTHER = SECOND.address.ip + 100
_SET = "cali40all-hosts-net"
_FROM_OTHER = (
    f"ip address add {_OTHER}/24 dev {UNDERLAY_NIC} && "
    f"ip route replace {SECOND.address.network} dev {UNDERLAY_NIC} proto kernel scope link src {_OTHER}"
)
_FROM_OTHER_THERE = f"ip route get {FIRST.address.ip} | grep -q 'src {_OTHER} '"


def _filter(device: str, match: str, action: str) -> str:
    """Change packets as they leave a device; what is captured there is what was made of them."""
    return (
        f"tc qdisc add dev {device} clsact && "
        f"tc filter add dev {device} egress protocol ip prio 1 u32 match {match} action {action}"
    )


def _filtered(device: str) -> str:
    return f"tc filter show dev {device} egress | grep -q u32"


def _vxlan(own: str, peer: str, block: str) -> str:
    """Carry packets for one block by VXLAN to one node, as Calico's VXLAN would."""
    mine, its = (f"66:00:00:00:00:{address.rpartition('.')[2]}" for address in (own, peer))
    return (
        "ip link add vxlan.calico type vxlan id 4096 dstport 4789 "
        f"local {own} nolearning && ip link set vxlan.calico address {mine} mtu 1450 up && "
        f"bridge fdb add {its} dev vxlan.calico dst {peer} && "
        f"ip neighbour add {peer} lladdr {its} dev vxlan.calico nud permanent && "
        f"ip route add {block} via {peer} dev vxlan.calico onlink proto kernel"
    )


_ONE, _TWO = str(FIRST.address.ip), str(SECOND.address.ip)

FAULTS = (
    Fault(
        name="outer-source-unknown",
        breaks=f"{SECOND.name} sends from a second address, {_OTHER}, that the others do not take for a node's",
        fails=("PATH-1", "PATH-3", "PATH-4", "PATH-7", "PATH-8", "SEC-2"),
        at_start=on(SECOND, _FROM_OTHER),
        verify=on(SECOND, _FROM_OTHER_THERE),
    ),
    Fault(
        name="outer-source-other",
        breaks=f"{SECOND.name} sends from a second address, {_OTHER}, that the others let in",
        fails=("PATH-3", "PATH-4", "PATH-7", "PATH-8", "SEC-1"),
        at_start=(
            *on(SECOND, _FROM_OTHER),
            *on(FIRST, f"ipset add {_SET} {_OTHER}"),
            *on(THIRD, f"ipset add {_SET} {_OTHER}"),
        ),
        verify=on(SECOND, _FROM_OTHER_THERE),
        nodes=3,
    ),
    Fault(
        name="encapsulated-twice",
        breaks=f"a rule of {FIRST.name} puts what its tunnel sends to {SECOND.name} into a second tunnel",
        fails=("MTU-4", "PATH-3", "PATH-4", "PATH-7", "PATH-8"),
        at_start=(
            # an address of its own, so that the second tunnel takes nothing in; and the reverse path is another
            *on(
                SECOND,
                f"ip address add {_OTHER}/24 dev {UNDERLAY_NIC} && sysctl -qw net.ipv4.conf.tunl0.rp_filter=2",
            ),
            *on(
                FIRST,
                f"sysctl -qw net.ipv4.conf.{UNDERLAY_NIC}.rp_filter=2 && "
                f"ip link add twice0 type ipip local {_ONE} remote {_OTHER} ttl 64 dev {UNDERLAY_NIC} && "
                "ip link set twice0 up && "
                f"ip route add {_TWO} dev twice0 src {_ONE} table 200 && "
                f"ip rule add to {_TWO} ipproto 4 lookup 200 priority 200",
            ),
        ),
        verify=on(FIRST, "ip rule show | grep -q 'lookup 200'"),
    ),
    Fault(
        name="vxlan-between",
        breaks=f"{FIRST.name} and {SECOND.name} send each other's pods' packets by VXLAN in IPIP's place",
        fails=("MTU-4", "ROUTE-2", "ROUTE-4", "ROUTE-5", "PATH-1", "PATH-8"),
        bird=(without(FIRST, SECOND), without(SECOND, FIRST)),
        at_start=(
            *on(FIRST, _vxlan(_ONE, _TWO, str(SECOND.block))),
            *on(SECOND, _vxlan(_TWO, _ONE, str(FIRST.block))),
        ),
        verify=on(FIRST, f"ip route show exact {SECOND.block} | grep -q 'dev vxlan.calico'"),
    ),
    Fault(
        name="fragmenting-allowed",
        breaks=f"something clears DF in the outer header of what {SECOND.name} sends",
        fails=("PATH-3", "PATH-7", "PATH-8"),
        at_start=on(
            SECOND,
            _filter(UNDERLAY_NIC, "ip protocol 4 0xff", "pedit munge offset 6 u16 set 0 pipe action csum ip4h"),
        ),
        verify=on(SECOND, _filtered(UNDERLAY_NIC)),
    ),
    Fault(
        name="outer-dscp-set",
        breaks=f"something marks the outer header of what {SECOND.name} sends with the DSCP of the inner one",
        fails=("PATH-3", "PATH-4", "PATH-7", "PATH-8"),
        at_start=on(
            SECOND,
            _filter(
                UNDERLAY_NIC,
                "ip protocol 4 0xff",
                "pedit ex munge ip dsfield set 0x28 retain 0xfc pipe action csum ip4h",
            ),
        ),
        verify=on(SECOND, _filtered(UNDERLAY_NIC)),
    ),
    Fault(
        name="tcp-bare",
        breaks=f"a policy rule of {FIRST.name} sends TCP for the block of {SECOND.name}, and nothing else, bare",
        fails=("ROUTE-4", "PATH-8", "PATH-9"),
        at_start=(
            # where nobody asks for the reverse path, all of it arrives
            *on(SECOND, f"sysctl -qw net.ipv4.conf.{UNDERLAY_NIC}.rp_filter=2"),
            *on(
                FIRST,
                "sysctl -qw net.ipv4.conf.tunl0.rp_filter=2 && "
                f"ip route add {SECOND.block} via {_TWO} dev {UNDERLAY_NIC} table 300 && "
                f"ip rule add to {SECOND.block} ipproto tcp lookup 300 priority 300",
            ),
        ),
        verify=on(FIRST, "ip rule show | grep -q 'lookup 300'"),
    ),
    Fault(
        name="payload-changed",
        breaks=f"something on {SECOND.name} changes a byte of each echo that it tunnels, and its checksum with it",
        fails=("PATH-5",),
        at_start=on(
            SECOND,
            _filter("tunl0", "ip protocol 1 0xff", "pedit munge offset 60 u8 set 0x21 pipe action csum icmp"),
        ),
        verify=on(SECOND, _filtered("tunl0")),
    ),
    Fault(
        name="checksum-broken",
        breaks=f"TCP checksums of what {SECOND.name} tunnels are wrong, as if the NIC should have filled them in",
        fails=("MTU-6",),
        # filled in first, or the kernel would do so afterwards
        at_start=on(
            SECOND, _filter("tunl0", "ip protocol 6 0xff", "csum tcp pipe action pedit munge offset 36 u16 set 0")
        ),
        verify=on(SECOND, _filtered("tunl0")),
    ),
    Fault(
        name="tcp-lost",
        breaks=f"{SECOND.name} drops TCP that comes out of its tunnel, and no other protocol",
        fails=("MTU-6",),
        at_start=on(SECOND, "iptables -w -I FORWARD 1 -i tunl0 -p tcp -j DROP"),
        verify=on(SECOND, "iptables -w -C FORWARD -i tunl0 -p tcp -j DROP"),
    ),
    Fault(
        name="tcp-mss-clamped",
        breaks=f"{SECOND.name} changes the MSS in what passes through it to 1000",
        fails=("MTU-6",),
        at_start=on(SECOND, "iptables -w -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000"),
        verify=on(SECOND, "iptables -w -t mangle -C FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000"),
    ),
    Fault(
        name="underlay-mtu-small",
        breaks=f"{UNDERLAY_NIC} of {SECOND.name} has an MTU of 1450, and tunl0 and the pods are as for 1500",
        fails=("MTU-1", "MTU-2", "MTU-4"),
        at_start=on(SECOND, f"ip link set {UNDERLAY_NIC} mtu 1450"),
        verify=on(SECOND, f"ip -o link show {UNDERLAY_NIC} | grep -q 'mtu 1450 '"),
    ),
    Fault(
        name="near-encapsulated",
        breaks=f"in CrossSubnet mode {FIRST.name} tunnels what is for {SECOND.name}, though both are in one subnet",
        fails=("ROUTE-2", "ROUTE-4", "ROUTE-5", "PATH-1", "PATH-7", "PATH-10"),
        bird=(
            BirdEdit(
                FIRST.name,
                f"if bgp_next_hop ~ {FIRST.address.network} then accept;",
                f"if bgp_next_hop ~ {FIRST.address.network} && net != {SECOND.block} then accept;",
            ),
        ),
        verify=on(FIRST, f"ip route show exact {SECOND.block} | grep -q 'dev tunl0'"),
        needs={"ipip_mode": "CrossSubnet"},
    ),
)
