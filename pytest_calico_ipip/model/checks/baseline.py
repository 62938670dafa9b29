"""BASE-1: destinations, next hops, devices, MTUs and encapsulation are as in the baseline."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_calico_ipip.model.absent import Absent, Missing
from pytest_calico_ipip.model.baseline import Baseline, NodeBaseline, node_now
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.expected import TUNNEL_DEVICE

NOT_ASKED = "no baseline is given (--ipip-baseline FILE)"
_ADDR = "ip-addr.json"


@node_check("BASE-1")
def unchanged(case: Case) -> None:
    """A node decides, wraps and sends as it did when the baseline was made; who wrote its routes is free."""
    world = case.world
    before = world.baseline
    if before is None:
        case.not_applicable(NOT_ASKED)
        return
    case.datastore.need("ippools", "ipamblocks")
    was = before.nodes.get(case.node)
    if was is None:
        _unknown(case, before)
        return
    blocks = {str(block.cidr): block.host for block in case.datastore.blocks if not block.deleted and block.host}
    now = node_now(world, case.node, {block: blocks.get(block, "") for block in before.blocks})
    _devices(case, was, now)
    _routes(case, before, was, now, blocks)
    _sends(case, was, now)
    if before.broken:
        case.note(f"the baseline was made while {', '.join(before.broken)} did not hold")


def _unknown(case: Case, before: Baseline) -> None:
    if not set(before.nodes) & set(case.world.selected):
        raise Missing(Absent(f"the baseline knows none of these nodes: it has {_some(before.nodes)}", failed=True))
    case.not_applicable(f"{case.node} is not in the baseline")


def _some(names: Mapping[str, object]) -> str:
    shown = list(names)[:5]
    return (", ".join(shown) or "no node") + (" …" if len(names) > len(shown) else "")


def _devices(case: Case, was: NodeBaseline, now: NodeBaseline) -> None:
    nic = now.underlay or was.underlay
    _compare(case, "underlay NIC", was.underlay, now.underlay, _ADDR)
    _compare(case, f"{nic} MTU", _number(was.underlay_mtu), _number(now.underlay_mtu), _ADDR)
    _compare(case, f"{TUNNEL_DEVICE} MTU", _number(was.tunnel_mtu), _number(now.tunnel_mtu), _ADDR)
    _compare(case, "MTU of new pods", _numbers(was.pod_mtus), _numbers(now.pod_mtus), _ADDR)


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _numbers(values: tuple[int, ...]) -> str | None:
    return ", ".join(map(str, values)) or None


def _routes(
    case: Case, before: Baseline, was: NodeBaseline, now: NodeBaseline, blocks: Mapping[str, str | None]
) -> None:
    """Blocks that are still where they were; one that came, went or moved has no "before"."""
    if was.routes is None:
        return
    if now.routes is None:
        raise Missing(Absent(f"the routes of {case.node}", failed=False))
    for block, host in before.blocks.items():
        if block not in was.routes:
            continue
        if blocks.get(block) != host:
            gone = f"moved to {blocks[block]}" if block in blocks else "is gone"
            case.note(f"not compared: block {block} of {host} {gone}")
            continue
        observed = now.routes.get(block, ())
        _compare(case, f"route to {block}", _ways(was.routes[block]), _ways(observed), "ip-route.json")
    for block in sorted(set(blocks) - set(before.blocks)):
        case.note(f"not compared: block {block} of {blocks[block]} is new")


def _ways(ways: tuple[str, ...]) -> str:
    return "; ".join(ways) or "no route"


def _sends(case: Case, was: NodeBaseline, now: NodeBaseline) -> None:
    for other, carried in was.sends.items():
        if other in case.world.selected:
            _compare(case, f"packets to pods on {other}", carried, now.sends.get(other), "")


def _compare(case: Case, what: str, was: str | None, now: str | None, file: str) -> None:
    if was is None:
        return
    if now is None:
        case.lack(Absent(f"{case.node} {what}, to compare with the baseline", failed=False))
        return
    note = f"the baseline has {was}"
    case.compare(f"{case.node} {what}", was, now, case.reading(file) if file else None, note)
