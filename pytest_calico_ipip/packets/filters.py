"""What a tap may see: packets of this run's pods, and of nobody else; of TCP only how connections begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

# offsets in the inner header, after an outer one of whatever length; and in what the inner header carries
_INNER = "((ip[0]&0xf)*4)"
_INNER_PROTOCOL = f"ip[{_INNER}+9]"
_INNER_SOURCE = f"ip[{_INNER}+12:4]"
_INNER_DESTINATION = f"ip[{_INNER}+16:4]"
_INNER_TCP_FLAGS = f"ip[{_INNER}+((ip[{_INNER}]&0xf)*4)+13]"

_SYN = "0x02"
_SYN_FIN_RST = "0x07"


def bare(addresses: Sequence[IPv4Address]) -> str:
    """IPv4 packets from or to one of the addresses (never ARP, never IPv6); of TCP the two SYNs.

    >>> bare([IPv4Address("10.233.107.1")])
    'ip and (host 10.233.107.1) and (not tcp or tcp[13]&0x02!=0)'
    """
    return _bare(addresses, _SYN)


def underlay(addresses: Sequence[IPv4Address]) -> str:
    """On the underlay NIC: IPIP around one of the addresses or another IPIP, or one of them with no tunnel around.

    Of TCP all segments that begin or end a connection, also inside IPIP; never its payload.
    """
    inner = " or ".join(
        f"{field}=0x{int(address):08x}" for address in addresses for field in (_INNER_SOURCE, _INNER_DESTINATION)
    )
    flags = f"({_INNER_PROTOCOL}!=6 or {_INNER_TCP_FLAGS}&{_SYN_FIN_RST}!=0)"
    # whose packet is inside two tunnels cannot be told from here: all of these are taken
    return f"(ip proto 4 and ({inner} or {_INNER_PROTOCOL}=4) and {flags}) or ({_bare(addresses, _SYN_FIN_RST)})"


def _bare(addresses: Sequence[IPv4Address], flags: str) -> str:
    hosts = " or ".join(f"host {address}" for address in addresses)
    return f"ip and ({hosts}) and (not tcp or tcp[13]&{flags}!=0)"
