"""Any cluster that Calico could make has no difference; any single change to one of its nodes has one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_calico_ipip.model.bird import Bird
from pytest_calico_ipip.model.datastore import Datastore
from pytest_calico_ipip.model.firewall import FilterRule, Firewall
from pytest_calico_ipip.model.judgement import Judgement, Outcome
from pytest_calico_ipip.model.nodestate import Link, NextHop, NodeState, Route
from pytest_calico_ipip.model.world import World
from tests.model.built import datastores, world_of
from tests.model.recordings import judged, judged_later

BOUNDED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
CLEAN = {Outcome.HOLDS, Outcome.MISSING, Outcome.NOT_APPLICABLE}
Step = Callable[[NodeState], NodeState]


@BOUNDED
@given(datastores(), st.sampled_from([1400, 1500, 9000]))
def test_a_node_as_expected_has_no_difference(datastore: Datastore, host_mtu: int) -> None:
    """Of any generation, mode, mask, block size, prefix and MTU; pool disabled or not; addresses borrowed or not."""
    pools_on = not datastore.pools[0].disabled
    bad = [
        one
        for one in everything(world_of(datastore, host_mtu))
        if one.outcome not in CLEAN
        and (pools_on or one.requirement != "POOL-1")
        and not _too_wide(one.requirement, host_mtu)
    ]
    assert bad == []


def everything(world: World) -> list[Judgement]:
    """Today's requirements, and the further ones but those on the datastore alone (its pools are free here)."""
    skipped = ("POOL-2", "NODE-2", "NODE-3", "MTU-3")
    return [*judged(world), *(one for one in judged_later(world) if one.requirement not in skipped)]


def _too_wide(requirement: str, host_mtu: int) -> bool:
    """Felix's fallback of 1460 for the host, or a set ipipMTU, may not fit a small underlay: that is MTU-1's to say."""
    return requirement in ("MTU-1", "MTU-2") and host_mtu == 1400


@BOUNDED
@given(datastores(), st.data())
def test_any_single_change_has_a_difference(datastore: Datastore, data: st.DataObject) -> None:
    """Whatever one of a node's judged properties is changed to, some requirement says so, on that node alone."""
    if datastore.pools[0].disabled:
        datastore = replace(datastore, pools=(replace(datastore.pools[0], disabled=False), *datastore.pools[1:]))
    world = world_of(datastore)
    name = data.draw(st.sampled_from(world.selected), "node")
    before = _failing(world)
    step = data.draw(st.sampled_from(steps(world, name)), "change")
    changed = replace(world, nodes={**world.nodes, name: step[1](world.nodes[name])})
    new = _failing(changed) - before
    assert new, f"{step[0]} on {name} is not found"
    assert {subject for _, subject in new} == {name}


def _failing(world: World) -> set[tuple[str, str]]:
    return {(one.requirement, one.subject) for one in everything(world) if one.outcome not in CLEAN}


def steps(world: World, name: str) -> list[tuple[str, Step]]:
    """Every single change that can be made to this node, named."""
    found: list[tuple[str, Step]] = []
    state, expectation = world.nodes[name], world.expected[name]
    assert isinstance(state.links, tuple)
    assert isinstance(state.routes, tuple)
    wanted = {route.destination for route in expectation.routes if route.requirement}
    destinations = [route.destination for route in state.routes if route.table == "main"]
    for place, route in enumerate(state.routes):
        if destinations.count(route.destination) > 1:
            # CNI's beside Felix's: either may go
            found += [
                (f"{route.text} {text}", _route_at(place, new)) for text, new in _wrong(route) if new.table == "main"
            ]
        elif route.destination in wanted:
            found.append((f"no {route.text}", _routes(lambda routes, at=place: routes[:at] + routes[at + 1 :])))
            found += [(f"{route.text} {text}", _route_at(place, new)) for text, new in _wrong(route)]
            if route.scope != "link":  # who programmed a pod's route is free
                found.append((f"{route.text} static", _route_at(place, replace(route, protocol="static"))))
                twice = replace(route, metric=route.metric + 7)
                found.append((f"{route.text} twice", _routes(lambda routes, new=twice: (*routes, new))))
    for destination in ("10.233.127.0/24", "10.233.127.9/32", "10.233.64.0/18"):
        foreign = Route("unicast", IPv4Network(destination), next_hops=(NextHop(None, "ens192"),), text=destination)
        found.append((f"foreign {destination}", _routes(lambda routes, new=foreign: (*routes, new))))
    found.append(("no default route", _routes(lambda routes: tuple(r for r in routes if r.destination.prefixlen))))
    for link in state.links:
        for text, fields in _wrong_link(link, [local.interface for local in expectation.pods]):
            found.append((f"{link.name} {text}", _link(link.name, fields)))
    assert not isinstance(state.sysctl, type(None))
    for key in dict(state.sysctl):  # type: ignore[arg-type]
        found.append((f"{key} = 0", lambda s, key=key: replace(s, sysctl={**s.sysctl, key: "0"})))
    found += _inside(world, name)
    if not expectation.node.configuration.bpf:
        found += _filtered(world, name)
    found += _sessions(world, name)
    return found


def _filtered(world: World, name: str) -> list[tuple[str, Step]]:
    """Changes to Calico's rules about IPIP, and to the set that they name."""
    (firewall,) = world.nodes[name].firewalls
    assert isinstance(firewall, Firewall)
    base, own = firewall.chains
    jump, (accept, drop) = firewall.chains[base], firewall.chains[own]
    (hosts,) = firewall.sets
    members = firewall.sets[hosts]
    assert isinstance(members, tuple)
    foreign = FilterRule("drop", protocol="4", conditions=("-s", "10.7.120.11/32"))
    rules = {
        "nobody accepted": {base: jump, own: (drop,)},
        "nobody dropped": {base: jump, own: (accept,)},
        "the wrong way round": {base: jump, own: (drop, accept)},
        "not reached": {base: (), own: (accept, drop)},
        "somebody's rule first": {base: (foreign, *jump), own: (accept, drop)},
        "accepted from anywhere": {base: jump, own: (replace(accept, source_set=""), drop)},
    }
    changed = [(text, replace(firewall, chains=chains)) for text, chains in rules.items()]
    changed += [
        ("a host less", replace(firewall, sets={hosts: members[1:]})),
        ("a host more", replace(firewall, sets={hosts: (*members, IPv4Network("192.0.2.1"))})),
        ("no set", replace(firewall, sets={})),
        ("packets dropped", replace(firewall, after={base: jump, own: (accept, replace(drop, packets=1))})),
    ]
    return [(text, lambda state, new=new: replace(state, firewalls=(new,))) for text, new in changed]


def _sessions(world: World, name: str) -> list[tuple[str, Step]]:
    """A session of BIRD's that is down. (What a peer holds is found on the node that it came from.)"""
    bird = world.nodes[name].bird
    assert isinstance(bird, Bird)
    assert isinstance(bird.protocols, tuple)
    gone = {node.address.ip for node in world.datastore.nodes.values() if not node.ready and node.address}  # type: ignore
    found: list[tuple[str, Step]] = []
    for place, session in enumerate(bird.protocols):
        if session.kind == "BGP" and session.peer not in gone:
            rest = (*bird.protocols[:place], *bird.protocols[place + 1 :])
            for text, protocols in (
                ("gone", rest),
                ("down", (*rest, replace(session, state="start", info="Active"))),
            ):
                new = replace(bird, protocols=protocols)
                found.append((f"{session.name} {text}", lambda state, new=new: replace(state, bird=new)))
    return found


def _wrong(route: Route) -> list[tuple[str, Route]]:
    changed = [("unreachable", replace(route, type="unreachable", next_hops=()))]
    if route.next_hops:
        hop = route.next_hops[0]
        another = IPv4Address("10.7.122.77")
        changed += [
            ("elsewhere", replace(route, next_hops=(replace(hop, gateway=another),))),
            ("by another device", replace(route, next_hops=(replace(hop, device="eth9"),))),
            ("ECMP", replace(route, next_hops=(hop, replace(hop, gateway=another)))),
            ("in another table", replace(route, table="99")),
        ]
    return changed


def _wrong_link(link: Link, interfaces: list[str]) -> list[tuple[str, dict[str, object]]]:
    down = tuple(flag for flag in link.flags if flag != "UP")
    if link.name == "tunl0":
        return [
            ("MTU", {"mtu": link.mtu + 1}),
            ("down", {"flags": down}),
            ("kind", {"kind": "gre"}),
            ("local", {"tunnel_local": "10.7.120.11"}),
            ("TTL", {"tunnel_ttl": 64}),
            *([("without address", {"addresses": ()})] if link.addresses else []),
            ("renamed", {"name": "tunl9"}),
            ("with a second address", {"addresses": (*link.addresses, IPv4Interface("10.8.8.8/32"))}),
        ]
    if link.name in interfaces:
        return [
            ("MTU", {"mtu": link.mtu + 1}),
            ("down", {"flags": down}),
            ("kind", {"kind": "dummy"}),
            ("MAC", {"mac": "02:00:00:00:00:09"}),
            ("renamed", {"name": "calix"}),
        ]
    return []


def _inside(world: World, name: str) -> list[tuple[str, Step]]:
    """Changes inside the namespaces of the pods under test."""
    found: list[tuple[str, Step]] = []
    for number, local in enumerate(world.expected[name].pods):
        if not local.pod.under_test:
            continue
        inside = f"cni-{number}"
        for text, fields in (
            ("address", {"addresses": (IPv4Interface(f"{local.address + 256}/32"),)}),
            ("prefix", {"addresses": (IPv4Interface(f"{local.address}/24"),)}),
            ("peer index", {"peer_index": 99}),
            ("down", {"flags": ()}),
            ("MTU", {"mtu": 1280}),
        ):
            found.append((f"{inside} eth0 {text}", _namespace_link(inside, fields)))
        found.append((f"{inside} routes", lambda s, i=inside: _namespace(s, i, routes=s.namespaces[i].routes[1:])))
        found.append((f"{inside} id", lambda s, n=number: replace(s, namespace_ids={**s.namespace_ids, n: "cni-99"})))
    return found


def _routes(change: Callable[[tuple[Route, ...]], tuple[Route, ...]]) -> Step:
    return lambda state: replace(state, routes=change(state.routes))  # type: ignore[arg-type]


def _route_at(place: int, new: Route) -> Step:
    return _routes(lambda routes: (*routes[:place], new, *routes[place + 1 :]))


def _link(name: str, fields: dict[str, object]) -> Step:
    def step(state: NodeState) -> NodeState:
        links = tuple(replace(one, **fields) if one.name == name else one for one in state.links)  # type: ignore
        return replace(state, links=links)

    return step


def _namespace(state: NodeState, name: str, **fields: object) -> NodeState:
    changed = replace(state.namespaces[name], **fields)  # type: ignore[arg-type]
    return replace(state, namespaces={**state.namespaces, name: changed})


def _namespace_link(name: str, fields: dict[str, object]) -> Step:
    def step(state: NodeState) -> NodeState:
        links = state.namespaces[name].links
        changed = tuple(replace(one, **fields) if one.name == "eth0" else one for one in links)  # type: ignore
        return _namespace(state, name, links=changed)

    return step
