"""Reads one capture round from the evidence: every tap's file, decoded once by tshark through pyshark."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest_calico_ipip
from pytest_calico_ipip import temporary
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.wire import Capture, Header, Icmp, Packet, Tcp
from pytest_calico_ipip.packets.merge import Place, merge
from pytest_calico_ipip.packets.probefile import BadProbes, read_probes
from pytest_calico_ipip.packets.tapfile import BadTaps, TapFile, read_taps

MOST_PACKETS = 200_000  # of 60 nodes: some 55 of each pair; decoding takes 1 to 4 ms each
START_TIME = 60.0  # seconds until tshark and pyshark must have begun, even on one slow processor
PACKET_TIME = 0.05  # seconds for a packet, more than ten times what was ever seen
MOST_BYTES = 64 * 2**20  # of all frames together; tshark makes twenty times that of them
LINE = 4_096  # bytes of output for a packet beside its data, which stands there in hexadecimal: twice its size


class DecodeProblem(Exception):
    """The captures could not be decoded; the message says why and what to do."""


def read_capture(evidence: Evidence, live: bool) -> Capture | Absent:
    """Everything that the taps saw, in time order, with the probes of `probes.json` where there is such a file.

    A tap that could not have seen everything carries its problem in its reading. Absent (and failed) where nothing
    can be decoded: no tshark, taps.json unreadable, the decoder died. Without a packets/ directory Absent too:
    failed in a live run, never collected in a replay.
    """
    if not evidence.packets.is_dir():
        reason = "packets/ is missing, although this run should have written it" if live else "any packets"
        return Absent(reason, failed=live)
    try:
        taps = read_taps(evidence)
        probes = read_probes(evidence)
    except (BadTaps, BadProbes) as error:
        return Absent(str(error), failed=True)
    if live and probes is None:
        return Absent("packets/probes.json is missing, although this run should have written it", failed=True)
    try:
        packets, notes = decode(taps)
    except DecodeProblem as error:
        return Absent(str(error), failed=True)
    return Capture(tuple(tap.reading for tap in taps), packets, probes, notes)


def decode(taps: Sequence[TapFile]) -> tuple[tuple[Packet, ...], tuple[str, ...]]:
    """The packets of all taps in time order, and a note for each that could not be used. Raises DecodeProblem."""
    total = sum(len(tap.pcap.frames) for tap in taps)
    if not total:
        return (), ()
    if total > MOST_PACKETS:
        raise DecodeProblem(f"the captures hold {total} packets, more than {MOST_PACKETS}: capture fewer at a time")
    size = sum(len(frame.data) for tap in taps for frame in tap.pcap.frames)
    if size > MOST_BYTES:
        raise DecodeProblem(f"the captures hold {size} bytes, more than {MOST_BYTES}: capture with a snap length")
    if shutil.which("tshark") is None:
        raise DecodeProblem("tshark is not installed on this machine: install it (apt-get install tshark)")
    with temporary.made("decode") as folder:
        merged = folder / "merged.pcapng"
        places = merge([tap.pcap for tap in taps], merged)
        lines = _run_child(merged, total, most=LINE * (total + 1) + 3 * size)
    packets: list[Packet] = []
    notes: list[str] = []
    for line in lines:
        tap, frame = places[line["n"] - 1]
        reason = line.get("skipped")
        if reason is None:
            packet = _packet(line, (tap, frame))
            if packet is not None:
                packets.append(packet)
        else:
            notes.append(f"packet {frame.number} of packets/{taps[tap].reading.tap.file} was left out: {reason}")
    return tuple(packets), tuple(notes)


def _run_child(merged: Path, total: int, most: int) -> list[dict[str, Any]]:
    """Runs the decoder in a session of its own, so that a tshark that hangs dies with it. `most`: bytes of output."""
    folder = merged.parent
    package_root = str(Path(pytest_calico_ipip.__file__).resolve().parent.parent)
    environment = {
        **os.environ,
        # neither a person's Wireshark profile (preferences, Lua, disabled protocols) nor a pyshark config.ini counts
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "WIRESHARK_CONFIG_DIR": str(folder),
        "LC_ALL": "C",
        "PYTHONPATH": os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH")))),
    }
    command = [sys.executable, "-W", "ignore", "-m", "pytest_calico_ipip.packets.pyshark_child", str(merged)]
    timeout = START_TIME + PACKET_TIME * total
    output, errors = folder / "output", folder / "errors"
    with output.open("wb") as out, errors.open("wb") as err:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            status = child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise DecodeProblem(
                f"decoding {total} packets took longer than {timeout:.0f} s: try tshark by hand on the files"
            ) from None
        finally:
            _end_session(child)
    if status != 0:
        raise DecodeProblem(f"the decoder (pyshark, tshark) failed with status {status}: {_tail(errors)}")
    if output.stat().st_size > most:
        raise DecodeProblem(f"the decoder wrote {output.stat().st_size} bytes for {total} packets: too many to read")
    return _lines(output.read_text("utf-8"), total)


def _end_session(child: subprocess.Popen[bytes]) -> None:
    """Kills what is left of the decoder's session: its tshark too. Nothing is left after a good end."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    child.wait()


def _lines(text: str, total: int) -> list[dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in text.splitlines()]
    except ValueError as error:
        raise DecodeProblem(f"the decoder's output cannot be read: {error}") from None
    if not lines or lines[-1] != {"end": len(lines) - 1}:
        raise DecodeProblem(f"the decoder's output stops after {len(lines)} packets")
    if any(not 1 <= line["n"] <= total for line in lines[:-1]):
        raise DecodeProblem("the decoder numbered packets that were never given to it")
    if len(lines) - 1 != total:
        raise DecodeProblem(
            f"tshark decoded {len(lines) - 1} of {total} packets and was then ended: is there memory enough for it?"
        )
    return lines[:-1]


def _tail(path: Path) -> str:
    text = path.read_bytes()[-600:].decode("utf-8", "replace").strip().splitlines()
    return "".join(c if c.isprintable() else "�" for c in text[-1]) if text else "it said nothing"


def _packet(line: Mapping[str, Any], place: Place) -> Packet | None:
    """The record of one decoded line; None where the frame carries no IPv4 (the tap saw ARP or IPv6)."""
    if not line["ip"]:
        return None
    tap, frame = place
    icmp, tcp = line.get("icmp"), line.get("tcp")
    return Packet(
        tap=tap,
        number=frame.number,
        time=frame.seconds + frame.nanoseconds / 1e9,
        headers=tuple(_header(header) for header in line["ip"]),
        layers=tuple(line["layers"]),
        icmp=None if icmp is None else _icmp(icmp),
        tcp=None if tcp is None else Tcp(tcp["sport"], tcp["dport"], tcp["flags"], tcp["mss"], tcp["len"]),
    )


def _header(header: Mapping[str, Any]) -> Header:
    return Header(
        source=IPv4Address(header["src"]),
        destination=IPv4Address(header["dst"]),
        protocol=header["proto"],
        length=header["len"],
        ttl=header["ttl"],
        identification=header["id"],
        dont_fragment=bool(header["df"]),
        more_fragments=bool(header["mf"]),
        fragment_offset=header["off"],
        dscp=header["dscp"],
        ecn=header["ecn"],
        header_length=header["hlen"],
    )


def _icmp(icmp: Mapping[str, Any]) -> Icmp:
    source, destination = icmp.get("quoted_src"), icmp.get("quoted_dst")
    return Icmp(
        type=icmp["type"],
        code=icmp["code"],
        id=icmp.get("id"),
        seq=icmp.get("seq"),
        data=bytes.fromhex(icmp.get("data", "")),
        mtu=icmp.get("mtu"),
        quoted_source=None if source is None else IPv4Address(source),
        quoted_destination=None if destination is None else IPv4Address(destination),
        quoted_id=icmp.get("quoted_id"),
        quoted_seq=icmp.get("quoted_seq"),
        checksum=icmp.get("checksum"),
    )
