"""A script that runs on a node: how it is wrapped, what it may rely on, and how its one answer is taken apart.

Everything that a script collects goes into a directory of its own on the node, which comes back as one tar stream and
is removed by a trap: an answer costs one round trip, is binary-safe, and leaves nothing there.
"""

from __future__ import annotations

import io
import shlex
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

LIMIT = 64 * 1024 * 1024  # bytes; no node has more to say to one script
# an answer begins after this line, whatever a login shell has printed before
MARK = b"=== calico-ipip answer ===\n"

# `run FILE COMMAND…` keeps what a command prints, its stderr beside it, and its exit status in `status`.
# `finish` sends everything; it also does so when `timeout` ends the script, so that the part that is there arrives.
RUN = r"""
run() { _f=$1; shift; "$@" >"$_f" 2>"$_f.stderr"; _s=$?; echo "$_s $_f" >>status; return $_s; }
"""
# asked by name for a device that is not there, the kernel may load the module of that name: ipip, which makes tunl0
THERE = r"""
there() { while read -r _name _rest; do [ "$_name" = "$1:" ] && return; done </proc/net/dev; return 1; }
"""
PRELUDE = (
    r"""
umask 077
LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; export LC_ALL PATH
d=$(mktemp -d "${TMPDIR:-/tmp}/calico-ipip.XXXXXX") || exit 96
trap 'rm -rf "$d"' EXIT
cd "$d" || exit 96
finish() { trap '' HUP INT TERM; cd "$d" && tar cf - .; exit "$1"; }
trap 'finish 124' HUP INT TERM
"""
    + RUN
)


@dataclass(frozen=True)
class Answer:
    """What a remote command gave back. 255 is ssh's own failure: our scripts never end with it."""

    status: int
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def failed_to_run(self) -> bool:
        """Whether the connection failed, rather than the command."""
        return self.status == 255

    def words(self) -> str:
        """What it said on stderr, on one line and without control characters."""
        return one_line(self.stderr)


class Remote(Protocol):
    """A way to run commands on one node, as root.

    In its scripts `$root` is where the node's own files are: empty, or a path that leads there.
    """

    @property
    def node(self) -> str:
        """The node's name."""

    @property
    def way(self) -> str:
        """How commands get there, as words for a sentence: "ssh"."""

    @property
    def missing_tcpdump(self) -> str:
        """What to do where there is no tcpdump, as a sentence that names the place."""

    def close(self) -> None:
        """End the connection and every command on it. Safe to call twice and from any thread."""

    def run(self, command: str, timeout: float) -> Answer:
        """Run a command line to its end; after `timeout` seconds the connection is cut and the answer is a 255."""

    def ask(self, script: str, timeout: float) -> Answer:
        """Feed `script` to the one shell that lives as long as the connection, and read what it prints.

        Its variables, traps and background processes last until the next piece: that is what it is for. A piece that
        ends the shell, or does not come to its end in time, is answered with a 255, and so is everything after it.
        """

    def wrap(self, script: str, seconds: float) -> str:
        """The command line that runs `script` as root and ends it after `seconds`."""


@dataclass(frozen=True)
class Unpacked:
    """The files that a script collected, with exit statuses by file name."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    statuses: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""  # why something may be missing; "" where the stream was whole


def wrap(script: str, seconds: float, *, sudo: bool = False) -> str:
    """One command line for whatever login shell the node has: `timeout` bounds it even where ssh died."""
    root = "sudo -n " if sudo else ""
    text = f"echo '{MARK.decode().strip()}'\n{script}"
    return f"exec {root}timeout -k 5 {max(1, round(seconds))} /bin/sh -c {shlex.quote(text)}"


def unpack(answer: bytes) -> Unpacked:
    """Take an answer apart: regular files with plain names, as far as the stream is whole."""
    _, found, stream = answer.partition(MARK)
    if not found:
        return Unpacked(problem="the script did not start")
    return untar(stream)


def untar(stream: bytes) -> Unpacked:
    """The files of a tar stream, as far as it is whole; `status` among them has the exit statuses."""
    if not stream:
        return Unpacked(problem="the script sent nothing: is tar there, and room in /tmp?")
    files: dict[str, bytes] = {}
    problem = ""
    room = LIMIT
    try:
        with tarfile.open(fileobj=io.BytesIO(stream), mode="r|") as tar:
            for member in tar:
                if member.size > room:  # sparse files of a few bytes may claim terabytes, alone or together
                    problem = f"the answer's files claim to be larger than {LIMIT // 1024 // 1024} MiB"
                    continue
                content = tar.extractfile(member) if member.isreg() else None
                if content is not None:
                    room -= member.size
                    files[member.name.removeprefix("./")] = content.read()
    except (tarfile.TarError, OSError) as error:
        problem = f"the answer ended early ({one_line(str(error))})"
    statuses = {}
    for line in files.pop("status", b"").decode("ascii", "replace").splitlines():
        status, _, name = line.partition(" ")
        if status.isdigit():
            statuses[name] = int(status)
    return Unpacked(files, statuses, problem)


def one_line(text: bytes | str, limit: int = 400) -> str:
    """Foreign words made fit for a sentence: one line, printable, bounded."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return words if len(words) <= limit else words[: limit - 1] + "…"
