"""docs/security.md says what the code does: commands, programs, capabilities and bounds are compared with it."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pytest_calico_ipip import remote
from pytest_calico_ipip.cluster import connection, exec, helper_pods, pages, pods, weight
from pytest_calico_ipip.model.wire import Tap
from pytest_calico_ipip.nodes import connection as ssh
from pytest_calico_ipip.nodes import script
from pytest_calico_ipip.nodes.connection import Connection
from pytest_calico_ipip.observation import sitting
from pytest_calico_ipip.packets import inside, probes, taps
from pytest_calico_ipip.packets.probes import Sent
from pytest_calico_ipip.settings import Settings

PAGE = (Path(__file__).parents[1] / "docs" / "security.md").read_text()
ONE, TWO = IPv4Address("10.233.107.1"), IPv4Address("10.233.109.1")
POD = script.PodPlace("ns/pod", "cali1", ONE, "uid")
NAMESPACES = (None, "cni-1", "pid-7")
# what a shell script could reach for; those of them that our scripts have must be on the page
PROGRAMS = [
    "apt-get",
    "arping",
    "awk",
    "base64",
    "bash",
    "bpftool",
    "brctl",
    "bridge",
    "busybox",
    "cat",
    "chattr",
    "chgrp",
    "chmod",
    "chown",
    "chroot",
    "conntrack",
    "cp",
    "crictl",
    "ctr",
    "curl",
    "cut",
    "date",
    "dd",
    "df",
    "dmesg",
    "docker",
    "du",
    "ethtool",
    "find",
    "grep",
    "head",
    "hostname",
    "id",
    "insmod",
    "ip",
    "ip6tables",
    "ipset",
    "iptables",
    "iptables-legacy-save",
    "iptables-nft-save",
    "iptables-restore",
    "iptables-save",
    "ipvsadm",
    "kubectl",
    "ln",
    "ls",
    "lsmod",
    "mkdir",
    "mkfifo",
    "mknod",
    "mktemp",
    "modprobe",
    "mount",
    "mv",
    "nc",
    "nft",
    "nsenter",
    "openssl",
    "perl",
    "ping",
    "pkill",
    "ps",
    "python3",
    "rm",
    "rmdir",
    "rmmod",
    "scp",
    "sed",
    "setcap",
    "sleep",
    "socat",
    "sort",
    "ss",
    "stat",
    "strace",
    "sudo",
    "sysctl",
    "systemctl",
    "tail",
    "tar",
    "tc",
    "tcpdump",
    "tee",
    "timeout",
    "touch",
    "tr",
    "truncate",
    "umount",
    "unshare",
    "wget",
    "xargs",
]


def block(name: str) -> list[str]:
    """The lines of a fenced block of the page."""
    found = re.search(rf"^```{name}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1].splitlines()


@pytest.fixture(scope="module")
def scripts() -> str:
    """Everything that a node's shell is given, without comments."""
    plans = [taps.Plan(Tap("f", "n1", netns, "eth0"), "ip") for netns in NAMESPACES]
    sent = [Sent("p", "echo", ONE, TWO, "n1", netns, icmp_id=1) for netns in NAMESPACES]
    text = "\n".join(
        [
            remote.wrap(script.reading_script([POD], [[TWO]], [TWO], 5, 1), 60, sudo=True),
            script.after_script(NAMESPACES, [TWO]),
            taps.opening(plans, 100),
            taps._CLOSE,
            taps._SEND,
            probes.sending(sent),
            helper_pods._MAIN,
            "id -u",  # of the login
        ]
    )
    return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)


def test_each_command_of_the_reading_is_on_the_page_and_no_other() -> None:
    """In the order of the code; sysctl's names are told in words."""
    typed = [*script.TYPED.values(), f"ip -j {'route get'} ADDRESS", *script.SINGLE.values()]
    expected = ["ip -o link show", *typed, *script.BY_IPTABLES.values()]
    named = script.SYSCTL.partition("&& ")[2].replace("/", ".")
    listed = block("commands node")
    (told,) = [line for line in listed if line.startswith("sysctl")]
    assert named.startswith(told.partition(" …")[0])
    assert sorted(listed) == sorted(told if line == script.SYSCTL else line for line in expected)


def test_the_second_look_is_on_the_page() -> None:
    """The firewall's counters after the capture, and what may have changed meanwhile."""
    (line,) = (line for line in PAGE.splitlines() if "after the capture:" in line)
    again = [script.SINGLE[file] for file in script.AGAIN if file != "sysctl.txt"]
    counters = [*script.AFTER.values(), *script.BY_IPTABLES_AFTER.values()]
    for command in (*counters, *script.TYPED.values(), "ip -j route get ADDRESS", *again):
        assert f"`{command}`" in line
    assert "the same `sysctl`" in line


def test_the_capture_is_on_the_page() -> None:
    """Tcpdump with its limits, and ping with its options."""
    tcpdump, ping = block("commands capture")
    plan = taps.Plan(Tap("f", "n1", None, "INTERFACE"), "FILTER")
    assert tcpdump == plan.command(4711).replace("4711", "COUNT")
    sent = Sent("p", "echo", ONE, TWO, "n1", None, size=1452, df=True, tos=probes.MARK, icmp_id=4711)
    typed = sent.ping().replace("4711", "ID").replace("1452", "SIZE").replace(str(TWO), "ADDRESS")
    assert ping.replace("[", "").replace("]", "") == typed


def test_each_program_is_on_the_page(scripts: str) -> None:
    """Nothing else that a shell could reach for is in the scripts."""
    words = set(re.findall(r"(?<![\w./-])[a-z][a-z0-9-]*(?![\w/-])", scripts))
    (line,) = block("programs")
    # that word stands in messages only
    assert words & set(PROGRAMS) - {"iptables"} == set(line.split())


def test_no_command_changes_the_node(scripts: str) -> None:
    """No verb of `ip`, no option of sysctl, iptables, ipset or nft that would, and no write into /proc or /sys."""
    assert not re.search(r"\bip\b[^\n;|]*\b(add|append|change|del|delete|flush|replace|restore|set)\b", scripts)
    assert not re.search(r"\bsysctl\b[^\n]*(\s-w|=)", scripts)
    assert not re.search(r"\biptables[\w-]*\s+-[ADFIPRXN]\b", scripts)
    assert not re.search(r"\b(ipset|nft)\b[^\n;|]*\b(add|create|delete|destroy|flush|insert|swap)\b", scripts)
    assert not re.search(r">\s*\"?/(proc|sys|etc|var|usr|lib)\b", scripts)


def test_what_pods_are_asked_is_on_the_page() -> None:
    """BIRD's commands, and what the pods under test run and serve."""
    for words in sitting.BIRD.values():
        assert " ".join(words[3:]) in PAGE
    assert " ".join(sitting.BIRD["birdcl-protocols.txt"]) in PAGE
    echo = Sent("p", inside.ECHO, ONE, TWO, "n1")
    assert " ".join(inside.echo_command(echo)).replace(str(TWO), "ADDRESS") in PAGE
    for port in pods.PORTS:
        assert str(port) in PAGE
    assert pods.SERVED == 1 << 20


def test_the_capabilities_are_on_the_page() -> None:
    """All of them, and the helper pod ends by itself within the time that the page names."""
    assert block("capabilities") == [" ".join(helper_pods.CAPABILITIES)]
    minutes = re.search(r"never longer than (\d+) minutes", PAGE)
    assert minutes is not None
    assert Settings().longest <= int(minutes[1]) * 60


def test_the_bounds_are_on_the_page() -> None:
    """Each figure is the code's."""
    expected = [
        f"{remote.LIMIT >> 20} MiB",
        f"{exec.LIMIT >> 20} MiB",
        f"{exec.LARGEST_MESSAGE >> 20} MiB",
        f"{pages.LIMIT >> 20} MiB",
        f"{weight.HEAVIEST_LIST >> 20} MiB",
        f"{weight.HEAVIEST_READING >> 20} MiB",
        f"{weight.HEAVIEST_OBJECT >> 20} MiB",
        f"{connection.LARGEST_EVENT >> 20} MiB",
        f"{connection.CONNECT_SECONDS:.0f} s",
        f"{connection.READ_SECONDS:.0f} s",
        f"{sitting.EXEC_SECONDS:.0f} s",
        f"{Settings.node_timeout:.0f} s",
    ]
    assert [re.split(r"\s{2,}", line)[0] for line in block("bounds")] == expected
    assert Settings.node_timeout == Settings.capture_timeout


def test_ssh_forwards_nothing_and_asks_nothing(tmp_path: Path) -> None:
    """The options are given outright, whatever the user's configuration says."""
    with (tmp_path / "log").open("w+b") as log:
        options = Connection("n1", "n1", Settings(), tmp_path / "socket", log)._options(master=True)
    for option in ("BatchMode=yes", "ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=yes", "RequestTTY=no"):
        assert option in options
    assert not [option for option in options if option.startswith("StrictHostKeyChecking")]
    assert ssh.CONNECT_SECONDS == 10
