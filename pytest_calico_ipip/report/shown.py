"""How a failing or erring test is shown: sentences about the cluster in the place of a Python traceback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_calico_ipip.model.judgement import Difference
from pytest_calico_ipip.report.messages import Words, words
from pytest_calico_ipip.report.width import pad
from pytest_calico_ipip.report.wording import difference_lines, place, plain

MOST_DIFFERENCES = 20  # of one test; the rest is counted


class Terminal:
    """What is used of pytest's terminal writer."""

    def line(self, text: str = "", **markup: bool) -> None:
        """Write one line."""


@dataclass(frozen=True)
class Crash:
    """pytest and JUnit take the one-line message from here."""

    message: str


@dataclass(frozen=True)
class Shown:
    """A `longrepr`: a heading, then indented lines; and the same in one line."""

    heading: str
    lines: Sequence[str]
    summary: str

    @property
    def reprcrash(self) -> Crash:
        """Enough for a list of failures, and for JUnit's `message`."""
        return Crash(self.summary)

    def toterminal(self, tw: Terminal) -> None:
        """Called by pytest's terminal report."""
        tw.line(self.heading, bold=True, red=True)
        for line in self.lines:
            tw.line(line)

    def __str__(self) -> str:
        """Called by JUnit and by xdist."""
        return "\n".join([self.heading, *self.lines])


def broken(requirement: str, subject: str, sentence: str, differences: Sequence[Difference]) -> Shown:
    """A requirement that does not hold: its sentence, then each difference."""
    lines = [f"  {sentence}"] if sentence else []
    for difference in differences[:MOST_DIFFERENCES]:
        lines.append("")
        lines.extend(table(difference))
    if len(differences) > MOST_DIFFERENCES:
        lines.append(f"  … and {len(differences) - MOST_DIFFERENCES} more differences")
    heading = f"{requirement} does not hold on {place(subject)}"
    first = differences[0]
    expected, observed = (" ".join(plain(value).split()) for value in (first.expected, first.observed))
    return Shown(heading, lines, f"{heading}: {plain(first.what)}: expected {expected}, observed {observed}")


def table(difference: Difference, indent: str = "  ", said: Words | None = None) -> list[str]:
    """One difference, expected and observed under each other."""
    said = said or words("en")
    lines: list[str] = []
    for label, text in difference_lines(difference):
        shown = pad(said.say(f"label.{label}") if label else "", 8)
        lines.append(f"{indent}{text}" if not lines else f"{indent}  {shown}  {text}")
    return lines


def unjudged(requirement: str, subject: str, reasons: Sequence[str]) -> Shown:
    """A requirement that could not be judged: why, and what to do."""
    heading = f"{requirement} could not be judged on {place(subject)}"
    lines = [line for reason in reasons for line in plain(reason, lines=True).split("\n")]
    return Shown(heading, [f"  {line}" for line in lines], f"{heading}: {' '.join(lines)}")


def problem(sentence: str, remedy: str) -> Shown:
    """What keeps the run from observing anything."""
    return Shown(plain(sentence), [f"  {plain(remedy)}"], f"{plain(sentence)}: {plain(remedy)}")
