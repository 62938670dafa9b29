"""What can go wrong with a lab: the first line says what, the second what to do."""

from __future__ import annotations


class LabError(Exception):
    """The lab itself failed (exit status 125): its command never ran, or its result cannot be trusted."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}\n{remedy}" if remedy else what)


class LabUsageError(LabError):
    """The command line asks for something that cannot be (exit status 2)."""


class LabRefusedError(LabError):
    """The machine cannot carry such a lab (exit status 125): the sentences say all, and no log says more."""
