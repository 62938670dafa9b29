"""What is left of a node's output when everything is taken away that differs between any two runs of real Calico."""

from __future__ import annotations

import json
import re
from typing import Any

_RANDOM_MAC = re.compile(r"\b(?!ee:ee:ee:ee:ee:ee|ff:ff:ff:ff:ff:ff|00:00:00:00:00:00)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b")
# the address that IPv6 derives from a random MAC; those of workload interfaces are Calico's
_RANDOM_IPV6 = re.compile(r"fe80::(?!ecee:eeff:feee:eeee|/)[0-9a-f:]+")
_NETNS = re.compile(r"cni-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INDEXES = {"ifindex", "link_index", "link_netnsid", "id"}


def names(text: str) -> str:
    """Without what is made up anew each time: MAC addresses and namespace names."""
    return _NETNS.sub("cni-NAME", _RANDOM_IPV6.sub("fe80::RANDOM", _RANDOM_MAC.sub("MAC", text)))


def links(text: str) -> list[str]:
    """`ip -d addr`, without indexes."""
    text = re.sub(r"(?m)^\d+: ", "", names(text))
    text = re.sub(r"@if\d+", "@if", re.sub(r"link-netnsid \d+", "link-netnsid", text))
    return [line.rstrip() for line in text.splitlines()]


def records(text: str) -> list[str]:
    """`ip -j …`: one line an entry, without indexes, sorted (the kernel lists IPv6 in no particular order)."""

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept(each) for key, each in value.items() if key not in _INDEXES}
        return [kept(each) for each in value] if isinstance(value, list) else value

    return sorted(json.dumps(kept(entry)) for entry in json.loads(names(text)))


def rules(text: str) -> dict[str, list[str]]:
    """`iptables-save -c` by table (the kernel lists them in no particular order), without dates and counters."""
    tables: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line, [])
        elif not line.startswith("#"):
            table.append(re.sub(r"\[\d+:\d+\]", "[]", line))
    return tables


def sets(text: str) -> dict[str, list[str]]:
    """`ipset list` by set, members sorted, without the random start of its hash and the memory that depends on it."""
    found = {}
    for block in text.strip().split("\n\n"):
        head, _, members = block.partition("Members:")
        lines = re.sub(r" initval \S+|(?m:^Size in memory: .*\n)", "", head).splitlines()
        found[lines[0]] = [*lines[1:], *sorted(members.split())]
    return found


def nftables(text: str) -> dict[str, Any]:
    """`nft -j list ruleset` by chain, set and map: what each is and holds, without handles and counters.

    Rules are in their order; members and the chains themselves are in none. What the node's own set holds is its own.
    """
    found: dict[str, Any] = {}
    for entry in json.loads(text)["nftables"]:
        [(kind, each)] = entry.items()
        if kind == "metainfo":
            continue
        each.pop("handle")
        if kind == "rule":
            shown = [one for one in each["expr"] if "counter" not in one]
            found[f"chain {each['chain']}"].append({**each, "expr": shown})
        else:
            members = sorted(json.dumps(one) for one in each.pop("elem", ()))
            found[f"{kind} {each['name']}"] = [each, *members]
    found["set cali40this-host"] = found["set cali40this-host"][:1]
    return found


def lines(text: str) -> list[str]:
    """Anything else."""
    return [line.rstrip() for line in names(text).splitlines()]
