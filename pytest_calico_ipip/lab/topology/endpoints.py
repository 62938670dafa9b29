"""What iptables' and nftables' rules for pods are made from, and how Felix names chains and marks rules. Pure."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from ..calico.policy import OPEN, Isolation


@dataclass(frozen=True, order=True)
class PodRules:
    """A workload that the firewall knows: what its chains are made from."""

    interface: str
    namespace: str
    service_account: str = "default"
    isolation: Isolation = OPEN

    @property
    def profiles(self) -> tuple[str, str]:
        """Calico's profiles of its namespace and of its account."""
        return f"kns.{self.namespace}", f"ksa.{self.namespace}.{self.service_account}"


def rule_marks(name: str, rules: Iterable[str]) -> list[str]:
    """Felix's 16-character mark of each rule: chained SHA-224 over the chain's name and the rules so far."""
    digest = hashlib.sha224(name.encode()).digest()
    marks = []
    for rule in rules:
        digest = hashlib.sha224(digest + rule.encode()).digest()
        marks.append(urlsafe_b64encode(digest).decode()[:16])
    return marks


def profile_chain(prefix: str, profile: str, longest: int) -> str:
    """The chain of a profile (`kns.<namespace>`, `ksa.<namespace>.<account>`); a long name is hashed, as Felix does."""
    if len(prefix + profile) <= longest and not profile.startswith("_"):
        return prefix + profile
    mark = urlsafe_b64encode(hashlib.sha256(profile.encode()).digest()).decode().rstrip("=")
    return f"{prefix}_{mark[: longest - len(prefix) - 1]}"
