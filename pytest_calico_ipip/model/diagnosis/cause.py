"""A cause: what is wrong in one sentence, what points to it, what to run next, and which failures it explains."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from pytest_calico_ipip.model.diagnosis.symptom import Symptom

NOT_EXPLAINED = "not-explained"  # the id of what lists the failures that no rule knows


@dataclass(frozen=True)
class Cause:
    """One likely cause. Ids are stable: other programs may look for them."""

    id: str  # "tunnel-down"
    subjects: tuple[str, ...]  # nodes, pairs "a:b", pods, blocks or pools that it is about
    sentence: str
    evidence: tuple[str, ...] = ()  # facts, each with the file that it was read in
    next_command: tuple[str, ...] = ()  # ready to paste
    explains: frozenset[tuple[str, str]] = frozenset()  # (requirement, subject)


@dataclass(frozen=True)
class Found:
    """What a rule says, before it is known whether it explains anything new."""

    id: str
    subjects: tuple[str, ...]
    sentence: str
    symptoms: tuple[Symptom, ...]
    evidence: tuple[str, ...] = ()
    next_command: tuple[str, ...] = field(default=())

    def cause(self) -> Cause:
        """The cause as it is reported."""
        explains = frozenset((symptom.requirement, symptom.subject) for symptom in self.symptoms)
        return Cause(self.id, self.subjects, self.sentence, self.evidence, self.next_command, explains)


def on(node: str, *words: str) -> str:
    """A command to run on a node, as one types it elsewhere; every word is quoted, and so is the node's name."""
    return shlex.join(["ssh", node, shlex.join(words)])


def by_debug(command: str, image: str) -> str:
    """The same command for a node that nobody logs in to: a pod of kubectl debug runs it, from `image`."""
    words = shlex.split(command)
    if words[:1] != ["ssh"]:
        return command
    _, node, typed = words
    inner = shlex.split(typed)
    if inner[:3] == ["ip", "netns", "exec"]:  # the pod sees the node's files, and so the namespaces' names, below /host
        inner = ["nsenter", f"--net=/host/run/netns/{inner[3]}", *inner[4:]]
    return kubectl("debug", f"node/{node}", "-it", f"--image={image}", "--profile=sysadmin", "--", *inner)


def kubectl(*words: str) -> str:
    """A kubectl command."""
    return shlex.join(["kubectl", *words])


def tcpdump(node: str, device: str, expression: str) -> str:
    """Watch a device for a short while."""
    return on(node, "timeout", "30", "tcpdump", "-c", "20", "-ni", device, *expression.split())
