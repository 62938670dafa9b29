"""What a pod's spec lets its processes do and see, looked at from inside, on stand-in nodes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import shutil
import ssl
from typing import Any

import aiohttp
import pytest
import yaml

from pytest_calico_ipip.lab.api.server import ApiServer
from pytest_calico_ipip.lab.kubelet import security

from .kubelet_lab import NODE, Lab

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None,
    reason="makes network namespaces: needs root, unshare and ip",
)
HELPER_CAPABILITIES = ["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"]


@pytest.fixture(scope="module")
def plain(lab: Lab) -> str:
    """A pod that asks for nothing."""
    name = lab.create(name="plain")
    lab.running(name)
    return name


@pytest.fixture(scope="module")
def helper(lab: Lab, plain: str) -> str:
    """A pod as a node helper is: the node's network and processes, few capabilities, a read-only root."""
    name = lab.create(
        name="helper",
        container={
            "command": ["sleep", "infinity"],
            "workingDir": "/scratch",
            "securityContext": {
                "capabilities": {"drop": ["ALL"], "add": HELPER_CAPABILITIES},
                "readOnlyRootFilesystem": True,
            },
            "volumeMounts": [
                {"name": "scratch", "mountPath": "/scratch"},
                {"name": "run", "mountPath": "/host/run", "readOnly": True},
            ],
            "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        },
        hostNetwork=True,
        hostPID=True,
        volumes=[
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
            {"name": "run", "hostPath": {"path": "/run", "type": "Directory"}},
        ],
    )
    lab.running(name)
    return name


def status(lab: Lab, pod: str, process: str = "self") -> dict[str, str]:
    """/proc/…/status of a process in a pod."""
    _, out, _ = lab.in_pod(pod, "cat", f"/proc/{process}/status")
    return {key: value.strip() for key, _, value in (line.partition(":") for line in out.splitlines())}


def mask(names: list[str]) -> str:
    return f"{sum(1 << security.CAPABILITIES.index(name) for name in names):016x}"


def test_a_host_pod_is_on_the_node_s_network(lab: Lab, helper: str) -> None:
    """Its address is the node's, it sees the node's NIC, Calico annotates nothing, its host name is the node's."""
    pod = lab.pod(helper)
    assert pod["status"]["podIP"] == pod["status"]["hostIP"] == "10.7.120.11"
    assert not any("projectcalico" in key for key in pod["metadata"].get("annotations", {}))
    assert "ens192" in lab.in_pod(helper, "ip", "-br", "link")[1]
    assert lab.in_pod(helper, "hostname")[1] == f"{NODE}\n"


def test_a_host_pod_sees_the_node_s_processes(lab: Lab, helper: str, plain: str) -> None:
    """With hostPID its /proc has the node's first process and every pod's; without, only the pod's own."""
    listed = 'for p in /proc/[0-9]*; do read name < $p/comm && echo "$name"; done'
    _, seen, _ = lab.in_pod(helper, "bash", "-c", listed)
    assert {"lab-kubelet", "lab-init", "sleep"} <= set(seen.split())
    assert "lab-kubelet" not in lab.in_pod(plain, "bash", "-c", listed)[1]


def test_it_reaches_a_pod_s_network_with_its_few_capabilities(lab: Lab, helper: str, plain: str) -> None:
    """SYS_ADMIN and SYS_PTRACE are enough to find a pod by its process and to enter its network."""
    find = (
        "for p in /proc/[0-9]*; do [ ! $p/ns/net -ef /proc/self/ns/net ] && "
        "nsenter --net=$p/ns/net ip -br addr show eth0 && break; done"
    )
    code, out, err = lab.in_pod(helper, "bash", "-c", find)
    assert lab.pod(plain)["status"]["podIP"] in out, (code, out, err)


def test_only_the_asked_capabilities_are_left(lab: Lab, helper: str) -> None:
    """Drop ALL and add few: bounding, permitted and effective sets of an exec session and of the main process."""
    for process in ("self", "1"):
        if process == "1":  # the helper's own first process is not number 1 of the node
            process = lab.in_pod(helper, "pgrep", "-x", "sleep", "-n")[1].split()[0]
        seen = status(lab, helper, process)
        for which in ("CapBnd", "CapPrm", "CapEff"):
            assert seen[which] == mask(HELPER_CAPABILITIES), (process, which)
        assert seen["CapInh"] == f"{0:016x}"


def test_the_root_is_read_only_but_for_volumes(lab: Lab, helper: str) -> None:
    """Writing to the root, /tmp, /run or /proc/sys fails; an emptyDir takes it, a read-only hostPath does not."""
    for path in ("/x", "/tmp/x", "/run/x", "/etc/x", "/host/run/x"):
        code, _, err = lab.in_pod(helper, "sh", "-c", f"echo > {path}")
        assert (code, "Read-only file system" in err) == (2, True), (path, err)
    assert lab.in_pod(helper, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")[0] == 2
    assert lab.in_pod(helper, "sh", "-c", "echo ok > /scratch/x; cat /scratch/x; echo > /dev/null")[1] == "ok\n"
    assert lab.in_pod(helper, "pwd")[1] == "/scratch\n"
    assert "tmpfs" in lab.in_pod(helper, "df", "--output=fstype,size", "/scratch")[1]


def test_a_host_path_shows_the_node_s_own(lab: Lab, helper: str) -> None:
    """What is below the node's /run is below the mount point, and nothing was written on the node."""
    lab.on_node("echo here > /run/mark")
    assert lab.in_pod(helper, "cat", "/host/run/mark")[1] == "here\n"


def test_fields_reach_the_environment(lab: Lab, helper: str) -> None:
    """A fieldRef to spec.nodeName is the node's name."""
    assert lab.in_pod(helper, "sh", "-c", "echo $NODE")[1] == f"{NODE}\n"


def test_defaults_are_the_runtime_s(lab: Lab, plain: str) -> None:
    """A container that asks for nothing is root with containerd's fourteen capabilities."""
    seen = status(lab, plain)
    assert seen["CapEff"] == "00000000a80425fb"
    assert seen["NoNewPrivs"] == "0"


def test_an_ordinary_user_has_nothing(lab: Lab) -> None:
    """RunAsUser and runAsGroup: no capability is effective, also none that was added; files are the user's."""
    name = lab.create(
        container={
            "securityContext": {
                "runAsUser": 100,
                "runAsGroup": 101,
                "runAsNonRoot": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]},
            },
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        },
        volumes=[{"name": "data", "emptyDir": {}}],
        securityContext={"fsGroup": 4000, "supplementalGroups": [4001]},
    )
    lab.running(name)
    seen = status(lab, name)
    assert (seen["Uid"].split()[0], seen["Gid"].split()[0]) == ("100", "101")
    assert sorted(seen["Groups"].split()) == ["4000", "4001"]
    assert (seen["CapEff"], seen["CapBnd"]) == (f"{0:016x}", mask(["NET_RAW"]))
    assert seen["NoNewPrivs"] == "1"
    _, out, err = lab.in_pod(name, "sh", "-c", "touch /data/a && stat -c '%u %g' /data/a")
    assert out == "100 4000\n", err


def test_privileged_has_everything(lab: Lab) -> None:
    """A privileged container has every capability of the kernel and may write kernel settings."""
    name = lab.create(container={"securityContext": {"privileged": True}}, hostNetwork=True)
    lab.running(name)
    seen, own = status(lab, name), open("/proc/self/status").read()  # noqa: SIM115
    assert f"CapBnd:\t{seen['CapEff']}" in own
    assert lab.in_pod(name, "sh", "-c", "cat /proc/sys/net/ipv4/ip_forward > /proc/sys/net/ipv4/ip_forward")[0] == 0


@pytest.mark.parametrize(
    ("context", "why"),
    [
        ({"runAsNonRoot": True}, "container has runAsNonRoot and image will run as root"),
        ({"runAsNonRoot": True, "runAsUser": 0}, "container's runAsUser breaks non-root policy"),
    ],
)
def test_root_is_refused_where_it_is_not_wanted(lab: Lab, context: dict[str, Any], why: str) -> None:
    """RunAsNonRoot keeps a container that would be root from being created, and says so."""
    name = lab.create(container={"securityContext": context})

    def waiting() -> Any:
        states = lab.pod(name)["status"].get("containerStatuses") or [{"state": {}}]
        reason = states[0]["state"].get("waiting", {})
        return reason if reason.get("reason") == "CreateContainerConfigError" else None

    assert why in lab.wait(waiting)["message"]
    lab.store.delete("pods", "default", name)
    lab.gone(name)


def test_containers_share_an_empty_directory(lab: Lab) -> None:
    """Two containers of a pod see one emptyDir, and it is gone from the node with the pod."""
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    second = {"name": "second", "image": "curlimages/curl", "volumeMounts": mounts}
    second["command"] = ["sh", "-c", "echo from second > /shared/f; sleep infinity"]
    first = {"name": "main", "image": "curlimages/curl", "volumeMounts": mounts}
    name = lab.create(containers=[first, second], volumes=[{"name": "shared", "emptyDir": {}}])
    uid = lab.running(name)["metadata"]["uid"]
    lab.wait(lambda: lab.in_pod(name, "cat", "/shared/f")[1] == "from second\n")
    assert lab.on_node(f"ls /run/kubelet/pods/{uid}/volumes/*") == "shared\n"
    lab.store.delete("pods", "default", name)
    lab.gone(name)
    assert lab.on_node(f"ls -d /run/kubelet/pods/{uid} 2>&1 || true").endswith("No such file or directory\n")


def test_init_containers_come_first(lab: Lab) -> None:
    """An init container ends before the others start; what it wrote is there, and its status says Completed."""
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    first = {"name": "first", "image": "curlimages/curl", "volumeMounts": mounts}
    first["command"] = ["sh", "-c", "sleep 0.2; echo first > /shared/f"]
    name = lab.create(
        container={"command": ["sh", "-c", "cat /shared/f; exec sleep infinity"], "volumeMounts": mounts},
        initContainers=[first],
        volumes=[{"name": "shared", "emptyDir": {}}],
    )
    status = lab.running(name)["status"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert lab.in_pod(name, "cat", "/shared/f")[1] == "first\n"


def test_a_failed_init_container_ends_the_pod(lab: Lab) -> None:
    """With restartPolicy Never the pod is Failed, and its other containers never start."""
    first = {"name": "first", "image": "curlimages/curl", "command": ["false"]}
    name = lab.create(initContainers=[first], restartPolicy="Never")
    lab.wait(lambda: lab.pod(name)["status"]["phase"] == "Failed")
    status = lab.pod(name)["status"]
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    lab.store.delete("pods", "default", name)
    lab.gone(name)


def test_a_missing_host_path_is_told(lab: Lab) -> None:
    """A hostPath of type Directory that is not there keeps the container from starting, with the kubelet's words."""
    name = lab.create(
        container={"volumeMounts": [{"name": "none", "mountPath": "/x"}]},
        volumes=[{"name": "none", "hostPath": {"path": "/nowhere", "type": "Directory"}}],
    )
    says = "hostPath type check failed: /nowhere is not a directory"
    lab.wait(lambda: any(says in event["message"] for event in lab.store.list("events")[0]))
    lab.store.delete("pods", "default", name)
    lab.gone(name)


def test_the_end_of_a_host_pod_ends_its_sessions(lab: Lab) -> None:
    """A pod in the node's PID namespace takes its exec sessions' processes with it, though no namespace ends."""
    name = lab.create(hostPID=True, hostNetwork=True)
    lab.running(name)

    async def start() -> Any:
        return await lab.kubelets.exec("default", name, None, ["sleep", "98765"], tty=False, stdin=False)

    lab.run(start())
    assert "sleep 98765" in lab.on_node("ps ax")
    lab.store.delete("pods", "default", name)
    lab.gone(name)
    lab.wait(lambda: "sleep 98765" not in lab.on_node("ps ax"))


async def connected(lab: Lab, pod: str, protocol: str, *command: str) -> Any:
    """A websocket to an exec session of a served API, as any client opens it."""
    if lab.served is None:
        lab.served = ApiServer(lab.store, lab.kubelets)
        await lab.served.start(lab.state)
    config = yaml.safe_load((lab.state / "kubeconfig").read_text())
    server, user = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    asked = [("command", word) for word in command] + [(name, "true") for name in ("stdin", "stdout", "stderr")]
    session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {user['token']}"})
    socket = await session.ws_connect(
        f"{server}/api/v1/namespaces/default/pods/{pod}/exec",
        params=asked,
        protocols=[protocol],
        ssl=ssl.create_default_context(cadata=authority),
        max_msg_size=0,
    )
    return session, socket


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
def test_fifty_megabytes_both_ways(lab: Lab, helper: str, protocol: str) -> None:
    """An exec session over the websocket carries 50 MB of any bytes in and out again, unchanged.

    v5 says that the input has ended; with v4 the program must know how much comes.
    """
    block, count = os.urandom(1 << 16), 800
    sent, received = hashlib.sha256(block * count), hashlib.sha256()
    command = ["cat"] if protocol.startswith("v5") else ["head", "-c", str(len(block) * count)]

    async def work() -> Any:
        session, socket = await connected(lab, helper, protocol, *command)

        async def feed() -> None:
            for _ in range(count):
                await socket.send_bytes(b"\0" + block)
            if protocol.startswith("v5"):
                await socket.send_bytes(b"\xff\0")

        feeding, last = asyncio.create_task(feed()), {}
        async for message in socket:
            if message.data[0] == 1:
                received.update(message.data[1:])
            else:
                last = json.loads(message.data[1:])
        await feeding
        await session.close()
        return last

    assert lab.run(work())["status"] == "Success"
    assert sent.hexdigest() == received.hexdigest()


def test_a_slow_reader_slows_the_program(lab: Lab, helper: str) -> None:
    """A client that does not read keeps the program from writing on: nothing between them hoards its output."""

    async def work() -> tuple[str, int]:
        session, socket = await connected(lab, helper, "v5.channel.k8s.io", "head", "-c", "54321000", "/dev/zero")
        await asyncio.sleep(1)
        seen = await lab.topology.nodes[NODE].shell("ps ax")
        size = 0
        async for message in socket:
            size += len(message.data) - 1 if message.data[0] == 1 else 0
        await session.close()
        return seen.stdout.decode(), size

    processes, size = lab.run(work())
    assert "head -c 54321000" in processes
    assert size == 54321000
