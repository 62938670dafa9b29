"""Reads taps.json and what tcpdump said of each tap: could this tap have seen everything that passed it?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.model.wire import Tap, TapReading
from pytest_calico_ipip.packets.pcap import PcapFile, read_pcap

MOST_TAPS = 4000
MOST_STDERR = 65_536  # bytes that are read of one tcpdump's words


class BadTaps(Exception):
    """taps.json cannot be understood; the message says why."""


@dataclass(frozen=True)
class TapFile:
    """One tap as it was read: the reading for the judge, the frames for the decoder."""

    reading: TapReading
    pcap: PcapFile


def read_taps(evidence: Evidence) -> list[TapFile]:
    """Every tap that taps.json lists, in its order. Raises BadTaps where the list itself cannot be read."""
    path = evidence.packets / "taps.json"
    try:
        listed = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadTaps("packets/taps.json is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadTaps(f"packets/taps.json cannot be read: {error}") from None
    if not isinstance(listed, list) or len(listed) > MOST_TAPS:
        raise BadTaps(f"packets/taps.json is no list of at most {MOST_TAPS} taps")
    return [_read_tap(evidence.packets, entry, index) for index, entry in enumerate(listed)]


def _read_tap(folder: Path, entry: object, index: int) -> TapFile:
    if not isinstance(entry, Mapping):
        raise BadTaps(f"packets/taps.json: entry {index + 1} is no object")
    texts: dict[str, str] = {}
    for key in ("file", "node", "interface"):
        value = entry.get(key)
        if not isinstance(value, str) or not value or not value.isprintable():
            raise BadTaps(f'packets/taps.json: entry {index + 1} has no "{key}" that can be read')
        texts[key] = value
    netns = entry.get("netns")
    if netns is not None and not isinstance(netns, str):
        raise BadTaps(f'packets/taps.json: entry {index + 1} has a "netns" that is neither a name nor null')
    if Path(texts["file"]).name != texts["file"]:
        raise BadTaps(f"packets/taps.json: entry {index + 1} names a file outside packets/: {texts['file']!r}")
    tap = Tap(texts["file"], texts["node"], netns, texts["interface"])
    said = _words(folder / f"{tap.file.removesuffix('.pcap')}.stderr")
    if said is not None and nothing_could_pass(said, tap.interface):
        return TapFile(TapReading(tap), PcapFile(-1))
    pcap = read_pcap(folder / tap.file)
    limit = entry.get("limit")
    words = problem_in_words(said, len(pcap.frames), limit if isinstance(limit, int) else None)
    # a capture that never began has no file: why it did not says more than that
    never = said is not None and "listening on" not in said
    problem = words if never else pcap.problem or words
    return TapFile(TapReading(tap, problem, pcap.link_name), pcap)


def _words(path: Path) -> str | None:
    """What tcpdump wrote to its stderr; None where the evidence has no such file (captures kept by hand)."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_STDERR).decode("utf-8", "replace")
    except OSError:
        return None


def nothing_could_pass(said: str, interface: str) -> bool:
    """Whether tcpdump refused because of what the device is: this tap saw all that passed, which is nothing.

    A device that is down carries no packet; nor does a tunl0 that is not there. Any other device that is missing may
    only have another name.
    """
    refused = "listening on" not in said
    down = "That device is not up" in said or "Network is down" in said
    return refused and (down or (interface == "tunl0" and "No such device" in said))


def problem_in_words(said: str | None, frames: int, limit: int | None = None) -> str:
    """What in tcpdump's own words makes its capture inconclusive; "" where nothing does.

    `frames` is the number of packets in its file, `limit` the bound that was given with -c.
    """
    if limit is not None and frames >= limit:
        return f"tcpdump stopped at its bound of {limit} packets"
    if said is None:
        return ""
    if "listening on" not in said:
        return f"tcpdump never listened: {_last_line(said)}"
    dropped = re.search(r"(\d+) packets? dropped by kernel", said)
    if dropped and int(dropped[1]):
        return f"the kernel dropped {dropped[1]} packets before tcpdump saw them"
    captured = re.search(r"(\d+) packets? captured", said)
    if captured is None:
        return "tcpdump did not come to its end: it never said how many packets it captured"
    if int(captured[1]) != frames:
        return f"tcpdump captured {captured[1]} packets, its file has {frames}"
    return ""


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(c if c.isprintable() else "�" for c in lines[-1])[:200] if lines else "it said nothing"
