"""What a lesson is made of: records only, free of any human language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_calico_ipip.model.datastore import Pod
from pytest_calico_ipip.model.paths import Flight, Stop


@dataclass(frozen=True)
class Remark:
    """A sentence of the lesson: the key of its words in every language, and the values that stand in it."""

    key: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fact:
    """Something that a kernel said, as its own tool prints it. `kind`: device, route, decision, neighbour."""

    kind: str
    text: str


@dataclass(frozen=True)
class Step:
    """The packet at one point of its way. `command`, typed on `stop.point.node`, shows again what decided."""

    stop: Stop
    facts: tuple[Fact, ...] = ()
    remarks: tuple[Remark, ...] = ()
    command: str = ""


@dataclass(frozen=True)
class Lesson:
    """An echo's way there, step by step, and what is to be said of its way back."""

    flight: Flight
    sender: Pod
    receiver: Pod
    setting: tuple[Remark, ...]  # who talks to whom, and in which of Calico's modes
    steps: tuple[Step, ...]  # up to the point that certainly never saw the packet
    reply: tuple[Stop, ...]  # the way back, as far as it goes
    ending: tuple[Remark, ...]  # what is to be said when both are told

    @property
    def complete(self) -> bool:
        """Whether both ways were seen from end to end."""
        return complete(self.flight)


def complete(flight: Flight) -> bool:
    """Whether every tap of both ways saw the packet once (where eBPF may hand it over unseen: at most once)."""
    return not flight.request.elsewhere and all(
        len(stop.packets) == 1 or (stop.point.optional and not stop.packets)
        for leg in (flight.request, flight.reply)
        for stop in leg.stops
    )
