"""The lab's nodes: what is generated for them, and what they are once they run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_calico_ipip.lab.spec import LabSpec, workload_interface
from pytest_calico_ipip.lab.topology import accounts, bird, iptables, plan, ssh
from pytest_calico_ipip.lab.topology.endpoints import PodRules, profile_chain

RECORDED = Path(__file__).parents[1] / "recorded" / "v3.31.7-always" / "nodes"
NODES = LabSpec(nodes=3).node_specs()
RECORDED_PODS = {1: ("sleep-curl-1", "sleep-curl-4"), 2: ("sleep-curl-2",), 3: ("sleep-curl-3",)}


def marks(text: str) -> list[tuple[str, str]]:
    """(chain, mark) of every rule that Felix marks, sorted."""
    return sorted(re.findall(r'(?m)^(?:\[\S+\] )?-A (\S+) .*?"cali:([^"]{16})"', text))


def pods(*names: str) -> list[PodRules]:
    return [PodRules(workload_interface("sleep-curl", name), "sleep-curl") for name in names]


@pytest.mark.parametrize("index", RECORDED_PODS)
def test_rules_carry_the_marks_that_felix_gives_them(index: int) -> None:
    """Felix's mark of a rule is a hash of the chain up to it: all recorded ones, pods' chains too, come out equal."""
    recorded = (RECORDED / f"virtnest-rook-ceph-{index}" / "iptables-save.txt").read_text()
    assert marks(iptables.iptables_text(pods(*RECORDED_PODS[index]))) == marks(recorded)


def test_long_profile_names_are_shortened_as_felix_does() -> None:
    """A chain name has 28 characters at most: longer ones end in a hash of the profile's name."""
    assert profile_chain("cali-pri-", "kns.sleep-curl", 28) == "cali-pri-kns.sleep-curl"
    assert profile_chain("cali-pri-", "ksa.sleep-curl.default", 28) == "cali-pri-_GXc3cvy9ngHxPrq6z3"


def test_a_pod_changes_only_its_own_chains_and_the_dispatch() -> None:
    """A second pod of a namespace brings two chains of its own and rewrites the two dispatch chains."""
    one, both = pods("sleep-curl-1"), pods("sleep-curl-1", "sleep-curl-4")
    named = re.findall(r"(?m)^:(\S+)", iptables.pods_text(one, both))
    assert sorted(named) == [
        "cali-from-wl-dispatch",
        "cali-fw-calic900c5f8053",
        "cali-to-wl-dispatch",
        "cali-tw-calic900c5f8053",
    ]
    assert "-X" not in iptables.pods_text(one, both)
    gone = re.findall(r"(?m)^-X (\S+)", iptables.pods_text(both, one))
    assert gone == ["cali-fw-calic900c5f8053", "cali-tw-calic900c5f8053"]


def test_bird_has_a_protocol_for_every_other_node_under_calico_s_names() -> None:
    """The mesh's protocols are named as Calico's templates name them, and a node is not its own peer."""
    text = bird.configuration(NODES[0], NODES, "/dev/null")
    assert re.findall(r"(?m)^protocol \w+ (\w+)", text) == [
        "static1",
        "kernel1",
        "device1",
        "direct1",
        "Mesh_10_7_120_12",
        "Mesh_10_7_120_13",
    ]


def test_sessions_are_established_only_when_bird_says_so() -> None:
    """Only the word Established in the last column counts; protocols that are not of the mesh do not."""
    reply = (
        "Name       Proto      Table      State  Since         Info\n"
        "kernel1    Kernel     master4    up     11:03:53      \n"
        "Mesh_10_7_120_12 BGP        ---        up     11:03:54      Established   \n"
        "Mesh_10_7_120_13 BGP        ---        start  11:03:54      Active        Socket: Connection refused\n"
    )
    assert bird.sessions(reply) == {"Mesh_10_7_120_12": True, "Mesh_10_7_120_13": False}


def test_root_is_at_home_in_the_lab_and_has_no_password() -> None:
    """Root's line is the lab's, everybody else's the machine's; nobody is locked and nobody has a password."""
    machine = "root:x:0:0:root:/root:/bin/zsh\nsshd:x:106:65534::/run/sshd:/usr/sbin/nologin\n"
    text = accounts.passwd(machine, "/run/lab/home", "/run/lab/shell", None)
    assert text.splitlines()[0] == "root:x:0:0:root:/run/lab/home:/run/lab/shell"
    assert text.splitlines()[1:] == machine.splitlines()[1:]
    assert accounts.shadow(accounts.names(text)).startswith("root:*:")


def test_operator_is_an_ordinary_account_where_there_is_one() -> None:
    """With sudo on the machine the nodes have an account that is not root's, in a group of its own."""
    text = accounts.passwd("root:x:0:0::/root:/bin/sh\n", "/h", "/s", "/h/operator")
    assert text.splitlines()[-1] == "operator:x:61184:61184:operator:/h/operator:/s"
    assert accounts.group("root:x:0:\n", with_operator=True) == "root:x:0:\noperator:x:61184:\n"


def test_ssh_never_asks() -> None:
    """The client's configuration names key and known hosts, checks them, and forbids questions."""
    keys = ssh.Keys(Path("/s/host_key"), Path("/s/id_ed25519"))
    text = ssh.ssh_config(keys, Path("/s/known_hosts"), NODES)
    assert "Host virtnest-rook-ceph-2\n  HostName 10.7.120.12\n" in text
    for line in ("BatchMode yes", "StrictHostKeyChecking yes", "UserKnownHostsFile /s/known_hosts", "User root"):
        assert f"  {line}\n" in text


def test_settings_that_interfaces_inherit_come_first() -> None:
    """`all` and `default` are written before any interface's own, and forwarding, which resets others, before all."""
    order = [path for path, _ in plan.settings()]
    assert order[0] == "/proc/sys/net/ipv4/ip_forward"
    assert order.index("/proc/sys/net/ipv4/conf/default/rp_filter") < order.index(
        "/proc/sys/net/ipv4/conf/lo/accept_local"
    )


# In a running lab. One lab for all of these: each is a line of shell that must end with 0 in it.

CHECKS = {
    "every node reaches every tunnel address through the tunnel": """
        for from in 1 2 3; do for to in 107 109 88; do
            ssh virtnest-rook-ceph-$from ping -c1 -W2 10.233.$to.0 || exit 1
        done; done""",
    "a node is reached by name and by address, without a question": """
        for index in 1 2 3; do
            test "$(ssh virtnest-rook-ceph-$index hostname </dev/null)" = virtnest-rook-ceph-$index || exit 1
            ssh 10.7.120.1$index true </dev/null || exit 1
        done""",
    "names resolve in the lab": "getent hosts virtnest-rook-ceph-3 | grep -q '^10.7.120.13 '",
    "the gateway answers from a node and from beside them": """
        ping -c1 -W2 10.7.120.1 && ssh virtnest-rook-ceph-1 ping -c1 -W2 10.7.120.1""",
    "a node sees its own processes only": """
        test "$(ssh virtnest-rook-ceph-1 cat /proc/1/comm)" = sleep &&
        test "$(ssh virtnest-rook-ceph-1 'pgrep -cx bird')" = 1""",
    "a node sees its own links in /sys": """
        ssh virtnest-rook-ceph-1 test -e /sys/class/net/ens192 && ! test -e /sys/class/net/ens192""",
    "a node's namespaces, BIRD and MTU file are its own": """
        ssh virtnest-rook-ceph-1 ip netns add only-here &&
        test -z "$(ssh virtnest-rook-ceph-2 ip netns list)" &&
        ssh virtnest-rook-ceph-2 birdcl -s /var/run/calico/bird.ctl show status | grep -q 'ID is 10.7.120.12' &&
        test "$(ssh virtnest-rook-ceph-2 cat /var/lib/calico/mtu)" = 1480""",
    "a plain iptables is the one that has the rules": """
        ssh virtnest-rook-ceph-1 iptables -S cali-INPUT | grep -q cali40all-hosts-net""",
    "what the machine keeps in /var/lib is still there": "test -e /var/lib/dpkg/status",
    "a process that lost its parent is reaped": """
        ssh virtnest-rook-ceph-1 '(sleep 0.1 &) ; sleep 0.5; test -z "$(ps -o stat= ax | grep ^Z)"'""",
    "root is at home in the lab, and a command reads no start-up file there": """
        echo 'echo noise' >> ~/.bashrc; test "$(ssh virtnest-rook-ceph-1 'echo ~')" = "$HOME" """,
    "an ssh command keeps its exit status and its standard input": """
        test "$(echo hello | ssh virtnest-rook-ceph-1 'cat; exit 7' || echo $?)" = "$(printf 'hello\\n7')" """,
    "BIRD puts back what it owns": """
        ssh virtnest-rook-ceph-1 'ip route del blackhole 10.233.107.0/24;
            for each in $(seq 100); do ip route | grep -q ^blackhole && exit 0; sleep 0.1; done; exit 1'""",
}


def run_in_lab(directory: Path, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A shell script beside the nodes."""
    lab = [sys.executable, "-m", "pytest_calico_ipip.lab", "run", *options, "--", "/bin/sh", "-c", script]
    return subprocess.run(lab, cwd=directory, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """What each check printed in one lab, empty where it held."""
    directory = tmp_path_factory.mktemp("lab")
    script = ""
    for number, command in enumerate(CHECKS.values()):
        script += f"( set -x\n{command}\n) >{directory}/{number} 2>&1 && rm {directory}/{number}\n"
    done = run_in_lab(directory, script + "true")
    assert done.returncode == 0, done.stderr

    def outcome(check: str) -> str:
        output = directory / str(list(CHECKS).index(check))
        return output.read_text() if output.exists() else ""

    return outcome


@pytest.mark.lab
@pytest.mark.parametrize("check", CHECKS)
def test_in_a_running_lab(outcomes: Callable[[str], str], check: str) -> None:
    """The check's own sentence."""
    assert not outcomes(check)


@pytest.mark.lab
def test_twenty_nodes_are_a_lab_too(tmp_path: Path) -> None:
    """With twenty nodes every node has a route to all nineteen other blocks when the command starts."""
    script = "for index in 1 7 20; do ssh virtnest-rook-ceph-$index ip route show dev tunl0 proto bird | wc -l; done"
    done = run_in_lab(tmp_path, script, "--nodes", "20")
    assert (done.returncode, done.stdout.split()) == (0, ["19", "19", "19"]), done.stderr
