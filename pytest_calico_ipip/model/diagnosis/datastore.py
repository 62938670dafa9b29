"""Causes in Calico's own objects: pools, blocks, affinities, node annotations, who owns the routes."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from pytest_calico_ipip.model.checks.owner import NO_BIRD
from pytest_calico_ipip.model.diagnosis.cause import Found, kubectl, on
from pytest_calico_ipip.model.diagnosis.signs import Rule, Signs

_BY_HAND = ("boot", "static")  # protocols of a route that nobody announces: neither BIRD nor Felix made it
_NOT_IPIPS = {"Disabled", "EnabledNoEncapOnly"}  # values of programClusterRoutes that leave IPIP's routes to the other
_ROUTES = ("ROUTE-2", "ROUTE-3", "ROUTE-4", "ROUTE-5", "ROUTE-6")


def pool(signs: Signs) -> Iterator[Found]:
    """The pool that pods' addresses come from is off, or is none of IPIP."""
    kind = f"ippools.{signs.store.group}"
    for each in signs.store.pools:
        own = [s for s in signs.of("POOL-1") if s.what.startswith(f"pool {each.name} ({each.cidr}) of ")]
        if not own:
            continue
        file, show = f"api/{kind}.json", kubectl("get", kind, each.name, "-o", "yaml")
        # Calico withdraws the routes of a pool that is disabled or not IPIP's
        gone = [s for s in signs.of(*_ROUTES) if s.network is not None and s.network.subnet_of(each.cidr)]
        also = (*own, *(s for s in gone if s.observed == "no route"), *signs.of("POD-1"))
        said = f"{each.name} ({each.cidr}): disabled {str(each.disabled).lower()}, ipipMode {each.ipip_mode}"
        evidence = (f"{said}, vxlanMode {each.vxlan_mode} ({file})",)
        if each.disabled:
            sentence = f"The IP pool {each.name} ({each.cidr}) is disabled, and running pods have addresses from it"
            yield Found("pool-disabled", (each.name,), sentence, also, evidence, (show,))
        elif each.vxlan_mode not in ("", "Never"):
            sentence = f"The IP pool {each.name} ({each.cidr}) has vxlanMode {each.vxlan_mode}: VXLAN in IPIP's place"
            # VXLAN takes more room than IPIP, so that pods made before are too large for it
            also = (*also, *signs.of("MTU-2"))
            yield Found("pool-vxlan", (each.name,), sentence, also, evidence, (show,))
        elif not each.ipip:
            sentence = f"The IP pool {each.name} ({each.cidr}) has ipipMode {each.ipip_mode}: nothing is encapsulated"
            yield Found("pool-not-ipip", (each.name,), sentence, also, evidence, (show,))


def pools_apart(signs: Signs) -> Iterator[Found]:
    """Pools or blocks that overlap, blocks of another size than their pool's."""
    kinds = {
        "pool that overlaps": "pools-overlap",
        "block that overlaps": "blocks-overlap",
        "block ": "block-misplaced",
    }
    for symptom in signs.of("POOL-2"):
        if symptom not in signs.left:
            continue
        ident = next((ident for start, ident in kinds.items() if symptom.what.startswith(start)), "")
        if ident:
            plural = "ippools" if ident == "pools-overlap" else "ipamblocks"
            sentence = {
                "pools-overlap": f"Two IP pools overlap: the {symptom.what} is {symptom.observed}",
                "blocks-overlap": f"Two IPAM blocks overlap: the {symptom.what} is {symptom.observed}",
                "block-misplaced": f"The {symptom.what} does not fit its pool: it is {symptom.observed}",
            }[ident]
            show = kubectl("get", f"{plural}.{signs.store.group}", "-o", "wide")
            # the one that does not belong there mostly has another size, too
            both = {f"block {symptom.last}", f"block {symptom.observed}"} if ident == "blocks-overlap" else set()
            also = (s for s in signs.of("POOL-2") if s.what in both)
            yield Found(ident, ("cluster",), sentence, (symptom, *also), (symptom.fact(),), (show,))


def announced_twice(signs: Signs) -> Iterator[Found]:
    """One block, two nodes that say it is theirs: in the affinities, or by a blackhole route on both."""
    kind = f"blockaffinities.{signs.store.group}"
    for block in signs.store.blocks:
        owners = [a.node for a in signs.store.affinities if a.cidr == block.cidr and not a.deleted]
        holes = [
            name
            for name in signs.nodes
            if any(
                r.type == "blackhole" and r.destination == block.cidr and r.protocol not in _BY_HAND
                for r in signs.routes(name)
            )
        ]
        claiming = tuple(dict.fromkeys([*owners, *holes]))
        if len(claiming) < 2:
            continue
        pool3 = (s for s in signs.of("POOL-3") if str(block.cidr) in s.what.split())
        routes = (s for s in signs.of(*_ROUTES) if s.network is not None and s.network.subnet_of(block.cidr))
        bgp = (s for s in signs.of("BGP-2") if str(block.cidr) in f"{s.what} {s.observed}".split())
        # a node that takes the block for its own also refuses what comes from there by the tunnel
        legs = [
            s
            for s, leg in signs.packets()
            if (leg.destination in block.cidr and (s.astray or s.broken is not None))
            or (leg.source in block.cidr and leg.destination_node in claiming and s.broken_within(leg.destination_node))
        ]
        direct = (*pool3, *routes, *bgp)
        if not direct:
            continue
        evidence = [f"{block.cidr} has affinities of {', '.join(owners)} (api/{kind}.json)"] if len(owners) > 1 else []
        evidence += [f"blackhole {block.cidr} (nodes/{name}/ip-route.json)" for name in holes] if len(holes) > 1 else []
        yield Found(
            "block-announced-twice",
            (str(block.cidr), *claiming),
            f"Both {' and '.join(claiming)} take {block.cidr} for their own and announce it: "
            "packets for its pods go to either of them",
            (*direct, *legs),
            tuple(evidence[:3]),
            (kubectl("get", kind, "-o", "wide"), on(claiming[0], "ip", "route", "show", "exact", str(block.cidr))),
        )


def affinities(signs: Signs) -> Iterator[Found]:
    """A block of a node that is gone, without a confirmed affinity, or of nobody."""
    kind = f"blockaffinities.{signs.store.group}"
    show = (kubectl("get", kind, "-o", "wide"),)
    for block in signs.store.blocks:
        own = [s for s in signs.of("POOL-3") if str(block.cidr) in s.what.split()]
        also = [s for s in signs.of(*_ROUTES) if s.network is not None and s.network.subnet_of(block.cidr)]
        also += [s for s in signs.of("BGP-2") if str(block.cidr) in f"{s.what} {s.observed}".split()]
        held = [s for s in own if s.what.startswith("affinities")]
        host, subjects = block.host, (str(block.cidr),)
        if block.deleted:
            continue
        if host is not None and signs.store.nodes and host not in signs.store.nodes and (own or also):
            sentence = f"The block {block.cidr} belongs to {host}, which is no node of the cluster (any more)"
            facts = tuple(s.fact() for s in (*own[:2], *also[:1]))
            yield Found("block-of-no-node", subjects, sentence, (*own, *also), facts, show)
        elif host is None and block.allocations and also:
            sentence = f"The block {block.cidr} has addresses given away and belongs to no node"
            facts = (f"{block.cidr}: affinity {block.affinity or 'none'}, {len(block.allocations)} allocations",)
            yield Found("block-of-nobody", subjects, sentence, tuple(also), (*facts, also[0].fact()), show)
        elif held and held[0].observed == "none":
            sentence = f"The block {block.cidr} has no affinity: nothing says that {host} may use and announce it"
            yield Found("affinity-missing", subjects, sentence, (*own, *also), (held[0].fact(),), show)
        elif held:
            sentence = f"The affinity of block {block.cidr} is not a confirmed one of {host}: {held[0].observed}"
            yield Found("affinity-not-confirmed", subjects, sentence, (*own, *also), (held[0].fact(),), show)


def orphans(signs: Signs) -> Iterator[Found]:
    """Running pods whose addresses lie in no block: IPAM has lost them."""
    if "ipamblocks" in signs.store.absent:
        return
    pods = [pod for pod in signs.store.workloads() if pod.ip is not None and signs.store.block_of(pod.ip) is None]
    addresses = [pod.ip for pod in pods if pod.ip is not None]
    own = [s for s in signs.of(*_ROUTES) if s.network is not None and any(a in s.network for a in addresses)]
    if own:
        names = ", ".join(pod.key for pod in pods[:3])
        sentence = f"IPAM has no block for the addresses of running pods ({names}): the block is gone"
        facts = (f"{pods[0].key} has {pods[0].ip} (api/pods.json), which is in no block", *(s.fact() for s in own[:1]))
        show = kubectl("get", f"ipamblocks.{signs.store.group}")
        yield Found("pods-without-block", tuple(pod.key for pod in pods)[:6], sentence, tuple(own), facts, (show,))


def node_address(signs: Signs) -> Iterator[Found]:
    """A node's IPv4Address annotation is unset, another node's, or on none of its devices."""
    for symptom in signs.of("NODE-1"):
        node = symptom.subject
        if symptom not in signs.left:
            continue
        known, show = signs.known(node), kubectl("get", "node", node, "-o", "yaml")
        address = signs.address(node)
        same = tuple(n for n in signs.store.nodes if address is not None and signs.address(n) == address)
        own = {s for name in (same or (node,)) for s in signs.of("NODE-1", "NODE-2", on=name)}
        # what others send to this address goes nowhere, or to somebody else, and its own packets may be refused
        blocks = [block.cidr for block in signs.store.blocks if block.host in (node, *same)]
        towards = {
            s
            for s in signs.of("ROUTE-2", "ROUTE-4", "ROUTE-5", "ROUTE-6")
            if s.subject == node or (s.network is not None and any(s.network.subnet_of(cidr) for cidr in blocks))
        }
        towards |= {*signs.of("SEC-1", "BGP-1"), *signs.of("SEC-2", "BGP-2", "MTU-1", "MTU-2", on=node)}
        concerned = {node, *same}
        legs = [s for s, leg in signs.packets() if concerned & {leg.source_node, leg.destination_node} and not s.lost]
        every = (*own, *towards, *legs)
        if address is None:
            said = f'says "{known.address_text}"' if known is not None and known.address_text else "is not set"
            sentence = f"{node} has no address for Calico: its annotation projectcalico.org/IPv4Address {said}"
            yield Found("node-address-unset", (node,), sentence, every, (symptom.fact(),), (show,))
        elif len(same) > 1:
            sentence = f"{' and '.join(same)} have the same IPv4Address annotation, {address}"
            yield Found("node-address-duplicate", same, sentence, every, (symptom.fact(),), (show,))
        elif "," in symptom.observed:
            sentence = f"{node} has its address {address} on several devices: {symptom.observed}"
            look = on(node, "ip", "-br", "-4", "address")
            yield Found("node-address-twice", (node,), sentence, (symptom,), (symptom.fact(),), (look,))
        else:
            sentence = (
                f"{node} is {address} for Calico, and {symptom.observed} of its up devices has that address: "
                "the address was autodetected wrongly, or has changed since"
            )
            look = on(node, "ip", "-br", "-4", "address")
            yield Found("node-address-elsewhere", (node,), sentence, every, (symptom.fact(),), (look, show))


def tunnel_address(signs: Signs) -> Iterator[Found]:
    """A node's tunnel address as the datastore has it: unset, another's too, in no IPIP pool, not allocated."""
    for symptom in signs.of("NODE-3"):
        node = symptom.subject
        known = signs.known(node)
        if known is None or symptom not in signs.left:
            continue
        show, address = kubectl("get", "node", node, "-o", "yaml"), known.tunnel_address
        same = tuple(n.name for n in signs.store.nodes.values() if address is not None and n.tunnel_address == address)
        related = {s for name in (same or (node,)) for s in signs.of("NODE-3", "TUN-2", on=name)}
        related |= {s for s in signs.of("PATH-7") if set(s.subject.split(":")) & set(same or (node,))}
        if address is None:
            sentence = f"{node} has no tunnel address: its annotation projectcalico.org/IPv4IPIPTunnelAddr is not set"
            yield Found("tunnel-address-unset", (node,), sentence, tuple(related), (symptom.fact(),), (show,))
        elif len(same) > 1:
            sentence = f"{' and '.join(same)} have the same tunnel address, {address}"
            routes = {s for s in signs.of("ROUTE-4", "ROUTE-5") if s.network == IPv4Network(address)}
            yield Found("tunnel-address-duplicate", same, sentence, (*related, *routes), (symptom.fact(),), (show,))
        elif "IPAM" in symptom.what:
            sentence = (
                f"The tunnel address {address} of {node} is allocated to {symptom.observed} in IPAM: a pod may get it"
            )
            get = kubectl("get", f"ipamblocks.{signs.store.group}", "-o", "yaml")
            yield Found("tunnel-address-not-allocated", (node,), sentence, tuple(related), (symptom.fact(),), (get,))
        else:
            sentence = f"The tunnel address {address} of {node} is in no IPIP pool"
            pools = kubectl("get", f"ippools.{signs.store.group}")
            yield Found(
                "tunnel-address-outside-pool", (node,), sentence, tuple(related), (symptom.fact(),), (pools, show)
            )


def owner(signs: Signs) -> Iterator[Found]:
    """Felix and BIRD both think, or neither does, that the routes of IPIP are theirs."""
    found = signs.of("POOL-4")
    if not found:
        return
    nodes = tuple(dict.fromkeys(s.subject for s in found))
    nobody = any(
        s.observed.endswith(NO_BIRD) or ("/" in s.observed and set(s.observed.split("/")) <= _NOT_IPIPS) for s in found
    )
    show = kubectl(
        "get", f"felixconfigurations.{signs.store.group},bgpconfigurations.{signs.store.group}", "-o", "yaml"
    )
    both = " (Felix/BGP)" if "/" in found[0].observed else ""
    said = f"programClusterRoutes is {found[0].observed}{both} on {', '.join(nodes)}"
    if nobody:
        missing = [s for s in signs.of(*_ROUTES) if s.observed == "no route" or s.requirement == "ROUTE-5"]
        legs = [s for s, leg in signs.packets() if leg.source_node in nodes and (s.astray or s.broken is not None)]
        sentence = f"Nobody programs the routes of IPIP: {said}"
        # what one of them has written before is nobody's now, until it is withdrawn
        missing += signs.of("ROUTE-7")
        symptoms = (*found, *(s for s in missing if s.subject in nodes), *legs)
        yield Found("routes-without-owner", nodes, sentence, symptoms, (found[0].fact(),), (show,))
        return
    sentence = f"Felix and BIRD do not agree on who programs the routes of IPIP: {said}"
    also = (s for s in signs.of("ROUTE-7") if s.subject in nodes)
    yield Found("route-owners-disagree", nodes, sentence, (*found, *also), (found[0].fact(),), (show,))


RULES: tuple[Rule, ...] = (
    pool,
    owner,
    node_address,
    announced_twice,
    affinities,
    orphans,
    tunnel_address,
    pools_apart,
)
