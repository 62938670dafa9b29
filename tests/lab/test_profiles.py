"""Healthy labs of every profile pass the whole suite: nothing fails, nothing warns, every skip is the profile's own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.lab.kernel import host
from pytest_calico_ipip.lab.spec import SECOND_POOL, LabSpec
from pytest_calico_ipip.lab.topology import firewall
from tests.matrix.suite import Subjects, Verdict, in_lab

pytestmark = pytest.mark.lab

FIRST, SECOND, THIRD = "virtnest-rook-ceph-1", "virtnest-rook-ceph-2", "virtnest-rook-ceph-3"
NOBODY_BORROWS: Subjects = {"ROUTE-6": ("1", "2", "3")}
# the first node borrows: that is the others' business
OTHERS_BORROW: Subjects = {"ROUTE-6": ("1",)}
# inside the subnet that two nodes share nothing is encapsulated
# what TCP and bare packets are asked depends on the pool's mode and on who is near
BY_MODE = ("PATH-8", "PATH-9", "PATH-10")
TWO_ARE_NEAR: Subjects = {"PATH-3": ("1:2", "2:1")}
ALL_ARE_NEAR: Subjects = {"PATH-3": ("1:2", "1:3", "2:1", "2:3", "3:1", "3:2")}


@dataclass(frozen=True)
class Profile:
    """Options of a lab, what does not apply there, and routes that its nodes must have while the suite runs."""

    options: tuple[str, ...]
    skipped: Subjects
    routes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    second_pool: bool = False


_SECOND_BLOCK = LabSpec(extra={"second-pool": "yes"}).node_specs()[1].second_block
PROFILES = {
    "felix": Profile(
        ("--profile", "felix"),
        NOBODY_BORROWS,
        {
            FIRST: (
                "blackhole 10.233.107.0/24 proto 80",
                "10.233.109.0/24 via 10.7.120.12 dev tunl0 proto 80 onlink mtu 1480",
            )
        },
    ),
    "bird-3.32, two subnets": Profile(
        ("--profile", "bird-3.32", "--subnets", "2"),
        NOBODY_BORROWS,
        {
            FIRST: (
                "blackhole 10.233.107.0/24 proto bird",
                "10.233.109.0/24 via 10.7.120.12 dev tunl0 proto bird metric 1024 onlink",
                "10.233.88.0/24 via 10.7.121.13 dev tunl0 proto bird metric 1024 onlink",
            )
        },
    ),
    "bird, CrossSubnet, two subnets": Profile(
        ("--ipip-mode", "CrossSubnet", "--subnets", "2"),
        NOBODY_BORROWS | TWO_ARE_NEAR,
        {
            FIRST: (
                "10.233.109.0/24 via 10.7.120.12 dev ens192 proto bird",
                "10.233.88.0/24 via 10.7.121.13 dev tunl0 proto bird onlink",
            )
        },
    ),
    "bird, CrossSubnet, one subnet": Profile(
        ("--ipip-mode", "CrossSubnet"),
        NOBODY_BORROWS | ALL_ARE_NEAR,
        {FIRST: ("10.233.88.0/24 via 10.7.120.13 dev ens192 proto bird",)},
    ),
    "felix, CrossSubnet, two subnets, borrowed address": Profile(
        ("--profile", "felix", "--ipip-mode", "CrossSubnet", "--subnets", "2", "--borrow", FIRST),
        OTHERS_BORROW | TWO_ARE_NEAR,
        {
            SECOND: (
                "10.233.107.0/24 via 10.7.120.11 dev ens192 proto 80 onlink",
                "10.233.109.1 via 10.7.120.11 dev ens192 proto 80 onlink",
            ),
            THIRD: ("10.233.109.1 via 10.7.120.11 dev tunl0 proto 80 onlink mtu 1480",),
        },
    ),
    "bird, borrowed address, second pool": Profile(
        ("--borrow", FIRST, "--second-pool"),
        OTHERS_BORROW,
        {
            FIRST: (f"{_SECOND_BLOCK} via 10.7.120.12 dev tunl0 proto bird onlink",),
            SECOND: (
                "10.233.109.1 via 10.7.120.11 dev tunl0 proto bird onlink",
                f"blackhole {_SECOND_BLOCK} proto bird",
            ),
            THIRD: ("10.233.109.1 via 10.7.120.11 dev tunl0 proto bird onlink",),
        },
        second_pool=True,
    ),
}


# what two others show, one half each
COMBINED = {"bird, CrossSubnet, one subnet", "felix, CrossSubnet, two subnets, borrowed address"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.thorough] if name in COMBINED else []) for name in PROFILES]
)
def test_a_healthy_profile_passes(name: str, tmp_path: Path) -> None:
    """The suite ends with 0, nothing failed or warned, what is not asserted cannot be, and the routes are Calico's."""
    profile = PROFILES[name]
    verdict = in_lab(tmp_path, *profile.options)
    assert verdict.status == 0, verdict.output[-4000:]
    assert set(verdict.outcomes) == {"holds", "not applicable"}, verdict.output[-4000:]
    skipped = verdict.of("not applicable")
    assert {name: skipped.get(name) for name in profile.skipped} == profile.skipped
    assert set(skipped) <= {*profile.skipped, *BY_MODE}
    assert verdict.causes == ()
    for node, routes in profile.routes.items():
        listed = json.loads((tmp_path / "evidence" / "nodes" / node / "ip-route.json").read_text())
        assert set(routes) <= {_typed(route) for route in listed}
    assert bool(_from_second_pool(tmp_path, verdict)) == profile.second_pool


def test_nftables_pass_where_the_kernel_has_them(tmp_path: Path) -> None:
    """As profile bird in every verdict; only a kernel with both ipip and nftables can show it, which no guest is."""
    if refusal := host.refusal():
        pytest.skip(f"this machine's kernel cannot carry a lab: {refusal}")
    verdict = in_lab(tmp_path, "--kernel", "host", "--profile", "nft")
    if firewall.NFTABLES.refusal[0] in verdict.output:
        pytest.skip("this machine's kernel has no nftables")
    assert verdict.status == 0, verdict.output[-4000:]
    assert set(verdict.outcomes) == {"holds", "not applicable"}, verdict.output[-4000:]
    assert set(verdict.of("not applicable")) <= {*NOBODY_BORROWS, *BY_MODE}
    assert "SEC-1" not in verdict.of("not applicable")


def _typed(route: dict[str, Any]) -> str:
    """A route of `ip -j route` as `ip route` prints it."""
    words = ["blackhole"] if route.get("type") == "blackhole" else []
    words.append(route["dst"])
    words += [f"via {route['gateway']}"] if "gateway" in route else []
    words += [f"dev {route['dev']}"] if "dev" in route else []
    words += [f"proto {route['protocol']}"] if "protocol" in route else []
    words += [f"metric {route['metric']}"] if "metric" in route else []
    words += ["onlink"] if "onlink" in route["flags"] else []
    words += [f"mtu {each['mtu']}" for each in route.get("metrics", ()) if "mtu" in each]
    return " ".join(words)


def _from_second_pool(work: Path, verdict: Verdict) -> set[str]:
    """The nodes that pods under test had addresses of the second pool on."""
    pods = json.loads((work / "evidence" / "api" / "pods.json").read_text())["items"]
    assert pods, verdict.output[-4000:]

    addresses = [(pod["spec"]["nodeName"], pod["status"].get("podIP")) for pod in pods]
    return {node for node, address in addresses if address and IPv4Address(address) in SECOND_POOL}
