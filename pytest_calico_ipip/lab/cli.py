"""The command line of the lab: run, shell, exec and faults."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from . import kernel, tools
from .errors import LabError, LabUsageError
from .kernel.job import Job
from .kernel.namespaces import FORWARDED
from .kernel.paths import STATE, windows
from .kernel.rundir import RunDirectory
from .profiles import PROFILES
from .spec import Hook, LabSpec

MOST_NODES = 50
LEAST_MEGABYTES = 128  # the kernel boots with less, and ends in the middle of something


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: the exit status (COMMAND's; 2 wrong usage; 125 the lab itself failed)."""
    words = list(sys.argv[1:] if argv is None else argv)
    command: list[str] | None = None
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    try:
        options = _parser().parse_args(words)
    except SystemExit as end:
        return int(end.code or 0)
    try:
        if options.verb == "faults":
            return _print_faults()
        if options.verb == "exec":
            return _exec(options.node, command)
        return _run(options, command)
    except LabUsageError as error:
        print(f"calico-ipip-lab: {error}", file=sys.stderr)
        return 2
    except LabError as error:
        print(f"calico-ipip-lab: {error}", file=sys.stderr)
        return 125


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="calico-ipip-lab",
        description="A small Kubernetes cluster with a Calico-style IPIP network, on this machine and gone afterwards.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="run|shell|exec|faults")
    run = verbs.add_parser(
        "run",
        help="run a command in a new lab",
        usage="calico-ipip-lab run [OPTION]… -- COMMAND [ARG…]",
        description="Builds a lab, runs COMMAND in it, exits with its status (2: wrong usage, 125: the lab failed).",
        allow_abbrev=False,
    )
    shell = verbs.add_parser(
        "shell",
        help="an interactive shell in a new lab",
        usage="calico-ipip-lab shell [OPTION]…",
        description="Builds a lab and opens a shell in it: kubectl, ssh NODE, ip and tcpdump all work.",
        allow_abbrev=False,
    )
    for verb in (run, shell):
        _add_lab_options(verb)
    execute = verbs.add_parser(
        "exec",
        help="run a command in a node of the lab that this is typed in",
        usage="calico-ipip-lab exec NODE -- COMMAND [ARG…]",
        allow_abbrev=False,
    )
    execute.add_argument("node", metavar="NODE")
    verbs.add_parser("faults", help="list the faults: name, what it breaks, which requirements must fail")
    return parser


def _add_lab_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--nodes", type=int, default=3, metavar="N", help="number of nodes, 0 to 50 (3); 0: a kernel and nothing else")
    add(
        "--profile",
        choices=tuple(PROFILES),
        default="bird",
        help="the Calico generation: who programs the routes, with which metrics (bird: BIRD, none); nft: as bird, the "
        "firewall by nftables, in a kernel that has both ipip and nftables",
    )
    add("--ipip-mode", choices=("Always", "CrossSubnet"), default="Always", help="the pools' ipipMode (Always)")
    add(
        "--subnets",
        type=int,
        default=1,
        metavar="N",
        help="number of subnets that the nodes are in, a router between (1)",
    )
    add("--borrow", metavar="NODE", help="one pod of NODE has an address from the block of the node after it")
    add("--second-pool", action="store_true", help="a second pool, which every other node takes addresses from, too")
    add(
        "--pod-tools",
        choices=tools.POD_TOOLS,
        default="host",
        help="pods have the machine's programs as root, or BusyBox and curl as user 100, as curlimages/curl has (host)",
    )
    add(
        "--node-tools",
        choices=tools.NODE_TOOLS,
        default="host",
        help="bare: no tcpdump, tshark, dumpcap, ethtool on the nodes, but for pods of a network tools image (host)",
    )
    add("--native", action="store_true", help="Calico's kinds are native CRDs, projectcalico.org/v3")
    add("--no-sshd", action="store_true", help="the nodes run no sshd")
    add("--kernel", choices=kernel.KINDS, default="auto", help="auto: host where it can make an ipip link, else uml")
    add("--memory", type=int, metavar="MB", help="memory of the uml kernel, for a COMMAND that needs more than one run")
    add("--fault", action="append", default=[], metavar="NAME", help="break the cluster as `faults` lists; repeatable")
    for name, when in (("--at-start", "before COMMAND"), ("--at-pod", "each time a pod on it is up")):
        add(name, action="append", nargs=2, default=[], metavar=("NODE", "COMMAND"), help=f"run in NODE {when}")
    add("--writable", action="append", default=[], metavar="PATH", help="let the lab write there too; repeatable")


class _Interrupted(BaseException):
    """A signal came before a kernel ran, or after it had ended."""


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise _Interrupted(number)


def _run(options: argparse.Namespace, command: list[str] | None) -> int:
    started = time.time()
    _open_standard_streams()
    before = {number: signal.signal(number, _interrupt) for number in FORWARDED}
    try:
        return _run_from(started, options, command)
    except _Interrupted as interrupted:
        return 128 + int(interrupted.args[0])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _open_standard_streams() -> None:
    """A stream that was closed outside is /dev/null, lest the next file that is opened takes its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _run_from(started: float, options: argparse.Namespace, command: list[str] | None) -> int:
    if options.verb == "shell":
        if command is not None:
            raise LabUsageError("shell takes no command.", "Use: calico-ipip-lab run -- COMMAND")
        command = [shutil.which("bash") or "/bin/sh"]
    if not command:
        raise LabUsageError("run needs a command.", "Use: calico-ipip-lab run [OPTION]… -- COMMAND [ARG…]")
    spec = _spec(options)
    cwd = _cwd()
    with RunDirectory() as directory:
        outside = str(directory.path)
        seen = windows(cwd, [*options.writable, outside], os.environ.get("PATH", ""), command)
        job = Job(spec, tuple(command), cwd, dict(os.environ), seen, outside, started)
        failure, refusal = directory.path / "failure", directory.path / "refusal"
        try:
            status = kernel.run(options.kernel, job, directory)
        except LabUsageError:
            raise
        except LabError as error:
            _explain(directory, str(error), "kernel.log", "lab.log")
            return 125
        if refusal.exists():
            _explain(directory, refusal.read_text(errors="replace"))
            return 125
        if failure.exists():
            _explain(directory, failure.read_text(errors="replace"), "lab.log")
            return 125
        return status


def _spec(options: argparse.Namespace) -> LabSpec:
    if not 0 <= options.nodes <= MOST_NODES:
        raise LabUsageError(f"--nodes {options.nodes} cannot be.", f"Take a number from 0 to {MOST_NODES}.")
    if not 1 <= options.subnets <= max(1, options.nodes):
        raise LabUsageError(
            f"--subnets {options.subnets} cannot be.", "Take at least 1, and no more than there are nodes."
        )
    if options.memory is not None and options.memory < LEAST_MEGABYTES:
        raise LabUsageError(f"--memory {options.memory} cannot be.", f"Take at least {LEAST_MEGABYTES}, in MB.")
    spec = LabSpec(
        nodes=options.nodes,
        profile=options.profile,
        ipip_mode=options.ipip_mode,
        subnets=options.subnets,
        faults=tuple(options.fault),
        at_start=tuple(Hook(node, command) for node, command in options.at_start),
        at_pod=tuple(Hook(node, command) for node, command in options.at_pod),
        extra={
            **({"borrow": options.borrow} if options.borrow else {}),
            **({"second-pool": "yes"} if options.second_pool else {}),
            **({"pod-tools": options.pod_tools} if options.pod_tools != "host" else {}),
            **({"node-tools": options.node_tools} if options.node_tools != "host" else {}),
            **({"sshd": "no"} if options.no_sshd else {}),
            **({"native": "yes"} if options.native else {}),
            **({"memory": str(options.memory)} if options.memory is not None else {}),
        },
    )
    names = [node.name for node in spec.node_specs()]
    for hook in (*spec.at_start, *spec.at_pod):
        if hook.node not in names:
            raise LabUsageError(f"there is no node {hook.node}.", f"The nodes are: {', '.join(names) or 'none'}")
    if spec.borrower and (spec.borrower not in names or spec.nodes < 2):
        raise LabUsageError(f"--borrow {spec.borrower} cannot be.", f"It needs two nodes, of: {', '.join(names)}")
    if spec.faults:
        from .faults import prepared

        return prepared(spec)
    return spec


def _cwd() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  (a path, as every other here)
    except OSError as error:
        raise LabUsageError("the current directory is gone.", "Change to one that exists.") from error


def _explain(directory: RunDirectory, what: str, *logs: str) -> None:
    """Say what failed, show the end of the logs, and keep them."""
    print(f"calico-ipip-lab: {what}", file=sys.stderr)
    found = [path for path in (directory.path / name for name in logs) if path.exists() and path.stat().st_size]
    for path in found:
        lines = path.read_text(errors="replace").splitlines()
        panic = next((number for number, line in enumerate(lines) if "Kernel panic" in line), max(0, len(lines) - 10))
        shown = ["".join(c if c.isprintable() else "?" for c in line) for line in lines[panic : panic + 10]]
        print(f"calico-ipip-lab: the end of {path.name}:", *shown, sep="\n  ", file=sys.stderr)
    if found:
        (directory.path / "job.json").unlink(missing_ok=True)  # holds the user's environment, secrets and all
        directory.keep()
        print(f"calico-ipip-lab: the logs are in {directory.path}", file=sys.stderr)


def _exec(node: str, command: list[str] | None) -> int:
    if not command:
        raise LabUsageError("exec needs a command.", "Use: calico-ipip-lab exec NODE -- COMMAND [ARG…]")
    try:
        nodes: dict[str, list[str]] = json.loads((STATE / "nodes.json").read_text())
    except OSError as error:
        raise LabUsageError("this is not a lab.", "Use exec inside `calico-ipip-lab shell` or `run`.") from error
    if node not in nodes:
        raise LabUsageError(f"there is no node {node}.", f"The nodes are: {', '.join(nodes)}")
    argv = [*nodes[node], *command]
    os.execvp(argv[0], argv)  # noqa: S606  (no shell is the point)


def _print_faults() -> int:
    from .faults import CATALOGUE

    for fault in CATALOGUE.values():
        print(f"{fault.name:28} {fault.breaks} [{', '.join(fault.fails)}]")
    return 0
