"""Faults that the catalogue does not have, as data: where, what is broken, and which requirements state it.

They are what somebody who did not write the suite would type into a node: one-sided, subtle, most of them in a place
that no catalogued fault touches. What no requirement states is here as well, with the reason; such a change must not
be called a failure of anything else, either.
"""

from __future__ import annotations

from dataclasses import dataclass

Command = tuple[str, str]  # the node's number, what is typed there

_NIC = "ens192"
_POOL = "10.233.64.0/18"
# node by node: block, and underlay address
_B1, _B2, _B3 = "10.233.107.0/24", "10.233.109.0/24", "10.233.88.0/24"
_N1, _N2, _N3 = "10.7.120.11", "10.7.120.12", "10.7.120.13"
_FELIX = ("--profile", "felix")  # nothing puts its routes back
_POD = 'ip -n "$NETNS"'
_IN_POD = 'ip netns exec "$NETNS"'


@dataclass(frozen=True)
class Unlisted:
    """One fault. It is found when one of `stated` fails, or warns where it is a SHOULD."""

    name: str
    breaks: str
    stated: tuple[str, ...]  # the requirements that state the broken thing
    causes: tuple[str, ...] = ()  # what may be named for it, and one of which must be; () where nothing fails
    at_start: tuple[Command, ...] = ()
    at_pod: tuple[Command, ...] = ()
    options: tuple[str, ...] = ()  # of `calico-ipip-lab run`
    unstated: str = ""  # why no requirement states it


FAULTS = (
    # --- the tunnel device
    Unlisted(
        "tunnel-other-address",
        "tunl0 of node 2 has another address than the node's tunnel address",
        ("TUN-2",),
        causes=("tunnel-address-wrong",),
        at_start=(("2", "ip address add 10.233.109.77/32 dev tunl0 && ip address del 10.233.109.0/32 dev tunl0"),),
    ),
    Unlisted(
        "tunnel-address-netmask",
        "tunl0 of node 3 has its address with the mask of the block",
        ("TUN-2",),
        causes=(
            "tunnel-address-wrong",
            "block-not-announced",
        ),
        at_start=(("3", "ip address add 10.233.88.0/24 dev tunl0 && ip address del 10.233.88.0/32 dev tunl0"),),
    ),
    Unlisted(
        "tunnel-address-of-other-node",
        "tunl0 of node 1 has the tunnel address of node 3 as well, and nothing in the datastore says so",
        ("TUN-2", "ROUTE-4"),
        causes=("tunnel-address-duplicate",),
        at_start=(("1", "ip address add 10.233.88.0/32 dev tunl0"),),
    ),
    Unlisted(
        "tunnel-mtu-one-less",
        "tunl0 of node 1 has an MTU of 1479",
        ("MTU-1",),
        causes=("tunnel-mtu-low",),
        at_start=(("1", "ip link set tunl0 mtu 1479"),),
    ),
    Unlisted(
        "tunnel-is-gre",
        "tunl0 of node 2 is a GRE device",
        ("TUN-1",),
        causes=("tunnel-not-ipip",),
        at_start=(
            (
                "2",
                "ip link set tunl0 down && ip link set tunl0 name tunl9 && "
                f"ip link add tunl0 type gre local {_N2} remote any && ip link set tunl0 mtu 1480 up && "
                "ip address del 10.233.109.0/32 dev tunl9 && ip address add 10.233.109.0/32 dev tunl0",
            ),
        ),
    ),
    Unlisted(
        "tunnel-tos",
        "tunl0 of node 2 gives every packet the DSCP 4 outside",
        ("PATH-3",),
        causes=(
            "tunnel-bound",
            "outer-header-odd",
        ),
        at_start=(
            (
                "2",
                "ip link set tunl0 down && ip link set tunl0 name tunl9 && "
                f"ip link add tunl0 type ipip local {_N2} remote any tos 0x10 nopmtudisc && "
                "ip link set tunl0 mtu 1480 up && "
                "ip address del 10.233.109.0/32 dev tunl9 && ip address add 10.233.109.0/32 dev tunl0 && sleep 3",
            ),
        ),
    ),
    Unlisted(
        "tunnel-second-device",
        "node 2 has a second ipip device for what comes from node 1, beside tunl0",
        ("PATH-1",),
        causes=("tunnel-second-device",),
        at_start=(("2", f"ip link add ipip1 type ipip local {_N2} remote {_N1} && ip link set ipip1 up"),),
    ),
    Unlisted(
        "tunnel-egress-filter",
        "a filter on tunl0 of node 3 drops every echo reply",
        ("PATH-1",),
        causes=("dropped-from-pods",),
        at_start=(
            (
                "3",
                "tc qdisc add dev tunl0 clsact && tc filter add dev tunl0 egress protocol ip prio 1 "
                "u32 match ip protocol 1 0xff match u8 0 0xff at 20 action drop",
            ),
        ),
    ),
    # --- MTU
    Unlisted(
        "underlay-jumbo-one-side",
        "ens192 of node 1 has an MTU of 9000, and tunl0 is as for 1500",
        ("MTU-1",),
        causes=("tunnel-mtu-low",),
        at_start=(("1", f"ip link set {_NIC} mtu 9000"),),
    ),
    Unlisted(
        "underlay-mtu-ten-less",
        "ens192 of node 3 has an MTU of 1490",
        ("MTU-1",),
        causes=("tunnel-mtu-high",),
        at_start=(("3", f"ip link set {_NIC} mtu 1490"),),
    ),
    Unlisted(
        "second-nic-small",
        "node 2 has a second Ethernet device that is up, with an MTU of 1400: Felix's rule gives tunl0 1380",
        ("MTU-1",),
        causes=("tunnel-mtu-high",),
        at_start=(
            ("2", "ip link add eth1 mtu 1400 type veth peer name far1 && ip link set eth1 up && ip link set far1 up"),
        ),
    ),
    Unlisted(
        "workload-mtu-host-end",
        "only the node's end of the pods' cables on node 3 has an MTU of 1400",
        ("MTU-2",),
        causes=("pod-mtu-ends-differ",),
        at_pod=(("3", 'ip link set "$HOST_IFACE" mtu 1400'),),
    ),
    Unlisted(
        "pod-mtu-pod-end",
        "only eth0 in the pods of node 1 has an MTU of 1300",
        ("MTU-2",),
        causes=("pod-mtu-ends-differ",),
        at_pod=(("1", f"{_POD} link set eth0 mtu 1300"),),
    ),
    Unlisted(
        "route-mtu-locked",
        "the route of node 1 to the block of node 3 says mtu 1300",
        ("MTU-4",),
        causes=("route-mtu-low",),
        at_start=(("1", f"ip route replace {_B3} via {_N3} dev tunl0 onlink proto 80 mtu 1300"),),
        options=_FELIX,
    ),
    Unlisted(
        "full-size-dropped",
        "node 2 drops IPIP packets of exactly 1500 bytes before anything else sees them",
        ("MTU-4",),
        causes=("large-packets-dropped",),
        at_start=(("2", "iptables -w -t raw -I PREROUTING -p 4 -m length --length 1500 -j DROP"),),
    ),
    Unlisted(
        "large-lost-on-the-way-out",
        "node 1 drops IPIP packets above 1000 bytes on their way out",
        ("MTU-4",),
        causes=("firewall-drops-ipip",),
        at_start=(("1", "iptables -w -I OUTPUT -p 4 -m length --length 1001:65535 -j DROP"),),
    ),
    # --- switches of the kernel
    Unlisted(
        "tunnel-forwarding-off",
        "forwarding is off for tunl0 of node 2 alone",
        ("NODE-4",),
        causes=("device-forwarding-off",),
        at_start=(("2", "sysctl -qw net.ipv4.conf.tunl0.forwarding=0"),),
    ),
    Unlisted(
        "nic-forwarding-off",
        "forwarding is off for ens192 of node 3 alone",
        ("NODE-4",),
        causes=("device-forwarding-off",),
        at_start=(("3", f"sysctl -qw net.ipv4.conf.{_NIC}.forwarding=0"),),
    ),
    Unlisted(
        "workload-forwarding-off",
        "forwarding is off for the workload interfaces of node 1",
        ("VETH-4",),
        causes=("workload-forwarding-off",),
        at_pod=(("1", 'sysctl -qw "net.ipv4.conf.$HOST_IFACE.forwarding=0"'),),
    ),
    Unlisted(
        "proxy-arp-medium",
        "proxy ARP is on for the workload interfaces of node 2, and their medium_id says that it is not for them",
        ("POD-4",),
        causes=("gateway-arp-unanswered",),
        at_pod=(("2", 'sysctl -qw "net.ipv4.conf.$HOST_IFACE.medium_id=-1"'),),
    ),
    Unlisted(
        "workload-noarp",
        "the workload interfaces of node 3 speak no ARP",
        ("POD-4",),
        causes=("gateway-arp-unanswered",),
        at_pod=(("3", 'ip link set "$HOST_IFACE" arp off'),),
    ),
    Unlisted(
        "gateway-behind-workload",
        "node 2 has a route to 169.254.1.1 by a workload interface",
        ("NODE-4",),
        causes=("gateway-behind-workload",),
        at_pod=(("2", 'ip route replace 169.254.1.1/32 dev "$HOST_IFACE"'),),
    ),
    # --- routes
    Unlisted(
        "route-half-to-other-node",
        "node 3 has a route to the lower half of node 1's block that leads to node 2",
        ("ROUTE-4",),
        causes=("route-more-specific",),
        at_start=(("3", f"ip route add 10.233.107.0/25 via {_N2} dev tunl0 onlink"),),
    ),
    Unlisted(
        "route-one-pod-elsewhere",
        "node 1 has a route for one pod of node 2 that leads to node 3",
        ("ROUTE-4", "ROUTE-5"),
        causes=("route-pod-elsewhere",),
        at_start=(("1", f"ip route add 10.233.109.1/32 via {_N3} dev tunl0 onlink"),),
    ),
    Unlisted(
        "route-half-unreachable",
        "node 2 says that the lower half of node 3's block is unreachable",
        ("ROUTE-4", "ROUTE-5"),
        causes=("route-more-specific",),
        at_start=(("2", "ip route add unreachable 10.233.88.0/25"),),
    ),
    Unlisted(
        "route-unused-prohibited",
        "node 2 prohibits the upper half of node 3's block, where no pod is",
        ("ROUTE-4",),
        causes=("route-more-specific",),
        at_start=(("2", "ip route add prohibit 10.233.88.128/25"),),
    ),
    Unlisted(
        "route-local-table",
        "node 1 takes the address of a pod of node 3 for its own, in the local table",
        ("ROUTE-4", "ROUTE-5"),
        causes=("route-pod-elsewhere",),
        at_start=(("1", "ip route add local 10.233.88.1/32 dev lo table local"),),
    ),
    Unlisted(
        "route-lower-metric",
        "node 1 of a v3.32 cluster has a route to node 3's block with a lower metric, that leads to node 2",
        ("ROUTE-2", "ROUTE-4", "ROUTE-5"),
        causes=("route-twice",),
        at_start=(("1", f"ip route add {_B3} via {_N2} dev tunl0 onlink metric 512"),),
        options=("--profile", "bird-3.32"),
    ),
    Unlisted(
        "route-spare-blackhole",
        "node 1 has a blackhole of a high metric for node 3's block, which waits for the right route to go",
        ("ROUTE-2", "ROUTE-4"),
        causes=("route-twice",),
        at_start=(("1", f"ip route add blackhole {_B3} metric 5000"),),
    ),
    Unlisted(
        "route-two-same-hops",
        "the route of node 1 to node 3's block has the same next hop twice",
        ("ROUTE-2",),
        causes=("route-several-ways",),
        at_start=(
            (
                "1",
                f"ip route replace {_B3} proto 80 nexthop via {_N3} dev tunl0 onlink "
                f"nexthop via {_N3} dev tunl0 onlink",
            ),
        ),
        options=_FELIX,
    ),
    Unlisted(
        "blackhole-is-unreachable",
        "the own block of node 2 is unreachable in place of a blackhole",
        ("ROUTE-3",),
        causes=("blackhole-replaced",),
        at_start=(("2", f"ip route del blackhole {_B2} proto 80 && ip route add unreachable {_B2} proto 80"),),
        options=_FELIX,
    ),
    Unlisted(
        "blackhole-other-table",
        "the blackhole of node 2's own block is in a table that nothing consults",
        ("ROUTE-3",),
        causes=("blackhole-missing",),
        at_start=(("2", f"ip route del blackhole {_B2} proto 80 && ip route add blackhole {_B2} table 77"),),
        options=_FELIX,
    ),
    Unlisted(
        "blackhole-foreign-protocol",
        "the blackhole of node 3's own block is not Felix's",
        ("ROUTE-7",),
        causes=("route-owner-leftover",),
        at_start=(("3", f"ip route del blackhole {_B3} proto 80 && ip route add blackhole {_B3} proto static"),),
        options=_FELIX,
    ),
    Unlisted(
        "route-bare-inside-pool",
        "node 3 has a bare route to a part of the pool that no block is in",
        ("ROUTE-4",),
        causes=("route-stale",),
        at_start=(("3", f"ip route add 10.233.70.0/26 via {_N1} dev {_NIC}"),),
    ),
    Unlisted(
        "route-whole-pool",
        "node 2 has a route for the whole pool through its NIC, less specific than every block's",
        ("ROUTE-4",),
        causes=("route-wider",),
        at_start=(("2", f"ip route add {_POOL} via {_N1} dev {_NIC}"),),
    ),
    Unlisted(
        "workload-route-twice",
        "node 2 has a second route for its pods, by tunl0 and with a higher metric",
        ("ROUTE-1",),
        causes=("workload-route-wrong",),
        at_pod=(("2", 'ip route add "$POD_IP" dev tunl0 metric 2000'),),
    ),
    Unlisted(
        "workload-route-scope",
        "the routes of node 3 to its own pods have the scope global",
        ("ROUTE-1",),
        causes=("workload-route-wrong",),
        at_pod=(
            ("3", 'ip route del "$POD_IP" dev "$HOST_IFACE" && ip route add "$POD_IP" dev "$HOST_IFACE" scope global'),
        ),
    ),
    # --- rules
    Unlisted(
        "rule-from-own-block",
        "a rule of node 1 sends what its own block sends by a table with nothing but a default route",
        ("ROUTE-4",),
        causes=("policy-rule",),
        at_start=(
            ("1", f"ip route add default via {_N3} dev {_NIC} table 100 && ip rule add from {_B1} lookup 100 pref 100"),
        ),
    ),
    Unlisted(
        "rule-by-mark",
        "node 1 marks echoes, and a rule sends what is marked to the wrong node",
        ("ROUTE-4",),
        causes=("route-in-other-table",),
        at_start=(
            (
                "1",
                f"iptables -w -t mangle -I PREROUTING -p icmp -d {_B3} -j MARK --set-mark 0x77 && "
                f"ip route add {_B3} via {_N2} dev tunl0 onlink table 101 && "
                "ip rule add fwmark 0x77 lookup 101 pref 101",
            ),
        ),
    ),
    Unlisted(
        "rule-by-tos",
        "a rule of node 2 sends packets with a TOS of 0x10 to the wrong node",
        ("ROUTE-4",),
        causes=("route-in-other-table",),
        at_start=(
            (
                "2",
                f"ip route add {_B1} via {_N3} dev tunl0 onlink table 103 && ip rule add tos 0x10 lookup 103 pref 103",
            ),
        ),
    ),
    Unlisted(
        "rule-prohibit",
        "a rule of node 3 prohibits what is for node 1's block",
        ("ROUTE-4", "ROUTE-5"),
        causes=("policy-rule",),
        at_start=(("3", f"ip rule add to {_B1} pref 104 prohibit"),),
    ),
    Unlisted(
        "rule-by-interface",
        "a rule of node 2 sends what comes in by tunl0 for its own block to the default gateway",
        ("ROUTE-4",),
        causes=("policy-rule",),
        at_start=(
            ("2", f"ip route add default via {_N1} dev {_NIC} table 105 && ip rule add iif tunl0 lookup 105 pref 105"),
        ),
    ),
    Unlisted(
        "rule-same-node-detour",
        "a rule of node 2 sends what its pods send each other to node 1",
        ("ROUTE-4", "PATH-6"),
        causes=("policy-rule",),
        at_start=(
            (
                "2",
                f"ip route add default via {_N1} dev tunl0 onlink table 106 && "
                f"ip rule add from {_B2} to {_B2} lookup 106 pref 106",
            ),
        ),
    ),
    # --- neighbours and addresses
    Unlisted(
        "neighbour-of-node-wrong",
        "node 1 has a fixed, wrong MAC address for node 3",
        ("PATH-1",),
        causes=("ipip-dropped-on-the-way",),
        at_start=(("1", f"ip neighbour replace {_N3} lladdr 02:00:00:00:00:99 dev {_NIC} nud permanent"),),
    ),
    Unlisted(
        "neighbour-of-pod-wrong",
        "node 2 has fixed, wrong MAC addresses for its pods",
        ("PATH-1", "PATH-6"),
        causes=("lost-in-veth",),
        at_pod=(("2", 'ip neighbour replace "$POD_IP" lladdr 02:00:00:00:00:99 dev "$HOST_IFACE" nud permanent'),),
    ),
    Unlisted(
        "node-address-claimed",
        "node 1 has the address of node 3 on a device of its own",
        ("NODE-1", "PATH-1", "BGP-1"),
        causes=("node-address-claimed",),
        at_start=(
            (
                "1",
                f"ip link add dummy7 type dummy && ip link set dummy7 up && ip address add {_N3}/32 dev dummy7",
            ),
        ),
    ),
    Unlisted(
        "nic-down",
        "ens192 of node 3 is down, and with it the way by which the node is read",
        ("NODE-1", "BGP-1"),
        causes=(
            "bgp-session-down",
            "lost-before-arrival",
            "tap-deaf",
            "node-not-read",
        ),
        at_start=(("3", f"ip link set {_NIC} down"),),
    ),
    # --- pods
    Unlisted(
        "pod-eth0-down",
        "eth0 is down in the pods of node 3",
        ("VETH-3",),
        causes=("pod-interface-down",),
        at_pod=(("3", f"{_POD} link set eth0 down"),),
    ),
    Unlisted(
        "pod-two-default-routes",
        "the pods of node 1 have a second interface with a default route of its own, which wins",
        ("POD-3",),
        causes=("pod-default-route-wrong",),
        at_pod=(
            (
                "1",
                f"{_POD} link add net1 type veth peer name far1 && {_POD} link set far1 up && "
                f"{_POD} link set net1 up && {_POD} address add 192.0.2.9/24 dev net1 && "
                f"{_POD} route del default && {_POD} route add default via 169.254.1.1 dev eth0 metric 100 && "
                f"{_POD} route add default via 192.0.2.1 dev net1",
            ),
        ),
    ),
    Unlisted(
        "pod-other-address",
        "eth0 in the pods of node 2 has another address than the pods' own",
        ("POD-2",),
        causes=("pod-address-wrong",),
        at_pod=(("2", f'{_POD} address add 10.233.109.200/32 dev eth0 && {_POD} address del "$POD_IP/32" dev eth0'),),
    ),
    Unlisted(
        "pod-route-unreachable",
        "the pods of node 1 have a route that makes node 3's block unreachable",
        ("PATH-1",),
        causes=("never-sent",),
        at_pod=(("1", f"{_POD} route add unreachable {_B3}"),),
    ),
    Unlisted(
        "pod-rule-prohibit",
        "a rule inside the pods of node 2 prohibits node 1's block",
        ("PATH-1",),
        causes=(
            "never-sent",
            "pod-does-not-answer",
        ),
        at_pod=(("2", f"{_POD} rule add to {_B1} pref 100 prohibit"),),
    ),
    Unlisted(
        "pod-drops-replies",
        "a filter inside the pods of node 1 drops echo replies",
        (),
        at_pod=(("1", f"{_IN_POD} iptables -w -A INPUT -p icmp --icmp-type echo-reply -j DROP"),),
        unstated="the replies reach the pod's own eth0: what the pod then makes of them is its affair",
    ),
    Unlisted(
        "pod-answers-no-echo",
        "the pods of node 3 answer no echoes",
        ("PATH-1",),
        causes=("pod-does-not-answer",),
        at_pod=(("3", f"{_IN_POD} sysctl -qw net.ipv4.icmp_echo_ignore_all=1"),),
    ),
    Unlisted(
        "pod-macvlan",
        "eth0 in the pods of node 3 is a macvlan on top of the cable's end",
        ("VETH-2", "VETH-3"),
        causes=(
            "workload-kind",
            "workload-peer",
        ),
        at_pod=(
            (
                "3",
                f"{_POD} link set eth0 down && {_POD} link set eth0 name real0 && {_POD} address flush dev real0 && "
                f"{_POD} link set real0 up && {_POD} link add eth0 link real0 mtu 1480 type macvlan mode bridge && "
                f'{_POD} link set eth0 up && {_POD} address add "$POD_IP/32" dev eth0 && '
                f"{_POD} route add 169.254.1.1 dev eth0 scope link && "
                f"{_POD} route add default via 169.254.1.1 dev eth0",
            ),
        ),
    ),
    Unlisted(
        "workload-in-bridge",
        "the workload interfaces of node 2 are ports of a bridge",
        ("POD-4", "PATH-1"),
        causes=("gateway-arp-unanswered",),
        at_pod=(
            (
                "2",
                "{ ip link show br9 >/dev/null 2>&1 || ip link add br9 type bridge; } && ip link set br9 up && "
                'ip link set "$HOST_IFACE" master br9',
            ),
        ),
    ),
    # --- firewall
    Unlisted(
        "every-second-dropped",
        "node 2 drops every second IPIP packet that reaches it",
        ("PATH-1",),
        causes=("firewall-drops-ipip",),
        at_start=(("2", "iptables -w -I INPUT -p 4 -m statistic --mode nth --every 2 --packet 0 -j DROP"),),
    ),
    Unlisted(
        "dropped-by-ttl",
        "node 3 drops what it should pass on with a TTL below 64",
        ("PATH-1",),
        causes=("dropped-to-pods",),
        at_start=(("3", "iptables -w -t mangle -I PREROUTING -i tunl0 -m ttl --ttl-lt 64 -j DROP"),),
    ),
    Unlisted(
        "tcp-data-dropped",
        "node 1 drops the TCP segments with PSH that leave its tunnel",
        ("MTU-6",),
        causes=("tcp-lost",),
        at_start=(("1", "iptables -w -I FORWARD -o tunl0 -p tcp --tcp-flags PSH PSH -j DROP"),),
    ),
    Unlisted(
        "tcp-masqueraded",
        "node 1 masquerades what its pods send by TCP on its way into the tunnel, and no echo",
        ("PATH-8",),
        causes=("tcp-translated",),
        at_start=(("1", f"iptables -w -t nat -I POSTROUTING 1 -p tcp -s {_POOL} -o tunl0 -j MASQUERADE"),),
    ),
    Unlisted(
        "tcp-redirected",
        "node 1 sends what its pods send by TCP to node 3's pods to node 3's tunnel address, by DNAT, and back",
        ("PATH-8", "MTU-6"),
        causes=("tcp-translated", "tcp-lost"),
        at_start=(("1", f"iptables -w -t nat -I PREROUTING 1 -p tcp -s {_B1} -d {_B3} -j DNAT --to 10.233.88.0"),),
    ),
    Unlisted(
        "icmp-dropped",
        "node 1 drops ICMP on its way into the tunnel, and nothing else",
        ("PATH-1",),
        causes=("dropped-from-pods",),
        at_start=(("1", "iptables -w -I FORWARD -o tunl0 -p icmp -j DROP"),),
    ),
    Unlisted(
        "same-node-dropped",
        "node 2 drops what its pods send each other",
        ("PATH-6",),
        causes=("dropped-from-pods",),
        at_start=(("2", "iptables -w -I FORWARD -i cali+ -o cali+ -j DROP"),),
    ),
    Unlisted(
        "ipip-accepted-early",
        "node 3 accepts every IPIP packet before Calico's rules",
        ("SEC-2",),
        causes=("rule-before-calico",),
        at_start=(("3", "iptables -w -I INPUT 1 -p 4 -j ACCEPT"),),
    ),
    Unlisted(
        "input-chain-not-called",
        "nothing leads from INPUT into Calico's chain on node 1",
        ("SEC-2",),
        causes=("ipip-rule-missing",),
        at_start=(("1", "iptables -w -D INPUT -j cali-INPUT || iptables -w -D INPUT 1"),),
    ),
    Unlisted(
        "host-set-whole-subnet",
        "the set of hosts on node 2 has the whole subnet beside the nodes",
        ("SEC-1",),
        causes=("host-set-foreign",),
        at_start=(("2", "ipset add cali40all-hosts-net 10.7.120.0/24"),),
    ),
    Unlisted(
        "ttl-set",
        "node 1 sets the inner TTL of what it tunnels to 64",
        ("PATH-5",),
        causes=("ttl-odd",),
        at_start=(("1", "iptables -w -t mangle -A FORWARD -o tunl0 -j TTL --ttl-set 64"),),
    ),
    Unlisted(
        "inner-dscp-set",
        "node 2 changes the DSCP of pods' packets on their way into the tunnel",
        ("PATH-3", "PATH-5"),
        causes=("inner-header-changed",),
        at_start=(("2", "iptables -w -t mangle -A FORWARD -o tunl0 -j DSCP --set-dscp 10"),),
    ),
    Unlisted(
        "pods-masqueraded",
        "node 1 masquerades its pods' packets on their way into the tunnel",
        ("PATH-2",),
        causes=("inner-address-translated",),
        at_start=(("1", f"iptables -w -t nat -I POSTROUTING 1 -s {_POOL} -o tunl0 -j MASQUERADE"),),
    ),
    Unlisted(
        "node-s-own-redirected",
        "node 1 sends its own echoes for a pod of node 3 to a pod of node 2, by DNAT",
        ("PATH-7",),
        causes=("inner-address-translated",),
        at_start=(("1", f"iptables -w -t nat -I OUTPUT 1 -p icmp -d {_B3} -j DNAT --to 10.233.109.1"),),
    ),
    Unlisted(
        "node-s-own-translated",
        "node 2 gives its own packets for the tunnel the NIC's address in place of the tunnel's",
        ("PATH-7",),
        causes=("inner-address-translated",),
        at_start=(("2", f"iptables -w -t nat -I POSTROUTING 1 -o tunl0 -s 10.233.109.0 -j SNAT --to {_N2}"),),
    ),
    Unlisted(
        "every-tenth-dropped",
        "node 2 drops every tenth IPIP packet that reaches it",
        ("PATH-1", "MTU-4"),
        causes=("ipip-dropped-on-arrival", "packets-lost-at-times"),
        at_start=(
            ("2", "iptables -w -t raw -I PREROUTING -p 4 -m statistic --mode nth --every 10 --packet 0 -j DROP"),
        ),
    ),
    Unlisted(
        "ttl-raised-on-arrival",
        "node 3 raises the TTL of what it takes out of the tunnel",
        ("PATH-5",),
        causes=("ttl-odd",),
        at_start=(("3", "iptables -w -t mangle -I PREROUTING -i tunl0 -j TTL --ttl-inc 5"),),
    ),
    Unlisted(
        "tunnel-address-with-peer",
        "tunl0 of node 2 has its address with a peer",
        ("TUN-2", "ROUTE-4"),
        causes=("tunnel-address-wrong", "route-to-no-pod"),
        at_start=(
            (
                "2",
                "ip address add 10.233.109.0 peer 10.233.109.9/32 dev tunl0; ip address del 10.233.109.0/32 dev tunl0",
            ),
        ),
    ),
    Unlisted(
        "tunnel-local-entry-missing",
        "the local table of node 3 lacks the tunnel address that tunl0 has",
        ("TUN-2", "PATH-7"),
        causes=("reply-not-taken-in",),
        at_start=(("3", "ip route del local 10.233.88.0 table local"),),
    ),
    Unlisted(
        "node-takes-nothing-in",
        "node 2 drops ICMP that its tunnel brings for itself",
        ("PATH-7",),
        causes=("reply-not-taken-in",),
        at_start=(("2", "iptables -w -I INPUT -i tunl0 -p icmp -j DROP"),),
    ),
    Unlisted(
        "tunnel-egress-lossy",
        "everything that node 1 sends by tunl0 is lost in its queue",
        ("PATH-1",),
        causes=("dropped-from-pods",),
        at_start=(("1", "tc qdisc add dev tunl0 root netem loss 100%"),),
    ),
    Unlisted(
        "tunnel-ingress-dropped",
        "node 3 drops what comes out of its tunnel, before it is routed",
        ("PATH-1",),
        causes=("dropped-to-pods",),
        at_start=(("3", "iptables -w -t raw -I PREROUTING -i tunl0 -j DROP"),),
    ),
    Unlisted(
        "pod-egress-lossy",
        "what a pod of node 2 sends is lost in its own queue",
        ("PATH-1",),
        causes=("never-sent", "pod-does-not-answer", "lost-in-veth", "gateway-arp-unanswered"),
        at_pod=(("2", f"{_IN_POD} tc qdisc add dev eth0 root netem loss 100%"),),
    ),
    Unlisted(
        "outer-ttl-set",
        "node 2 gives every outer header a TTL of 9",
        ("PATH-3",),
        causes=("outer-header-odd",),
        at_start=(("2", "iptables -w -t mangle -I POSTROUTING -o ens192 -p 4 -j TTL --ttl-set 9"),),
    ),
    Unlisted(
        "slow-link",
        "ens192 of node 1 passes 200 kbit/s",
        ("MTU-6",),
        causes=("tcp-lost",),
        at_start=(("1", "tc qdisc add dev ens192 root tbf rate 200kbit burst 3000 latency 400ms"),),
    ),
    Unlisted(
        "node-by-gateway",
        "node 1 sends what is for node 3's own address to a gateway that does not pass it on",
        ("PATH-1", "BGP-1"),
        causes=("ipip-dropped-on-the-way", "ipip-dropped-on-leaving", "bgp-session-down"),
        at_start=(("1", f"ip route add {_N3}/32 via 10.7.120.254 dev {_NIC}"),),
    ),
    Unlisted(
        "rule-for-ipip",
        "a rule of node 1 makes IP-in-IP to node 3, and nothing else, unreachable",
        ("PATH-1",),
        causes=("policy-rule",),
        at_start=(
            ("1", f"ip route add unreachable {_N3}/32 table 77 && ip rule add to {_N3} ipproto 4 lookup 77 pref 90"),
        ),
    ),
    Unlisted(
        "tcp-served-by-another",
        "node 3 hands what comes to its pods by TCP to the second of them, by DNAT",
        ("PATH-8", "MTU-6"),
        causes=("tcp-translated", "tcp-lost"),
        at_start=(("3", f"iptables -w -t nat -I PREROUTING 1 -i tunl0 -p tcp -d {_B3} -j DNAT --to 10.233.88.2"),),
    ),
    Unlisted(
        "tcp-stalls",
        "node 2 drops a TCP connection's segments once 300 kB have passed",
        ("MTU-6",),
        causes=("tcp-lost",),
        at_start=(
            (
                "2",
                "iptables -w -I FORWARD -o tunl0 -p tcp -m connbytes --connbytes 300000: --connbytes-dir both "
                "--connbytes-mode bytes -j DROP",
            ),
        ),
    ),
    Unlisted(
        "inner-dscp-on-arrival",
        "node 3 changes the DSCP of what it takes out of the tunnel",
        (),
        at_start=(("3", "iptables -w -t mangle -I PREROUTING -i tunl0 -j DSCP --set-dscp 12"),),
        unstated="an operator may mark what comes to pods; TTL and payload are what must arrive unchanged",
    ),
    Unlisted(
        "workloads-swapped",
        "the workload interfaces of node 2's two pods have each other's names",
        ("VETH-1", "ROUTE-1", "VETH-2"),
        causes=("workload-peer", "workload-route-missing"),
        at_pod=(
            (
                "2",
                "if [ -e /run/first ]; then read -r one < /run/first; "
                "ip link set $one down; ip link set $HOST_IFACE down; ip link set $one name swap; "
                "ip link set $HOST_IFACE name $one; ip link set swap name $HOST_IFACE; "
                "ip link set $one up; ip link set $HOST_IFACE up; "
                "ip route replace $POD_IP dev $HOST_IFACE; else echo $HOST_IFACE > /run/first; fi",
            ),
        ),
    ),
    Unlisted(
        "pods-redirected",
        "node 1 sends echoes for one pod of node 3 to a pod of node 2 by DNAT",
        ("PATH-1", "PATH-2"),
        causes=("inner-address-translated",),
        at_start=(("1", "iptables -w -t nat -I PREROUTING 1 -p icmp -d 10.233.88.0/24 -j DNAT --to 10.233.109.1"),),
    ),
    Unlisted(
        "copies-sent-bare",
        "node 1 sends a bare copy of each tunnelled echo to node 3",
        ("PATH-9", "PATH-1"),
        causes=("bare-on-underlay",),
        at_start=(("1", f"iptables -w -t mangle -A FORWARD -o tunl0 -p icmp -j TEE --gateway {_N3}"),),
    ),
    # --- the wire
    Unlisted(
        "packets-doubled",
        "what leaves ens192 of node 2 leaves it twice",
        ("PATH-1",),
        causes=("seen-twice",),
        at_start=(("2", f"tc qdisc add dev {_NIC} root netem duplicate 100%"),),
    ),
    Unlisted(
        "packets-damaged",
        "a bit of each packet that leaves tunl0 of node 3 is turned",
        ("PATH-1", "PATH-5"),
        causes=("payload-changed",),
        at_start=(("3", "tc qdisc add dev tunl0 root netem corrupt 100%"),),
    ),
    Unlisted(
        "half-lost",
        "half of what leaves ens192 of node 3 is lost",
        ("PATH-1",),
        causes=(
            "lost-before-arrival",
            "tap-deaf",
            "node-not-read",
        ),
        at_start=(("3", f"tc qdisc add dev {_NIC} root netem loss 50%"),),
    ),
    Unlisted(
        "xfrm-block",
        "a policy of node 1's IPsec blocks IPIP to node 3",
        ("PATH-1",),
        causes=("ipip-dropped-on-leaving",),
        at_start=(("1", f"ip xfrm policy add src {_N1}/32 dst {_N3}/32 proto 4 dir out action block"),),
    ),
    # --- BIRD
    Unlisted(
        "bird-killed",
        "BIRD of node 3 does not run any more",
        ("BGP-1",),
        causes=("bird-not-running",),
        at_start=(("3", "birdc -s /run/calico/bird.ctl down >/dev/null && sleep 2"),),
    ),
    Unlisted(
        "bird-session-disabled",
        "node 1's session with node 3 is disabled by hand",
        ("BGP-1",),
        causes=("bgp-session-down",),
        at_start=(("1", "birdc -s /run/calico/bird.ctl disable Mesh_10_7_120_13 >/dev/null && sleep 2"),),
    ),
    Unlisted(
        "bird-port-refused",
        "node 2 refuses BGP from node 1, and the session was reset once",
        ("BGP-1",),
        causes=("bgp-session-down",),
        at_start=(
            (
                "2",
                f"iptables -w -I INPUT -p tcp -s {_N1} --dport 179 -j REJECT --reject-with tcp-reset && "
                f"iptables -w -I INPUT -p tcp -s {_N1} --sport 179 -j REJECT --reject-with tcp-reset && "
                "birdc -s /run/calico/bird.ctl restart Mesh_10_7_120_11 >/dev/null && sleep 3",
            ),
        ),
    ),
    Unlisted(
        "bird-pod-of-other-announced",
        "node 2 has, and announces, a route for an address of node 3's block",
        ("BGP-2", "ROUTE-4"),
        causes=(
            "route-to-no-pod",
            "foreign-route-announced",
        ),
        at_start=(("2", "ip route add 10.233.88.9/32 dev lo proto static && sleep 4"),),
    ),
    # --- what no requirement states: nothing else may be called broken for it
    Unlisted(
        "route-source",
        "the route of node 1 to node 3's block makes the node send from its own address",
        (),
        at_start=(("1", f"ip route replace {_B3} via {_N3} dev tunl0 onlink proto 80 mtu 1480 src {_N1}"),),
        options=_FELIX,
        unstated="Calico's own masquerading gives what leaves by tunl0 the tunnel address again",
    ),
    Unlisted(
        "packets-delayed",
        "what leaves ens192 of node 1 is 200 ms late",
        (),
        at_start=(("1", f"tc qdisc add dev {_NIC} root netem delay 200ms"),),
        unstated="no requirement gives a time",
    ),
    Unlisted(
        "packets-jittered",
        "what leaves ens192 of node 1 is up to 50 ms late, and out of order",
        (),
        at_start=(("1", f"tc qdisc add dev {_NIC} root netem delay 30ms 20ms"),),
        unstated="no requirement gives a time or an order",
    ),
    Unlisted(
        "reverse-path-strict",
        "rp_filter is strict on tunl0 and ens192 of node 3",
        (),
        at_start=(("3", f"sysctl -qw net.ipv4.conf.tunl0.rp_filter=1 net.ipv4.conf.{_NIC}.rp_filter=1"),),
        unstated="what comes back comes by the same device: nothing is lost",
    ),
    Unlisted(
        "second-default-route",
        "node 2 has a second default route with a higher metric",
        (),
        at_start=(("2", f"ip route add default via {_N1} dev {_NIC} metric 500"),),
        unstated="it lies outside the pools and decides nothing inside them",
    ),
    Unlisted(
        "nic-second-address",
        "ens192 of node 1 has a second address in its subnet",
        (),
        at_start=(("1", f"ip address add 10.7.120.201/24 dev {_NIC}"),),
        unstated="a virtual address is healthy as long as packets are sent from the first",
    ),
    Unlisted(
        "not-tracked",
        "node 2 does not track echoes",
        (),
        at_start=(
            (
                "2",
                "iptables -w -t raw -I PREROUTING -p icmp -j CT --notrack && "
                "iptables -w -t raw -I OUTPUT -p icmp -j CT --notrack",
            ),
        ),
        unstated="no requirement asks for connection tracking",
    ),
    Unlisted(
        "docker-bridge",
        "node 3 has docker's bridge, and iptables' policy for FORWARD is DROP",
        (),
        at_start=(
            (
                "3",
                "ip link add docker0 type bridge && ip link set docker0 up && "
                "ip address add 172.17.0.1/16 dev docker0 && iptables -w -P FORWARD DROP",
            ),
        ),
        unstated="Calico accepts what is its own before the policy is asked",
    ),
    Unlisted(
        "nic-promiscuous",
        "ens192 of node 2 and tunl0 of node 1 are promiscuous",
        (),
        at_start=(("2", f"ip link set {_NIC} promisc on"), ("1", "ip link set tunl0 promisc on")),
        unstated="they only show more than they must",
    ),
)
