"""What a fault is: data, and commands for a node's shell. Nothing here knows how a fault is found out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..spec import Hook

if TYPE_CHECKING:
    from ..api.store import Store


@dataclass(frozen=True)
class BirdEdit:
    """One change to one node's BIRD configuration before BIRD starts: how a fault in routes is made to last.

    A command cannot do that: BIRD puts back what it owns within seconds.
    """

    node: str
    find: str
    replace: str
    lost: tuple[str, ...] = ()  # the nodes whose block this node then has no route to
    down: tuple[str, ...] = ()  # the nodes that this node then has no BGP session with

    def apply(self, text: str) -> str:
        """The changed text; a place that is not there is a mistake in the catalogue."""
        if self.find not in text:
            raise ValueError(f"the BIRD configuration of {self.node} has no {self.find!r} to replace")
        return text.replace(self.find, self.replace, 1)


@dataclass(frozen=True)
class Fault:
    """A named way to break a cluster.

    `fails` are the ids of exactly the requirements that must fail. Where packets die on their way, that is said once,
    by PATH-1 (PATH-6 within a node): what only a packet that arrives could show is then not asserted. `at_pod` commands
    know POD_NAME, POD_NAMESPACE, POD_IP, HOST_IFACE and NETNS. `verify` commands end with 0 as long as the fault is
    there; they run in their node when the user's command has ended.
    """

    name: str
    breaks: str
    fails: tuple[str, ...]
    bird: tuple[BirdEdit, ...] = ()
    at_start: tuple[Hook, ...] = ()
    at_pod: tuple[Hook, ...] = ()
    objects: Callable[[Store], Awaitable[None]] | None = None
    verify: tuple[Hook, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)  # what the lab must be, by fields of `LabSpec`
    extra: tuple[tuple[str, str], ...] = ()  # what the lab must have for it (LabSpec.extra)
    nodes: int = 2  # how many nodes a lab needs for it

    @property
    def uses_iptables(self) -> bool:
        """Whether its commands change or read rules of iptables or ipsets."""
        hooks = (*self.at_start, *self.at_pod, *self.verify)
        return any(program in hook.command for hook in hooks for program in ("iptables", "ipset"))
