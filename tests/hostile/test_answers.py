"""A node's answer may be anything: it is taken apart as far as it goes, within bounds."""

from __future__ import annotations

import io
import json
import tarfile
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_calico_ipip import remote
from pytest_calico_ipip.nodes.reading import eth0_mtu, split, underlay_nic
from pytest_calico_ipip.nodes.script import PodPlace
from pytest_calico_ipip.remote import MARK, Unpacked, unpack, untar

POD = PodPlace("default/a", "cali1", IPv4Address("10.233.107.1"), "7f0c")
LOOK_UP = [IPv4Address("10.233.109.1")]
NAMES = st.sampled_from(["places", "detailed", "plain", "status", "0.detailed", "../../etc/passwd", "sysctl.txt"])
MANY = settings(max_examples=150, deadline=None, derandomize=True)


def tar(files: dict[str, bytes]) -> bytes:
    """A tar stream as a node would send it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def sparse_bomb(claimed: int) -> bytes:
    """A GNU sparse member (old format): 512 bytes on the wire that claim to be `claimed` bytes of a file."""
    header = bytearray(tarfile.TarInfo("bomb").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[124:136] = b"%011o\0" % 512  # what follows in the stream
    header[386:410] = b"%011o\0" % 0 + b"%011o\0" % 512  # one piece of data: offset, length
    header[483:495] = b"%011o\0" % claimed  # the file's real size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" * 512 + bytes(1024)


@MANY
@given(st.binary(max_size=2048))
def test_no_stream_can_raise(noise: bytes) -> None:
    """Noise in the place of an answer is a problem in words."""
    assert unpack(noise).problem == "the script did not start" or MARK in noise
    assert isinstance(unpack(MARK + noise), Unpacked)


@MANY
@given(st.integers(0, 2000), st.binary(min_size=1, max_size=8))
def test_a_damaged_stream_is_read_as_far_as_it_goes(place: int, noise: bytes) -> None:
    """Bytes that change on the way cost what stands there, and never an exception."""
    whole = tar({"status": b"0 detailed\n", "detailed": b"[]\n[]\n[]\n", "places": b"0 cali1 cni-1\n"})
    spoilt = whole[:place] + noise + whole[place + len(noise) :]
    assert isinstance(untar(spoilt), Unpacked)
    assert isinstance(untar(whole[:place]), Unpacked)


@MANY
@given(st.dictionaries(NAMES, st.binary(max_size=200), max_size=5))
def test_no_file_can_raise(files: dict[str, bytes]) -> None:
    """Whatever the collected files hold, they become evidence under the names that we chose, and no other."""
    reading, lines = split("n1", untar(tar(files)), [POD], LOOK_UP)
    for name in [*reading.files, *(line.file for line in lines)]:
        parts = name.split("/")
        assert ".." not in parts
        assert parts[0]
    for line in lines:
        assert line.text().count("\n") == 1
        assert line.text().count("\t") == 3


def test_a_file_that_claims_to_be_huge_is_refused() -> None:
    """A sparse member of 1 KB that claims 8 GB is not unfolded into memory."""
    unpacked = untar(sparse_bomb(8 * 1024**3 - 1))
    assert "bomb" not in unpacked.files
    assert "larger" in unpacked.problem


@MANY
@given(st.binary(max_size=300))
def test_links_that_are_none(noise: bytes) -> None:
    """What `ip` did not print names no interface and no MTU."""
    assert underlay_nic(noise, [IPv4Address("10.7.120.11")]) is None
    assert eth0_mtu(noise) is None


@MANY
@given(st.text(max_size=2000))
def test_foreign_words_are_one_printable_line(words: str) -> None:
    """Terminal escapes and newlines do not reach a message."""
    line = remote.one_line(words)
    assert line.isprintable()
    assert len(line) <= 400


def test_files_that_are_huge_together_are_refused() -> None:
    """Many sparse members of 1 KB that claim 60 MiB each do not add up in memory."""
    claimed = 60 << 20
    bombs = b"".join(sparse_bomb(claimed)[: -2 * 512] for _ in range(20))
    unpacked = untar(bombs)
    assert sum(map(len, unpacked.files.values())) <= remote.LIMIT
    assert "larger" in unpacked.problem


@pytest.mark.parametrize("name", ["a/b", "..", "x" * 300, "a\0b", "\ud800", ""])
def test_names_of_a_node_that_no_interface_can_have_name_no_file(name: str) -> None:
    """The name of a tap's file has them; one that cannot be written would end the reading of all nodes."""
    said = f"0 {name} cni-1\n".encode(errors="surrogatepass")
    reading, _ = split("n1", Unpacked(files={"places": said}), [POD], LOOK_UP)
    assert set(reading.interfaces[POD.key]) <= set(POD.interface) | {"\ufffd"}
    links = [{"ifname": name, "flags": ["UP"], "addr_info": [{"local": "10.7.120.11"}]}]
    assert underlay_nic(json.dumps(links).encode(), [IPv4Address("10.7.120.11")]) is None
