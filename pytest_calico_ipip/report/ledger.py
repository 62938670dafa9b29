"""All records of a run, and what they amount to."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_calico_ipip.model.judgement import Outcome
from pytest_calico_ipip.report.record import Record

# from what is configured to what happens: a reader meets causes before their effects
ORDER = ("POOL", "NODE", "POD", "VETH", "TUN", "MTU", "ROUTE", "PATH", "BGP", "SEC", "BASE")
CLUSTER = "cluster"  # kind and subject of what is about no single node or pair
NOT_ASSERTED = "not asserted"  # there was nothing to judge: one node has no pair
UNJUDGED = (Outcome.MISSING.value, NOT_ASSERTED)
ASSERTED = (Outcome.HOLDS.value, Outcome.WARNING.value, Outcome.FAILED.value)


@dataclass(frozen=True)
class Tally:
    """One requirement's records."""

    requirement: str
    records: tuple[Record, ...]

    @property
    def level(self) -> str:
        """MUST or SHOULD."""
        return self.records[0].level

    @property
    def sentence(self) -> str:
        """The requirement in one sentence."""
        return self.records[0].sentence

    @property
    def kind(self) -> str:
        """What is counted: "node", "pair" or "cluster"."""
        return self.records[0].kind

    def those(self, *outcomes: str) -> tuple[Record, ...]:
        """The records that ended so."""
        return tuple(record for record in self.records if record.outcome in outcomes)

    @property
    def holding(self) -> int:
        """On how many it holds (a broken SHOULD does not)."""
        return len(self.those(Outcome.HOLDS.value))

    @property
    def silent(self) -> bool:
        """Whether nothing asserted it, and for no reason that is in order."""
        return not self.those(*ASSERTED, Outcome.ERROR.value, Outcome.NOT_APPLICABLE.value)


@dataclass
class Ledger:
    """Records by test, in the order of the tests."""

    records: dict[str, Record] = field(default_factory=dict)

    def add(self, test: str, record: Record) -> None:
        """A test that is run again replaces what it said before."""
        self.records[test] = record

    def tallies(self) -> tuple[Tally, ...]:
        """By requirement, in the catalogue's order."""
        groups: dict[str, list[Record]] = {}
        for record in self.records.values():
            groups.setdefault(record.requirement, []).append(record)
        return tuple(Tally(name, tuple(groups[name])) for name in sorted(groups, key=_place))

    def those(self, *outcomes: str) -> tuple[Record, ...]:
        """All records that ended so, in the catalogue's order."""
        return tuple(record for tally in self.tallies() for record in tally.those(*outcomes))

    def holding(self) -> tuple[Tally, ...]:
        """Requirements that were asserted somewhere and are broken or unjudged nowhere."""
        bad = (Outcome.FAILED.value, Outcome.ERROR.value)
        return tuple(t for t in self.tallies() if t.those(Outcome.HOLDS.value) and not t.those(*bad))

    def one_problem(self) -> str:
        """The problem of the run, with its remedy, for which nothing at all could be judged; "" elsewhere."""
        reasons = {record.reasons if record.of_the_run else () for record in self.records.values()}
        return "\n".join(reasons.pop()) if len(reasons) == 1 else ""

    def subjects(self, kind: str) -> int:
        """On how many nodes or pairs something was asserted."""
        return len({r.subject for r in self.records.values() if r.kind == kind and r.outcome in ASSERTED})

    def silent(self) -> tuple[Tally, ...]:
        """What makes a run fail though no test did.

        In a live run each MUST that nothing asserted without a reason that is in order; in a replay, whose evidence
        may hold less, only that nothing at all was asserted.
        """
        tallies = self.tallies()
        quiet = tuple(tally for tally in tallies if tally.silent and tally.level == "MUST")
        if any(record.live for record in self.records.values()):
            return quiet
        return quiet if tallies and not self.those(*ASSERTED, Outcome.ERROR.value) else ()


def _place(requirement: str) -> tuple[int, str, int]:
    group, _, number = requirement.partition("-")
    place = ORDER.index(group) if group in ORDER else len(ORDER)
    return place, group, int(number) if number.isdecimal() else 0
