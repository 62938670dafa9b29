"""A small program that makes the nodes' namespaces, sets them up, and keeps them until its standard input ends.

Run as `python -I -S holders.py`, with a plan (JSON, made by plan.py) as the first line of standard input.
It answers with one line of JSON: `{"pids": {name: pid}}`, or `{"error": sentence}`. It uses no program but the ones
that the plan names, and none of the standard library that is slow to import: in User-Mode Linux a program start costs
8 ms and an import 1 ms, twenty nodes long.

Each node is the PID 1 of its own PID namespace: this program forks it, it makes its mounts and links, starts its
daemons, and becomes `sleep infinity` with SIGCHLD ignored, so that the kernel reaps whatever is left to it. When this
program ends, for whatever reason, the kernel kills every node with all of its processes.
"""

# pathlib takes longer to import than all of this takes to run, and the programs are the plan's:
# ruff: noqa: PTH103, PTH110, PTH208, PTH211, S606

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import time

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x04000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
TUNNEL = "/proc/sys/net/ipv4/conf/tunl0"
TEMPORARY = "/tmp"  # noqa: S108
TYPE_CHECKING = False  # not from typing, whose import costs more than the rest of this file
if TYPE_CHECKING:
    from typing import Any
_libc = ctypes.CDLL(None, use_errno=True)


class StepFailed(Exception):
    """One step of one node did not work; the text says which and why."""


def _call(what: str, result: int) -> None:
    if result != 0:
        raise StepFailed(f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """The system call of that name."""
    arguments = [None if text is None else text.encode() for text in (source, target, kind)]
    data = None if options is None else options.encode()
    _call(f"mount {source} on {target}", _libc.mount(*arguments, ctypes.c_ulong(flags), data))


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    _call("unshare", _libc.unshare(flags))


def run(argv: list[str], text: str) -> None:
    """Run a program with `text` as its input; its output matters only when it fails.

    posix_spawn copies no page tables: half the price of fork in User-Mode Linux.
    """
    given, said = os.memfd_create("in"), os.memfd_create("out")
    os.write(given, text.encode())
    os.lseek(given, 0, os.SEEK_SET)
    ends = [(os.POSIX_SPAWN_DUP2, own, standard) for own, standard in ((given, 0), (said, 1), (said, 2))]
    try:
        _, status = os.waitpid(os.posix_spawn(argv[0], argv, os.environ, file_actions=ends), 0)
    except OSError as error:
        raise StepFailed(f"{argv[0]}: {error.strerror}") from error
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        output = os.pread(said, 2000, 0).decode(errors="replace").strip()
        raise StepFailed(f"{' '.join(argv[:4])}: exit status {code}: {output}")
    os.close(given)
    os.close(said)


def run_in(network: str, argv: list[str], text: str) -> None:
    """The same in the network namespace of that path."""
    own, other = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(network, os.O_RDONLY)
    _call("setns", _libc.setns(other, CLONE_NEWNET))
    try:
        run(argv, text)
    finally:
        _call("setns", _libc.setns(own, CLONE_NEWNET))
        os.close(own)
        os.close(other)


def write(path: str, text: str) -> None:
    """Write a file in one go."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(handle, text.encode())
    os.close(handle)


def cover(directory: str, keep: list[str]) -> None:
    """Put an empty tmpfs over a directory, with the directories in `keep` (which may be below it) still in place."""
    kept = [
        (path, os.open(path, os.O_PATH | os.O_DIRECTORY)) for path in keep if (path + "/").startswith(directory + "/")
    ]
    mount("tmpfs", directory, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777" if directory == TEMPORARY else "mode=755")
    for path, handle in kept:
        os.makedirs(path, exist_ok=True)
        mount(f"/proc/self/fd/{handle}", path, None, MS_BIND | MS_REC)
        os.close(handle)


def extend(directory: str, behind: str, links: dict[str, str], directories: list[str], keep: list[str]) -> None:
    """Show a directory as it is on disk, but with some names added or pointing elsewhere: a tmpfs of symbolic links."""
    os.makedirs(behind, exist_ok=True)
    mount(directory, behind, None, MS_BIND | MS_REC)
    cover(directory, keep)
    for name in directories:
        os.makedirs(f"{directory}/{name}", exist_ok=True)
    for name in {*os.listdir(behind), *links} - {*os.listdir(directory)}:
        os.symlink(links.get(name, f"{behind}/{name}"), f"{directory}/{name}")


def make_tunnel(node: dict[str, Any]) -> None:
    """Where the kernel gave the new namespace no tunl0 (it may be told not to), make the same by hand."""
    try:
        run([node["ip"], "-batch", "-"], node["tunnel"])
    except StepFailed:
        if not os.path.exists(TUNNEL):  # asking for one can also load the module, which then gives it
            raise


def be_node(node: dict[str, Any], keep: list[str], ready: int, go: int) -> None:
    """The life of a node's PID 1, up to `sleep infinity`."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET)
    os.write(ready, b"+")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    cover("/run", keep)
    cover("/var/lib/calico", keep)
    if node["own_temporary"]:
        cover(TEMPORARY, keep)
    for directory in node["directories"]:
        os.makedirs(directory, exist_ok=True)
    for path, text in node["files"].items():
        write(path, text)
    for path in node["hidden"]:
        mount("/dev/null", path, None, MS_BIND)  # no regular file: a shell does not find it
    socket.sethostname(node["name"])
    if not os.path.exists(TUNNEL):
        make_tunnel(node)
    for path, value in node["settings"]:
        write(path, value)
    os.read(go, 1)  # until every veth is in its place
    run([node["ip"], "-batch", "-"], node["links"])
    for step in node["steps"]:
        run(step["argv"], step["input"])


def become_node(node: dict[str, Any], keep: list[str], ready: int, go: int, report: int) -> None:
    """Be a node and say how the set-up went; never returns."""
    started = time.monotonic()
    try:
        be_node(node, keep, ready, go)
    except (StepFailed, OSError) as error:
        os.write(report, f"{node['name']}: {error}".encode()[:4000])
        os.write(ready, b"!")
        os._exit(1)
    os.write(report, f"+{time.monotonic() - started:.3f}".encode())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    blank = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(blank, standard)
    os.closerange(3, 256)
    os.chdir("/")
    os.execvp("sleep", ["sleep", "infinity"])


def become_underlay(ready: int, settings: list[list[str]]) -> None:
    """Hold a network namespace with these settings; never returns."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        unshare(CLONE_NEWNET)
        for path, value in settings:
            write(path, value)
    except (StepFailed, OSError):
        os.write(ready, b"!")
        os._exit(1)
    os.write(ready, b"+")
    os.closerange(0, 256)
    os.execvp("sleep", ["sleep", "infinity"])


def prepare_base(base: dict[str, Any], keep: list[str]) -> None:
    """Mounts that every process of the lab sees: generated accounts and host names, iptables, /var/lib/calico."""
    for source, target in base["binds"]:
        mount(source, target, None, MS_BIND)
    for each in base["extend"]:
        extend(each["directory"], each["behind"], each["links"], each["directories"], keep)


def windows_in(directory: str) -> list[str] | None:
    """The mount points below a directory, without those in another of them; None where it is no tmpfs of the lab's."""
    found: list[str] | None = None
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:  # noqa: PTH123
        for line in lines:
            point = line.split(" ", 5)[4].replace("\\040", " ")
            if point == directory:  # hides what was mounted there before
                found = [] if line.partition(" - ")[2].startswith("tmpfs ") else None
            elif found is not None and point.startswith(directory + "/"):
                inside = any((point + "/").startswith(other + "/") for other in found)
                found += [] if inside else [point]
    return found


def await_all(ready: int, count: int, reports: dict[str, int]) -> None:
    """Until `count` children have their namespaces, or one has failed."""
    seen = b""
    while len(seen) < count:
        got = os.read(ready, 64)
        if not got or b"!" in got:
            raise StepFailed(early_report(reports) or "a network namespace could not be made")
        seen += got


def early_report(reports: dict[str, int]) -> str:
    """What a node has said that failed already; empty if none has."""
    for report in reports.values():
        os.set_blocking(report, False)
        try:
            return os.read(report, 4096).decode()
        except BlockingIOError:
            continue
    return ""


def build(plan: dict[str, Any]) -> dict[str, Any]:
    """Make everything; returns what the first line of output says."""
    # a node has a /tmp of its own, but for the user's directories that the lab shows there, and unless /tmp is one
    windows = windows_in(TEMPORARY)
    for node in plan["nodes"]:
        node["own_temporary"] = windows is not None
    keep = [*plan["keep"], *(windows or ())]
    prepare_base(plan["base"], keep)
    own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY)
    ready_out, ready_in = os.pipe()
    go_out, go_in = os.pipe()
    pids: dict[str, int] = {}
    reports: dict[str, int] = {}
    for name, settings in plan["underlays"].items():
        pids[name] = os.fork()
        if pids[name] == 0:
            become_underlay(ready_in, settings)
    for node in plan["nodes"]:
        report_out, report_in = os.pipe()
        unshare(CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            os.close(go_in)
            os.close(ready_out)
            become_node(node, keep, ready_in, go_out, report_in)
        _call("setns", _libc.setns(own_pids, CLONE_NEWPID))
        os.close(report_in)
        pids[node["name"]], reports[node["name"]] = pid, report_out
    os.close(ready_in)
    await_all(ready_out, len(pids), reports)
    for stage in plan["wiring"]:
        text = stage["batch"]
        # the lab's own network is where the program is that started this one
        for name, pid in (pids | {"management": os.getppid()}).items():
            text = text.replace(f"@{name}@", str(pid))
        where = pids.get(stage["in"], os.getpid())
        try:
            run_in(f"/proc/{where}/ns/net", [plan["ip"], "-batch", "-"], text)
        except StepFailed as error:
            raise StepFailed(early_report(reports) or str(error)) from error
    os.write(go_in, b"+" * len(plan["nodes"]))
    times = {}
    for name, report in reports.items():
        said = os.read(report, 4096).decode()
        if not said.startswith("+"):
            raise StepFailed(said or f"{name}: its first process ended during set-up")
        times[name] = float(said[1:])
    return {"pids": pids, "seconds": times}


def main() -> None:
    """Build, answer, hold."""
    plan = json.loads(sys.stdin.readline())
    try:
        answer: dict[str, Any] = build(plan)
    except (StepFailed, OSError) as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
    if "error" not in answer:
        sys.stdin.read()
    # the children die with this process (PDEATHSIG); waiting for them makes the end complete when it is seen
    for pid in answer.get("pids", {}).values():
        os.kill(pid, signal.SIGKILL)
    for _ in answer.get("pids", {}):
        os.wait()


if __name__ == "__main__":
    main()
