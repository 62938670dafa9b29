"""A lesson in words: the walk of one packet with its headers, what decided each step, and why. World in, lines out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_calico_ipip.model.lesson import Lesson, Remark, Step, lessons
from pytest_calico_ipip.model.paths import Stop
from pytest_calico_ipip.model.points import Role
from pytest_calico_ipip.model.wire import Header
from pytest_calico_ipip.model.world import World
from pytest_calico_ipip.report.lines import BOLD, DIM, RED, YELLOW, Line
from pytest_calico_ipip.report.messages import Words
from pytest_calico_ipip.report.width import pad, width, wrap
from pytest_calico_ipip.report.wording import plain

PROTOCOLS = {1: "ICMP", 4: "IPIP", 6: "TCP", 17: "UDP"}
NARROWEST = 40  # columns for a sentence, however narrow the terminal is
MOST = 120  # columns: longer lines are hard to read
_INDENT = "      "


def explain(world: World | None, words: Words, columns: int, broken: Sequence[str] = ()) -> Iterator[Line]:
    """Every line of the lessons. `broken`: ids of the requirements that the verdict names."""
    if world is None:
        yield Line(words.say("lesson.unread"), YELLOW)
        return
    found, reason = lessons(world)
    if not found:
        yield Line(words.say("lesson.none", reason=reason), YELLOW)
    columns = min(columns, MOST) - 1
    if broken and found:
        named = ", ".join(broken)
        yield from _sentence(words.say("lesson.broken", requirements=named), 0, columns, YELLOW)
        yield Line("", {})
    for index, lesson in enumerate(found):
        if index:
            yield Line("", {})
        yield from _lesson(lesson, words, columns)


def _lesson(lesson: Lesson, words: Words, columns: int) -> Iterator[Line]:
    flight = lesson.flight
    heading = words.say(
        "lesson.echo",
        sender=lesson.sender.key,
        source=flight.request.source,
        receiver=lesson.receiver.key,
        destination=flight.request.destination,
        flight=f"icmp id {flight.icmp_id} seq {flight.seq}",
    )
    yield from _sentence(heading, 0, columns, BOLD)
    for remark in lesson.setting:
        yield from _sentence(_words(remark, words), 0, columns)
    yield Line("", {})
    yield Line(words.say("lesson.there"), BOLD)
    labels = _labels(words)
    cells = _widths((step.stop for step in lesson.steps), words)
    for number, step in enumerate(lesson.steps, 1):
        yield Line("", {})
        yield from _step(number, step, lesson, words, columns, labels, cells)
    if lesson.reply:
        yield Line("", {})
        yield Line(words.say("lesson.back"), BOLD)
        yield from _reply(lesson.reply, words)
    for remark in lesson.ending:
        yield Line("", {})
        healthy = remark.key in ("ending.mirrored", "ending.mirrored-bare", "ending.no-df", "ending.unwatched")
        yield from _sentence(_words(remark, words), 0, columns, {} if healthy else RED)


def _step(
    number: int, step: Step, lesson: Lesson, words: Words, columns: int, labels: int, cells: Sequence[int]
) -> Iterator[Line]:
    point = step.stop.point
    pod = lesson.sender if point.node == lesson.flight.request.source_node else lesson.receiver
    where = words.say("lesson.in-pod", pod=pod.key) if point.role is Role.POD else words.say("lesson.on-node")
    head = f"{number:>3}. {step.stop.sight.value} {plain(point.node)}  {plain(point.interface)}  ({where})"
    yield Line(head, BOLD if step.stop.packets else {**BOLD, **RED})
    for label, row in _headers(step.stop, words):
        line = "  ".join(pad(cell, wide) for cell, wide in zip(row, cells, strict=True)).rstrip()
        yield Line(f"{_INDENT}{pad(label, labels)}  {line}", {})
    for fact in step.facts:
        yield Line(f"{_INDENT}{pad(words.say(f'label.{fact.kind}'), labels)}  {plain(fact.text)}", {})
    for index, remark in enumerate(step.remarks):
        label = words.say("label.why") if index == 0 else ""
        start = f"{_INDENT}{pad(label, labels)}  "
        lines = wrap(_words(remark, words), max(NARROWEST, columns - width(start)))
        yield Line(start + lines[0], {})
        for line in lines[1:]:
            yield Line(" " * width(start) + line, {})
    if step.command and step.stop.packets:
        yield Line(f"{_INDENT}{pad(words.say('label.try'), labels)}  {plain(point.node)}# {plain(step.command)}", DIM)


def _reply(stops: Sequence[Stop], words: Words) -> Iterator[Line]:
    """A line a point, and one more for each further header."""
    names = [f"{plain(stop.point.node)}  {plain(stop.point.interface)}" for stop in stops]
    widest = max(width(name) for name in names)
    cells = _widths(stops, words)
    labels = max(width(words.say(f"label.{kind}")) for kind in ("outer", "inner", "packet"))
    for stop, name in zip(stops, names, strict=True):
        rows = list(_headers(stop, words)) or [("", [""] * len(cells))]
        for index, (label, row) in enumerate(rows):
            shown = f"{stop.sight.value} {pad(name, widest)}" if index == 0 else " " * (widest + 2)
            line = "  ".join(pad(cell, wide) for cell, wide in zip(row, cells, strict=True))
            yield Line(f"  {shown}  {pad(label, labels)}  {line}".rstrip(), {} if stop.packets else RED)


def _headers(stop: Stop, words: Words) -> Iterator[tuple[str, list[str]]]:
    """Label and cells of each header of the packet, from the outermost to the innermost."""
    headers = stop.packets[0].headers if stop.packets else ()
    for index, header in enumerate(headers):
        if len(headers) == 1:
            kind = "packet"
        else:
            kind = "outer" if index == 0 else "inner" if index == len(headers) - 1 else "middle"
        yield words.say(f"label.{kind}"), _cells(header, words)


def _cells(header: Header, words: Words) -> list[str]:
    name = PROTOCOLS.get(header.protocol, "")
    return [
        f"{header.source} → {header.destination}",
        f"proto {header.protocol}{f' {name}' if name else ''}",
        f"TTL {header.ttl}",
        words.say("lesson.bytes", number=header.length),
        "DF" if header.dont_fragment else "",
    ]


def _widths(stops: Iterator[Stop] | Sequence[Stop], words: Words) -> list[int]:
    rows = [row for stop in stops for _, row in _headers(stop, words)] or [[""] * 5]
    return [max(width(row[column]) for row in rows) for column in range(len(rows[0]))]


def _labels(words: Words) -> int:
    kinds = ("outer", "inner", "middle", "packet", "device", "route", "decision", "neighbour", "why", "try")
    return max(width(words.say(f"label.{kind}")) for kind in kinds)


def _words(remark: Remark, words: Words) -> str:
    return words.say(remark.key, **remark.values)


def _sentence(text: str, indent: int, columns: int, markup: dict[str, bool] | None = None) -> Iterator[Line]:
    for line in wrap(text, max(NARROWEST, columns - indent)):
        yield Line(" " * indent + line, markup or {})
