"""Why something could not be judged: captures that saw nothing, pods without tools, nodes that did not answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.diagnosis.cause import Found, kubectl, on
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs


def deaf(signs: Signs) -> Iterator[Found]:
    """Taps that could not listen, or lost packets: told once for each node."""
    capture = signs.world.capture
    if isinstance(capture, Absent):
        mine = tuple(s for s in signs.left if s.reason and s.reason == capture.reason)
        sentence = "The captures could not be read, and nothing is known of any packet"
        yield Found("captures-unreadable", (), sentence, mine, (capture.reason,), ("ls -l packets/",))
        return
    for node in dict.fromkeys(reading.tap.node for reading in capture.taps if reading.problem):
        taps = [reading for reading in capture.taps if reading.tap.node == node and reading.problem]
        # an interface is named in the reason as the check saw it; its file is named after it
        names = [f"{node} {reading.tap.interface}: {reading.problem}" for reading in taps]
        mine = tuple(s for s in signs.left if s.reason and any(s.reason.startswith(name) for name in names))
        listed = ", ".join(dict.fromkeys(reading.tap.interface for reading in taps))
        yield Found(
            "tap-deaf",
            (node,),
            f"The taps on {listed} of {node} did not see all that passed, so what is missing there proves nothing",
            mine,
            tuple(f"{reading.problem} (packets/{reading.tap.file})" for reading in taps[:3]),
            (on(node, "tcpdump", "-c", "1", "-ni", taps[0].tap.interface),),
        )


def _of_image(reason: str) -> bool:
    """Whether a reason tells of a program that a pod does not have, or may not run."""
    words = ("not found", "no such file", "permission denied", "not permitted", "exit status 126", "exit status 127")
    from_inside = "(echo-inside) could not be sent" in reason or "tcp-transfer could not be made" in reason
    return "--ipip-pod-image" in reason or (from_inside and any(word in reason.lower() for word in words))


def unequipped(signs: Signs) -> Iterator[Found]:
    """Pods whose image lacks what a probe from inside them runs: ping, curl, nc or head."""
    mine = tuple(s for s in signs.left if _of_image(s.reason))
    if mine:
        reasons = tuple(dict.fromkeys(s.reason[:300] for s in mine))
        pod = next((pod.key for pod in signs.world.pods), "POD")
        namespace, _, name = pod.partition("/")
        yield Found(
            "pod-image-lacks-tools",
            tuple(dict.fromkeys(s.subject for s in mine))[:6],
            "The image of the pods under test cannot run what is asked of it from inside: ping, curl, nc or head",
            mine,
            reasons[:3],
            (kubectl("exec", "-n", namespace, name, "--", "sh", "-c", "command -v ping curl nc head"),),
        )


def unread(signs: Signs) -> Iterator[Found]:
    """Nodes of which nothing could be read: their taps never began, either, and need no cause of their own."""
    for node, state in signs.world.nodes.items():
        if all(isinstance(part, Absent) and part.failed for part in (state.links, state.routes, state.sysctl)):
            yield from _silent(signs, node)


def silent(signs: Signs) -> Iterator[Found]:
    """Nodes of which not everything could be read."""
    for node in signs.nodes:
        yield from _silent(signs, node)


def _silent(signs: Signs, node: str) -> Iterator[Found]:
    folder = re.compile(rf"nodes/{re.escape(node)}(?![\w-]|\.\w)")  # of node-1, not of node-10
    mine = tuple(
        s for s in signs.left if s.reason and (folder.search(s.reason) or s.reason.startswith((f"{node}:", f"{node} ")))
    )
    if mine:
        reasons = tuple(dict.fromkeys(s.reason[:300] for s in mine))
        missing = "one reading is" if len(reasons) == 1 else f"{len(reasons)} readings are"
        sentence = f"{node} did not tell everything that was asked, and {missing} missing"
        yield Found(
            "node-not-read",
            (node,),
            sentence,
            mine,
            reasons[:3],
            (on(node, "true"),),
        )


RULES: tuple[Rule, ...] = (unread, deaf, unequipped, silent)
