"""The errors of this project: the first line says what is wrong, the second what to do."""

from __future__ import annotations


class IpipError(Exception):
    """Base class. `problem` names things and values; `remedy` is what the reader can do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n{remedy}")
        self.problem = problem
        self.remedy = remedy


class UsageProblem(IpipError):
    """A wrong option or file, found before any contact with a cluster: exit status 4."""


class UnknownNode(IpipError):
    """`--ipip-nodes` names a node that the cluster does not have: exit status 4."""


class SetupProblem(IpipError):
    """The run cannot observe (API unreachable, ssh refused, no tcpdump …): every test that needs it is an ERROR."""
