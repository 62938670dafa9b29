"""In a pod the suite needs no kubeconfig: the pod's service account leads to the API, and what is missing is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from kubernetes.config import incluster_config

from pytest_calico_ipip import in_cluster, options, session
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.nodes import list_nodes
from pytest_calico_ipip.errors import SetupProblem, UsageProblem
from pytest_calico_ipip.options import Given
from pytest_calico_ipip.settings import Settings
from tests.live.api_stand_in import StandIn, listing, status

NODE = {
    "metadata": {"name": "n1", "labels": {}},
    "spec": {},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


class Pod:
    """What a kubelet gives a pod: the account's files and the service's address."""

    def __init__(self, directory: Path, api: StandIn, patch: pytest.MonkeyPatch) -> None:
        self.account = directory / "account"
        self.account.mkdir()
        self.api = api
        (self.account / "token").write_text("the-pods-token")
        (self.account / "ca.crt").write_bytes(api.authority.cert_pem.bytes())
        patch.setattr(in_cluster, "ACCOUNT", self.account)
        patch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(self.account / "token"))
        patch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(self.account / "ca.crt"))
        host, _, port = api.address.removeprefix("https://").rpartition(":")
        patch.setenv("KUBERNETES_SERVICE_HOST", host)
        patch.setenv("KUBERNETES_SERVICE_PORT", port)
        patch.setenv("HOME", str(directory))

    def settings(self, **line: str) -> Settings:
        """What the command line, here by option without its dashes, decides."""
        given = {f"--{name.replace('_', '-')}": text for name, text in line.items()}
        return options.settings(Given(levels=(given, {}, {}), directory=Path.cwd(), ini_directory=Path.cwd()))


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    """A pod with a service account whose API has one node."""
    api = StandIn(tmp_path, lambda method, path: listing(NODE))
    yield Pod(tmp_path, api, monkeypatch)
    api.close()


@pytest.mark.parametrize("line", [{}, {"kubeconfig": "in-cluster"}])
def test_a_pod_is_itself_the_way_to_its_cluster(pod: Pod, line: dict[str, str]) -> None:
    """Asked for or not, its account's token is sent, its authority trusted, and the header says what was chosen."""
    settings = pod.settings(**line)
    assert list_nodes(settings) == ("n1",)
    assert {authorization.lower() for _, _, authorization in pod.api.requests} == {"bearer the-pods-token"}
    said = session.source(settings)
    assert pod.api.address in said
    assert "in-cluster" in said
    assert "the-pods-token" not in said + repr(settings)


def test_a_token_that_the_kubelet_renews_is_read_again(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time has come the file has the say, not what it held at the beginning; a newline is no part of it."""
    at_once = SimpleNamespace(timedelta=lambda minutes: timedelta(0), datetime=datetime)
    monkeypatch.setattr(incluster_config, "datetime", at_once)
    api = Api.connect(pod.settings())
    (pod.account / "token").write_text("the-next-token\n")
    api.get("/api/v1/nodes")
    assert pod.api.requests[-1][2].lower() == "bearer the-next-token"
    (pod.account / "token").unlink()
    with pytest.raises(SetupProblem, match="could not be renewed"):
        api.get("/api/v1/nodes")


def test_a_kubeconfig_at_home_may_be_meant_so_nothing_is_guessed(pod: Pod) -> None:
    """With ~/.kube/config the three sources are named, as anywhere; so they are outside of a pod."""
    (pod.account.parent / ".kube").mkdir()
    (pod.account.parent / ".kube/config").touch()
    with pytest.raises(UsageProblem, match="no cluster to judge"):
        pod.settings()
    assert pod.settings(kubeconfig="in-cluster").in_cluster


def test_a_file_of_that_name_is_still_a_kubeconfig(pod: Pod) -> None:
    """`./in-cluster` is a path."""
    with pytest.raises(UsageProblem, match="there is no such file"):
        pod.settings(kubeconfig="./in-cluster")


@pytest.mark.parametrize(
    ("file", "content", "problem", "remedy"),
    [
        ("token", None, "no service account's token", "automountServiceAccountToken"),
        ("token", "", "is empty", "automountServiceAccountToken"),
        ("ca.crt", None, "certificate authority is missing", "kube-root-ca.crt"),
        ("ca.crt", "", "is empty", "kube-root-ca.crt"),
    ],
)
def test_what_the_pod_lacks_is_told(pod: Pod, file: str, content: str | None, problem: str, remedy: str) -> None:
    """Before any contact, with the file's path and what to do."""
    (pod.account / file).unlink()
    if content is not None:
        (pod.account / file).write_text(content)
    with pytest.raises(UsageProblem) as caught:
        pod.settings()
    assert problem in caught.value.problem
    assert str(pod.account / file) in caught.value.problem
    assert remedy in caught.value.remedy
    assert "--kubeconfig FILE" in caught.value.remedy


@pytest.mark.parametrize("variable", ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"])
def test_where_no_pod_is_it_is_told(pod: Pod, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that is missing is named."""
    monkeypatch.delenv(variable)
    with pytest.raises(UsageProblem, match=f"{variable} is not set"):
        pod.settings(kubeconfig="in-cluster")


def test_a_service_account_has_no_contexts(pod: Pod) -> None:
    """A context that is asked for would silently be another cluster."""
    with pytest.raises(UsageProblem, match="no contexts"):
        pod.settings(ipip_context="prod")


def test_an_authority_that_is_none_is_told(pod: Pod) -> None:
    """A file that holds no certificate is a problem of the account, in words."""
    (pod.account / "ca.crt").write_text("no certificate")
    with pytest.raises(SetupProblem, match="service account cannot be used"):
        Api.connect(pod.settings())


def test_a_refused_account_is_told(pod: Pod) -> None:
    """A token that the API does not know is an ERROR with its remedy, and is not quoted."""
    pod.api.reply = lambda method, path: status(401, "Unauthorized")
    with pytest.raises(SetupProblem, match="does not accept the credentials") as caught:
        Api.connect(pod.settings()).get("/api/v1/nodes")
    assert "the-pods-token" not in str(caught.value)


def test_a_service_of_ipv6_is_written_with_brackets(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBERNETES_SERVICE_HOST has none."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    settings = pod.settings()
    assert settings.server == "https://[fd00::1]:443"
    assert Api.connect(settings).server == settings.server


@pytest.mark.parametrize("exempt", ["127.0.0.0/8", "10.0.0.0/8,.svc", ""])
def test_no_proxy_of_the_environment_is_asked_on_this_machine(
    pod: Pod, exempt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loopback address is always reached directly, as kubectl does; `test_proxies.py` has the other addresses."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert Api.connect(pod.settings()).get("/api/v1/nodes")
