"""The real kubectl, lowest and highest release, typed as people type it."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import downloads
from .conftest import NODES, LabApi

pytestmark = pytest.mark.clients

Shell = Callable[..., str]


@pytest.fixture(scope="module", params=sorted(downloads.KUBECTLS))
def environment(
    request: pytest.FixtureRequest, lab_api: LabApi, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """With `kubectl` on the PATH, and nothing of the user's own kubectl."""
    program = downloads.kubectl(request.param)
    home = tmp_path_factory.mktemp(f"kubectl-{request.param}")
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "KUBECONFIG": str(lab_api.kubeconfig),
        "KUBECACHEDIR": str(home / "cache"),
        "TERM": "dumb",
    }


@pytest.fixture
def shell(environment: dict[str, str], lab_api: LabApi) -> Iterator[Shell]:
    """Runs a command line; its output, both streams. `code` is the exit status that it must have."""

    def run(line: str, *, code: int = 0, text: str = "") -> str:
        done = subprocess.run(
            ["/bin/bash", "-c", line],
            env=environment, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30,
        )  # fmt: skip
        assert done.returncode == code, f"{line}\n{done.stdout}"
        return done.stdout

    yield run
    if ("", "sleep-curl") in lab_api.store.held("namespaces"):
        run("kubectl delete ns sleep-curl --timeout=10s")


@pytest.fixture
def pods(shell: Shell) -> None:
    """The reference experiment's namespace and pods, made by its own commands."""
    shell("kubectl create ns sleep-curl")
    for number, node in enumerate(NODES, start=1):
        overrides = '{"spec": {"nodeName": "' + node + '"}}'
        shell(
            f"kubectl run sleep-curl-{number} -n sleep-curl --image=curlimages/curl "
            f"--overrides='{overrides}' -- /bin/sh -c 'sleep 100000'"
        )
    shell("kubectl wait --for=condition=Ready pod --all -n sleep-curl --timeout=10s")


@pytest.mark.usefixtures("pods")
def test_the_reference_experiment_s_commands(shell: Shell) -> None:
    """Typed as they are written, they print what they are known to print."""
    head, *rows = shell("kubectl get pod -n sleep-curl -o wide").splitlines()
    assert head.split("  ")[0] == "NAME"
    assert re.sub(" {2,}", "|", head) == "NAME|READY|STATUS|RESTARTS|AGE|IP|NODE|NOMINATED NODE|READINESS GATES"
    for number, (row, node) in enumerate(zip(rows, NODES, strict=True), start=1):
        pattern = rf"sleep-curl-{number} +1/1 +Running +0 +\d+s +10\.233\.107\.1 +{node} +<none> +<none>"
        assert re.fullmatch(pattern, row.strip())
    assert shell("kubectl get ippools.crd.projectcalico.org") == "No resources found\n"


@pytest.mark.usefixtures("pods")
def test_a_shell_in_a_pod(environment: dict[str, str]) -> None:
    """`kubectl exec -it … -- /bin/sh` on a terminal: prompt, size, exit status."""
    line = "stty rows 43 cols 132; exec kubectl exec -it -n sleep-curl sleep-curl-1 -- /bin/sh"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve("/bin/bash", ["bash", "-c", line], environment)
    seen = b""
    try:
        seen += _until(terminal, b"# ")
        os.write(terminal, b"stty size; echo sum $((40 + 2))\r")
        seen += _until(terminal, b"sum 42")
        os.write(terminal, b"exit 5\r")
        seen += _until(terminal, b"exit code 5")
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    assert b"43 132" in seen
    assert os.waitstatus_to_exitcode(status) == 5


def _until(terminal: int, words: bytes, seconds: float = 15) -> bytes:
    """What the terminal shows until these words."""
    seen, deadline = b"", time.monotonic() + seconds
    while words not in seen:
        ready, _, _ = select.select([terminal], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"waited {seconds:.0f} s for {words!r}, saw {seen!r}"
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            raise AssertionError(f"the terminal was closed before {words!r}: {seen!r}") from None
    return seen


@pytest.mark.usefixtures("pods")
def test_exec_and_attach_through_pipes(shell: Shell) -> None:
    """Input, exit status, and each way to be refused."""
    on = "-n sleep-curl sleep-curl-1"
    assert shell(f"kubectl exec -i {on} -- sh -c 'cat; exit 4'", text="hello\n", code=4).startswith("hello\n")
    assert "hello\n" in shell(f"kubectl attach -i {on}", text="hello\n")
    assert 'exec: "nosuch": executable file not found in $PATH' in shell(f"kubectl exec {on} -- nosuch", code=1)
    assert 'pods "none" not found' in shell("kubectl exec -n sleep-curl none -- ls", code=1)
    assert 'namespaces "none" not found' in shell("kubectl exec -n none x -- ls", code=1)
    assert "container x is not valid for pod sleep-curl-1" in shell(f"kubectl exec {on} -c x -- ls", code=1)


@pytest.mark.usefixtures("pods")
def test_logs(shell: Shell) -> None:
    """All, the last line with its time, and followed."""
    on = "-n sleep-curl sleep-curl-2"
    assert shell(f"kubectl logs {on}") == "one\ntwo\nthree\n"
    assert re.fullmatch(r"[-0-9T:]+Z three\n", shell(f"kubectl logs --tail=1 --timestamps {on}"))
    assert shell(f"kubectl logs -f --tail=1 {on}") == "three\nlater\n"


@pytest.mark.usefixtures("pods")
def test_describe(shell: Shell, lab_api: LabApi) -> None:
    """A pod with its events, a node with its pods."""
    uid = lab_api.call(lab_api.store.get, "pods", "sleep-curl", "sleep-curl-1")["metadata"]["uid"]
    lab_api.call(
        lab_api.store.create,
        "events",
        {
            "metadata": {"name": "e", "namespace": "sleep-curl"},
            "involvedObject": {"kind": "Pod", "name": "sleep-curl-1", "namespace": "sleep-curl", "uid": uid},
            "reason": "Started",
            "message": "Started container sleep-curl-1",
            "type": "Normal",
            "count": 1,
        },
    )
    pod = shell("kubectl describe pod -n sleep-curl sleep-curl-1")
    for words in (f"Node:             {NODES[0]}/10.7.120.11", "IP:  10.233.107.1", "Started container sleep-curl-1"):
        assert words in pod
    node = shell(f"kubectl describe node {NODES[0]}")
    assert re.search(r"InternalIP: +10\.7\.120\.11", node)
    assert re.search(r"sleep-curl +sleep-curl-1 ", node)
    assert "Started" in shell("kubectl get events -n sleep-curl")


@pytest.mark.usefixtures("pods")
def test_watching_a_deletion(shell: Shell, environment: dict[str, str]) -> None:
    """`get -w` shows the pod go, `delete` waits for it, `get -A` names namespaces."""
    with subprocess.Popen(
        ["/bin/bash", "-c", "exec kubectl get pod -n sleep-curl -w"], env=environment, stdout=subprocess.PIPE
    ) as watching:
        assert watching.stdout is not None
        first = [watching.stdout.readline().decode() for _ in range(4)]
        assert 'pod "sleep-curl-2" deleted' in shell("kubectl delete pod -n sleep-curl sleep-curl-2")
        last = watching.stdout.readline().decode()
        watching.terminate()
    assert first[0].startswith("NAME ")
    assert last.split()[:3] == ["sleep-curl-2", "1/1", "Terminating"]
    assert re.search(r"^sleep-curl +sleep-curl-1 ", shell("kubectl get po -A"), re.MULTILINE)
    forced = shell("kubectl delete pod -n sleep-curl sleep-curl-1 --force --grace-period=0")
    assert 'pod "sleep-curl-1" force deleted' in forced
    assert 'namespace "sleep-curl" deleted' in shell("kubectl delete ns sleep-curl")
    assert 'namespaces "sleep-curl" not found' in shell("kubectl get ns sleep-curl", code=1)


def test_calico_s_objects(shell: Shell, tmp_path: Path) -> None:
    """Create, apply both ways, patch, label, explain, delete."""
    file = tmp_path / "pool.yaml"
    text = (
        "apiVersion: crd.projectcalico.org/v1\nkind: IPPool\nmetadata: {name: k}\n"
        "spec: {cidr: 10.233.64.0/18, ipipMode: Always}\n"
    )
    file.write_text(text)
    quoted = shlex.quote(str(file))
    assert "created (server dry run)" in shell(f"kubectl create --dry-run=server -f {quoted}")
    assert shell(f"kubectl apply -f {quoted}") == "ippool.crd.projectcalico.org/k created\n"
    file.write_text(text.replace("Always", "CrossSubnet"))
    assert "k configured" in shell(f"kubectl apply -f {quoted}")
    assert "k serverside-applied" in shell(f"kubectl apply --server-side --force-conflicts -f {quoted}")
    show = "kubectl get ippool k -o jsonpath='{.spec.ipipMode}'"
    assert shell(show) == "CrossSubnet"
    shell("""kubectl patch ippool k --type merge -p '{"spec": {"ipipMode": "Never"}}'""")
    assert shell(show) == "Never"
    shell(
        """kubectl patch ippool k --type json -p '[{"op": "replace", "path": "/spec/ipipMode", "value": "Always"}]'"""
    )
    assert shell(show) == "Always"
    assert "not supported" in shell("""kubectl patch ippool k -p '{"spec": {}}'""", code=1)
    assert re.fullmatch(r"NAME +AGE\nk +\d+s\n", shell("kubectl get ippools"))
    assert "KIND:       IPPool" in shell("kubectl explain ippools")
    assert shell("kubectl delete ippools --all").startswith('ippool.crd.projectcalico.org "k" deleted')


def test_typed_commands(shell: Shell) -> None:
    """Those whose bodies are protobuf from kubectl 1.32 on."""
    shell("kubectl create ns sleep-curl")
    on = "-n sleep-curl"
    shell(f"kubectl create configmap cm --from-literal=a=b {on}")
    shell(f"kubectl create secret generic s --from-literal=a=b {on}")
    shell(f"kubectl create sa robot {on}")
    shell(f"kubectl create deployment d --image=x --replicas=2 --port=80 {on}")
    shell(f"kubectl create service clusterip svc --tcp=80:8080 {on}")
    assert shell(f"kubectl get cm cm {on} -o jsonpath='{{.data.a}}'") == "b"
    assert shell(f"kubectl get secret s {on} -o jsonpath='{{.data.a}}'") == "Yg=="
    assert (
        shell(f"kubectl get deploy d {on} -o jsonpath='{{.spec.replicas}} {{.spec.template.spec.containers[0].image}}'")
        == "2 x"
    )
    assert (
        shell(f"kubectl get svc svc {on} -o jsonpath='{{.spec.ports[0].targetPort}} {{.spec.selector.app}}'")
        == "8080 svc"
    )
    listed = shell(f"kubectl get all {on} -o wide")
    assert "deployment.apps/d" in listed
    assert "service/svc" in listed
    assert shell("kubectl auth can-i create pods") == "yes\n"


@pytest.mark.usefixtures("pods")
def test_nodes_are_cordoned_and_drained(shell: Shell) -> None:
    """Evictions go through, and the node takes pods again."""
    node = NODES[2]
    assert f"node/{node} drained" in shell(f"kubectl drain {node} --force --ignore-daemonsets --timeout=10s")
    row = shell(f"kubectl get node {node} -o wide").splitlines()[1]
    assert re.match(rf"{node} +Ready,SchedulingDisabled +<none> +\d+s +v1\.32\.4 +10\.7\.120\.13 ", row)
    shell(f"kubectl uncordon {node}")
    shell("kubectl label pod -n sleep-curl sleep-curl-1 role=first")
    assert shell("kubectl get pod -n sleep-curl -l role=first -o name") == "pod/sleep-curl-1\n"


def test_rights_as_an_administrator_gives_them(shell: Shell, lab_api: LabApi) -> None:
    """Account, token, role and binding by kubectl's own commands; `auth can-i` sees what they give."""
    shell("kubectl create ns sleep-curl")
    shell("kubectl create serviceaccount robot -n sleep-curl")
    token = shell("kubectl create token robot -n sleep-curl --duration=10m").strip()
    robot = f"kubectl --server={lab_api.server.url} --token={token} --kubeconfig=/dev/null --insecure-skip-tls-verify"
    who = "system:serviceaccount:sleep-curl:robot"
    assert who in shell(f"{robot} auth whoami")
    said = shell(f"{robot} get pods -n sleep-curl", code=1)
    assert said == (
        f'Error from server (Forbidden): pods is forbidden: User "{who}" cannot list resource "pods" in API group "" '
        'in the namespace "sleep-curl"\n'
    )
    shell("kubectl create role reader --verb=get,list --resource=pods,pods/log -n sleep-curl")
    shell("kubectl create rolebinding reader --role=reader --serviceaccount=sleep-curl:robot -n sleep-curl")
    assert "No resources found" in shell(f"{robot} get pods -n sleep-curl")
    assert shell(f"kubectl auth can-i list pods -n sleep-curl --as={who}") == "yes\n"
    assert "no" in shell(f"kubectl auth can-i list pods --as={who}", code=1)
    assert re.search(r"pods/log +\[\] +\[\] +\[get list\]", shell(f"{robot} auth can-i --list -n sleep-curl"))
