"""Pods as `curlimages/curl` has them: BusyBox and curl as an ordinary user, on stand-in nodes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_calico_ipip.lab import tools

from .kubelet_lab import Lab

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(shutil.which(name) for name in ("unshare", "ip", "busybox", "curl")),
    reason="makes network namespaces: needs root, unshare, ip, busybox and curl",
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Kubelets with `--pod-tools busybox`; the image is not below /tmp, which containers have one of their own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as state:
        lab = Lab(Path(state))
        lab.run(lab.start(extra={"pod-tools": "busybox"}))
        yield lab
        lab.run(lab.stop())
        lab.loop.close()


@pytest.fixture(scope="module")
def curl(lab: Lab) -> str:
    """A pod under test, with the setting that lets ordinary users ping."""
    pinging = {"sysctls": [{"name": "net.ipv4.ping_group_range", "value": "0 2147483647"}]}
    name = lab.create(name="curl", securityContext=pinging)
    lab.running(name)
    return name


def test_it_is_the_image_s_user(lab: Lab, curl: str) -> None:
    """Its processes are user 100 and group 101, at home in /home/curl_user, and have no capability."""
    assert lab.in_pod(curl, "id")[1] == "uid=100(curl_user) gid=101(curl_group)\n"
    assert lab.in_pod(curl, "sh", "-c", "echo $HOME")[1] == "/home/curl_user\n"
    assert "CapEff:\t0000000000000000" in lab.in_pod(curl, "cat", "/proc/self/status")[1]


def test_it_has_busybox_and_curl_only(lab: Lab, curl: str) -> None:
    """Every program is an applet of BusyBox, but curl; bash, tcpdump and Python are not there."""
    assert lab.in_pod(curl, "readlink", "-f", "/bin/sh")[1] == "/bin/busybox\n"
    code, _, err = lab.in_pod(curl, "ping", "-M", "do", "-c", "1", "127.0.0.1")
    assert (code, "unrecognized option" in err) == (1, True)
    assert lab.in_pod(curl, "ls", "/usr/bin", "/usr/sbin", "/sbin")[1].split() == [
        *("/sbin:", "/usr/bin:", "curl", "/usr/sbin:")
    ]
    for name in ("bash", "tcpdump", "python3"):
        assert lab.in_pod(curl, "sh", "-c", f"command -v {name}")[0] != 0
    code, out, err = lab.in_pod(curl, "curl", "--version")
    assert (code, out[:5]) == (0, "curl "), err


def test_ping_depends_on_the_kernel_setting(lab: Lab, curl: str) -> None:
    """BusyBox's ping works for an ordinary user where net.ipv4.ping_group_range has the group, and only there."""
    code, out, err = lab.in_pod(curl, "ping", "-c", "1", "-W", "1", "127.0.0.1")
    assert code == 0, (out, err)
    other = lab.create()
    lab.running(other)
    code, _, err = lab.in_pod(other, "ping", "-c", "1", "-W", "1", "127.0.0.1")
    assert (code, "permission denied" in err) == (1, True)


def test_a_tools_image_has_the_machine_s_programs(lab: Lab) -> None:
    """A pod of an image of network tools is root and has bash and ip of the machine."""
    name = lab.create(container={"image": "nicolaka/netshoot:v0.13", "command": ["sleep", "infinity"]})
    lab.running(name)
    assert lab.in_pod(name, "bash", "-c", "id -u; command -v ip > /dev/null && echo ip")[1] == "0\nip\n"


def test_what_a_bare_node_hides() -> None:
    """Tcpdump is hidden where the lab is told so, and nothing otherwise."""
    assert tools.hidden({}) == []
    names = {Path(path).name for path in tools.hidden({"node-tools": "bare"})}
    assert names <= {"tcpdump", "tshark", "dumpcap", "ethtool"}
    assert ("tcpdump" in names) == bool(shutil.which("tcpdump", path=os.defpath + ":/usr/sbin:/sbin"))
