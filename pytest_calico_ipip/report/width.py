"""Text by the columns that it takes on a terminal: a Chinese character takes two."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_WIDE = ("W", "F")
# punctuation that must not begin a line, and brackets that must not end one
_CLOSING = "，。；：、？！）》」』】”’…,.;:?!)]}"
_OPENING = tuple("（《「『【“‘([{")


def width(text: str) -> int:
    """Columns on a terminal; combining marks take none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in _WIDE else 1
        for character in text
    )


def pad(text: str, columns: int) -> str:
    """The text, filled with blanks up to so many columns."""
    return text + " " * max(0, columns - width(text))


def wrap(text: str, columns: int) -> list[str]:
    """Lines of at most so many columns, broken at blanks and between wide characters; a longer word is not cut."""
    lines = [""]
    for piece in _pieces(text):
        if width(lines[-1] + piece.rstrip()) > columns and lines[-1]:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return [line.rstrip() for line in lines]


def _pieces(text: str) -> Iterator[str]:
    """What may not be broken: words with the blank after them, wide characters with the punctuation beside them."""
    held = ""
    for piece in re.findall(r"\S+\s*", text):
        for part in _parts(piece):
            if held and (part.isspace() or part[0] in _CLOSING or held.rstrip().endswith(_OPENING)):
                held += part
                continue
            if held:
                yield held
            held = part
    if held:
        yield held


def _parts(word: str) -> Iterator[str]:
    narrow = ""
    for character in word:
        if unicodedata.east_asian_width(character) in _WIDE:
            if narrow:
                yield narrow
            narrow = ""
            yield character
        elif character.isspace() and not narrow:
            narrow = ""
            yield character
        else:
            narrow += character
    if narrow:
        yield narrow
