"""One node's reading: run the script, split its answer into the evidence's files, note how each command ended."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path

from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.nodes.script import (
    AFTER,
    AGAIN,
    BY_IPTABLES,
    BY_IPTABLES_AFTER,
    DETAILED,
    NETNS_FILES,
    NODE_FILES,
    PREFIX_AGAIN,
    ROUTE_GET,
    SINGLE,
    SYSCTL,
    TYPED,
    PodPlace,
    reading_script,
)
from pytest_calico_ipip.remote import Remote, Unpacked, one_line, unpack

MOST_OF_INTERFACE = 15  # characters of its name, as the kernel has it
RULES, NAMESPACES = "ip-rule.json", "ip-netns.json"


@dataclass(frozen=True)
class Line:
    """One line of commands.tsv."""

    file: str  # relative to the node's folder
    status: int
    command: str
    stderr: str = ""

    def text(self) -> str:
        """Tabs, newlines and backslashes are escaped: a line is a line."""
        return "\t".join((self.file, str(self.status), _escape(self.command), _escape(self.stderr))) + "\n"


@dataclass(frozen=True)
class Place:
    """Where a pod under test was found on its node."""

    interface: str  # the workload interface
    netns: str  # a name in /run/netns, or pid-N


@dataclass
class Reading:
    """What the reading of one node led to, for those who go on from it."""

    node: str
    interfaces: dict[str, str] = field(default_factory=dict)  # by "namespace/name": the workload interface's name
    places: dict[str, Place] = field(default_factory=dict)  # by "namespace/name": those that were found
    files: dict[str, bytes] = field(default_factory=dict)  # as written, by name relative to the node's folder
    look_up: Sequence[IPv4Address] = ()  # whose routes were asked for
    problem: str = ""  # why there is nothing

    @property
    def netnses(self) -> list[str | None]:
        """For each pod under test its network namespace, None where it was not found."""
        found = (self.places.get(key) for key in self.interfaces)
        return [place.netns if place else None for place in found]


def read_node(
    remote: Remote,
    evidence: Evidence,
    pods: Sequence[PodPlace],
    warm_up: Sequence[Sequence[IPv4Address]],
    look_up: Sequence[IPv4Address],
    settle: float,
    timeout: float,
    together: int,
) -> Reading:
    """Run the script and write nodes/<node>/; never raises for what the node does or fails to do.

    `together`: how many echoes of one pod's warm-up run side by side.
    """
    script = reading_script(pods, warm_up, look_up, settle, together)
    answer = remote.run(remote.wrap(script, settle + timeout), settle + timeout)
    if answer.failed_to_run:
        return refused(evidence, remote.node, pods, f"{remote.way} broke off: {answer.words() or 'no reason given'}")
    unpacked = unpack(answer.stdout)
    if not unpacked.files:
        words = "; ".join(filter(None, (unpacked.problem, answer.words(), f"exit status {answer.status}")))
        return refused(evidence, remote.node, pods, words)
    if answer.status == 124:
        unpacked = Unpacked(unpacked.files, unpacked.statuses, f"no end within {settle + timeout:.0f} s")
    reading, lines = split(remote.node, unpacked, pods, look_up)
    _write(evidence.node(remote.node), reading.files, lines)
    return reading


def refused(evidence: Evidence, node: str, pods: Sequence[PodPlace], problem: str) -> Reading:
    """Write that nothing could be read: a failed line for each file that should be there."""
    lines = [Line(file, 255, _typed(file), problem) for file in NODE_FILES]
    lines += [
        Line(f"netns/-/{file}", 255, _typed(file), f"{pod.key}: {problem}") for pod in pods for file in NETNS_FILES
    ]
    _write(evidence.node(node), {}, lines)
    return Reading(node, {pod.key: pod.interface for pod in pods}, problem=problem)


def add(evidence: Evidence, node: str, files: Mapping[str, bytes], lines: Sequence[Line]) -> None:
    """Files that came later, or another way (birdcl, the second look at the firewall)."""
    _write(evidence.node(node), files, lines)


def after(evidence: Evidence, reading: Reading, unpacked: Unpacked) -> None:
    """Write what was read a second time, out of the answer of the script that did it.

    The firewall's counters lie beside the first ones; whatever else was read again has a folder of its own.
    """
    files, lines = _singles(unpacked, AFTER | _there(unpacked, BY_IPTABLES_AFTER))
    _write(evidence.node(reading.node), files, lines)
    if unpacked.problem or reading.problem:
        return
    again = Unpacked(
        {name.removeprefix(PREFIX_AGAIN): each for name, each in unpacked.files.items() if _is_again(name)},
        {name.removeprefix(PREFIX_AGAIN): each for name, each in unpacked.statuses.items() if _is_again(name)},
    )
    files, lines = _of_node(again, {file: SINGLE[file] for file in AGAIN}, reading.look_up)
    for number, netns in enumerate(reading.netnses):
        if netns is not None:
            more_files, more_lines = _of_pod(again, number, netns, switches=False)
            files.update(more_files)
            lines += more_lines
    _write(evidence.node(reading.node, again=True), files, lines)


def _is_again(name: str) -> bool:
    return name.startswith(PREFIX_AGAIN)


def split(
    node: str, unpacked: Unpacked, pods: Sequence[PodPlace], look_up: Sequence[IPv4Address]
) -> tuple[Reading, list[Line]]:
    """Pure: the script's answer as the evidence's files and the lines of commands.tsv."""
    places = _places(unpacked, pods)
    names = {pod.key: places[pod.key].interface if pod.key in places else pod.interface for pod in pods}
    reading = Reading(node, names, places, look_up=look_up)
    files, lines = _of_node(unpacked, SINGLE | _there(unpacked, BY_IPTABLES), look_up)
    for number, pod in enumerate(pods):
        place = reading.places.get(pod.key)
        if place is None:
            ways = f"neither {pod.interface} nor a route to {pod.address} nor a process of it"
            words = f"{pod.key}: {ways} leads to its network namespace"
            lines += [Line(f"netns/-/{file}", 1, _typed(file), words) for file in NETNS_FILES]
            continue
        more_files, more_lines = _of_pod(unpacked, number, place.netns, switches=True)
        files.update(more_files)
        lines += more_lines
    reading.files = files
    return reading, lines


def _of_node(
    unpacked: Unpacked, singles: Mapping[str, str], look_up: Sequence[IPv4Address]
) -> tuple[dict[str, bytes], list[Line]]:
    files, lines = _detailed(unpacked, "", TYPED)
    for more_files, more_lines in (_plain(unpacked, look_up), _singles(unpacked, singles)):
        files.update(more_files)
        lines += more_lines
    return files, lines


def _of_pod(unpacked: Unpacked, number: int, netns: str, *, switches: bool) -> tuple[dict[str, bytes], list[Line]]:
    """The files of one pod's namespace; with `switches` its sysctls, which no check compares, are among them."""
    enter = f"ip netns exec {shlex.quote(netns)} "
    if netns.startswith("pid-"):
        enter = f"nsenter -t {shlex.quote(netns[4:])} -n "
    typed = {"sysctl.txt": f"{enter}sh -c {shlex.quote(SYSCTL)}"} if switches else {}
    files, lines = _detailed(unpacked, f"{number}.", {file: enter + _typed(file) for file in DETAILED})
    more_files, more_lines = _singles(unpacked, typed, f"{number}.")
    folder = f"netns/{netns}/"
    files = {folder + name: content for name, content in {**files, **more_files}.items()}
    return files, [replace(line, file=folder + line.file) for line in (*lines, *more_lines)]


def underlay_nic(ip_addr: bytes, addresses: Sequence[IPv4Address | None]) -> str | None:
    """The first interface that is up and carries the first of these addresses that any carries; None where none does.

    `ip_addr` is the output of `ip -j -d addr`, `addresses` are the annotation's and the InternalIP, which finds the
    wire where the annotation is wrong. More than one interface is a finding of NODE-1; Felix takes the first one, too.
    """
    found = (_carrier(ip_addr, address) for address in addresses if address is not None)
    return next((name for name in found if name is not None), None)


def _carrier(ip_addr: bytes, address: IPv4Address) -> str | None:
    try:
        links = json.loads(ip_addr)
        names = [
            str(link["ifname"])
            for link in links
            for info in link.get("addr_info", [])
            if info.get("local") == str(address) and "UP" in link.get("flags", ())
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return next((name for name in names if _plain_name(name, MOST_OF_INTERFACE)), None)


def _plain_name(name: str, most: int) -> bool:
    """Whether a name that a node has said can be one of its interfaces' or namespaces'."""
    return name.isprintable() and 0 < len(name) <= most and name not in (".", "..") and not set(name) & set("/\\ ")


def eth0_mtu(ip_addr: bytes) -> int | None:
    """The MTU of a pod's eth0, from `ip -j -d addr` inside its namespace."""
    try:
        found = [link["mtu"] for link in json.loads(ip_addr) if link.get("ifname") == "eth0"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return found[0] if len(found) == 1 and isinstance(found[0], int) else None


def _places(unpacked: Unpacked, pods: Sequence[PodPlace]) -> dict[str, Place]:
    places = {}
    for line in unpacked.files.get("places", b"").decode("utf-8", "replace").splitlines():
        number, _, place = line.partition(" ")
        interface, _, netns = place.partition(" ")
        if not number.isdecimal() or int(number) >= len(pods) or not netns:
            continue  # not our script's words
        # the names become a folder's and a file's here, and words of commands there
        if netns != "-" and _plain_name(netns, 128) and _plain_name(interface, MOST_OF_INTERFACE):
            places[pods[int(number)].key] = Place(interface, netns)
    return places


def _detailed(unpacked: Unpacked, prefix: str, typed: Mapping[str, str]) -> tuple[dict[str, bytes], list[Line]]:
    """The files of the detailed batch, or of the commands that ran alone because it failed."""
    outputs = unpacked.files.get(f"{prefix}detailed", b"").splitlines(keepends=True)
    whole = unpacked.statuses.get(f"{prefix}detailed") == 0 and len(outputs) == len(DETAILED)
    files, lines = {}, []
    for file, output in zip(DETAILED, outputs if whole else [b""] * len(DETAILED), strict=True):
        if whole:
            files[file] = output
            lines.append(Line(file, 0, typed[file]))
        else:
            alone, alone_lines = _singles(unpacked, {file: typed[file]}, prefix)
            files.update(alone)
            lines += alone_lines
    return files, lines


def _plain(unpacked: Unpacked, look_up: Sequence[IPv4Address]) -> tuple[dict[str, bytes], list[Line]]:
    """The files of the other batch: what failed in it is named by its line number."""
    outputs = unpacked.files.get("plain", b"").splitlines(keepends=True)
    failures = _batch_failures(unpacked.files.get("plain.stderr", b"").decode("utf-8", "replace"))
    requests = [RULES, *map(str, look_up), NAMESPACES]
    if len(outputs) + len(failures) == len(requests) - 1 and len(requests) not in failures:
        outputs.append(b"")
    if "plain" not in unpacked.statuses or len(outputs) + len(failures) != len(requests):
        words = unpacked.problem or one_line(unpacked.files.get("plain.stderr", b"")) or "its output is not whole"
        status = unpacked.statuses.get("plain", 124) or 1
        return {}, [Line(file, status, _typed(file), words) for file in (RULES, NAMESPACES, ROUTE_GET)]
    files: dict[str, bytes] = {}
    lines: list[Line] = []
    decisions: list[bytes] = []
    left = iter(outputs)
    for number, request in enumerate(requests, 1):
        file = request if request in (RULES, NAMESPACES) else ROUTE_GET
        command = f"ip -j route get {request}" if file == ROUTE_GET else _typed(file)
        if number in failures:
            lines.append(Line(file, 2, command, failures[number]))
        elif file == ROUTE_GET:
            decisions.append(next(left).strip().removeprefix(b"[").removesuffix(b"]"))
        else:
            files[file] = next(left)
            lines.append(Line(file, 0, command))
    files[ROUTE_GET] = b"[\n" + b"\n,\n".join(decisions) + b"\n]\n"
    return files, [*lines, Line(ROUTE_GET, 0, _typed(ROUTE_GET))]


def _batch_failures(stderr: str) -> dict[int, str]:
    """`ip -batch` says what went wrong, then `Command failed -:LINE`."""
    failures: dict[int, str] = {}
    words: list[str] = []
    for line in stderr.splitlines():
        head, _, number = line.rpartition(":")
        if head.startswith("Command failed") and number.isdigit():
            failures[int(number)] = one_line(" ".join(words))
            words = []
        else:
            words.append(line)
    return failures


def _singles(unpacked: Unpacked, commands: Mapping[str, str], prefix: str = "") -> tuple[dict[str, bytes], list[Line]]:
    files, lines = {}, []
    for file, command in commands.items():
        status = unpacked.statuses.get(prefix + file)
        stderr = unpacked.files.get(f"{prefix}{file}.stderr", b"")
        if status is None:
            lines.append(Line(file, 124, command, unpacked.problem or "the script ended before it"))
            continue
        if status == 0 or unpacked.files.get(prefix + file):
            files[file] = unpacked.files.get(prefix + file, b"")
        lines.append(Line(file, status, command, stderr.decode("utf-8", "replace")[:4000]))
    return files, lines


def _there(unpacked: Unpacked, commands: Mapping[str, str]) -> dict[str, str]:
    """Of commands that a script runs only where there is a reason to, those that it ran."""
    return {file: command for file, command in commands.items() if file in unpacked.statuses}


def _typed(file: str) -> str:
    """The command that a person types to read a file again."""
    if file == ROUTE_GET:
        return "ip -j route get ADDRESS, for every pod under test and one address of every other block"
    return TYPED.get(file) or SINGLE[file]


def _write(folder: Path, files: Mapping[str, bytes], lines: Sequence[Line]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with (folder / "commands.tsv").open("a", encoding="utf-8") as table:
        table.writelines(line.text() for line in lines)


def _escape(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    return "".join(c if c.isprintable() else "?" for c in text)
