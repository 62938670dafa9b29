"""Calico's nft rules in a real kernel: the tables of v3.31.7 in a network namespace, changed by nft, printed by nft."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.model.recordings import N1, RECORDED, judged_later, world
from tests.model.test_bgp_and_firewall import bad, with_nftables

RECORDED_TABLES = RECORDED / "v3.31.7-nft" / "nodes" / N1 / "nft.txt"
NFT = shutil.which("nft", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin")))
RULE = "ip calico filter-cali-INPUT"
TABLE = "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 10; }'; "
IN = "nft add rule inet fw in"
CHANGES = {
    "": ("", ""),
    "a host missing": ("nft delete element ip calico cali40all-hosts-net '{ 10.7.120.13 }'", "SEC-1@1"),
    "a host too many": ("nft add element ip calico cali40all-hosts-net '{ 192.0.2.0/24 }'", "SEC-1@1"),
    "somebody drops IPIP first": (f"nft insert rule {RULE} meta l4proto 4 drop", "SEC-2@1"),
    "somebody accepts all IPIP first": (f"nft insert rule {RULE} ip protocol 4 accept", "SEC-2@1"),
    "another program drops IPIP": (f"{TABLE} {IN} meta l4proto ipencap drop", "SEC-2@1"),
    "another program drops several protocols": (f"{TABLE} {IN} ip protocol '{{ 4, 47 }}' drop", "SEC-2@1"),
    "another program drops all but TCP": (f"{TABLE} {IN} ip protocol != tcp drop", "SEC-2@1"),
    "another program drops all but some": (f"{TABLE} {IN} meta l4proto != '{{ tcp, udp, icmp }}' drop", "SEC-2@1"),
    "another program knows no IPIP": (
        f"{TABLE} {IN} meta l4proto '{{ tcp, udp, icmp }}' accept; {IN} drop", "SEC-2@1"
    ),
    "another program accepts hosts by a set of its own": (
        f"{TABLE} nft add set inet fw nodes '{{ type ipv4_addr; }}'; "
        f"{IN} ip saddr @nodes accept; {IN} drop",
        "",
    ),
    "another program drops others": (
        f"{TABLE} {IN} ip protocol udp drop; {IN} meta l4proto '{{ sctp, gre }}' drop", ""
    ),
    "another program drops all but these": (f"{TABLE} {IN} meta l4proto != '{{ 4, tcp, icmp }}' drop", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_what_the_kernel_has_is_what_is_judged(name: str, tmp_path: Path) -> None:
    """As Calico made them they are healthy; what nft changes is found by the requirement that states it."""
    command, expected = CHANGES[name]
    if NFT is None:
        pytest.skip("no nft here")
    tried = subprocess.run(["unshare", "-rn", NFT, "add", "table", "ip", "calico"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("nft cannot make an IPv4 table in a namespace here")
    script = f"set -e; nft() {{ {NFT} \"$@\"; }}; nft -f '{RECORDED_TABLES}'; {command or ':'}; nft -j list ruleset"
    done = subprocess.run(["unshare", "-rn", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    root = with_nftables(tmp_path)
    (root / "nodes" / N1 / "nft.json").write_text(done.stdout)
    assert bad(judged_later(world(root))) == set(expected.split())
