"""Which firewall a node has: how Calico's rules come into its kernel, by iptables and ipset or by nftables."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NamedTuple

from ..errors import LabRefusedError
from ..profiles import Profile
from ..spec import NodeSpec
from . import iptables, nftables
from .endpoints import PodRules

_TRIAL_WITHIN = 20.0  # seconds


class Step(NamedTuple):
    """A program of the machine's, by name and with its arguments, and the text that it reads."""

    argv: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Firewall:
    """One way to have Calico's rules."""

    packages: Mapping[str, str]  # by the programs that it uses
    start: Callable[[NodeSpec, Sequence[IPv4Address], Sequence[str]], list[Step]]  # of a node, its hosts and its pools
    change: Callable[[Iterable[PodRules], Iterable[PodRules]], Step]  # from one set of pods to another
    trial: tuple[str, ...] = ()  # a command that a kernel which has what it takes can do
    refusal: tuple[str, str] = ("", "")  # what is said where it cannot, and what to do


def _iptables_start(node: NodeSpec, hosts: Sequence[IPv4Address], pools: Sequence[str]) -> list[Step]:
    return [
        Step(("ipset", "restore"), iptables.ipset_text(node, hosts, pools)),
        Step(("iptables-legacy-restore",), iptables.iptables_text()),
    ]


def _iptables_change(before: Iterable[PodRules], after: Iterable[PodRules]) -> Step:
    return Step(("iptables-legacy-restore", "--noflush", "-w"), iptables.pods_text(before, after))


def _nftables_start(node: NodeSpec, hosts: Sequence[IPv4Address], pools: Sequence[str]) -> list[Step]:
    return [Step(("nft", "-f", "-"), nftables.table_text(node, hosts, pools))]


def _nftables_change(before: Iterable[PodRules], after: Iterable[PodRules]) -> Step:
    return Step(("nft", "-f", "-"), nftables.pods_text(before, after))


IPTABLES = Firewall(
    packages={"ipset": "ipset", "iptables-legacy-restore": "iptables"},
    start=_iptables_start,
    change=_iptables_change,
)
NFTABLES = Firewall(
    packages={"nft": "nftables"},
    start=_nftables_start,
    change=_nftables_change,
    trial=("nft", "add", "table", "ip", "probe"),
    refusal=(
        "the kernel that the lab's nodes run on has no nftables for IPv4, which --profile nft needs",
        "Use --profile bird, which is the same Calico with iptables, or a machine whose own kernel has both ipip and "
        "nftables (--kernel host): User-Mode Linux as Debian builds it has no nftables for IPv4.",
    ),
)


def of(profile: Profile) -> Firewall:
    """The firewall of a generation."""
    return NFTABLES if profile.nftables else IPTABLES


async def refuse_kernel(firewall: Firewall, programs: Mapping[str, str]) -> None:
    """Raise `LabRefusedError` where this kernel cannot carry it, after a trial in a network namespace of its own."""
    if not firewall.trial:
        return
    program, *arguments = firewall.trial
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--net", "--", "timeout", f"{_TRIAL_WITHIN:g}", programs[program], *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        what, remedy = firewall.refusal
        first = said.decode(errors="replace").strip().partition("\n")[0] or f"exit status {process.returncode}"
        raise LabRefusedError(f"{what} ({program}: {first.removeprefix('Error: ')}).", remedy)
