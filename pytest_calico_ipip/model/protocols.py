"""The kernel's numbers for who made a route, and iproute2's names for them (etc/iproute2/rt_protos)."""

from __future__ import annotations

NAMES = {
    0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 10: "mrt", 11: "zebra",
    12: "bird", 13: "dnrouted", 14: "xorp", 15: "ntk", 16: "dhcp", 18: "keepalived", 42: "babel", 99: "openr",
    186: "bgp", 187: "isis", 188: "ospf", 189: "rip", 192: "eigrp",
}  # fmt: skip


def protocol_name(number: int) -> str:
    """A route's protocol as `ip route` prints it: its name, or the number of one that has none (Felix's 80)."""
    return NAMES.get(number, str(number))
