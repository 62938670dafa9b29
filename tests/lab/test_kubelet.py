"""Pods become namespaces and processes: kubelets on stand-in nodes, since the tunnel is not their business."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.lab.api.accounts import MOUNTED, ApiPlace
from pytest_calico_ipip.lab.api.runtime import RuntimeRefusal
from pytest_calico_ipip.lab.errors import LabError
from pytest_calico_ipip.lab.spec import Hook, workload_interface

from .kubelet_lab import NODE, Lab

RECORDED = Path(__file__).parents[1] / "recorded" / "v3.31.7-always" / "nodes" / "virtnest-rook-ceph-1"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None,
    reason="makes network namespaces: needs root, unshare and ip",
)


@pytest.fixture(scope="module")
def web(lab: Lab) -> str:
    """A pod that many tests look at."""
    name = lab.create(name="web", securityContext={"sysctls": [{"name": "net.ipv4.ping_group_range", "value": "0 0"}]})
    lab.running(name)
    return name


# the sandbox


def settled(links: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """One link of `ip -j -d addr` without MAC addresses, indexes and queue figures that each kernel has its own."""
    link = next(link for link in links if link["ifname"] == name)
    mine = ("ifindex", "link_index", "link_netnsid", "address", "num_tx_queues", "num_rx_queues", "addr_info")
    rest = {key: value for key, value in link.items() if key not in mine and "max_s" not in key and "max_m" not in key}
    addresses = [
        {key: value for key, value in one.items() if key in ("family", "local", "prefixlen", "scope", "label")}
        for one in link["addr_info"]
        if one["family"] == "inet"
    ]
    return {**rest, "addresses": addresses}


def test_the_pod_s_end_looks_as_recorded(lab: Lab, web: str) -> None:
    """eth0 in the pod has the recorded kind, MTU, queue length and one /32; only the address itself is another."""
    recorded = settled(json.loads(next(RECORDED.glob("netns/*/ip-addr.json")).read_text()), "eth0")
    _, out, _ = lab.in_pod(web, "ip", "-j", "-d", "addr")
    seen = settled([link for link in json.loads(out) if link], "eth0")
    address = lab.pod(web)["status"]["podIP"]
    recorded["addresses"][0]["local"] = address
    known = {key: value for key, value in seen.items() if key in recorded}
    assert known == recorded


def test_the_node_s_end_looks_as_recorded(lab: Lab, web: str) -> None:
    """The workload interface has the recorded kind, flags and MTU, no queue length, and Calico's MAC address."""
    recorded = json.loads((RECORDED / "ip-addr.json").read_text())
    expected = settled(recorded, "cali747350e5fc9")
    links = [link for link in json.loads(lab.on_node("ip -j -d addr")) if link]
    interface = workload_interface("default", web)
    seen = settled(links, interface)
    assert {key: value for key, value in seen.items() if key in expected} == {**expected, "ifname": interface}
    assert next(link for link in links if link["ifname"] == interface)["address"] == "ee:ee:ee:ee:ee:ee"


def test_routes(lab: Lab, web: str) -> None:
    """The pod routes everything through 169.254.1.1, the node has the pod's /32 on the workload interface."""
    assert lab.in_pod(web, "ip", "route")[1] == (
        "default via 169.254.1.1 dev eth0 \n169.254.1.1 dev eth0 scope link \n"
    )
    address = lab.pod(web)["status"]["podIP"]
    assert f"{address} dev {workload_interface('default', web)} scope link" in lab.on_node("ip route")


def test_peers_find_each_other_by_name(lab: Lab, web: str) -> None:
    """`ip -d addr` on the node prints the pod's own namespace behind link-netns."""
    text = lab.on_node(f"ip -d addr show dev {workload_interface('default', web)}")
    found = re.search(r"link-netns (cni-[0-9a-f-]{36})", text)
    assert found is not None, text
    inside = lab.on_node(f"ip netns exec {found[1]} ip -br addr show dev eth0")
    assert lab.pod(web)["status"]["podIP"] in inside


def test_sysctls_as_recorded(lab: Lab, web: str) -> None:
    """Every recorded kernel setting of a workload interface and of a pod's eth0 has its value here."""
    interface = workload_interface("default", web)
    node = (RECORDED / "sysctl.txt").read_text().replace("cali747350e5fc9", interface)
    wanted = [line for line in node.splitlines() if f".{interface}." in line]
    pod = next(RECORDED.glob("netns/*/sysctl.txt")).read_text()
    assert len(wanted) >= 7
    keys = " ".join(line.split(" = ")[0] for line in wanted)
    assert lab.on_node(f"sysctl {keys}").splitlines() == wanted
    inside = [line for line in pod.splitlines() if ".eth0." in line or ".lo." in line or ".ip_forward =" in line]
    _, out, _ = lab.in_pod(web, "sysctl", *(line.split(" = ")[0] for line in inside))
    assert out.splitlines() == inside


def test_asked_sysctls_are_set(lab: Lab, web: str) -> None:
    """securityContext.sysctls reach the pod's namespace."""
    assert lab.in_pod(web, "cat", "/proc/sys/net/ipv4/ping_group_range")[1].split() == ["0", "0"]


def test_forbidden_sysctl_keeps_the_pod_waiting(lab: Lab) -> None:
    """A setting of the whole kernel is refused by an event, and no address is used up."""
    name = lab.create(securityContext={"sysctls": [{"name": "kernel.panic", "value": "1"}]})
    lab.wait(lambda: "FailedCreatePodSandBox" in lab.reasons(name))
    assert "podIP" not in lab.pod(name)["status"]
    lab.store.delete("pods", "default", name)
    lab.gone(name)


def test_pods_on_a_node_reach_each_other(lab: Lab, web: str) -> None:
    """Proxy ARP answers at once, and an echo from pod to pod loses one hop."""
    other = lab.create()
    lab.running(other)
    status, out, _ = lab.in_pod(web, "ping", "-c", "1", "-W", "2", lab.pod(other)["status"]["podIP"])
    assert status == 0, out
    assert "ttl=63" in out
    assert "169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee" in lab.in_pod(web, "ip", "neigh")[1]


def test_the_firewall_is_told(lab: Lab, web: str) -> None:
    """Each pod's chains are asked for with its namespace and service account."""
    assert ("add", NODE, workload_interface("default", web), "default", "default") in lab.topology.firewall


# the container


def test_own_names_processes_and_files(lab: Lab, web: str) -> None:
    """The container has its host name, its line in /etc/hosts, an empty /tmp, and sees only its own processes."""
    assert lab.in_pod(web, "hostname")[1] == "web\n"
    assert f"{lab.pod(web)['status']['podIP']}\tweb\n" in lab.in_pod(web, "cat", "/etc/hosts")[1]
    assert lab.in_pod(web, "ls", "/tmp", "/run/netns")[1] == "/tmp:\n"
    processes = lab.in_pod(web, "sh", "-c", "ls -d /proc/[0-9]* | wc -l")[1]
    assert int(processes) < 8


def test_processes_belong_to_the_node(lab: Lab, web: str) -> None:
    """The node's own process list has the pod's main process."""
    name = lab.create(container={"command": ["sleep", "4242"]})
    lab.running(name)
    assert "sleep 4242" in lab.on_node("ps ax -o args")
    assert web


def test_args_run_without_a_command(lab: Lab) -> None:
    """`kubectl run … -- /bin/sh -c …` gives arguments only: they are what runs, and what they print is the log."""
    name = lab.create(container={"args": ["/bin/sh", "-c", "echo one; echo two >&2; exec sleep 1000"]})
    lab.running(name)

    async def read(**options: Any) -> list[bytes]:
        arguments: dict[str, Any] = {"follow": False, "tail": None, "timestamps": False, **options}
        return [line async for line in lab.kubelets.logs("default", name, None, **arguments)]

    lab.wait(lambda: len(lab.run(read())) == 2)
    assert sorted(lab.run(read())) == [b"one\n", b"two\n"]
    assert len(lab.run(read(tail=1))) == 1
    assert re.match(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (one|two)\n", lab.run(read(timestamps=True))[0])


def test_environment_of_the_spec(lab: Lab) -> None:
    """Variables with a value, and those that refer to the pod's own fields, are set for exec too."""
    name = lab.create(
        container={
            "env": [
                {"name": "PLAIN", "value": "a b"},
                {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ]
        }
    )
    address = lab.running(name)["status"]["podIP"]
    assert lab.in_pod(name, "sh", "-c", "echo $PLAIN $ADDRESS")[1] == f"a b {address}\n"


def test_a_pod_has_its_service_account(lab: Lab) -> None:
    """Token, authority and namespace stand where clients look for them, for any user; a pod may do without them."""
    lab.kubelets.api = ApiPlace("10.7.120.2", 6443, lambda *account: {"token": "/".join(account), "ca.crt": "PEM"})
    try:
        name = lab.create(container={"securityContext": {"runAsUser": 1000}})
        without = lab.create(automountServiceAccountToken=False)
        uid = lab.running(name)["metadata"]["uid"]
        lab.running(without)
    finally:
        lab.kubelets.api = None
    told = "cat /var/run/secrets/kubernetes.io/serviceaccount/*; echo; echo $KUBERNETES_SERVICE_HOST"
    assert (
        lab.in_pod(name, "sh", "-c", f"{told} $KUBERNETES_SERVICE_PORT")[1] == "PEMdefault/default\n10.7.120.2 6443\n"
    )
    assert lab.in_pod(without, "ls", MOUNTED)[0] == 2
    lab.store.delete("pods", "default", name)
    lab.gone(name)
    assert uid not in lab.on_node("ls /run/kubelet/pods 2>/dev/null")


def test_status_of_a_running_pod(lab: Lab, web: str) -> None:
    """Addresses, conditions, container status and Calico's annotations are there when the pod is Ready."""
    pod = lab.running(web)
    address = pod["status"]["podIP"]
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["hostIP"] == "10.7.120.11"
    assert pod["status"]["containerStatuses"][0]["ready"] is True
    annotations = pod["metadata"]["annotations"]
    assert annotations["cni.projectcalico.org/podIP"] == f"{address}/32"
    handle = f"k8s-pod-network.{annotations['cni.projectcalico.org/containerID']}"
    assert lab.store.get("ipamhandles.crd.projectcalico.org", None, handle)["spec"]["block"] == {"10.233.107.0/24": 1}
    assert {"Scheduled", "Pulled", "Created", "Started"} <= set(lab.reasons(web))


# exec


def test_exec_gives_streams_and_status(lab: Lab, web: str) -> None:
    """Output, errors and the exit status come apart; input reaches the program, and so does its end."""
    assert lab.in_pod(web, "sh", "-c", "echo out; echo err >&2; exit 7") == (7, "out\n", "err\n")
    assert lab.in_pod(web, "cat", stdin=b"hello") == (0, "hello", "")


def test_exec_moves_a_lot(lab: Lab, web: str) -> None:
    """A megabyte in and out arrives whole."""
    status, out, _ = lab.in_pod(web, "sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x")
    assert (status, len(out)) == (0, 1_000_000)


def test_exec_with_a_terminal(lab: Lab, web: str) -> None:
    """With tty the program has a controlling terminal of the given size, and Ctrl-D ends its input."""

    async def work() -> str:
        process = await lab.kubelets.exec("default", web, None, ["sh"], tty=True, stdin=True)
        process.resize(40, 120)
        await process.write(b"stty size; tty; exit 3\n")
        said = b""
        async for channel, data in process.output():
            assert channel == 1
            said += data
        assert await process.wait() == 3
        return said.decode()

    said = lab.run(work())
    assert "40 120" in said
    assert "/dev/pts/" in said


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("no-such-program", 'exec: "no-such-program": executable file not found in $PATH'),
        ("/bin/no-such-program", 'exec: "/bin/no-such-program": stat /bin/no-such-program: no such file or directory'),
        ("/etc", 'exec: "/etc": permission denied'),
    ],
)
def test_exec_of_what_is_not_there(lab: Lab, web: str, program: str, words: str) -> None:
    """A program that cannot be started is refused as a container runtime words it."""
    with pytest.raises(RuntimeRefusal, match=re.escape(words)):
        lab.in_pod(web, program)


def test_exec_in_an_unknown_container(lab: Lab, web: str) -> None:
    """A container that the pod does not have is refused by name."""

    async def work() -> None:
        await lab.kubelets.exec("default", web, "sidecar", ["true"], tty=False, stdin=False)

    with pytest.raises(RuntimeRefusal, match="container sidecar is not valid for pod web"):
        lab.run(work())


def test_kill_takes_all_that_an_exec_started(lab: Lab, web: str) -> None:
    """Killing an exec ends its children too, those with a session of their own and those whose parent has gone."""

    async def work() -> int:
        script = "sleep 7771 & setsid sleep 7772 & (setsid sleep 7773 &) ; echo up; wait"
        process = await lab.kubelets.exec("default", web, None, ["sh", "-c", script], tty=False, stdin=False)
        said = b""
        async for _, data in process.output():
            said += data
            if b"up" in said:
                break
        process.kill()
        return await process.wait()

    assert lab.run(work()) == 137
    lab.wait(lambda: "sleep 777" not in lab.on_node("ps ax -o args | grep -v grep"))


def test_what_an_exec_leaves_behind_stays(lab: Lab, web: str) -> None:
    """A background process outlives a finished exec, does not hold it up, and goes with the container."""
    started = time.monotonic()
    assert lab.in_pod(web, "sh", "-c", "sleep 7780 & echo done")[:2] == (0, "done\n")
    assert time.monotonic() - started < 5
    assert "sleep 7780" in lab.on_node("ps ax -o args")


def test_calico_node_s_programs_are_the_node_s(lab: Lab) -> None:
    """Exec in a calico-node pod runs in the node itself, and the pod is Running with the node's address."""
    pods = lab.wait(
        lambda: [
            pod
            for pod in lab.store.list("pods", "kube-system", field_selector=f"spec.nodeName={NODE}")[0]
            if pod["status"].get("podIP") == "10.7.120.11"
        ]
    )
    name = pods[0]["metadata"]["name"]

    async def work() -> bytes:
        process = await lab.kubelets.exec("kube-system", name, None, ["hostname"], tty=False, stdin=False)
        said = b"".join([data async for _, data in process.output()])
        assert await process.wait() == 0
        return said

    assert lab.run(work()) == f"{NODE}\n".encode()


# ends


def test_deletion_leaves_nothing(lab: Lab) -> None:
    """A deleted pod's interface, namespace, processes, chains, address and object are gone, SIGTERM being enough."""
    name = lab.create(terminationGracePeriodSeconds=30, container={"args": ["/bin/sh", "-c", "sleep 5151"]})
    pod = lab.running(name)
    interface = workload_interface("default", name)
    netns = set(lab.on_node("ls /run/netns").split())
    started = time.monotonic()
    lab.store.delete("pods", "default", name)
    lab.gone(name)
    assert time.monotonic() - started < 3, "it waited for the grace period"
    assert interface not in lab.on_node("ip -br link")
    assert len(set(lab.on_node("ls /run/netns").split())) == len(netns) - 1
    assert "sleep 5151" not in lab.on_node("ps ax -o args")
    assert ("remove", NODE, interface) in lab.topology.firewall
    blocks = lab.store.list("ipamblocks.crd.projectcalico.org")[0]
    attributes = json.dumps([block["spec"]["attributes"] for block in blocks])
    assert pod["metadata"]["annotations"]["cni.projectcalico.org/containerID"] not in attributes
    assert "Killing" in lab.reasons(name)


def test_the_annotations_are_emptied_before_the_pod_goes(lab: Lab) -> None:
    """As the CNI plugin does on DEL, so that nobody takes the address for a live one."""
    name = lab.create()
    lab.running(name)
    changes = lab.store.watch(
        "pods", "default", field_selector=f"metadata.name={name}", resource_version=lab.store.version
    )
    lab.store.delete("pods", "default", name)
    lab.gone(name)

    async def last() -> dict[str, Any]:
        changes.close()
        seen = [pod async for _, pod in changes]
        return seen[-1]

    annotations = lab.run(last())["metadata"]["annotations"]
    assert set(annotations.values()) == {""}


def test_a_deaf_process_is_killed_after_its_grace(lab: Lab) -> None:
    """A main process that ignores SIGTERM has its grace period, then SIGKILL."""
    name = lab.create(container={"command": ["sh", "-c", "trap '' TERM; touch /tmp/deaf; while :; do sleep 1; done"]})
    lab.running(name)
    lab.wait(lambda: lab.in_pod(name, "test", "-e", "/tmp/deaf")[0] == 0)
    started = time.monotonic()
    lab.store.delete("pods", "default", name)
    lab.gone(name)
    assert 0.9 < time.monotonic() - started < 5


def test_deletion_without_grace(lab: Lab) -> None:
    """A forced deletion removes the object at once, and the sandbox after it."""
    name = lab.create(container={"command": ["sh", "-c", "trap '' TERM; touch /tmp/deaf; while :; do sleep 1; done"]})
    lab.running(name)
    lab.wait(lambda: lab.in_pod(name, "test", "-e", "/tmp/deaf")[0] == 0)
    lab.store.delete("pods", "default", name, grace_period_seconds=0)
    lab.wait(lambda: workload_interface("default", name) not in lab.on_node("ip -br link"))
    lab.wait(lambda: not lab.kubelets.knows("default", name))


@pytest.mark.parametrize("grace", [None, 0])
@pytest.mark.parametrize("steps", [0, 1, 3, 6, 10, 20])
def test_deletion_at_any_moment_leaves_nothing(lab: Lab, steps: int, grace: int | None) -> None:
    """A pod that is deleted while it is being made leaves no interface, no namespace, no process and no address."""
    look = "ls /run/netns; ps ax -o args | grep -c 'slee[p] 6161'; ip -br link | grep -c cali; true"
    used = lab.on_node(look)
    name = lab.create(container={"command": ["sleep", "6161"]})
    for _ in range(steps):
        lab.run(asyncio.sleep(0.003))
    lab.store.delete("pods", "default", name, grace_period_seconds=grace)
    lab.gone(name)
    lab.run(asyncio.sleep(0.05))  # the kubelet hears of it
    lab.wait(lambda: not lab.kubelets.knows("default", name))
    assert lab.on_node(look) == used
    blocks = lab.store.list("ipamblocks.crd.projectcalico.org")[0]
    assert f'"pod": "{name}"' not in json.dumps([block["spec"]["attributes"] for block in blocks])
    assert not lab.kubelets.failure.done()


@pytest.mark.parametrize(("command", "phase"), [("exit 0", "Succeeded"), ("exit 3", "Failed")])
def test_a_finished_pod_keeps_its_result(lab: Lab, command: str, phase: str) -> None:
    """With restartPolicy Never the phase and the exit status tell how it ended."""
    name = lab.create(restartPolicy="Never", container={"command": ["sh", "-c", command]})
    pod = lab.wait(lambda: lab.pod(name)["status"]["phase"] == phase and lab.pod(name))
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert state["exitCode"] == int(command.split()[1])
    ready = next(one for one in pod["status"]["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PodCompleted")


def test_a_crashing_pod_is_started_again(lab: Lab) -> None:
    """With restartPolicy Always the container comes back after a pause, and says so."""
    name = lab.create(container={"command": ["sh", "-c", "exit 1"]})
    pod = lab.wait(
        lambda: lab.pod(name)["status"].get("containerStatuses", [{}])[0].get("restartCount") and lab.pod(name)
    )
    assert pod["status"]["phase"] == "Running"
    assert "BackOff" in lab.reasons(name)
    lab.store.delete("pods", "default", name)
    lab.gone(name)


def test_an_unknown_command_shows_in_the_status(lab: Lab) -> None:
    """A main process that cannot be started leaves the runtime's sentence in an event and the container waiting."""
    name = lab.create(container={"command": ["no-such-program"]})
    status = lab.wait(
        lambda: [
            one
            for one in lab.pod(name)["status"].get("containerStatuses", ())
            if one["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
        ]
    )[0]
    assert status["lastState"]["terminated"]["reason"] == "StartError"
    assert "executable file not found in $PATH" in status["lastState"]["terminated"]["message"]
    assert "Failed" in lab.reasons(name)


def test_attach_follows_and_leaves(lab: Lab) -> None:
    """Attach sees what the main process says from then on, and the process stays when it leaves."""
    name = lab.create(container={"stdin": True, "command": ["cat"]})
    lab.running(name)

    async def work() -> bytes:
        process = await lab.kubelets.attach("default", name, None, stdin=True)
        await process.write(b"ping\n")
        said = b""
        async for _, data in process.output():
            said += data
            break
        process.kill()
        return said

    assert lab.run(work()) == b"ping\n"
    assert lab.running(name)


def test_twelve_pods_at_once(lab: Lab) -> None:
    """Pods created together all come up, with distinct addresses and namespaces."""
    names = [lab.create(node=f"virtnest-rook-ceph-{number % 2 + 1}") for number in range(12)]
    addresses = {lab.running(name)["status"]["podIP"] for name in names}
    assert len(addresses) == 12
    for name in names:
        lab.store.delete("pods", "default", name)
    for name in names:
        lab.gone(name)


# hooks


def test_hooks_run_before_ready_with_the_pod_s_facts(tmp_path: Path) -> None:
    """A hook knows pod, address, interface and namespace, which are all there when it runs."""
    lab = Lab(tmp_path)
    facts = 'echo "$POD_NAME $POD_NAMESPACE $POD_IP" > /run/facts; ip link set dev $HOST_IFACE mtu 1400'
    facts += "; ls /run/netns/$NETNS"
    lab.run(lab.start((Hook(NODE, facts),)))
    try:
        name = lab.create()
        address = lab.running(name)["status"]["podIP"]
        assert lab.on_node("cat /run/facts") == f"{name} default {address}\n"
        assert "mtu 1400" in lab.on_node(f"ip link show {workload_interface('default', name)}")
    finally:
        lab.run(lab.stop())


def test_a_failing_hook_is_the_lab_s_failure(tmp_path: Path) -> None:
    """The lab is told at once, with the hook, its status and what it said; the pod does not become Ready."""
    lab = Lab(tmp_path)
    lab.run(lab.start((Hook(NODE, "echo broken >&2; exit 9"),)))
    try:
        name = lab.create()
        lab.wait(lab.kubelets.failure.done)
        failure = lab.kubelets.failure.exception()
        assert isinstance(failure, LabError)
        assert f"--at-pod {NODE} failed with 9" in str(failure)
        assert "broken" in str(failure)
        assert "podIP" not in lab.pod(name)["status"]
    finally:
        lab.run(lab.stop())
