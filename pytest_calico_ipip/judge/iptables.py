"""`iptables-save -c` and `ipset list` → a Firewall: the chains that IPIP packets meet, and the sets that they name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network

from pytest_calico_ipip.judge.files import Folder
from pytest_calico_ipip.judge.policydrops import policy_drops
from pytest_calico_ipip.judge.values import network, number, text
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.firewall import IPIP_PROTOCOL, Chains, FilterRule, Firewall

SETS = "ipset.txt"
MAX_CHAINS = 2000  # followed from the hooks; Calico's way to its IPIP rules is two chains long
# tables in the order in which the kernel asks them
_INPUTS, _OUTPUTS = ("mangle/INPUT", "filter/INPUT"), ("mangle/OUTPUT", "filter/OUTPUT")
_LINE = re.compile(r"(?:\[(\d{1,20}):\d{1,20}\] )?-A (\S{1,100})(?: (.*))?")
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')
_IPIP = (IPIP_PROTOCOL, "ipencap", "ipv4", "ip-encap")  # as /etc/protocols of one system or another has it
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return"}
_LONGEST_RULE = 2000


def protocol_name(word: str) -> str:
    """A protocol as rules are compared by it: "4" for IPIP, "" for any."""
    word = word.lower()
    return IPIP_PROTOCOL if word in _IPIP else "" if word in ("0", "all", "ip") else text(word)


def read_iptables(folder: Folder, file: str, after: str) -> Firewall | Absent:
    """The rules in `file`, and once more in `after`; the sets in ipset.txt."""
    content = folder.text(file)
    if isinstance(content, Absent):
        return content
    chains = _chains(folder, file, content)
    if isinstance(chains, Absent):
        return chains
    second = folder.text(after)
    return Firewall(
        file=file,
        inputs=tuple(name for name in _INPUTS if name in chains),
        outputs=tuple(name for name in _OUTPUTS if name in chains),
        chains=chains,
        sets=_sets(folder, sets_named(chains)),
        sets_file=SETS,
        calico=re.search(r"^:cali-INPUT ", content, re.MULTILINE) is not None,
        after=second if isinstance(second, Absent) else _chains(folder, after, second),
        after_file=after,
        policy_drops=() if isinstance(second, Absent) else policy_drops(content, second),
    )


def sets_named(chains: Chains) -> frozenset[str]:
    """The sets that IPIP rules name."""
    rules = (rule for chain in chains.values() for rule in chain if rule.protocol == IPIP_PROTOCOL)
    return frozenset(name for rule in rules for name in (rule.source_set, rule.destination_set) if name)


def followed(rules: Iterable[FilterRule]) -> Iterator[str]:
    """The chains that every IPIP packet is sent to."""
    return (rule.target for rule in rules if rule.verdict in ("jump", "goto") and rule.for_ipip)


def _chains(folder: Folder, file: str, content: str) -> Chains | Absent:
    """Only what the hooks lead to: a node may have tens of thousands of rules for services."""
    lines: dict[str, list[re.Match[str]]] = {}
    table, open_tables = "", 0
    for line in content.splitlines():
        if line.startswith("*"):
            table, open_tables = line[1:].strip(), open_tables + 1
        elif line.strip() == "COMMIT":
            open_tables -= 1
        elif table in ("mangle", "filter"):
            if line.startswith(":"):
                lines.setdefault(f"{table}/{line[1:].split(' ')[0]}", [])
            elif match := _LINE.match(line[:_LONGEST_RULE]):
                lines.setdefault(f"{table}/{match[2]}", []).append(match)
    if open_tables:
        return Absent(f"{folder.label}/{file} is cut off: a table in it has no end", failed=True)
    chains: dict[str, tuple[FilterRule, ...]] = {}
    left = [name for name in (*_INPUTS, *_OUTPUTS) if name in lines]
    while left and len(chains) < MAX_CHAINS:
        name = left.pop()
        if name in chains or name not in lines:
            continue
        table = name.split("/")[0]
        chains[name] = tuple(_rule(table, match) for match in lines[name])
        left += followed(chains[name])
    return chains


def _rule(table: str, match: re.Match[str]) -> FilterRule:
    words = _WORD.findall(match[3] or "")
    verdict = target = protocol = source_set = destination_set = ""
    conditions: list[str] = []
    position = 0
    while position < len(words):
        word, rest = words[position], words[position + 1 :]
        if word in ("-j", "-g"):
            target = rest[0] if rest else ""
            verdict = _VERDICTS.get(target, "")
            break  # what follows are the target's own options
        if word in ("-p", "--protocol") and rest:
            protocol = protocol_name(rest[0])
        elif word == "--match-set" and len(rest) > 1 and rest[1] in ("src", "dst"):
            if rest[1] == "src":
                source_set = text(rest[0])
            else:
                destination_set = text(rest[0])
            position += 1
        elif not (word in ("-m", "--comment") and rest) and not (
            word in ("--dst-type", "--src-type") and rest[:1] == ["LOCAL"]
        ):
            taken = 2 if word == "!" else 1  # a negated match is a condition, whatever it is about
            conditions += words[position : position + taken]
            position += taken
            continue
        position += 2
    if not verdict and target:
        # a chain of that table, or a target that does something and lets go on (MARK, LOG …)
        verdict = "goto" if "-g" in words else "jump"
    return FilterRule(
        verdict=verdict,
        target=f"{table}/{target}" if verdict in ("jump", "goto") else "",
        protocol=protocol,
        source_set=source_set,
        destination_set=destination_set,
        conditions=tuple(text(word) for word in conditions),
        packets=number(match[1]),
        text=text(f"-A {match[2]} {match[3] or ''}"),
    )


def _sets(folder: Folder, names: frozenset[str]) -> dict[str, tuple[IPv4Network | str, ...] | Absent]:
    """The members of the named sets; a set that is not listed is not in the result."""
    if not names:
        return {}
    content = folder.text(SETS)
    if isinstance(content, Absent):
        return dict.fromkeys(names, content)
    parts = re.split(r"^Name: ", content, flags=re.MULTILINE)[1:]
    listed = {part.splitlines()[0].strip(): part.splitlines() for part in reversed(parts)}
    found = {name: _members(folder, name, listed[name]) for name in names if name in listed}
    if not parts or not content.endswith("\n") or "Members:" not in parts[-1].splitlines():
        # the kernel keeps a set that a rule names: one that is not in such a list may come after its end
        cut = Absent(f"{folder.label}/{SETS} is empty, cut off, or not what ipset prints", failed=True)
        found |= dict.fromkeys(names - listed.keys(), cut)
    return found


def _members(folder: Folder, name: str, lines: Sequence[str]) -> tuple[IPv4Network | str, ...] | Absent:
    if "Members:" not in lines:
        return Absent(f"{folder.label}/{SETS} is cut off in {text(name)}", failed=True)
    start = lines.index("Members:")
    members = [line.strip() for line in lines[start + 1 :] if line.strip()]
    told = [number(line.split(":")[1]) for line in lines[:start] if line.startswith("Number of entries:")]
    if told and told[0] is not None and told[0] != len(members):
        return Absent(f"{folder.label}/{SETS} is cut off in {text(name)}: {len(members)} of {told[0]}", failed=True)
    # an entry may carry options of its own: "10.7.0.0/16 nomatch"
    return tuple(network(member) or text(member) for member in members)
