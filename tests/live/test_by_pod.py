"""The way to a node by a helper pod: what is created, how a refusal is told, and how its shell is talked to."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_calico_ipip.cluster.helper_pods import CAPABILITIES, manifest
from pytest_calico_ipip.cluster.pods import RUN_LABEL
from pytest_calico_ipip.cluster.problems import ApiRefusal
from pytest_calico_ipip.nodes.in_pod import PodConnection
from pytest_calico_ipip.settings import Settings
from tests.live.local_process import Local
from tests.live.private_network import run_in_private_network
from tests.live.test_pods_under_test import NAMES, PULLING, READY, InMemory, pods

HELPERS = ("sleep-curl-helper-1", "sleep-curl-helper-2")


def test_a_helper_on_each_node_before_the_pods_in_a_namespace_that_admits_them() -> None:
    """Labelled with the run, on the node's network and processes, and gone with the namespace."""
    api = InMemory([dict.fromkeys((*NAMES, *HELPERS), READY)])
    with pods(api, node_access="pod") as under_test:
        under_test.wait(print)
        assert under_test.helpers == {"n1": HELPERS[0], "n2": HELPERS[1]}
        assert under_test.ready() == set(NAMES)
    namespace, *created = api.bodies[:7]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert [body["metadata"]["name"] for body in created] == [*HELPERS, *NAMES]
    for body in created[:2]:
        assert body["metadata"]["labels"][RUN_LABEL] == "abc123"
        assert body["metadata"]["labels"]["app"] != "sleep-curl", "a replay must not take it for a pod under test"
        assert body["spec"]["hostNetwork"]
        assert body["spec"]["hostPID"]
    assert api.sent[-1] == ("DELETE", "/api/v1/namespaces/sleep-curl-abc123")


def test_with_ssh_there_is_no_helper_and_the_namespace_is_strict() -> None:
    """Nothing privileged gets into a namespace that needs no helper."""
    api = InMemory([])
    with pods(api):
        pass
    assert api.bodies[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert len(api.sent) == 7


def test_in_an_existing_namespace_each_helper_is_deleted_by_name() -> None:
    """Nothing of ours stays, and nothing of others goes."""
    api = InMemory([])
    with pods(api, namespace="team", node_access="pod"):
        pass
    deleted = {path.rpartition("/")[2] for method, path in api.sent if method == "DELETE"}
    assert {"sleep-curl-abc123-helper-1", "sleep-curl-abc123-helper-2"} <= deleted


def test_a_helper_that_does_not_come_up_concerns_its_node_alone() -> None:
    """The sentence has the kubelet's words, the image, and what to do; the other node is reached."""
    some = {**dict.fromkeys((*NAMES, HELPERS[1]), READY), HELPERS[0]: PULLING}
    with pods(InMemory([some]), node_access="pod", pod_timeout=0.05, helper_image="x/y:1") as under_test:
        under_test.wait(print)
    assert set(under_test.helpers) == {"n2"}
    problem = under_test.no_helper["n1"]
    assert "ImagePullBackOff" in problem.problem
    assert "Failed to pull image" in problem.problem
    assert "x/y:1" in problem.remedy
    assert "--ipip-helper-image" in problem.remedy


@pytest.mark.parametrize(
    ("namespace", "words", "remedy"),
    [
        ("team", 'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)', "--ipip-namespace"),
        ("team", "unable to validate against any security context constraint", "SCC"),
        (None, "admission webhook denied the request: hostPID is not allowed", "--ipip-node-access ssh"),
    ],
)
def test_a_refused_helper_is_told_once_for_all_nodes_with_the_remedy(
    namespace: str | None, words: str, remedy: str
) -> None:
    """The pods under test are created all the same: what needs no node is still judged."""

    class Refusing(InMemory):
        def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
            if (body or {}).get("spec", {}).get("hostPID"):
                raise ApiRefusal(403, words, "")
            return super().send(method, path, body)

    with pods(Refusing([]), namespace=namespace, node_access="pod") as under_test:
        assert set(under_test.no_helper) == {"n1", "n2"}
        assert words in under_test.no_helper["n1"].problem
        assert remedy in under_test.no_helper["n1"].remedy
        assert len(under_test.pods) == 4


def test_a_helper_has_what_its_work_needs_and_ends_by_itself() -> None:
    """No volume of the node's, a root that is read only, all capabilities dropped but the seven that have a reason."""
    spec = manifest({"name": "h"}, "n1", Settings(tolerations=("key:NoExecute",)))["spec"]
    (container,) = spec["containers"]
    security = container["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": list(CAPABILITIES)}
    assert security["readOnlyRootFilesystem"]
    assert "privileged" not in security
    assert all("emptyDir" in volume for volume in spec["volumes"])
    assert spec["activeDeadlineSeconds"] <= Settings().longest
    assert spec["terminationGracePeriodSeconds"] == 1
    assert spec["tolerations"] == [{"key": "key", "operator": "Exists", "effect": "NoExecute"}]
    assert not spec["automountServiceAccountToken"]


def test_only_the_option_makes_it_privileged() -> None:
    """Privileged and a list of capabilities contradict each other."""
    (container,) = manifest({"name": "h"}, "n1", Settings(helper_privileged=True))["spec"]["containers"]
    assert container["securityContext"]["privileged"]
    assert "capabilities" not in container["securityContext"]


def local() -> PodConnection:
    """A connection to this machine."""
    return PodConnection("n1", "ns/helper", Local, 60)


def test_a_command_gives_back_its_bytes_its_words_and_its_status() -> None:
    """By testinfra; binary output is not touched."""
    answer = local().run("printf 'a\\000\\377\\n'; echo said >&2; exit 3", 5)
    assert (answer.status, answer.stdout, answer.stderr) == (3, b"a\0\xff\n", b"said\n")


def test_the_shell_keeps_what_a_piece_has_set_until_it_is_closed() -> None:
    """And knows where the node's own files are."""
    connection = local()
    assert connection.ask("a=1", 5).status == 0
    assert connection.ask('printf "$a $root"', 5).stdout == b"1 /proc/1/root"
    connection.close()
    assert connection.ask("echo", 5).failed_to_run
    assert connection.run("echo", 5).failed_to_run


def test_a_piece_that_does_not_end_in_time_is_a_255_and_so_is_all_after_it() -> None:
    """The words name the pod and the time."""
    connection = local()
    answer = connection.ask("echo begun; sleep 2", 0.3)
    assert answer.failed_to_run
    assert b"begun" in answer.stdout
    assert "no answer from ns/helper within" in answer.words()
    assert connection.ask("echo", 5).failed_to_run


def test_a_piece_that_ends_the_shell_is_a_255_with_its_last_words() -> None:
    """Nothing waits for the time-out."""
    began = time.monotonic()
    answer = local().ask("echo gone >&2; exit 1", 20)
    assert answer.failed_to_run
    assert "gone" in answer.words()
    assert time.monotonic() - began < 10


def test_closing_from_another_thread_ends_a_running_piece() -> None:
    """As an interrupt does."""
    connection = local()
    threading.Timer(0.2, connection.close).start()
    began = time.monotonic()
    assert connection.ask("sleep 3", 30).failed_to_run
    assert time.monotonic() - began < 10


def test_an_exec_that_is_refused_is_an_answer_with_the_servers_words() -> None:
    """Never an exception: the node's readings are ERROR, with why."""

    def refuse(command: Sequence[str]) -> Local:
        raise OSError("exec in ns/helper was refused: pods/exec is forbidden")

    connection = PodConnection("n1", "ns/helper", refuse, 60)
    for answer in (connection.run("true", 5), connection.ask("true", 5)):
        assert answer.failed_to_run
        assert "pods/exec is forbidden" in answer.words()


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A real node's network, read and captured with the helper's capabilities and no more."""
    return run_in_private_network("helper_ground", tmp_path_factory.mktemp("helper"))


def test_with_its_capabilities_it_reads_captures_and_sends_in_the_nodes_and_the_pods_namespaces(confined: Any) -> None:
    """Namespaces keep their names, and tcpdump comes to its own end, also where it is no longer root by then."""
    assert confined["problem"] == ""
    assert confined["places"] == {"ns/named": ["cali1", "cni-1"], "ns/by-route": ["cali2", "cni-2"]}
    assert confined["echo"] == [0]
    assert all("2 packets captured" in words for words in confined["taps"].values()), confined["taps"]


def test_each_capability_is_needed(confined: Any) -> None:
    """With all seven everything that needs one works, and without that one it does not.

    Three of them are for a tcpdump that becomes an ordinary user, as Debian's does: also with `-Z root` it sets groups.
    """
    assert confined["with"].keys() == CAPABILITIES.keys()
    assert set(confined["with"].values()) == {0}
    assert 0 not in confined["without"].values(), confined["without"]
