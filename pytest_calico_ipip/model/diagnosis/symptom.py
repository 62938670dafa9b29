"""A symptom: one difference of one failed judgement, with the packet and the place that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network

from pytest_calico_ipip.model.judgement import Difference
from pytest_calico_ipip.model.paths import Flight, Leg, Sight, Stop
from pytest_calico_ipip.model.points import Role

_LARGEST = 300  # characters of one fact


@dataclass(frozen=True)
class Break:
    """Where a packet left its way: it was seen last `after` (None: nowhere), and then not at `at`."""

    after: Stop | None
    at: Stop

    @property
    def node(self) -> str:
        """The node that should have seen it next."""
        return self.at.point.node

    @property
    def on_the_way(self) -> bool:
        """Whether that is between two nodes."""
        return self.after is not None and self.after.point.node != self.node

    @property
    def roles(self) -> tuple[Role | None, Role]:
        """What the two points are."""
        return (self.after.point.role if self.after is not None else None, self.at.point.role)

    def within(self, node: str, *roles: tuple[Role | None, Role]) -> bool:
        """Whether it is inside this node, between points of one of these pairs of roles (none given: anywhere)."""
        return self.node == node and not self.on_the_way and (not roles or self.roles in roles)


@dataclass(frozen=True, eq=False)
class Symptom:
    """One thing that is not as it must be (or, with `reason`, that could not be judged)."""

    requirement: str
    subject: str
    difference: Difference | None = None
    reason: str = ""
    flight: Flight | None = None
    leg: Leg | None = None

    @property
    def what(self) -> str:
        """What was compared."""
        return self.difference.what if self.difference is not None else ""

    @property
    def last(self) -> str:
        """The last word of what was compared: a device, an address, a key; "" where there is none."""
        return self.what.rpartition(" ")[2]

    @property
    def observed(self) -> str:
        """What was found."""
        return self.difference.observed if self.difference is not None else ""

    @property
    def expected(self) -> str:
        """What should have been found."""
        return self.difference.expected if self.difference is not None else ""

    @property
    def file(self) -> str:
        """The file that it was read in."""
        reading = self.difference.reading if self.difference is not None else None
        return reading.file if reading is not None else ""

    @cached_property
    def network(self) -> IPv4Network | None:
        """The destination that a difference in routes is about; an address is a /32."""
        try:
            return IPv4Network(self.what.split()[-1])
        except (ValueError, IndexError):
            return None

    @cached_property
    def broken(self) -> Break | None:
        """Where its packet left its way; None where it did not, or this is about no packet."""
        if self.leg is None:
            return None
        at = next((i for i, stop in enumerate(self.leg.stops) if stop.sight is Sight.NEVER), None)
        if at is None:
            return None
        seen = [stop for stop in self.leg.stops[:at] if stop.packets]
        return Break(seen[-1] if seen else None, self.leg.stops[at])

    @property
    def astray(self) -> bool:
        """Whether the packet was seen again after it had left its way, or where it should not be."""
        if self.leg is None or self.leg.elsewhere:
            return self.leg is not None
        broken = self.broken
        later = self.leg.stops[self.leg.stops.index(broken.at) :] if broken is not None else ()
        return any(stop.packets for stop in later)

    @property
    def lost(self) -> bool:
        """Whether its packet left its way and was not seen any more."""
        return self.broken is not None and not self.astray

    def broken_within(self, node: str) -> bool:
        """Whether its packet left its way inside this node."""
        return self.broken is not None and self.broken.within(node)

    def fact(self) -> str:
        """It in one line, with the file."""
        if self.difference is None:
            return self.reason[:_LARGEST]
        difference = self.difference
        text = f"{difference.what}: expected {difference.expected}, observed {difference.observed}"
        if self.lost and self.leg is not None:
            text = f"{difference.what.split(' (')[0]} {self.leg.source} > {self.leg.destination}: {self.leg.hops()}"
        return f"{' '.join(text.split())[:_LARGEST]}{f' ({self.file})' if self.file else ''}"
