"""Whatever fails, in whatever words, on whatever evidence: a diagnosis comes, and every failure is in it."""

from __future__ import annotations

import pytest

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.catalogue import REQUIREMENTS
from pytest_calico_ipip.model.diagnosis import diagnose
from pytest_calico_ipip.model.judgement import Difference, Judgement, Reading
from pytest_calico_ipip.model.world import World
from tests.model.recordings import ALWAYS, N1, N2, RECORDED, world
from tests.model.wire_scene import healthy

NOTHING = Absent("nothing was read", failed=True)
EMPTY = World(NOTHING, {}, {}, NOTHING, NOTHING, ())
WORDS = (
    *("", " ", "x", "a/b eth0 MTU", "route to 10.0.0.0/8", "net.ipv4.ip_forward", "tunl0 MTU", "host x of block"),
    *("flag UP", "tunl0 kind", "TTL", "local", "BIRD", "BGP session with ?", "input chain", "packets dropped by"),
    *("echo (icmp id 1 seq 1) from a to b", "link type at x", "a/b workload interface", ".proxy_arp", "IPAM: x"),
)


@pytest.mark.parametrize(
    ("where", "every"),
    [
        ("empty", 7),
        ("recorded", 7),
        *(pytest.param(one, 1, marks=pytest.mark.thorough) for one in ("recorded", "wire")),
    ],
)
def test_any_failure_in_any_words(where: str, every: int) -> None:
    """No rule raises, and all failures are explained or listed."""
    here = {"empty": lambda: EMPTY, "recorded": lambda: world(RECORDED / ALWAYS), "wire": lambda: healthy().world()}
    judged = [
        Judgement(ident, subject, differences=(Difference(word, expected, observed, reading),))
        for ident in (*REQUIREMENTS, "ODD-1")
        for subject in ("cluster", N1, f"{N1}:{N2}", "gone", "")
        for word in WORDS
        for expected, observed, reading in (("", "", None), ("1", "no such device", Reading("nodes/x/ip-addr.json")))
    ]
    subject = here[where]()
    judged = judged[::every]  # no divisor of the words' number: each has its turn
    for judgement in judged:  # alone, too: in company an earlier rule may take what another would stumble over
        (explained,) = {pair for cause in diagnose(subject, [judgement]) for pair in cause.explains}
        assert explained == (judgement.requirement, judgement.subject)
    causes = diagnose(subject, judged)
    assert {(one.requirement, one.subject) for one in judged} == {pair for cause in causes for pair in cause.explains}


def test_errors_alone_are_no_failures() -> None:
    """What could not be judged, for a reason that no tap or node gave, names no cause."""
    judged = [Judgement("PATH-1", f"{N1}:{N2}", inconclusive=("something else happened",))]
    assert diagnose(healthy().world(), judged) == ()
