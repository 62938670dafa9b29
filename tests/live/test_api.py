"""The API server and the way to it: what goes wrong is one sentence with the remedy, and never tells a secret."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import urllib3

from pytest_calico_ipip.cluster import calico, connection, lists
from pytest_calico_ipip.cluster.cleanup import cleanup
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.exec import execute
from pytest_calico_ipip.cluster.headers import headers
from pytest_calico_ipip.cluster.nodes import list_nodes
from pytest_calico_ipip.cluster.pods import RUN_LABEL, PodsUnderTest
from pytest_calico_ipip.cluster.retries import ATTEMPTS, LONGEST_SECONDS, retries
from pytest_calico_ipip.cluster.secret import Secret
from pytest_calico_ipip.errors import SetupProblem, UnknownNode
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.settings import Settings
from tests.live.api_stand_in import TOKEN, Reply, StandIn, listing, status

Serve = Callable[[Callable[[str, str], Reply]], StandIn]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts stand-ins for the API server."""
    running: list[StandIn] = []

    def start(reply: Callable[[str, str], Reply]) -> StandIn:
        running.append(StandIn(tmp_path, reply))
        return running[-1]

    yield start
    for stand_in in running:
        stand_in.close()


def refused(settings: Settings) -> SetupProblem:
    """The problem that the node list ends with."""
    with pytest.raises(SetupProblem) as caught:
        list_nodes(settings)
    assert TOKEN not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("code", "message", "problem", "remedy"),
    [
        (401, "Unauthorized", "does not accept the credentials: Unauthorized", "expired"),
        (
            403,
            'nodes is forbidden: User "x"',
            'does not allow GET /api/v1/nodes: nodes is forbidden: User "x"',
            "right",
        ),
        (503, "etcd is away", "could not answer GET /api/v1/nodes: HTTP 503 etcd is away", "try again"),
        (418, "odd", "refused GET /api/v1/nodes: HTTP 418 odd", "words above"),
    ],
)
def test_an_http_status_is_a_sentence(serve: Serve, code: int, message: str, problem: str, remedy: str) -> None:
    """The server, what was asked and its own words are in the problem; what to do is in the remedy."""
    stand_in = serve(lambda _method, _path: status(code, message))
    error = refused(stand_in.settings())
    assert error.problem.startswith(stand_in.address)
    assert problem in error.problem
    assert remedy in error.remedy
    assert len(stand_in.requests) == (ATTEMPTS if code == 503 else 1)


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_moment_of_trouble_is_waited_out(serve: Serve, code: int) -> None:
    """A server that throttles, or is in trouble, is asked again, and the answer counts."""
    answers = iter([status(code, "wait"), status(code, "wait"), listing({"metadata": {"name": "n1"}})])
    stand_in = serve(lambda _method, _path: next(answers))
    assert len(Api.connect(stand_in.settings()).list("/api/v1/nodes")) == 1
    assert len(stand_in.requests) == 3


@pytest.mark.parametrize(("code", "tries"), [(429, ATTEMPTS), (503, ATTEMPTS), (500, 1), (504, 1)])
def test_a_post_is_repeated_where_the_server_was_not_there(serve: Serve, code: int, tries: int) -> None:
    """Throttled, or unavailable; what else went wrong is told at once."""
    stand_in = serve(lambda _method, _path: status(code, "no"))
    with pytest.raises(SetupProblem, match=f"HTTP {code} no"):
        Api.connect(stand_in.settings()).send("POST", "/api/v1/namespaces", {})
    assert len(stand_in.requests) == tries


def creating(serve: Serve, answers: list[Reply], there: dict[str, Any]) -> tuple[StandIn, PodsUnderTest]:
    """A run's pods on one node, whose namespace is answered for so; in the API the namespace `there` is to be found."""
    left = iter(answers)

    def reply(method: str, path: str) -> Reply:
        if method == "POST" and path == "/api/v1/namespaces":
            return next(left)
        return listing({"metadata": there}) if path.startswith("/api/v1/namespaces?") else (200, b"{}")

    stand_in = serve(reply)
    api = Api.connect(stand_in.settings())
    return stand_in, PodsUnderTest(api, stand_in.settings(), ("n1",), run="abc123")


def test_what_an_unavailable_server_made_all_the_same_is_taken(serve: Serve) -> None:
    """It is there at the second attempt, and carries this run's label: the run goes on, and deletes it at its end."""
    ours = {"name": "sleep-curl-abc123", "labels": {RUN_LABEL: "abc123"}}
    stand_in, pods = creating(serve, [status(503, "later"), status(409, "already exists")], ours)
    with pods:
        assert len(pods.names) == 1
    assert [path for method, path, _ in stand_in.requests if method == "DELETE"] == [
        "/api/v1/namespaces/sleep-curl-abc123"
    ]


@pytest.mark.parametrize(
    ("answers", "run"),
    [
        ([status(503, "later"), status(409, "already exists")], "fff"),
        ([status(409, "already exists")], "abc123"),
    ],
)
def test_what_another_has_made_is_neither_taken_nor_deleted(serve: Serve, answers: list[Reply], run: str) -> None:
    """Another run's label, or there before anything was asked for: the end, and it stays."""
    stand_in, pods = creating(serve, answers, {"name": "sleep-curl-abc123", "labels": {RUN_LABEL: run}})
    with pytest.raises(SetupProblem, match="already exists"), pods:
        pass
    assert "DELETE" not in [method for method, _, _ in stand_in.requests]


def test_retry_after_is_bounded() -> None:
    """However long a server asks us to wait, and however it says it, the run goes on soon."""
    policy = retries("GET")
    for said, seconds in (("1", 1), ("86400", LONGEST_SECONDS), ("Fri, 01 Jan 2100 00:00:00 GMT", LONGEST_SECONDS)):
        assert policy.get_retry_after(urllib3.HTTPResponse(headers={"Retry-After": said})) == seconds
    assert policy.get_retry_after(urllib3.HTTPResponse(headers={"Retry-After": "soon"})) is None


def test_the_token_is_sent_and_nothing_else_tells_who_we_are(serve: Serve) -> None:
    """A token beside a certificate authority is read without the official client, and is what authorizes."""
    stand_in = serve(lambda _method, _path: listing())
    Api.connect(stand_in.settings()).get("/api/v1/nodes")
    assert stand_in.requests == [("GET", "/api/v1/nodes", f"Bearer {TOKEN}")]


def test_a_credential_plugin_is_the_official_clients(serve: Serve) -> None:
    """A user with an `exec` plugin gets the token that the plugin prints."""
    stand_in = serve(lambda _method, _path: listing())
    credential = (
        '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"from-plugin"}}'
    )
    stand_in.write_kubeconfig(
        {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": sys.executable,
                "args": ["-c", f"print('{credential}')"],
                "interactiveMode": "Never",
            }
        }
    )
    Api.connect(stand_in.settings()).get("/api/v1/nodes")
    assert stand_in.requests == [("GET", "/api/v1/nodes", "Bearer from-plugin")]


ACTING = {"as": "jane", "as-uid": "7", "as-groups": ["dev", "ops"], "as-user-extra": {"example.com/why": ["x", "y"]}}


@pytest.mark.parametrize("user", [{"token": TOKEN}, {"username": "u", "password": "p"}])
def test_who_acts_as_another_does_so_in_every_request(serve: Serve, user: dict[str, str]) -> None:
    """GET, POST, watch and exec: a request without these headers would have the wider rights."""
    stand_in = serve(lambda _method, path: status(403, "no") if "/exec" in path else (200, b"{}\n"))
    stand_in.write_kubeconfig({**user, **ACTING})
    api = Api.connect(stand_in.settings())
    api.get("/api/v1/nodes")
    api.send("POST", "/api/v1/namespaces", {})
    list(api.watch("/api/v1/pods", {}, 1))
    execute(api, "ns", "pod", None, ["true"], 5)
    assert len(stand_in.acting_as) == 4
    for said in stand_in.acting_as:
        assert said == [
            ("Impersonate-User", "jane"),
            ("Impersonate-Uid", "7"),
            ("Impersonate-Group", "dev"),
            ("Impersonate-Group", "ops"),
            ("Impersonate-Extra-example.com%2Fwhy", "x"),
            ("Impersonate-Extra-example.com%2Fwhy", "y"),
        ]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"as-groups": ["admins"]}, "as-groups without `as`"),
        ({"as": "jane\r\nX: y"}, "no header may hold"),
        ({"as": " jane"}, "no header may hold"),
        ({"as": 7}, "not what kubectl takes"),
        ({"as": "jane", "as-groups": "admins"}, "as-groups is not what kubectl takes"),
        ({"as": "jane", "as-user-extra": ["x"]}, "as-user-extra is no map"),
    ],
)
def test_what_cannot_be_said_of_whom_to_act_as_is_refused(serve: Serve, said: dict[str, Any], problem: str) -> None:
    """In one sentence, and nothing is sent: it would not be sent as that user."""
    stand_in = serve(lambda _method, _path: listing())
    stand_in.write_kubeconfig({"token": TOKEN, **said})
    assert problem in refused(stand_in.settings()).problem
    assert stand_in.requests == []


def test_a_traceback_with_local_variables_shows_no_header() -> None:
    """Nor a copy of them: urllib3 makes one, and its own `repr` joins the values."""
    made = headers([("Authorization", Secret(TOKEN)), ("Impersonate-Group", "a"), ("Impersonate-Group", "b")])
    assert TOKEN not in repr([made, made.copy(), list(made.items())])
    assert made.copy().getlist("impersonate-group") == ["a", "b"]


def test_a_foreign_certificate_authority_is_told(serve: Serve) -> None:
    """A server that the kubeconfig's authority did not sign is not talked to."""
    stand_in = serve(lambda _method, _path: listing())
    stand_in.write_kubeconfig({"token": TOKEN}, trustme.CA().cert_pem.bytes())
    error = refused(stand_in.settings())
    assert "TLS failed" in error.problem
    assert "certificate-authority" in error.remedy
    assert stand_in.requests == []


def test_nobody_there_is_told(serve: Serve) -> None:
    """A refused connection names the server."""
    stand_in = serve(lambda _method, _path: listing())
    stand_in.close()
    error = refused(stand_in.settings())
    assert error.problem.startswith(f"{stand_in.address} refuses the connection")


def test_a_server_that_says_nothing_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read has a bound."""
    import threading

    silence = threading.Event()
    monkeypatch.setattr(connection, "READ_SECONDS", 0.3)

    def reply(_method: str, _path: str) -> Reply:
        silence.wait(5)
        return listing()

    error = refused(serve(reply).settings())
    silence.set()
    assert "does not answer in time" in error.problem


@pytest.mark.parametrize("text", ["", "no: kubeconfig", "{", "users: ["])
def test_a_kubeconfig_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    """Whatever is wrong with the file, the sentence names it."""
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    assert str(path) in refused(Settings(kubeconfig=path)).problem


def test_no_calico_is_told_before_anything_is_made(serve: Serve) -> None:
    """Without Calico's pools there is nothing to test."""
    stand_in = serve(lambda _method, _path: status(404, "the server could not find the requested resource"))
    with pytest.raises(SetupProblem, match="has no Calico"):
        calico.find(Api.connect(stand_in.settings()))
    assert [method for method, _, _ in stand_in.requests] == ["GET", "GET"]


def test_lists_are_kept_byte_for_byte(serve: Serve, tmp_path: Path) -> None:
    """What the API server sent is in the file, spaces and all; a kind that it does not have has no file."""
    odd = b'{ "kind":"NodeList",\n\n "items" : null }'

    def reply(_method: str, path: str) -> Reply:
        return status(404, "no such kind") if "operator.tigera.io" in path else (200, odd)

    evidence = Evidence(tmp_path / "evidence")
    _, problems = lists.fetch(Api.connect(serve(reply).settings()), evidence)
    assert evidence.api("nodes").read_bytes() == odd
    assert not evidence.api("installations.operator.tigera.io").exists()
    assert problems == []


def test_of_configmaps_only_the_keys_that_calico_node_refers_to_are_kept(serve: Serve, tmp_path: Path) -> None:
    """Another key of the same ConfigMap is nobody's business; secrets are not asked for."""
    reference = {
        "name": "FELIX_IPINIPMTU",
        "valueFrom": {"configMapKeyRef": {"name": "calico-config", "key": "veth_mtu"}},
    }
    daemonset = {
        "metadata": {"namespace": "kube-system", "name": "calico-node"},
        "spec": {"template": {"spec": {"containers": [{"name": "calico-node", "env": [reference]}]}}},
    }

    def reply(_method: str, path: str) -> Reply:
        if path.endswith("/configmaps/calico-config"):
            return 200, b'{"data": {"veth_mtu": "0", "private": "x"}}'
        return listing(daemonset) if "daemonsets" in path else listing()

    stand_in = serve(reply)
    evidence = Evidence(tmp_path / "evidence")
    lists.fetch(Api.connect(stand_in.settings()), evidence)
    text = evidence.api("configmaps").read_text()
    assert "veth_mtu" in text
    assert "private" not in text
    assert not [path for _, path, _ in stand_in.requests if "secret" in path]


def test_a_list_that_is_refused_is_a_problem_or_the_end(serve: Serve, tmp_path: Path) -> None:
    """Without pods nothing can be expected of any node; without IPAM handles a sentence is enough."""
    forbidden = "ipamhandles"

    def reply(_method: str, path: str) -> Reply:
        return status(403, "no") if path.endswith(f"/{forbidden}") else listing()

    api = Api.connect(serve(reply).settings())
    _, problems = lists.fetch(api, Evidence(tmp_path / "one"))
    assert ["ipamhandles" in problem for problem in problems] == [True]
    forbidden = "pods"
    with pytest.raises(SetupProblem, match="does not allow GET /api/v1/pods"):
        lists.fetch(api, Evidence(tmp_path / "two"))


def test_an_unknown_node_is_told_with_the_known_ones(serve: Serve) -> None:
    """--ipip-nodes with a name that the cluster does not have."""
    stand_in = serve(lambda _method, _path: listing({"metadata": {"name": "here"}}))
    with pytest.raises(UnknownNode) as caught:
        list_nodes(Settings(kubeconfig=stand_in.kubeconfig, nodes=("there", "here")))
    assert caught.value.problem == "The cluster has no node there"
    assert "here" in caught.value.remedy


def test_cleanup_deletes_what_carries_our_label_and_nothing_else(serve: Serve) -> None:
    """A namespace of ours goes as a whole, a pod in another's namespace alone; a borrowed label is not enough."""
    label = {"pytest-calico-ipip/run": "abc123"}

    def reply(method: str, path: str) -> Reply:
        if method == "DELETE":
            return 200, b"{}"
        if path.startswith("/api/v1/namespaces"):
            return listing(
                {"metadata": {"name": "sleep-curl-abc123", "uid": "1", "labels": label}},
                {"metadata": {"name": "production", "uid": "2", "labels": label}},
                {"metadata": {"name": "sleep-curl-fff", "uid": "3", "labels": {}}},
                {"metadata": {"name": "sleep-curl-abc123", "uid": "4", "labels": label, "deletionTimestamp": "now"}},
            )
        return listing(
            {"metadata": {"name": "in-ours", "namespace": "sleep-curl-abc123", "uid": "5", "labels": label}},
            {"metadata": {"name": "sleep-curl-abc123-1", "namespace": "team", "uid": "6", "labels": label}},
        )

    stand_in = serve(reply)
    assert cleanup(stand_in.settings()) == ["namespace sleep-curl-abc123", "pod team/sleep-curl-abc123-1"]
    assert [path for method, path, _ in stand_in.requests if method == "DELETE"] == [
        "/api/v1/namespaces/sleep-curl-abc123",
        "/api/v1/namespaces/team/pods/sleep-curl-abc123-1",
    ]


def test_what_may_not_be_deleted_keeps_nothing_else_from_going(serve: Serve) -> None:
    """Another's namespace comes first, and this user may delete pods alone."""
    label = {"pytest-calico-ipip/run": "abc123"}

    def reply(method: str, path: str) -> Reply:
        if method == "DELETE" and "/pods/" not in path:
            return status(403, "namespaces is forbidden")
        if method == "DELETE":
            return 200, b"{}"
        if path.startswith("/api/v1/namespaces"):
            return listing({"metadata": {"name": "sleep-curl-abc123", "uid": "1", "labels": label}})
        return listing({"metadata": {"name": "sleep-curl-abc123-1", "namespace": "team", "uid": "6", "labels": label}})

    stand_in = serve(reply)
    with pytest.raises(SetupProblem, match=r"forbidden \(deleted: pod team/sleep-curl-abc123-1\)"):
        cleanup(stand_in.settings())
    assert [path for method, path, _ in stand_in.requests if method == "DELETE"][1:] == [
        "/api/v1/namespaces/team/pods/sleep-curl-abc123-1"
    ]


@pytest.mark.parametrize("name", ["../../evil", "-oProxyCommand=touch x", "a/b", "", "A b"])
def test_a_name_that_no_node_can_have_is_refused(serve: Serve, name: str) -> None:
    """It would become a folder's name here and a word of ssh's command."""
    stand_in = serve(lambda _method, _path: listing({"metadata": {"name": name}}))
    with pytest.raises(SetupProblem, match="a name that no node can have"):
        list_nodes(stand_in.settings())


@pytest.mark.parametrize(("code", "times"), [(429, ATTEMPTS), (503, ATTEMPTS), (500, 1), (403, 1)])
def test_an_exec_is_asked_for_again_where_a_request_is(serve: Serve, code: int, times: int) -> None:
    """Nothing has run before the handshake is over."""
    stand_in = serve(lambda _method, _path: status(code, "not now"))
    api = Api.connect(stand_in.settings())
    assert b"not now" in execute(api, "ns", "pod", None, ["true"], 5).stderr
    assert len(stand_in.requests) == times
