"""Faults of what is let through: packets are dropped by a rule before Calico's own."""

from __future__ import annotations

from ..spec import UNDERLAY_NIC
from .fault import Fault
from .places import FIRST, SECOND, THIRD, on


def _rule(chain: str, match: str) -> tuple[str, str]:
    """The commands that put a DROP rule first and that tell whether it is there."""
    return f"iptables -w -I {chain} 1 {match} -j DROP", f"iptables -w -C {chain} {match} -j DROP"


_ALL, _ALL_THERE = _rule("INPUT", "-p 4")
_PAIR, _PAIR_THERE = _rule("INPUT", f"-p 4 -s {FIRST.address.ip}")
_REPLIES, _REPLIES_THERE = _rule("OUTPUT", f"-p 4 -d {FIRST.address.ip}")
_LARGE, _LARGE_THERE = _rule("INPUT", "-p 4 -m length --length 1401:65535")

_EXTRA = "cali40all-hosts-net 10.7.120.99"
_MEMBER = f"cali40all-hosts-net {FIRST.address.ip}"
_LOWER, _UPPER = SECOND.block.subnets(1)
# address for address, so that nothing else of a packet changes
_TRANSLATION = f"-t nat -s {_LOWER} -o tunl0 -j NETMAP --to {_UPPER}"
_PROHIBITED = "FORWARD {} -i tunl0 -j REJECT --reject-with icmp-host-prohibited"
_STRANGER = THIRD.address.ip + 100

FAULTS = (
    Fault(
        name="host-set-extra",
        breaks=f"{SECOND.name} takes IPIP packets from an address that is no node's",
        fails=("SEC-1",),
        at_start=on(SECOND, f"ipset add {_EXTRA}"),
        verify=on(SECOND, f"ipset -q test {_EXTRA}"),
    ),
    Fault(
        name="host-set-missing",
        breaks=f"{SECOND.name} does not know {FIRST.name} as a node and drops its IPIP packets",
        fails=("PATH-1", "SEC-1", "SEC-2"),
        at_start=on(SECOND, f"ipset del {_MEMBER}"),
        verify=on(SECOND, f"! ipset -q test {_MEMBER}"),
    ),
    Fault(
        name="pods-translated",
        breaks=f"{SECOND.name} gives its pods' packets other source addresses on their way out",
        fails=("PATH-1", "PATH-2", "PATH-3", "PATH-4", "PATH-7", "PATH-8"),
        at_start=on(SECOND, f"iptables -w {_TRANSLATION.replace(' -s', ' -I POSTROUTING 1 -s')}"),
        verify=on(SECOND, f"iptables -w {_TRANSLATION.replace(' -s', ' -C POSTROUTING -s')}"),
    ),
    Fault(
        name="ipip-dropped",
        breaks=f"{SECOND.name} drops every IPIP packet that reaches it",
        fails=("PATH-1", "SEC-2"),
        at_start=on(SECOND, _ALL),
        verify=on(SECOND, _ALL_THERE),
    ),
    Fault(
        name="ipip-dropped-pair",
        breaks=f"{SECOND.name} drops IPIP packets from {FIRST.name} and takes all others",
        fails=("PATH-1", "SEC-2"),
        at_start=on(SECOND, _PAIR),
        verify=on(SECOND, _PAIR_THERE),
    ),
    Fault(
        name="ipip-lost-one-way",
        breaks=f"{SECOND.name} receives from {FIRST.name}, but what it sends there is dropped on its way out",
        fails=("PATH-1",),
        at_start=on(SECOND, _REPLIES),
        verify=on(SECOND, _REPLIES_THERE),
    ),
    Fault(
        name="large-packets-lost",
        breaks=f"{SECOND.name} drops IPIP packets longer than 1400 bytes",
        fails=("MTU-4", "MTU-6", "SEC-2"),
        at_start=on(SECOND, _LARGE),
        verify=on(SECOND, _LARGE_THERE),
    ),
    Fault(
        name="ipip-from-anybody",
        breaks=f"{SECOND.name} has lost the rule that drops IPIP packets from hosts that are not Calico's",
        fails=("SEC-2", "SEC-3"),
        at_start=on(SECOND, "iptables -w -D cali-INPUT 2"),
        verify=on(SECOND, "! iptables -w -S cali-INPUT | grep -q 'non-Calico hosts'"),
    ),
    Fault(
        name="ipip-from-stranger",
        breaks=f"somebody sends IPIP packets to {SECOND.name} from {_STRANGER}, which is no node's address",
        fails=("SEC-2",),
        at_start=on(
            THIRD,
            f"ip address add {_STRANGER}/24 dev {UNDERLAY_NIC} && "
            f"ip link add stray0 type ipip local {_STRANGER} remote {SECOND.address.ip} && ip link set stray0 up && "
            "ip route add 192.0.2.50 dev stray0 && "
            "{ setsid ping -q -i 0.2 192.0.2.50 </dev/null >/dev/null 2>&1 & }",
        ),
        verify=on(SECOND, "iptables -w -nvxL cali-INPUT 2 | awk '{ exit !($1 > 0) }'"),
        nodes=3,
    ),
    Fault(
        name="forward-rejected",
        breaks=f"a firewall of {SECOND.name} rejects what leaves the tunnel before Calico's rules, as firewalld does",
        fails=("PATH-1",),
        at_start=on(SECOND, f"iptables -w -I {_PROHIBITED.format('1')}"),
        verify=on(SECOND, f"iptables -w -C {_PROHIBITED.format('')}"),
    ),
)
