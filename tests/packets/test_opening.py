"""The taps' shell ends its taps and takes its directory with it, also where nobody hears it any more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_calico_ipip.model.wire import Tap
from pytest_calico_ipip.packets.taps import Plan, opening

# ends by SIGINT, as the real one does although a shell's background children are told to ignore it
TCPDUMP = f"""#!{sys.executable} -IS
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit())
print("tcpdump: listening on x", file=sys.stderr, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_whoever_listened_is_killed_while_the_taps_are_opened(shell: str, tmp_path: Path) -> None:
    """Its next word is a broken pipe: that must not end it before it has cleaned up."""
    programs, temporary = tmp_path / "bin", tmp_path / "t"
    programs.mkdir()
    temporary.mkdir()
    (programs / "tcpdump").write_text(TCPDUMP)
    (programs / "tcpdump").chmod(0o755)
    run = subprocess.Popen(
        ["busybox", "sh", "-s"] if shell == "busybox" else [shell, "-s"],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert run.stdin is not None
    assert run.stdout is not None
    run.stdout.close()
    piece = opening([Plan(Tap("a.pcap", "n", None, "lo"), "icmp"), Plan(Tap("b.pcap", "n", None, "lo"), "icmp")], 9)
    run.stdin.write(f"{piece}\necho; echo end\necho more\n".encode())
    run.stdin.close()
    run.wait(20)
    assert list(temporary.iterdir()) == []
    with pytest.raises(ProcessLookupError):  # the shell has waited for them
        os.killpg(run.pid, 0)


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_a_device_that_is_not_there_is_not_asked_for(shell: str, tmp_path: Path) -> None:
    """Or the kernel would load ipip, whose alias it is, and make tunl0."""
    (tmp_path / "tcpdump").write_text(f"#!/bin/sh\necho asked >>{tmp_path}/asked\n")
    (tmp_path / "tcpdump").chmod(0o755)
    done = subprocess.run(
        ["busybox", "sh", "-s"] if shell == "busybox" else [shell, "-s"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        input=opening([Plan(Tap("a.pcap", "n", None, "nowhere0"), "icmp")], 9) + '\ncat 0.stderr; echo "$left."\n',
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stdout == "tcpdump: nowhere0: No such device exists\n.\n"
    assert not (tmp_path / "asked").exists()
