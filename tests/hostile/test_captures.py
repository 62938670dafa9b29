"""A capture file may be anything, and what it holds may be no packet: the decoder names it and goes on."""

from __future__ import annotations

import contextlib
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.packets.decode import read_capture
from pytest_calico_ipip.packets.pcap import parse_pcap
from pytest_calico_ipip.packets.probefile import BadProbes, read_probes
from pytest_calico_ipip.packets.tapfile import BadTaps, read_taps
from tests.hostile.values import any_json
from tests.packets.frames import ETHER, echo, ipv4, write_pcap

RECORDED = Path(__file__).parents[1] / "recorded" / "v3.31.7-always" / "packets"
MANY = settings(max_examples=200, deadline=None, derandomize=True)
VALUES = any_json(st.floats() | st.text(max_size=8) | st.just("10.233.107.1"), leaves=5)
KEYS = ("id", "kind", "source", "destination", "node", "command", "exit", "stdout", "stderr", "icmp_id", "seqs", "size")
TAP_KEYS = ("file", "node", "netns", "interface", "limit")


@MANY
@given(st.binary(max_size=600))
def test_no_bytes_can_raise(noise: bytes) -> None:
    """Noise behind a good header is a problem of the file, in words."""
    parse_pcap(noise)
    header = next(RECORDED.glob("*.pcap")).read_bytes()[:24]
    found = parse_pcap(header + noise)
    assert found.problem or len(found.frames) * 16 <= len(noise)


def test_no_packet_can_stop_the_decoder(tmp_path: Path) -> None:
    """Two thousand packets, each with some bytes changed: all are read or left out with a reason, none is lost."""
    dice = random.Random(20)
    inner = ipv4("10.233.107.1", "10.233.109.1", 1, echo(7, 1))
    tcp = ipv4("10.233.107.1", "10.233.109.1", 6, bytes.fromhex("9c400050000000010000000080027d7800000000020405a0"))
    good = [
        ETHER + inner, ETHER + ipv4("10.7.120.11", "10.7.120.12", 4, inner),
        ETHER + ipv4("10.7.120.11", "10.7.120.12", 4, tcp),
        ETHER + ipv4("10.7.120.12", "10.7.120.11", 1, bytes([3, 4, 0, 0, 0, 0, 5, 200]) + inner), ETHER + tcp,
    ]  # fmt: skip
    frames = []
    for _ in range(2000):
        frame = bytearray(dice.choice(good))
        for _ in range(dice.randint(1, 4)):
            frame[dice.randrange(12, len(frame))] = dice.randrange(256)
        frames.append(bytes(frame[: dice.randint(1, len(frame))] if dice.random() < 0.2 else frame))
    (tmp_path / "packets").mkdir()
    write_pcap(tmp_path / "packets" / "a.pcap", frames)
    (tmp_path / "packets" / "taps.json").write_text(
        json.dumps([{"file": "a.pcap", "node": "n1", "netns": None, "interface": "ens192"}])
    )
    capture = read_capture(Evidence(tmp_path), live=False)
    assert not isinstance(capture, Absent), capture.reason
    assert capture.taps[0].problem == ""
    assert 500 < len(capture.packets) <= 2000
    numbers = [packet.number for packet in capture.packets]
    assert len(set(numbers)) == len(numbers)
    assert all(note.isprintable() for note in capture.notes)


@MANY
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES), max_size=2))
def test_no_probe_can_raise(listed: list[dict[str, object]]) -> None:
    """Any list of objects is read as probes, or refused with the entry's number."""
    _read(read_probes, "probes.json", listed, BadProbes)


def test_a_number_beyond_all_numbers_is_refused() -> None:
    """JSON knows 1e999; no exit status is so large."""
    probe = {
        "id": "a",
        "kind": "echo",
        "source": "1.1.1.1",
        "destination": "1.1.1.2",
        "node": "n",
        "exit": float("inf"),
    }
    with tempfile.TemporaryDirectory() as folder:
        evidence = Evidence(Path(folder))
        evidence.packets.mkdir()
        (evidence.packets / "probes.json").write_text(json.dumps([probe]))
        with pytest.raises(BadProbes, match="entry 1"):
            read_probes(evidence)


@MANY
@given(st.lists(st.dictionaries(st.sampled_from(TAP_KEYS), VALUES), max_size=2))
def test_no_tap_can_raise(listed: list[dict[str, object]]) -> None:
    """Any list of objects is read as taps, or refused."""
    _read(read_taps, "taps.json", listed, BadTaps)


def _read(read: Callable[[Evidence], object], name: str, content: object, refusal: type[Exception]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        evidence = Evidence(Path(folder))
        evidence.packets.mkdir()
        (evidence.packets / name).write_text(json.dumps(content))
        with contextlib.suppress(refusal):
            read(evidence)
