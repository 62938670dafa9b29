"""The reading loads no module: what would ask the kernel for one is not run where the kernel has none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pytest_calico_ipip.nodes.script import after_script, reading_script
from pytest_calico_ipip.packets.taps import _SEND
from pytest_calico_ipip.remote import RUN, Unpacked, untar
from tests.live.private_network import UNSHARE

BEFORE = reading_script([], [], [], 0, 1)
# as a capture's end, in a directory of its own
AFTER = "set -e; d=$(mktemp -d); cd $d; set +e\n" + RUN + after_script([], []) + _SEND
NO_MODULES = "mount -t tmpfs none /sys/module; "
TUNNEL = "ip link add tunl0 type veth peer name other; mount --make-rprivate /; mount -t tmpfs none /sys; "
SETS = "mkdir -p /sys/module/ip_set; "


def read(tmp_path: Path, shell: str, script: str, ground: str) -> tuple[Unpacked, list[str]]:
    """What a script collects in a kernel made by `ground`, and which of two programs were asked."""
    for name in ("ipset", "ethtool"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/asked\necho answer\n')
        (tmp_path / name).chmod(0o755)
    command = ["busybox", "sh", "-s"] if shell == "busybox" else [shell, "-s"]
    done = subprocess.run(
        [*UNSHARE, "sh", "-ec", f'{ground}exec "$@"', "sh", *command],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)},
        input=script.encode(),
        capture_output=True,
        timeout=60,
    )
    asked = tmp_path / "asked"
    return untar(done.stdout), asked.read_text().splitlines() if asked.exists() else []


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_a_kernel_without_them_is_not_asked_for_sets_or_the_tunnel_device(shell: str, tmp_path: Path) -> None:
    """The files are what the programs would have left: no set at all, and ethtool's own word and failure."""
    answer, asked = read(tmp_path, shell, BEFORE, NO_MODULES)
    assert answer.problem == ""
    assert asked == []
    assert (answer.statuses["ipset.txt"], answer.files["ipset.txt"]) == (0, b"")
    assert answer.files["ipset.txt.stderr"] == b"no sets in this kernel\n"
    assert (answer.statuses["ethtool-tunl0.txt"], answer.files["ethtool-tunl0.txt"]) == (1, b"")
    assert answer.files["ethtool-tunl0.txt.stderr"] == b"netlink error: No such device\n"


def test_nor_is_it_after_the_capture(tmp_path: Path) -> None:
    """The second reading keeps to the same."""
    answer, asked = read(tmp_path, "dash", AFTER, NO_MODULES)
    assert asked == []
    assert (answer.statuses["again.ipset.txt"], answer.files["again.ipset.txt"]) == (0, b"")


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_a_kernel_that_has_them_is_asked(shell: str, tmp_path: Path) -> None:
    """Both programs run, once each."""
    answer, asked = read(tmp_path, shell, BEFORE, TUNNEL + SETS)
    assert answer.problem == ""
    assert asked == ["ipset list", "ethtool -k tunl0"]
    assert answer.files["ipset.txt"] == answer.files["ethtool-tunl0.txt"] == b"answer\n"
