"""`iptables-save -c`, twice → the rules of Calico's policies that dropped packets in between."""

from __future__ import annotations

import re

from pytest_calico_ipip.judge.values import text
from pytest_calico_ipip.model.firewall import PolicyDrop

# the chains of a workload interface, to and from it, and those of policies
_DROP = re.compile(
    r"^\[(\d{1,20}):\d{1,20}\] (-A cali-(tw|fw|pi|po)-\S{1,64} [^\n]{0,500}-j (?:DROP|REJECT)[^\n]{0,60})$",
    re.MULTILINE,
)
_INWARDS = ("tw", "pi")


def policy_drops(before: str, after: str) -> tuple[PolicyDrop, ...]:
    """Each rule whose counter rose. At an interface only what no policy let through: the rest is not a policy's."""
    earlier = {rule: int(count) for count, rule, _ in _DROP.findall(before)}
    found = []
    for count, rule, chain in _DROP.findall(after):
        if chain in ("tw", "fw") and "no policies passed" not in rule:
            continue
        risen = int(count) - earlier.get(rule, 0)
        if risen > 0:
            found.append(PolicyDrop(text(rule), risen, inwards=chain in _INWARDS))
    return tuple(found)
