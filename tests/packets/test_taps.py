"""A tap that could not have seen everything says so; lists that cannot be read are errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.judge.load import load
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.checks import wire_path
from pytest_calico_ipip.model.judgement import Outcome
from pytest_calico_ipip.model.wire import Tap
from pytest_calico_ipip.packets.decode import read_capture
from pytest_calico_ipip.packets.tapfile import read_taps
from pytest_calico_ipip.packets.taps import Plan
from pytest_calico_ipip.packets.taps import write as write_taps
from pytest_calico_ipip.remote import Unpacked

RECORDED = Path(__file__).parent.parent / "recorded" / "v3.31.7-always"
A, B = "virtnest-rook-ceph-1", "virtnest-rook-ceph-2"
FILE = "6-peer-tunl0.pcap"
HEALTHY = "tcpdump: listening on tunl0, link-type RAW (Raw IP)\n26 packets captured\n26 packets received by filter\n"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of a recording that a test may damage."""
    shutil.copytree(RECORDED, tmp_path / "e")
    for path in (tmp_path / "e").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path / "e"


def cut(path: Path, size: int) -> None:
    """Keep only the first bytes of a file."""
    path.write_bytes(path.read_bytes()[:size])


def said(text: str) -> Callable[[Path], None]:
    """What tcpdump wrote to its stderr."""

    def write(path: Path) -> None:
        path.with_suffix(".stderr").write_text(text)

    return write


def write(path: Path, content: bytes) -> None:
    """Other content."""
    path.write_bytes(content)


def flip(path: Path, at: int, value: int) -> None:
    """Another byte at one place."""
    content = bytearray(path.read_bytes())
    content[at] = value
    path.write_bytes(content)


def directory(path: Path) -> None:
    """A directory in the file's place."""
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "gone": (lambda path: path.unlink(), "the file is gone"),
    "empty": (lambda path: cut(path, 0), "the file is empty: 0 bytes"),
    "a header cut": (lambda path: cut(path, 20), "ends inside its own header"),
    "cut inside a packet": (lambda path: cut(path, path.stat().st_size - 5), "is cut off inside packet 26"),
    "cut inside a packet's header": (lambda path: cut(path, 24 + 8), "is cut off inside packet 1"),
    "no pcap": (lambda path: write(path, b"hello, world"), "is no pcap: it begins with 68 65 6c 6c"),
    "pcapng": (lambda path: write(path, b"\x0a\x0d\x0d\x0a" + bytes(40)), "editcap -F pcap"),
    "an absurd length": (lambda path: flip(path, 24 + 11, 0x7F), "is damaged: packet 1 claims"),
    "kernel drops": (said(HEALTHY + "3 packets dropped by kernel\n"), "the kernel dropped 3 packets"),
    "never listened": (
        said("tcpdump: tunl0: You don't have permission\n"),
        "never listened: tcpdump: tunl0: You don't",
    ),
    "said nothing": (said(""), "never listened: it said nothing"),
    "another count": (said(HEALTHY.replace("26", "27")), "captured 27 packets, its file has 26"),
    "no count": (said(HEALTHY.splitlines()[0]), "did not come to its end"),
    "a directory": (directory, "cannot be read"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_tap_is_a_problem(copy: Path, name: str) -> None:
    """The tap says what is wrong with it; the other taps have no problem."""
    damage, says = DAMAGES[name]
    damage(copy / "packets" / FILE)
    readings = [tap.reading for tap in read_taps(Evidence(copy))]
    problems = {reading.tap.file: reading.problem for reading in readings if reading.problem}
    assert list(problems) == [FILE]
    assert says in problems[FILE]


@pytest.mark.parametrize("name", ["gone", "empty", "cut inside a packet", "never listened", "kernel drops"])
def test_a_damaged_tap_is_an_error_and_no_failure(copy: Path, name: str) -> None:
    """A path that a damaged tap should have seen is inconclusive where it did not see it, never a difference."""
    path = copy / "packets" / FILE
    DAMAGES[name][0](path)
    if name in ("never listened", "kernel drops"):
        cut(path, 24)
        words = path.with_suffix(".stderr")
        words.write_text(words.read_text().replace("26 packets captured", "0 packets captured"))
    world = load(copy)
    for check in (wire_path.seen_once, wire_path.bare, wire_path.mirrored, wire_path.untouched):
        judgement = check(world, A, B)
        assert judgement.differences == ()
    assert wire_path.encapsulated(world, A, B).outcome is Outcome.HOLDS
    once = wire_path.seen_once(world, A, B)
    if name == "cut inside a packet":  # its last packet is TCP's; every echo was seen
        assert once.outcome is Outcome.HOLDS
    else:
        assert once.outcome is Outcome.ERROR
        assert once.inconclusive[0].startswith(f"{B} tunl0: ")


def test_healthy_words_are_no_problem(copy: Path) -> None:
    """What a healthy tcpdump says leaves the tap without a problem."""
    said(HEALTHY + "0 packets dropped by kernel\n")(copy / "packets" / FILE)
    assert all(not tap.reading.problem for tap in read_taps(Evidence(copy)))


def test_the_bound_on_packets(copy: Path) -> None:
    """A tap that reached its bound may have missed what came after."""
    path = copy / "packets" / "taps.json"
    listed = json.loads(path.read_text())
    for entry in listed:
        entry["limit"] = 26 if entry["file"] == FILE else 1000
    path.write_text(json.dumps(listed))
    problems = [tap.reading.problem for tap in read_taps(Evidence(copy)) if tap.reading.problem]
    assert problems == ["tcpdump stopped at its bound of 26 packets"]


@pytest.mark.parametrize(
    "words", ["tcpdump: tunl0: That device is not up\n", "tcpdump: tunl0: No such device exists\n(No such device)\n"]
)
def test_a_tunnel_device_that_is_down_or_missing_saw_all_that_passed(copy: Path, words: str) -> None:
    """Nothing passes a device that is down or not there: that its tap saw nothing is a finding, no lack of evidence."""
    path = copy / "packets" / FILE
    path.unlink()
    said(words)(path)
    judgement = wire_path.seen_once(load(copy), A, B)
    assert judgement.outcome is Outcome.FAILED
    assert "ens192 ✓ → tunl0 ✗" in judgement.differences[0].note


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        "[[",
        '[{"file": "x.pcap", "node": "n"}]',
        '[{"file": "../x.pcap", "node": "n", "netns": null, "interface": "eth0"}]',
        '[{"file": "x.pcap", "node": "n", "netns": 3, "interface": "eth0"}]',
        '[{"file": "x.pcap", "node": "n\\u001b[2J", "netns": null, "interface": "eth0"}]',
    ],
)
def test_an_unreadable_list_of_taps_is_an_error(tmp_path: Path, content: str) -> None:
    """A taps.json that cannot be understood, or reaches outside, is an error and no empty capture."""
    (tmp_path / "packets").mkdir()
    (tmp_path / "packets" / "taps.json").write_text(content)
    capture = read_capture(Evidence(tmp_path), live=False)
    assert isinstance(capture, Absent)
    assert capture.failed
    assert capture.reason.startswith("packets/taps.json")


@pytest.mark.parametrize("content", ["{}", "[1]", "[{}]", '[{"id": "1", "kind": "echo", "source": "x"}]', "[["])
def test_an_unreadable_list_of_probes_is_an_error(copy: Path, content: str) -> None:
    """A probes.json that cannot be understood is an error."""
    (copy / "packets" / "probes.json").write_text(content)
    capture = read_capture(Evidence(copy), live=False)
    assert isinstance(capture, Absent)
    assert capture.failed
    assert capture.reason.startswith("packets/probes.json")


def test_probes_are_read_and_made_safe_to_show(copy: Path) -> None:
    """A probe's answer is bounded and has no control characters left."""
    entry = {
        "id": "1", "kind": "echo", "source": "10.233.107.1", "destination": "10.233.109.1", "node": A,
        "command": "ping", "exit": 1, "stdout": "a" * 9000, "stderr": "\x1b[2Jno\n", "icmp_id": 9, "seqs": [1],
        "size": 56, "df": False,
    }  # fmt: skip
    (copy / "packets" / "probes.json").write_text(json.dumps([entry]))
    capture = read_capture(Evidence(copy), live=True)
    assert not isinstance(capture, Absent)
    assert capture.probes is not None
    probe = capture.probes[0]
    assert (probe.exit, probe.icmp_id, probe.seqs, probe.size) == (1, 9, (1,), 56)
    assert probe.stderr == "�[2Jno\n"
    assert len(probe.stdout) == 4000


def test_a_live_run_without_its_probes_is_an_error(copy: Path) -> None:
    """A run of ours writes probes.json: without it nothing is derived from the packets."""
    capture = read_capture(Evidence(copy), live=True)
    assert isinstance(capture, Absent)
    assert capture.failed


@pytest.mark.parametrize(
    "said",
    [
        "/bin/sh: 1: tcpdump: not found",
        "bash: tcpdump: command not found",
        'exec of "tcpdump" failed: No such file or directory',
        "nsenter: failed to execute tcpdump: No such file or directory",
    ],
)
def test_a_place_without_tcpdump_gets_the_remedy(said: str, tmp_path: Path) -> None:
    """Whoever was to start it: a shell, `ip netns exec`, nsenter."""
    plan = Plan(Tap("x.pcap", A, None, "tunl0"), "ip")
    write_taps(tmp_path, [plan], Unpacked({"0.stderr": said.encode()}), "install tcpdump")
    assert "install tcpdump" in (tmp_path / "x.stderr").read_text()
