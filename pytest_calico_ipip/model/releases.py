"""Which releases of Calico run side by side, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def releases_in_words(of_nodes: Iterable[str]) -> str:
    """`Calico v3.31.7`, or each release with how many nodes run it; "" stands for what nothing names."""
    counted = sorted(Counter(filter(None, of_nodes)).items())
    if len(counted) > 1:
        told = [f"{release} on {number} node{'' if number == 1 else 's'}" for release, number in counted]
        return f"Calico {', '.join(told)}"
    return f"Calico {counted[0][0]}" if counted else "Calico of a release that nothing names"
