"""POOL-4 and ROUTE-7: who programs IPIP routes, and whether the routes are that owner's."""

from __future__ import annotations

from typing import Literal

from pytest_calico_ipip.model.absent import Absent, Missing
from pytest_calico_ipip.model.checks.case import Case, node_check
from pytest_calico_ipip.model.checks.matching import BIRD, ROUTES, main_routes, matches, nic_name, settled
from pytest_calico_ipip.model.datastore import Release
from pytest_calico_ipip.model.protocols import protocol_name

# (FelixConfiguration, BGPConfiguration) programClusterRoutes, defaults filled in (design/cluster-route-programming)
_LEGAL_332 = {("Disabled", "Enabled"), ("Enabled", "Disabled")}
_LEGAL_333 = _LEGAL_332 | {("EnabledIPIPOnly", "EnabledNoEncapOnly"), ("EnabledNoEncapOnly", "EnabledIPIPOnly")}
_FELIX = ("Enabled", "EnabledIPIPOnly")  # in FelixConfiguration: the routes of IPIP are Felix's
NO_BIRD = "BIRD does not run"


def _release(case: Case) -> Release:
    release = case.expected.node.release
    if isinstance(release, str):
        said = f'"{release}"' if release else "not told"
        raise Missing(Absent(f"Calico's release on {case.node}: it is {said}", failed=bool(release)))
    return release


def _pair(case: Case, release: Release) -> tuple[str, str]:
    """Both settings, with the release's default where one is not set."""
    configuration = case.expected.node.configuration
    late = release.at_least(3, 33)
    felix = configuration.felix_programs or ("EnabledIPIPOnly" if late else "Disabled")
    bgp = configuration.bgp_programs or ("EnabledNoEncapOnly" if late else "Enabled")
    return felix, bgp


def owner(case: Case) -> Literal["bird", "felix"]:
    """Who programs the routes of IPIP pools on this node. Raises `Missing` where the release is not known."""
    release = _release(case)
    if not release.at_least(3, 31):
        return "bird"
    return "felix" if _pair(case, release)[0] in _FELIX else "bird"


@node_check("POOL-4")
def one_owner(case: Case) -> None:
    """FelixConfiguration and BGPConfiguration name one owner for IPIP routes: a legal pair of the node's release."""
    case.datastore.need("felixconfigurations", "bgpconfigurations")
    release = _release(case)
    configuration = case.expected.node.configuration
    reading = case.api("felixconfigurations")
    what = f"{case.node} programClusterRoutes ({release.text})"
    if configuration.without_bird:
        # BGPConfiguration is nobody's to read; before v3.31 Felix cannot either
        felix = _pair(case, release)[0] if release.at_least(3, 31) else "not known to this release"
        if felix not in _FELIX:
            case.differ(what, f"{' or '.join(_FELIX)} in FelixConfiguration", f"{felix}, and {NO_BIRD}", reading)
        else:
            case.hold()
        return
    if not release.at_least(3, 32):
        # nothing reads a counterpart in BGPConfiguration; before v3.31 Felix has no such setting either
        allowed = ("", "Disabled")
        wanted = "Disabled or not set in FelixConfiguration"
        observed = wanted if configuration.felix_programs in allowed else configuration.felix_programs
        case.compare(what, wanted, observed, reading)
        return
    pair = _pair(case, release)
    legal = _LEGAL_333 if release.at_least(3, 33) else _LEGAL_332
    if pair in legal:
        case.hold()
        return
    wanted = " or ".join(f"{felix}/{bgp}" for felix, bgp in sorted(legal))
    note = (
        "Felix/BGP, defaults filled in: another pair programs a route twice or not at all, and Calico does not say so"
    )
    case.differ(what, wanted, "/".join(pair), reading, note)


@node_check("ROUTE-7")
def owners_protocol(case: Case) -> None:
    """IPIP routes carry the protocol of the owner that POOL-4 names, and none is left from the other."""
    case.datastore.need("ippools", "ipamblocks", "felixconfigurations", "pods")
    if case.expected.node.configuration.wireguard:
        case.not_applicable("wireguardEnabled: WireGuard carries what goes to other nodes")
        return
    protocol = BIRD if owner(case) == "bird" else protocol_name(case.expected.node.configuration.device_route_protocol)
    explained = [route for route in case.expected.routes if route.kind in ("tunnel", "underlay", "blackhole")]
    nic = nic_name(case, explained)
    note = _unfinished(case) or "the other owner's: an upgrade, or a change of the owner, is not finished on this node"
    for route in main_routes(case):
        if settled(case, route.destination) and any(matches(expected, route, nic) for expected in explained):
            what = f"{case.node} protocol of {route.text}"
            case.compare(what, protocol, route.protocol, case.reading(ROUTES), note)
    if not explained:
        case.not_applicable(f"{case.node} needs no IPIP routes")
    elif unfinished := _unfinished(case):
        case.note(unfinished)


def _unfinished(case: Case) -> str:
    """Says which releases run side by side; "" where all nodes run one."""
    found: dict[str, list[str]] = {}
    for node in case.datastore.nodes.values():
        if not isinstance(node.release, str):
            found.setdefault(node.release.text, []).append(node.name)
    if len(found) < 2:
        return ""
    releases = sorted(found, key=lambda text: (len(found[text]), text))
    return f"an upgrade is not finished: {'; '.join(f'{one} on {_some(found[one])}' for one in releases)}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
