"""Words for one judgement: plain text, safe for a terminal whatever the cluster's strings hold."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_calico_ipip.model.judgement import Difference, Judgement, Reading

LONGEST = 2000  # characters of one value; more is cut, and said so
# C0, DEL, C1, and what turns the direction or hides text (bidi controls, zero width, line separators)
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def plain(text: str, *, lines: bool = False) -> str:
    """The text with control characters spelt out, and bounded. `lines` keeps line ends."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}… ({len(text) - LONGEST} more characters)"
    return CONTROL.sub(lambda match: match[0] if lines and match[0] == "\n" else _spelt(match[0]), text)


def _spelt(character: str) -> str:
    names = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    code = ord(character)
    return names.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def unasserted(judgement: Judgement) -> str:
    """Why nothing was asserted."""
    if judgement.not_applicable:
        return f"not applicable: {plain(judgement.not_applicable)}"
    reasons = "; ".join(plain(reason) for reason in dict.fromkeys(judgement.missing)) or "nothing to compare"
    return f"not in this evidence: {reasons}"


def place(subject: str) -> str:
    """A subject as it stands in a sentence: `a` or `a → b`, or the cluster as a whole."""
    if subject in ("", "cluster"):
        return "the cluster"
    return plain(subject).replace(":", " → ")


def difference_lines(difference: Difference) -> Iterator[tuple[str, str]]:
    """Label and text, line by line: what, expected, observed, where it was read, how to read it again, the note."""
    yield "", plain(difference.what)
    yield from _labelled("expected", difference.expected)
    yield from _labelled("observed", difference.observed)
    if difference.reading is not None:
        yield "read in", plain(difference.reading.file)
        if difference.reading.command:
            yield "again", again(difference.reading)
    if difference.note:
        yield from _labelled("note" if "✗" not in difference.note else "way", difference.note)


def _labelled(label: str, text: str) -> Iterator[tuple[str, str]]:
    first, *rest = plain(text, lines=True).split("\n")
    yield label, first
    for line in rest:
        yield "", f"{line}"


def again(reading: Reading) -> str:
    """The command that reads the value again, and where it is typed."""
    parts = reading.file.split("/")
    where = f"on {parts[1]}: " if len(parts) > 2 and parts[0] == "nodes" else ""
    return plain(f"{where}{reading.command}")
