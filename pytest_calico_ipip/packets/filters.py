"""What a tap may see: packets of this run's pods, and of nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

# offsets in the inner header, after an outer one of whatever length
_INNER_SOURCE = "ip[((ip[0]&0xf)*4)+12:4]"
_INNER_DESTINATION = "ip[((ip[0]&0xf)*4)+16:4]"


def bare(addresses: Sequence[IPv4Address]) -> str:
    """IPv4 packets from or to one of the addresses (never ARP, never IPv6).

    >>> bare([IPv4Address("10.233.107.1")])
    'ip and (host 10.233.107.1)'
    """
    return f"ip and ({' or '.join(f'host {address}' for address in addresses)})"


def underlay(addresses: Sequence[IPv4Address]) -> str:
    """On the underlay NIC: IPIP around one of the addresses, or one of them with no tunnel around."""
    inner = " or ".join(
        f"{field}=0x{int(address):08x}" for address in addresses for field in (_INNER_SOURCE, _INNER_DESTINATION)
    )
    return f"(ip proto 4 and ({inner})) or ({bare(addresses)})"
