"""The kernel of a lab: the running one, or User-Mode Linux; either way the lab is built in private namespaces of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import LabError

if TYPE_CHECKING:
    from .job import Job
    from .rundir import RunDirectory

KINDS = ("auto", "host", "uml")


def run(kind: str, job: Job, directory: RunDirectory) -> int:
    """Run `job` on a kernel of `kind` (one of `KINDS`): its exit status. Raises `LabError`."""
    from . import host, uml

    refusal = None if kind == "uml" else host.refusal()
    if kind == "host" and refusal is not None:
        raise LabError(
            f"this kernel cannot carry a lab: {refusal.rstrip('.')}.",
            "Use --kernel uml, or load the ipip module and allow user namespaces.",
        )
    if kind == "uml" or refusal is not None:
        return uml.run(job, directory)
    return host.run(job, directory)
