"""Felix's rules for the MTU of the tunnel and of the pods (felix/dataplane/linux/int_dataplane.go)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_calico_ipip.model.expected.records import NodeExpectation
from pytest_calico_ipip.model.nodestate import Link

IPIP_OVERHEAD = 20
VXLAN_OVERHEAD = 50
WIREGUARD_OVERHEAD = 60
VXLAN_OVERHEAD_V6 = 70
WIREGUARD_OVERHEAD_V6 = 80
FALLBACK_HOST_MTU = 1460  # where no device matches the pattern
_RUNNING = ("UP", "UNKNOWN")  # operstates with IFF_RUNNING, which Felix asks for; not every driver tells of its carrier


def host_mtu(links: Iterable[Link], pattern: str) -> int:
    """The least MTU of the running devices that `mtuIfacePattern` matches; 1460 where none does.

    Raises `re.error` for a pattern that is none.
    """
    matching = re.compile(pattern)
    found = [link.mtu for link in links if link.up and link.operstate in _RUNNING and matching.search(link.name)]
    return min(found, default=FALLBACK_HOST_MTU)


def tunnel_mtu(expectation: NodeExpectation, links: Iterable[Link]) -> int:
    """What tunl0 must have: the configured ipipMTU, else the host MTU less the outer header."""
    configuration = expectation.node.configuration
    return configuration.ipip_mtu or host_mtu(links, configuration.mtu_interface_pattern) - IPIP_OVERHEAD


def pod_mtu(expectation: NodeExpectation, links: Iterable[Link], *, v6: bool = True) -> int:
    """What pods must have: the least over the encapsulations that are on; the host MTU where none is.

    Without `v6` IPv6's do not count: what IPv4 has room for.
    """
    links = tuple(links)
    configuration = expectation.node.configuration
    host = host_mtu(links, configuration.mtu_interface_pattern)
    choices: list[int] = []
    if expectation.ipip:
        choices.append(tunnel_mtu(expectation, links))
    if expectation.vxlan:
        choices.append(configuration.vxlan_mtu or host - VXLAN_OVERHEAD)
    if configuration.wireguard:
        choices.append(configuration.wireguard_mtu or host - WIREGUARD_OVERHEAD)
    if v6 and expectation.vxlan_v6:
        choices.append(configuration.vxlan_mtu_v6 or host - VXLAN_OVERHEAD_V6)
    if v6 and configuration.wireguard_v6:
        choices.append(configuration.wireguard_mtu_v6 or host - WIREGUARD_OVERHEAD_V6)
    return min(choices, default=host)
