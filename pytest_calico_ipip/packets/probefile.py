"""Reads probes.json: the packets that the run sent, with what each command answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Address

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.model.wire import Probe

MOST_PROBES = 20_000
LONGEST_TEXT = 4_000  # characters of a command's output that are kept


class BadProbes(Exception):
    """probes.json cannot be understood; the message says why."""


def read_probes(evidence: Evidence) -> tuple[Probe, ...] | None:
    """Every probe, in the file's order; None where there is no such file. Raises BadProbes."""
    path = evidence.packets / "probes.json"
    try:
        listed = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise BadProbes(f"packets/probes.json cannot be read: {error}") from None
    if not isinstance(listed, list) or len(listed) > MOST_PROBES:
        raise BadProbes(f"packets/probes.json is no list of at most {MOST_PROBES} probes")
    probes = []
    for index, entry in enumerate(listed):
        try:
            probes.append(_probe(entry))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BadProbes(f"packets/probes.json: entry {index + 1}: {type(error).__name__}: {error}") from None
    return tuple(probes)


def _probe(entry: object) -> Probe:
    if not isinstance(entry, Mapping):
        raise TypeError("no object")
    exit_status, icmp_id, size = entry.get("exit"), entry.get("icmp_id"), entry.get("size")
    return Probe(
        id=_text(entry["id"]),
        kind=_text(entry["kind"]),
        source=IPv4Address(entry["source"]),
        destination=IPv4Address(entry["destination"]),
        node=_text(entry["node"]),
        command=_text(entry.get("command")),
        exit=None if exit_status is None else int(exit_status),
        stdout=_text(entry.get("stdout")),
        stderr=_text(entry.get("stderr")),
        icmp_id=None if icmp_id is None else int(icmp_id),
        seqs=tuple(int(seq) for seq in entry.get("seqs") or ()),
        size=None if size is None else int(size),
    )


def _text(value: object) -> str:
    """A command's output, as it may be shown: without control characters, of bounded length."""
    text = value[:LONGEST_TEXT] if isinstance(value, str) else ""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
