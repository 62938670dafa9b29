"""What the checks say where a pod goes past its gateway, or IPIP's pools do not hold the pods at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_calico_ipip.model.checks import pods
from pytest_calico_ipip.model.judgement import Outcome
from tests.model.changes import calico, inside, together
from tests.model.recordings import ALWAYS, N2, copied, world
from tests.model.test_changed_recordings import POD


def nobody(_rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """No neighbour entry."""
    return []


def elsewhere(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The default route by another gateway."""
    return [{**row, "gateway": "169.254.1.2"} if row["dst"] == "default" else row for row in rows]


def off(items: list[dict[str, Any]]) -> None:
    """Pools without IPIP."""
    for item in items:
        item["spec"]["ipipMode"] = "Never"


def test_a_pod_that_goes_by_another_gateway_need_not_have_asked_for_its_own(tmp_path: Path) -> None:
    """Without a default route by 169.254.1.1 nobody asks for it: that is POD-3's finding, and no lack of evidence."""
    root = copied(ALWAYS, tmp_path / "evidence")
    together(inside(N2, POD, "ip-neigh.json", nobody), inside(N2, POD, "ip-route.json", elsewhere))(root)
    changed = world(root)
    assert pods.default_route(changed, N2).outcome is Outcome.FAILED
    judgement = pods.gateway(changed, N2)
    assert not judgement.missing
    assert "POD-3" in " ".join((judgement.not_applicable, *judgement.notes))


def test_a_pod_that_should_have_asked_is_still_missed(tmp_path: Path) -> None:
    """With its routes as they must be, the lack of an entry is a lack of evidence, not a reason to judge nothing."""
    root = copied(ALWAYS, tmp_path / "evidence")
    inside(N2, POD, "ip-neigh.json", nobody)(root)
    assert pods.gateway(world(root), N2).missing


def test_pods_of_a_pool_without_ipip_are_told_once(tmp_path: Path) -> None:
    """POD-1 says that the pool is none of IPIP's; POD-2, 3 and 4 then have nothing to judge."""
    root = copied(ALWAYS, tmp_path / "evidence")
    calico("ippools", off)(root)
    changed = world(root)
    for check in (pods.address, pods.default_route, pods.gateway):
        judgement = check(changed, N2)
        assert judgement.outcome in (Outcome.NOT_APPLICABLE, Outcome.MISSING), judgement
