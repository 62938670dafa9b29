"""The captures as pyshark decodes them, wherever pytest happens to run it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.wire import Capture, Packet
from pytest_calico_ipip.packets import decode as decoding
from pytest_calico_ipip.packets.decode import read_capture
from pytest_calico_ipip.packets.pcap import read_pcap
from tests.packets.frames import ETHER, RAW, decode, echo, ipv4, write_pcap

RECORDED = Path(__file__).parent.parent / "recorded"
RECORDINGS = ["v3.31.7-always", "v3.31.7-crosssubnet", "v3.34dev-always"]
A, B = "10.233.107.1", "10.233.109.1"


def read(root: Path) -> Capture:
    """A capture that must be there."""
    capture = read_capture(Evidence(root), live=False)
    assert not isinstance(capture, Absent), capture.reason
    return capture


def evidence(root: Path, taps: dict[str, list[bytes]], link_type: int = 1) -> Path:
    """An evidence directory with these captures, each named after its interface."""
    (root / "packets").mkdir(parents=True)
    listed = []
    for interface, frames in taps.items():
        write_pcap(root / "packets" / f"{interface}.pcap", frames, link_type)
        listed.append({"file": f"{interface}.pcap", "node": "n1", "netns": None, "interface": interface})
    (root / "packets" / "taps.json").write_text(json.dumps(listed))
    return root


def flat(packet: Packet) -> tuple[object, ...]:
    """A packet as the second decoder has it."""
    headers = tuple(
        (
            h.source, h.destination, h.protocol, h.length, h.ttl, h.identification, h.dont_fragment, h.more_fragments,
            h.fragment_offset, h.dscp, h.ecn,
        )
        for h in packet.headers
    )  # fmt: skip
    icmp, tcp = packet.icmp, packet.tcp
    return (
        headers,
        icmp and (icmp.type, icmp.code, icmp.checksum, icmp.id, icmp.seq, icmp.data),
        tcp and (tcp.source_port, tcp.destination_port, tcp.flags & 0xFF, tcp.mss, tcp.payload_length),
    )


@pytest.mark.parametrize("name", RECORDINGS)
def test_two_decoders_agree(name: str) -> None:
    """Every packet of real Calico's captures reads the same to tshark and to a decoder that shares nothing with it."""
    capture = read(RECORDED / name)
    found = {(packet.tap, packet.number): flat(packet) for packet in capture.packets}
    expected = {}
    for tap, reading in enumerate(capture.taps):
        pcap = read_pcap(RECORDED / name / "packets" / reading.tap.file)
        for frame in pcap.frames:
            if (decoded := decode(frame.data, pcap.link_type)) is not None:
                expected[tap, frame.number] = (decoded.headers, decoded.icmp, decoded.tcp)
    assert len(found) > 200
    assert found == expected
    assert capture.notes == ()
    assert [packet.time for packet in capture.packets] == sorted(packet.time for packet in capture.packets)


def test_link_types_and_layers() -> None:
    """The taps' link types are as tcpdump names them, and an encapsulated echo has two IP layers."""
    capture = read(RECORDED / "v3.31.7-always")
    by_interface = {reading.tap.interface: reading.link_type for reading in capture.taps}
    assert (by_interface["eth0"], by_interface["tunl0"], by_interface["ens192"]) == ("EN10MB", "RAW", "EN10MB")
    assert ("eth", "ip", "ip", "icmp") in {packet.layers for packet in capture.packets}
    assert ("raw", "ip", "icmp") in {packet.layers for packet in capture.packets}


def test_inside_a_running_event_loop() -> None:
    """Decoding works where an event loop runs in this very thread."""

    async def inside() -> Capture:
        return read(RECORDED / "v3.31.7-always")

    assert len(asyncio.run(inside()).packets) == 212


def test_after_asyncio_run_and_in_a_thread() -> None:
    """Decoding works after `asyncio.run` has taken the main thread's loop away, and in another thread."""

    async def nothing() -> None:
        await asyncio.sleep(0)

    asyncio.run(nothing())
    counts = [len(read(RECORDED / "v3.31.7-always").packets)]
    thread = threading.Thread(target=lambda: counts.append(len(read(RECORDED / "v3.31.7-always").packets)))
    thread.start()
    thread.join(60)
    assert counts == [212, 212]


def python(code: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a Python of its own."""
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


READ = f"""
    from pathlib import Path
    from pytest_calico_ipip.evidence import Evidence
    from pytest_calico_ipip.packets.decode import read_capture
    print(len(read_capture(Evidence(Path({str(RECORDED / "v3.31.7-always")!r})), False).packets))
"""


def test_where_warnings_are_errors() -> None:
    """Decoding neither warns nor is stopped where every warning is an error, also by PYTHONWARNINGS."""
    result = python(READ, "-W", "error", PYTHONWARNINGS="error")
    assert (result.stdout.strip(), result.stderr) == ("212", "")


def test_a_wireshark_profile_of_the_user_does_not_count(tmp_path: Path) -> None:
    """A profile that disables a protocol or joins fragments changes nothing, nor does a pyshark config.ini nearby."""
    profile = tmp_path / ".config" / "wireshark"
    profile.mkdir(parents=True)
    (profile / "disabled_protos").write_text("icmp\n")
    (profile / "preferences").write_text("ip.defragment: TRUE\n")
    (tmp_path / "config.ini").write_text("[tshark]\ntshark_path = /nonexistent\n")
    result = python(f"import os\nos.chdir({str(tmp_path)!r})\n" + textwrap.dedent(READ), HOME=str(tmp_path))
    assert result.stdout.strip() == "212", result.stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_without_child_watchers_as_in_python_3_14(tmp_path: Path) -> None:
    """The decoder runs where asyncio has no child watcher any more (simulated: the names are taken away first)."""
    merged = tmp_path / "one.pcap"
    write_pcap(merged, [ETHER + ipv4(A, B, 1, echo(5, 1))])
    result = python(
        f"""
        import asyncio, sys, warnings
        warnings.simplefilter("ignore")
        for name in ("set_child_watcher", "get_child_watcher", "SafeChildWatcher", "AbstractChildWatcher",
                     "FastChildWatcher", "MultiLoopChildWatcher", "ThreadedChildWatcher", "PidfdChildWatcher"):
            if hasattr(asyncio, name):
                delattr(asyncio, name)
        from pytest_calico_ipip.packets.pyshark_child import main
        sys.exit(main({str(merged)!r}))
        """
    )
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines[-1] == {"end": 1}
    assert lines[0]["icmp"]["id"] == 5


def test_one_tshark_decodes_a_whole_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many taps there are, tshark is started once."""
    real = shutil.which("tshark")
    assert real is not None
    counting = tmp_path / "bin" / "tshark"
    counting.parent.mkdir()
    counting.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/starts\nexec {real} "$@"\n')
    counting.chmod(0o755)
    monkeypatch.setenv("PATH", f"{counting.parent}:{os.environ['PATH']}")
    assert len(read(RECORDED / "v3.31.7-always").packets) == 212
    assert len((tmp_path / "starts").read_text().splitlines()) == 1


def test_what_is_no_ipv4_is_left_out(tmp_path: Path) -> None:
    """ARP and IPv6 frames are no packets of ours, and the frames beside them keep their numbers."""
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    ipv6 = bytes(12) + b"\x86\xdd" + bytes([0x60]) + bytes(39)
    root = evidence(tmp_path / "e", {"eth0": [arp, ETHER + ipv4(A, B, 1, echo(5, 1)), ipv6]})
    capture = read(root)
    assert [(packet.number, packet.inner.protocol) for packet in capture.packets] == [(2, 1)]


def test_malformed_packets_are_skipped(tmp_path: Path) -> None:
    """Frames cut off in the middle of a header, or that lie about their lengths, stop nothing and crash nothing."""
    good = ETHER + ipv4(A, B, 1, echo(5, 1))
    lying = bytearray(good)
    lying[14] = 0x41  # a header of four bytes
    cut = [good[:20], good[:36], bytes(lying), ETHER + ipv4(A, B, 4, b"\x45" * 7), ETHER + b"\xff" * 60]
    root = evidence(tmp_path / "e", {"eth0": [*cut, good]})
    capture = read(root)
    assert (6, 5) in [(packet.number, packet.icmp.id) for packet in capture.packets if packet.icmp is not None]
    assert all("packets/eth0.pcap" in note for note in capture.notes)


def test_an_icmp_error_is_told_from_the_packet_that_it_quotes(tmp_path: Path) -> None:
    """An error in the tunnel has two IP headers, not three; what it quotes is read beside it."""
    quoted = ipv4(A, B, 1, echo(5, 1))[:36]
    body = bytes([3, 4, 0, 0, 0, 0]) + (1400).to_bytes(2, "big") + quoted
    error = ipv4("10.7.120.12", A, 1, body)
    root = evidence(tmp_path / "e", {"ens192": [ETHER + ipv4("10.7.120.12", "10.7.120.11", 4, error)]})
    packet = read(root).packets[0]
    assert len(packet.headers) == 2
    assert packet.icmp is not None
    assert (packet.icmp.type, packet.icmp.code, packet.icmp.mtu, packet.icmp.id) == (3, 4, 1400, None)
    assert (str(packet.icmp.quoted_source), str(packet.icmp.quoted_destination)) == (A, B)
    assert (packet.icmp.quoted_id, packet.icmp.quoted_seq) == (5, 1)


def test_any_byte_order_and_precision(tmp_path: Path) -> None:
    """A pcap is read whatever machine wrote it, in microseconds or nanoseconds."""
    for number, (big, nano) in enumerate([(False, False), (True, False), (False, True), (True, True)]):
        path = tmp_path / f"{number}.pcap"
        write_pcap(path, [ipv4(A, B, 1, echo(5, seq)) for seq in (1, 2)], RAW, big=big, nano=nano)
        pcap = read_pcap(path)
        assert (pcap.problem, pcap.link_name, pcap.link_type) == ("", "RAW", RAW)
        assert [frame.nanoseconds for frame in pcap.frames] == [0, 1_000_000]


def test_no_tshark_is_an_error_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tshark nothing is judged, and the reason says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    capture = read_capture(Evidence(RECORDED / "v3.31.7-always"), live=False)
    assert isinstance(capture, Absent)
    assert capture.failed
    assert capture.reason == "tshark is not installed on this machine: install it (apt-get install tshark)"


def fake_tshark(folder: Path, script: str) -> str:
    """A PATH on which tshark is this script."""
    tool = folder / "bin" / "tshark"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    return f"{tool.parent}:{os.environ['PATH']}"


def test_a_tshark_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tshark fails the capture is an error, and never an empty one."""
    monkeypatch.setenv("PATH", fake_tshark(tmp_path, "echo 'tshark: broken' >&2; exit 2"))
    capture = read_capture(Evidence(RECORDED / "v3.31.7-always"), live=False)
    assert isinstance(capture, Absent)
    assert capture.failed
    assert "the decoder (pyshark, tshark) failed with status 1" in capture.reason


@pytest.mark.parametrize("bytes_of_output", [0, 60_000])
def test_a_tshark_that_is_killed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_of_output: int
) -> None:
    """Where the system kills tshark for its memory, the frames that are missing are an error, not lost packets."""
    real = shutil.which("tshark")
    # the version is asked for first; then it is killed on its way
    script = (
        f'case "$*" in *--version*|*-v) exec {real} "$@";; esac\n{real} "$@" | head -c {bytes_of_output}\nkill -9 $$'
    )
    monkeypatch.setenv("PATH", fake_tshark(tmp_path, script))
    capture = read_capture(Evidence(RECORDED / "v3.31.7-always"), live=False)
    assert isinstance(capture, Absent)
    assert capture.failed
    assert "of 212 packets and was then ended" in capture.reason


def test_a_tshark_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tshark hangs it is ended after its time, and nothing of it is left."""
    monkeypatch.setenv("PATH", fake_tshark(tmp_path, f"echo $$ >{tmp_path}/pid; exec sleep 600"))
    monkeypatch.setattr(decoding, "START_TIME", 3.0)
    monkeypatch.setattr(decoding, "PACKET_TIME", 0.0)
    capture = read_capture(Evidence(RECORDED / "v3.31.7-always"), live=False)
    assert isinstance(capture, Absent)
    assert "took longer than 3 s" in capture.reason
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:  # killed, but perhaps not yet gone
        time.sleep(0.01)
    assert not alive(pid)


def alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_too_many_packets_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture beyond the bound is an error that says so, before it is decoded."""
    for bound, says in (("MOST_PACKETS", "212 packets, more than 100"), ("MOST_BYTES", "bytes, more than 100")):
        with monkeypatch.context() as patch:
            patch.setattr(decoding, bound, 100)
            capture = read_capture(Evidence(RECORDED / "v3.31.7-always"), live=False)
        assert isinstance(capture, Absent)
        assert says in capture.reason


@pytest.mark.parametrize("live", [True, False])
def test_no_packets_directory(tmp_path: Path, live: bool) -> None:
    """Evidence without packets/ never had a capture; a live run should have made one."""
    capture = read_capture(Evidence(tmp_path), live=live)
    assert isinstance(capture, Absent)
    assert capture.failed is live


def test_nothing_captured_is_a_capture(tmp_path: Path) -> None:
    """Taps that saw no packet are a capture without packets, and need no decoder."""
    capture = read(evidence(tmp_path / "e", {"eth0": []}))
    assert capture.packets == ()
    assert capture.taps[0].problem == ""
