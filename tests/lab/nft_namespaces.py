"""Network namespaces of this machine's kernel that carry nftables: stand-ins for the lab's nodes, where nft is real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pytest_calico_ipip.lab.spec import LabSpec
from pytest_calico_ipip.lab.topology import Node, Topology, firewall
from pytest_calico_ipip.lab.topology.plan import Paths

SPEC = LabSpec(profile="nft")
FIRST = SPEC.node_specs()[0]


class Namespace(Node):
    """A network namespace, as a node without processes of its own."""

    def enter(self, argv: Sequence[str]) -> list[str]:
        """As its root, whoever we are."""
        return ["nsenter", "-t", str(self.pid), "-U", "-n", "--preserve-credentials", "--", *argv]

    def do(self, script: str) -> str:
        """What a shell script prints; it must end well."""
        done = subprocess.run(self.enter(["sh", "-ec", script]), capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{script}: {done.stderr}"
        return done.stdout

    def ruleset(self) -> str:
        """`nft -j list ruleset`."""
        return self.do("nft -j list ruleset")


@contextlib.contextmanager
def namespace(beside: Namespace | None = None) -> Iterator[Namespace]:
    """A new one; `beside` another it belongs to the same root."""
    argv = ["unshare", "-rn", "sleep", "300"] if beside is None else beside.enter(["unshare", "-n", "sleep", "300"])
    with subprocess.Popen(argv) as holder:
        try:
            comm = Path(f"/proc/{holder.pid}/comm")
            deadline = time.monotonic() + 10
            while holder.poll() is None and comm.read_text() != "sleep\n" and time.monotonic() < deadline:
                time.sleep(0.01)
            if holder.poll() is not None:
                pytest.skip("no network namespaces here")
            yield Namespace(FIRST, holder.pid)
        finally:
            holder.kill()


@contextlib.contextmanager
def node() -> Iterator[Namespace]:
    """A namespace in which the first node's table is. Skips where the kernel or the machine has no nftables."""
    with namespace() as made:
        if shutil.which("nft") is None:
            pytest.skip("no nft here")
        trial = made.enter(["unshare", "-n", *firewall.NFTABLES.trial])
        if subprocess.run(trial, capture_output=True, timeout=10, check=False).returncode:
            pytest.skip("nft cannot make an IPv4 table in a namespace here")
        start(made)
        yield made


def start(made: Namespace) -> None:
    """What the lab gives a node that starts."""
    hosts = [each.address.ip for each in SPEC.node_specs()]
    for argv, text in firewall.of(SPEC.generation).start(FIRST, hosts, [str(pool) for pool in SPEC.pools]):
        subprocess.run(made.enter(argv), input=text, text=True, check=True, timeout=30)


def topology(made: Namespace, state: Path) -> Topology:
    """The lab's own object over this one node, which it does not end."""
    return Topology(
        spec=SPEC,
        paths=Paths(state),
        nodes={FIRST.name: made},
        holders=None,  # type: ignore[arg-type]
        _wanted={FIRST.name: set()},
        _programmed={FIRST.name: frozenset()},
        _locks={FIRST.name: asyncio.Lock()},
    )


def with_sbin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nft and ip are on Debian."""
    monkeypatch.setenv("PATH", f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
