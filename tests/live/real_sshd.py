"""A real sshd on the loopback of a private network, asked by our connections in every way that can go wrong.

Usage (in namespaces of its own): python -m tests.live.real_sshd DIRECTORY. Prints what each case said as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_calico_ipip import remote
from pytest_calico_ipip.nodes import connection as connections
from pytest_calico_ipip.nodes.connection import Connections
from pytest_calico_ipip.settings import Settings

PORT = 2222
CONFIG = """
Host node config-only
  HostName 127.0.0.1
  Port {port}
Host *
  UserKnownHostsFile {directory}/known_hosts
  GlobalKnownHostsFile /dev/null
  IdentityAgent none
"""
SSHD = """
ListenAddress 127.0.0.1:{port}
HostKey {directory}/host
AuthorizedKeysFile {directory}/key.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PidFile none
LogLevel VERBOSE
"""


def main(directory: Path) -> dict[str, Any]:
    """Start sshd, then ask."""
    # an ordinary user must be able to read his key, and pytest's directories are closed to him
    subprocess.run(
        ["sh", "-ec", "mount --make-rprivate /; mount -t tmpfs none /run; mkdir /run/sshd /run/here"], check=True
    )
    temporary, directory = directory, Path("/run/here")
    os.environ["HOME"] = str(directory)
    daemon, log = start(directory)
    settings = Settings(ssh_config=directory / "config", ssh_identity=directory / "key", pod_timeout=1, settle=1)
    (directory / "other_hosts").write_text(known(directory, "key.pub"))
    empty = (directory / "config").read_text().replace("/known_hosts", "/no_hosts")
    (directory / "config-unknown").write_text(empty)
    (directory / "config-changed").write_text(empty.replace("/no_hosts", "/other_hosts"))
    cases = {
        "unknown host key": replace(settings, ssh_config=directory / "config-unknown"),
        "changed host key": replace(settings, ssh_config=directory / "config-changed"),
        "wrong key": replace(settings, ssh_identity=directory / "host"),
        "no user": replace(settings, ssh_user="nobody-here"),
        "wrong port": replace(settings, ssh_port=1),
        "not root": replace(settings, ssh_user="plain"),
        "no sudo": replace(settings, ssh_user="plain", ssh_sudo=True),
        "broken config": replace(settings, ssh_config=directory / "host"),
    }
    told: dict[str, Any] = {name: refusal(case) for name, case in cases.items()}
    before = log.stat().st_size
    told["good"] = good(settings)
    of_good = log.read_bytes()[before:].decode()
    told["logins"] = of_good.count("Accepted publickey")
    told["sessions"] = of_good.count("Starting session: ")
    told["hosts"] = [
        connections.host_for("node", "10.7.120.11", directory / "config"),
        connections.host_for("elsewhere", "10.7.120.12", directory / "config"),
        connections.host_for("elsewhere", None, directory / "config"),
    ]
    told["too long"] = too_long(settings)
    told["too much"] = too_much(settings)
    daemon.terminate()
    daemon.wait(5)
    told["left"] = sorted(path.name for path in temporary.glob("ipip-run-*"))
    processes = subprocess.run(["ps", "-eo", "comm"], capture_output=True, text=True, check=True).stdout.split()
    told["ssh processes"] = processes.count("ssh")
    return told


def start(directory: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """An sshd with accounts of its own, and the file that it writes its log to."""
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    (directory / "config").write_text(CONFIG.format(port=PORT, directory=directory))
    (directory / "sshd").write_text(SSHD.format(port=PORT, directory=directory))
    (directory / "known_hosts").write_text(known(directory, "host.pub"))
    (directory / "passwd").write_text(
        f"root:x:0:0::{directory}:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n"
        f"plain:x:1000:1000::{directory}:/bin/sh\n"
    )
    (directory / "shadow").write_text("".join(f"{name}:*:19000:0:99999:7:::\n" for name in ("root", "sshd", "plain")))
    script = f"""
        mount --bind {directory}/passwd /etc/passwd
        mount --bind {directory}/shadow /etc/shadow
        ip link set lo up
    """
    subprocess.run(["sh", "-ec", script], check=True)
    log = directory / "sshd.log"
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "sshd is not installed"
    daemon = subprocess.Popen([program, "-D", "-f", directory / "sshd", "-E", log])
    deadline = time.monotonic() + 10
    while not (log.exists() and "Server listening" in log.read_text()):
        assert time.monotonic() < deadline, "sshd did not start"
        assert daemon.poll() is None, log.read_text()
        time.sleep(0.02)
    return daemon, log


def known(directory: Path, key: str) -> str:
    """A line of known_hosts."""
    return f"[127.0.0.1]:{PORT} {(directory / key).read_text()}"


def refusal(settings: Settings) -> list[str]:
    """Problem and remedy of a login that must not succeed."""
    with Connections(settings) as opened:
        opened.connect({"node": None})
        problem = opened.refused.get("node")
        return [problem.problem, problem.remedy] if problem else ["it worked", ""]


def good(settings: Settings) -> dict[str, Any]:
    """What a connection that works does."""
    with Connections(settings) as opened:
        opened.connect({"node": None})
        remote = opened.open["node"]
        ran = [remote.run(f"exit {status}", 10).status for status in (0, 3)]
        binary = remote.run("printf '\\000\\377'; echo words – and more >&2", 10)
        remote.ask("kept=1", 10)
        kept = remote.ask('echo "kept=$kept"', 10).stdout.decode()
        ended = remote.ask("exit 5", 10)
        return {
            "statuses": ran,
            "binary": binary.stdout.hex(),
            "words": binary.words(),
            "kept": kept,
            "ended": ended.status,
            "after the end": remote.run("true", 10).status,
        }


def too_long(settings: Settings) -> dict[str, Any]:
    """A remote command that outlives its time, and one that is cut off by closing the connection elsewhere."""
    connections.GRACE = 0.3
    with Connections(settings) as opened:
        opened.connect({"node": None})
        began = time.monotonic()
        run = opened.open["node"].run("sleep 60", 0.2).status
        run_took = time.monotonic() - began
    with Connections(settings) as opened:
        opened.connect({"node": None})
        began = time.monotonic()
        asked = opened.open["node"].ask("sleep 60", 0.5)
        ask_took = time.monotonic() - began
    with Connections(settings) as opened:
        opened.connect({"node": None})
        cutter = threading.Timer(0.3, opened.open["node"].close)
        cutter.start()
        began = time.monotonic()
        cut = opened.open["node"].ask("sleep 60", 30).status
        cut_took = time.monotonic() - began
    return {"run": [run, run_took], "ask": [asked.status, ask_took, asked.words()], "cut": [cut, cut_took]}


def too_much(settings: Settings) -> list[Any]:
    """A node that sends zeros for ever: how the command ended, how soon, and in how much memory of ours."""
    remote.LIMIT = 4 * 1024 * 1024
    with Connections(settings) as opened:
        opened.connect({"node": None})
        begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = opened.open["node"].run("cat /dev/zero", 30)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        return [answer.status, time.monotonic() - begun, answer.words(), grown]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
