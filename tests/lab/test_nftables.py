"""Profile nft: the text that Felix's nftables mode comes to, and who is refused. No kernel but for one guest."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_calico_ipip.lab.calico.objects import felix_configuration
from pytest_calico_ipip.lab.calico.policy import Allowed, Isolation
from pytest_calico_ipip.lab.errors import LabUsageError
from pytest_calico_ipip.lab.faults import CATALOGUE, chosen
from pytest_calico_ipip.lab.profiles import PROFILES
from pytest_calico_ipip.lab.spec import LabSpec
from pytest_calico_ipip.lab.topology import firewall, nftables
from pytest_calico_ipip.lab.topology.endpoints import PodRules

NODES = LabSpec(nodes=3).node_specs()
RECORDED = Path(__file__).parents[1] / "recorded" / "v3.31.7-nft" / "nodes" / NODES[0].name / "nft.txt"
ONE, TWO = PodRules("cali1", "a"), PodRules("cali2", "a")


def test_rules_carry_the_marks_that_felix_gives_them() -> None:
    """Felix's mark of a rule is a hash of the chain up to it: all recorded ones come out equal."""
    text = nftables.table_text(NODES[0], [node.address.ip for node in NODES])
    marks = [sorted(re.findall("cali:(.{16});", each)) for each in (text, RECORDED.read_text())]
    assert marks[0] == marks[1] != []


def test_a_pod_changes_its_own_chains_and_its_places_in_the_maps() -> None:
    """A second pod of a namespace touches nothing of the first; when it goes, its places go before its chains."""
    added = nftables.pods_text([ONE], [ONE, TWO]).splitlines()
    assert all("cali2" in line for line in added)
    assert not [line for line in added if line.startswith(("flush", "delete"))]
    assert [line.partition(" ip calico ")[0::2] for line in nftables.pods_text([ONE, TWO], [ONE]).splitlines()] == [
        ("delete element", 'filter-cali-from-wl-dispatch { "cali2" }'),
        ("delete element", 'filter-cali-to-wl-dispatch { "cali2" }'),
        ("flush chain", "filter-cali-fw-cali2"),
        ("flush chain", "filter-cali-tw-cali2"),
        ("delete chain", "filter-cali-fw-cali2"),
        ("delete chain", "filter-cali-tw-cali2"),
    ]


def test_the_last_pod_of_a_namespace_takes_the_profiles_along() -> None:
    """What only it had goes with it, and what another one has stays."""
    text = nftables.pods_text([ONE, PodRules("cali3", "b")], [ONE])
    assert "delete chain ip calico filter-cali-pri-kns.b\n" in text
    assert "kns.a" not in text


def test_names_of_profiles_are_not_shortened_before_the_kernel_s_limit() -> None:
    """An nft chain may have 255 characters; what is longer ends in a hash."""
    assert "filter-cali-pri-ksa.sleep-curl.default" in nftables.pod_chains([PodRules("cali1", "sleep-curl")])
    long = nftables.pod_chains([PodRules("cali1", "a", "b" * 253)])
    [hashed] = [name for name in long if name.startswith("filter-cali-pri-_")]
    assert re.fullmatch(r"filter-cali-pri-_[\w-]{43}", hashed)


def test_protocols_and_ports_are_nft_matches() -> None:
    """Of what leaves a pod the peer is the destination; one port, a span of ports, and a whole protocol."""
    egress = (Allowed("10.0.0.0/8", 6, (80, 80)), Allowed("", 17, (5000, 5010)), Allowed("", 132), Allowed())
    chains = nftables.pod_chains([PodRules("cali1", "a", isolation=Isolation(egress=egress))])
    texts = [rule.text for rule in chains["filter-cali-fw-cali1"]]
    assert [text.partition("counter meta mark set mark or 0x10000")[0] for text in texts if "mark or" in text] == [
        "meta l4proto 6 ip daddr 10.0.0.0/8 tcp dport { 80 } ",
        "meta l4proto 17 udp dport { 5000-5010 } ",
        "meta l4proto 132 ",
        "",
    ]
    assert texts[-1] == "counter drop"
    assert not any("cali-pro" in text for text in texts)
    assert any("cali-pri" in rule.text for rule in chains["filter-cali-tw-cali1"])


def test_who_has_which_firewall() -> None:
    """Only profile nft has nftables, and its FelixConfiguration says so."""
    for name, profile in PROFILES.items():
        wanted = firewall.NFTABLES if name == "nft" else firewall.IPTABLES
        assert firewall.of(profile) is wanted
        assert felix_configuration(profile)["spec"].get("nftablesMode") == ("Enabled" if name == "nft" else None)


def test_faults_of_iptables_are_refused() -> None:
    """A fault that changes iptables' rules or ipsets says that it needs them; others are taken."""
    for name in ("host-set-missing", "ipip-dropped", "pods-translated"):
        with pytest.raises(LabUsageError, match=f"the fault {name} needs iptables and ipset"):
            chosen(LabSpec(profile="nft", faults=(name,)))
        assert chosen(LabSpec(faults=(name,)))
    assert chosen(LabSpec(profile="nft", faults=("tunnel-mtu-low",))) == (CATALOGUE["tunnel-mtu-low"],)


@pytest.mark.lab
@pytest.mark.skipif(shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin:/bin") is None, reason="no nft here")
def test_a_kernel_without_nftables_is_refused_at_once(tmp_path: Path) -> None:
    """User-Mode Linux has none for IPv4: one sentence, what to do, 125, and no command was run."""
    lab = [sys.executable, "-m", "pytest_calico_ipip.lab", "run", "--kernel", "uml", "--profile", "nft"]
    done = subprocess.run([*lab, "--", "touch", "ran"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 125
    what, remedy = done.stderr.splitlines()
    assert what.startswith("calico-ipip-lab: " + firewall.NFTABLES.refusal[0])
    assert remedy == firewall.NFTABLES.refusal[1]
    assert not (tmp_path / "ran").exists()
