"""What `ip -j` prints → the model's records: one row a function; a field that is missing takes its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

from pytest_calico_ipip.judge.values import address, boolean, mapping, network, number, sequence, text
from pytest_calico_ipip.model import protocols
from pytest_calico_ipip.model.nodestate import Decision, Link, Neighbour, NextHop, Route, Rule

Row = Mapping[str, Any]
_RULE_CONDITIONS = (
    "not", "fwmark", "fwmask", "iif", "oif", "tos", "ipproto", "sport", "dport", "sport_start", "dport_start",
    "uid_start", "suppress_prefixlen", "suppress_prefixlength", "suppress_ifgroup", "tun_id", "l3mdev",
)  # fmt: skip
_STACKED = ("vlan", "macvlan", "macvtap", "ipvlan")  # of others `link` is a peer
_RULE_LOOKUPS = ("", "to_tbl", "lookup")
# `ip -N`, and an iproute2 that finds no names in /etc or /usr/share, print numbers (linux/rtnetlink.h)
_PROTOCOLS = {str(number): name for number, name in protocols.NAMES.items()}
_TABLES = {"253": "default", "254": "main", "255": "local"}
_SCOPES = {"0": "global", "200": "site", "253": "link", "254": "host", "255": "nowhere"}


def link(row: Row) -> Link:
    """One row of `ip -j -d addr`."""
    info = mapping(row.get("linkinfo"))
    data = mapping(info.get("info_data"))
    ttl = data.get("ttl")
    return Link(
        index=number(row.get("ifindex")) or 0,
        name=text(row.get("ifname")),
        kind=text(info.get("info_kind")),
        mtu=number(row.get("mtu")) or 0,
        flags=tuple(text(flag) for flag in sequence(row.get("flags"))),
        operstate=text(row.get("operstate")),
        mac=text(row.get("address")).lower(),
        addresses=tuple(_addresses(row)),
        peer_index=number(row.get("link_index")),
        peer_netnsid=number(row.get("link_netnsid")),
        tunnel_local=text(data.get("local")),
        tunnel_remote=text(data.get("remote")),
        tunnel_ttl=0 if ttl == "inherit" else number(ttl),
        path_mtu_discovery=boolean(data.get("pmtudisc")),
        peer_namespace=text(row.get("link_netns")),
        detailed="linkinfo" in row or "promiscuity" in row,
        master=text(row.get("master")),
        parent=text(row.get("link")) if info.get("info_kind") in _STACKED else "",
    )


def _addresses(row: Row) -> list[IPv4Interface]:
    found = []
    for item in sequence(row.get("addr_info")):
        entry = mapping(item)
        local, length = address(entry.get("local")), number(entry.get("prefixlen"))
        if entry.get("family") in ("inet", None) and local is not None and length is not None and 0 <= length <= 32:
            found.append(IPv4Interface((local, length)))
    return found


def route(row: Row) -> Route | None:
    """One row of `ip -j -d route show table all`; None for IPv6."""
    destination = IPv4Network("0.0.0.0/0") if row.get("dst") == "default" else network(row.get("dst"))
    if destination is None or _version_six(row):
        return None
    kind = text(row.get("type")) or "unicast"
    # made by hand from `route -n`, a row says nothing but destination, gateway and device
    full = any(key in row for key in ("type", "table", "protocol"))
    hops = [_next_hop(mapping(hop), full) for hop in sequence(row.get("nexthops"))]
    if not hops and ("dev" in row or "gateway" in row or "via" in row):
        hops = [_next_hop(row, full)]
    metrics = mapping(next(iter(sequence(row.get("metrics"))), None))
    found = Route(
        type=kind,
        destination=destination,
        table=_name(row.get("table"), _TABLES) or "main",
        protocol=_name(row.get("protocol"), _PROTOCOLS) or "boot",
        scope=_name(row.get("scope"), _SCOPES) or "global",
        metric=number(row.get("metric")) or 0,
        next_hops=tuple(hops),
        mtu=number(metrics.get("mtu")),
    )
    return replace(found, text=_as_typed(found))


def _version_six(row: Row) -> bool:
    """A default route does not say which family it is of; its gateway, source or preference does."""
    return "pref" in row or any(":" in text(row.get(key)) for key in ("gateway", "prefsrc", "src", "from"))


def _next_hop(row: Row, full: bool) -> NextHop:
    flags = [text(flag) for flag in sequence(row.get("flags"))]
    via = mapping(row.get("via"))
    gateway = address(row.get("gateway")) or address(via.get("host"))
    if via and gateway is None:
        flags.append(f"via {text(via.get('host'))}")  # IPv4 by way of an IPv6 router
    return NextHop(gateway, text(row.get("dev")), tuple(flags), full or bool(flags))


def _name(value: object, known: Mapping[str, str]) -> str:
    """A table, protocol or scope: a name, or a number where nobody has a name for it."""
    word = text(value) or (str(value) if number(value) is not None else "")
    return known.get(word, word)


def _as_typed(route: Route) -> str:
    """The route as `ip route` prints it."""
    destination: object = route.destination
    if route.destination.prefixlen == 0:
        destination = "default"
    elif route.destination.prefixlen == 32:
        destination = route.destination.network_address
    words = [str(destination)] if route.type == "unicast" else [route.type, str(destination)]
    single = len(route.next_hops) == 1
    if single:
        words += _hop_words(route.next_hops[0])
    if route.table != "main":
        words += ["table", route.table]
    if route.protocol != "boot":
        words += ["proto", route.protocol]
    if route.scope != "global":
        words += ["scope", route.scope]
    if route.metric:
        words += ["metric", str(route.metric)]
    if single:
        words += route.next_hops[0].flags
    if route.mtu:
        words += ["mtu", str(route.mtu)]
    if not single:
        for hop in route.next_hops:
            words += ["nexthop", *_hop_words(hop), *hop.flags]
    return " ".join(words)


def _hop_words(hop: NextHop) -> list[str]:
    words = ["via", str(hop.gateway)] if hop.gateway is not None else []
    return [*words, "dev", hop.device] if hop.device else words


def rule(row: Row) -> Rule:
    """One row of `ip -j rule`."""
    action = text(row.get("action"))
    table = _name(row.get("table"), _TABLES)
    conditions = [f"{key} {row[key]}" if row[key] is not None else key for key in _RULE_CONDITIONS if key in row]
    words = [f"from {text(row.get('src')) or 'all'}"]
    for key, length in (("src", "srclen"), ("dst", "dstlen")):
        if key == "dst" and "dst" in row:
            words.append(f"to {text(row['dst'])}")
        if number(row.get(length)) is not None:
            words[-1] += f"/{row[length]}"
    words += conditions
    words.append(f"lookup {table}" if table else action)
    return Rule(
        priority=number(row.get("priority")) or 0,
        table=table,
        text=text(f"{number(row.get('priority')) or 0}: {' '.join(words)}"),
        source=_selector(row, "src"),
        destination=_selector(row, "dst"),
        conditions=tuple(text(condition) for condition in conditions),
        action="" if action in _RULE_LOOKUPS else action,
    )


def _selector(row: Row, key: str) -> IPv4Network | None:
    base, length = row.get(key), number(row.get(f"{key}len"))
    if not isinstance(base, str) or base == "all":
        return None
    return network(f"{base}/{length}" if length is not None and "/" not in base else base)


def neighbour(row: Row) -> Neighbour:
    """One row of `ip -j neigh`."""
    states = [text(state) for state in sequence(row.get("state"))] or [text(row.get("state"))]
    return Neighbour(text(row.get("dst")), text(row.get("dev")), text(row.get("lladdr")).lower(), ",".join(states))


def decision(row: Row) -> Decision | None:
    """One row of `ip -j route get`; None where it names no IPv4 destination."""
    destination = address(row.get("dst"))
    if destination is None:
        return None
    return Decision(destination, text(row.get("dev")), address(row.get("gateway")), text(row.get("type")) or "unicast")
