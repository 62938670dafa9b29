"""`nft -j list ruleset` → a Firewall: the chains that IPIP packets meet, and the sets that they name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, summarize_address_range
from typing import Any

from pytest_calico_ipip.judge.files import Folder
from pytest_calico_ipip.judge.iptables import MAX_CHAINS, followed, protocol_name, sets_named
from pytest_calico_ipip.judge.values import address, mapping, network, number, sequence, text
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.firewall import IPIP_PROTOCOL, Chains, FilterRule, Firewall

FILE, AFTER = "nft.json", "nft.after.json"
_FAMILIES = ("ip", "inet")
_VERDICTS = ("accept", "drop", "reject", "return")
_PROTOCOL = ({"meta": {"key": "l4proto"}}, {"payload": {"protocol": "ip", "field": "protocol"}})
_OF_IPTABLES = ("filter", "mangle", "raw", "nat", "security")
_LOCAL = ({"fib": {"result": "type", "flags": ["daddr"]}}, {"fib": {"result": "type", "flags": ["saddr"]}})


def read_nftables(folder: Folder) -> tuple[Firewall | Absent, bool]:
    """The rules and sets in nft.json, the rules once more in nft.after.json; and whether iptables-nft made some.

    Those are left out: nft does not know what their matches mean, iptables-nft-save does.
    """
    objects = _objects(folder, FILE)
    if isinstance(objects, Absent):
        return objects, False
    foreign = frozenset(
        _key(one, "") for one in _all(objects, "rule") if one.get("table") in _OF_IPTABLES and _by_iptables(one)
    )
    return _read(folder, [one for one in objects if not _belongs(one, foreign)]), bool(foreign)


def _by_iptables(rule: Mapping[str, Any]) -> bool:
    return any("xt" in mapping(item) for item in sequence(rule.get("expr")))


def _belongs(one: Mapping[str, Any], tables: frozenset[str]) -> bool:
    return any(_key(mapping(one.get(kind)), "") in tables for kind in ("chain", "rule", "set"))


def _read(folder: Folder, objects: Sequence[Mapping[str, Any]]) -> Firewall:
    inputs, outputs = _hooked(objects, "input"), _hooked(objects, "output")
    chains = _chains(objects, (*inputs, *outputs))
    second = _objects(folder, AFTER)
    names = sets_named(chains)
    return Firewall(
        file=FILE,
        inputs=inputs,
        outputs=outputs,
        chains=chains,
        sets={key: _members(one) for one in _all(objects, "set") if (key := _key(one, "name")) in names},
        sets_file=FILE,
        calico=any("cali-INPUT" in text(one.get("name")) for one in _all(objects, "chain")),
        after=second if isinstance(second, Absent) else _chains(second, (*inputs, *outputs)),
        after_file=AFTER,
    )


def _objects(folder: Folder, file: str) -> Sequence[Mapping[str, Any]] | Absent:
    data = folder.json(file)
    if isinstance(data, Absent):
        return data
    listed = data.get("nftables") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        return Absent(f"{folder.label}/{file} is not what nft -j prints", failed=True)
    return [mapping(one) for one in listed]


def _all(objects: Sequence[Mapping[str, Any]], kind: str) -> Sequence[Mapping[str, Any]]:
    found = (mapping(one.get(kind)) for one in objects if kind in one)
    return [one for one in found if one.get("family") in _FAMILIES]


def _key(one: Mapping[str, Any], name: str) -> str:
    """A chain or set by family, table and name: names repeat from table to table."""
    return "/".join(text(one.get(part)) for part in ("family", "table", name))


def _hooked(objects: Sequence[Mapping[str, Any]], hook: str) -> tuple[str, ...]:
    """The chains at a hook, the least priority first."""
    chains = [one for one in _all(objects, "chain") if one.get("hook") == hook and one.get("type") != "nat"]
    return tuple(_key(one, "name") for one in sorted(chains, key=lambda one: number(one.get("prio")) or 0))


def _chains(objects: Sequence[Mapping[str, Any]], hooked: Sequence[str]) -> Chains:
    rules: dict[str, list[Mapping[str, Any]]] = {_key(one, "name"): [] for one in _all(objects, "chain")}
    for one in _all(objects, "rule"):
        rules.setdefault(_key(one, "chain"), []).append(one)
    chains: dict[str, tuple[FilterRule, ...]] = {}
    left = list(hooked)
    while left and len(chains) < MAX_CHAINS:
        name = left.pop()
        if name in chains or name not in rules:
            continue
        chains[name] = tuple(map(_rule, rules[name]))
        left += followed(chains[name])
    return chains


def _rule(one: Mapping[str, Any]) -> FilterRule:
    table = "/".join(text(one.get(part)) for part in ("family", "table"))
    verdict = target = protocol = source_set = destination_set = ""
    conditions: list[str] = []
    packets: int | None = None
    for item in sequence(one.get("expr")):
        for key, value in mapping(item).items():
            if key in _VERDICTS:
                verdict = key
            elif key in ("jump", "goto"):
                verdict, target = key, f"{table}/{text(mapping(value).get('target'))}"
            elif key == "counter":
                packets = number(mapping(value).get("packets"))
            elif key == "match":
                found = _match(mapping(value), table)
                protocol, source_set = protocol or found[0], source_set or found[1]
                destination_set = destination_set or found[2]
                conditions += found[3]
            elif key not in ("log", "mangle"):
                conditions.append(_words(item))  # limits, verdict maps, iptables' own matches …
    comment = text(one.get("comment"))
    words = " ".join(_words(item) for item in sequence(one.get("expr"))[:20])
    return FilterRule(
        verdict=verdict,
        target=target,
        protocol=protocol,
        source_set=source_set,
        destination_set=destination_set,
        conditions=tuple(conditions),
        packets=packets,
        text=text(f'{text(one.get("chain"))}: "{comment}"' if comment else f"{text(one.get('chain'))}: {words}"),
    )


def _match(match: Mapping[str, Any], table: str) -> tuple[str, str, str, list[str]]:
    """Protocol, source set, destination set and whatever else one match wants; "" for what it says nothing about."""
    left, right = match.get("left"), match.get("right")
    if left in _PROTOCOL and (protocol := _protocol(right, unlike=match.get("op") == "!=")):
        return protocol, "", "", []
    if match.get("op") in ("==", "in"):
        if left in _LOCAL and right == "local":
            return "", "", "", []
        field = mapping(mapping(left).get("payload")) if isinstance(left, dict) else {}
        if field.get("protocol") == "ip" and isinstance(right, str) and right.startswith("@"):
            name = f"{table}/{text(right[1:])}"
            if field.get("field") == "saddr":
                return "", name, "", []
            if field.get("field") == "daddr":
                return "", "", name, []
    return "", "", "", [_words(match)]


def _protocol(right: object, *, unlike: bool) -> str:
    """The protocol that a match on one, or on several of them, comes to for IPIP packets; "" where that is not told."""
    several = mapping(right).get("set") if isinstance(right, dict) else [right]
    names = [protocol_name(str(one)) for one in sequence(several) if isinstance(one, (str, int))]
    if not names or len(names) < len(sequence(several)):
        return ""
    meant = (IPIP_PROTOCOL in names) is not unlike
    return IPIP_PROTOCOL if meant else f"not {IPIP_PROTOCOL}" if unlike else next(filter(None, names), "")


def _words(item: object) -> str:
    try:
        return text(json.dumps(item, default=str)[:300])
    except (ValueError, RecursionError):
        return "something that cannot be shown"


def _members(one: Mapping[str, Any]) -> tuple[IPv4Network | str, ...]:
    found: list[IPv4Network | str] = []
    for element in sequence(one.get("elem")):
        value = mapping(element).get("elem", element) if isinstance(element, dict) else element
        value = mapping(value).get("val", value) if isinstance(value, dict) else value
        found += _networks(value)
    return tuple(found)


def _networks(value: object) -> list[IPv4Network | str]:
    if isinstance(value, str):
        return [network(value) or text(value)]
    prefix, ends = mapping(mapping(value).get("prefix")), sequence(mapping(value).get("range"))
    if prefix:
        return [network(f"{prefix.get('addr')}/{prefix.get('len')}") or _words(value)]
    first, last = (address(end) for end in ends) if len(ends) == 2 else (None, None)
    if isinstance(first, IPv4Address) and isinstance(last, IPv4Address) and first <= last:
        return list(summarize_address_range(first, last))
    return [_words(value)]
