"""A line for the terminal, and how it may look."""

from __future__ import annotations

from dataclasses import dataclass

GREEN, RED, YELLOW, BOLD, DIM = {"green": True}, {"red": True}, {"yellow": True}, {"bold": True}, {"light": True}


@dataclass(frozen=True)
class Line:
    """One line for the terminal."""

    text: str
    markup: dict[str, bool]
