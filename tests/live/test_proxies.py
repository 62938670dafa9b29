"""The way to the API server by a proxy: requests and commands in pods alike, and who is asked without one."""

from __future__ import annotations

import base64
import json
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.exec import execute
from pytest_calico_ipip.cluster.nodes import list_nodes
from pytest_calico_ipip.cluster.proxies import Proxy, exempt, proxy_for
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.settings import Settings
from tests.lab.api import fakes
from tests.lab.api.conftest import NODES, LabApi


class Connects:
    """A proxy on the loopback that knows CONNECT, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []  # each with its headers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += client.recv(65536)
        self.asked.append(asked.decode())
        host, _, port = asked.split()[1].decode().partition(":")
        with client, socket.create_connection((host, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    piece = ready.recv(65536)
                    if not piece:
                        return
                    (server if ready is client else client).sendall(piece)


@pytest.fixture
def proxy() -> Iterator[Connects]:
    """One proxy."""
    made = Connects()
    yield made
    made.close()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[LabApi]:
    """The lab's API, with three nodes."""
    made = LabApi(tmp_path)
    made.start()
    yield made
    made.stop()


def behind(api: LabApi, directory: Path, url: str) -> Settings:
    """The lab's kubeconfig, with a proxy-url."""
    config = yaml.safe_load(api.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["proxy-url"] = url
    path = directory / "behind-a-proxy"
    path.write_text(json.dumps(config))
    return Settings(kubeconfig=path)


def test_requests_and_commands_go_by_the_kubeconfigs_proxy(api: LabApi, tmp_path: Path, proxy: Connects) -> None:
    """Its credentials go to the proxy and nowhere else, and the cluster's token goes past it inside of TLS."""
    settings = behind(api, tmp_path, f"http://us%40er:word@127.0.0.1:{proxy.port}")
    assert list_nodes(settings) == NODES
    assert len(proxy.asked) == 1
    api.call(api.store.create, "pods", fakes.pod("one", nodeName=NODES[0]))
    done = execute(Api.connect(settings), "default", "one", None, ["echo", "hello"], 20)
    assert (done.status, done.stdout) == (0, b"hello\n")
    assert len(proxy.asked) == 2
    known = base64.b64encode(b"us@er:word").decode()
    assert all("roxy-" in asked and f"Basic {known}" in asked for asked in proxy.asked)
    token = yaml.safe_load(api.kubeconfig.read_text())["users"][0]["user"]["token"]
    assert not [asked for asked in proxy.asked if token in asked]


@pytest.mark.parametrize("scheme", ["socks5", "https"])
def test_another_kind_of_proxy_is_refused_in_one_sentence(api: LabApi, tmp_path: Path, scheme: str) -> None:
    """With what can be done, and without its password."""
    with pytest.raises(SetupProblem) as caught:
        list_nodes(behind(api, tmp_path, f"{scheme}://user:word@127.0.0.1:1"))
    assert f"a proxy with the scheme '{scheme}'" in caught.value.problem
    assert "word" not in str(caught.value)


FAR = "https://api.example.com:6443"
SET = {"HTTPS_PROXY": "http://proxy.example.com:3128"}


def test_the_environment_decides_as_for_kubectl() -> None:
    """HTTPS_PROXY is for this server, HTTP_PROXY is not; a proxy-url is taken whatever NO_PROXY says."""
    there = Proxy("proxy.example.com", 3128)
    assert proxy_for(FAR, None, SET) == there
    assert proxy_for(FAR, None, {"https_proxy": "proxy.example.com:3128"}) == there
    assert proxy_for(FAR, None, {"HTTP_PROXY": "http://other:1"}) is None
    assert proxy_for(FAR, None, {**SET, "NO_PROXY": "example.com"}) is None
    assert proxy_for("https://127.0.0.1:6443", None, SET) is None
    assert proxy_for(FAR, "http://mine:1", {**SET, "NO_PROXY": "*"}) == Proxy("mine", 1)


@pytest.mark.parametrize(
    ("server", "no_proxy", "direct"),
    [
        (FAR, "api.example.com", True),
        (FAR, "a, .example.com", True),
        (FAR, "*.example.com", True),
        (FAR, "api.example.com:6443", True),
        (FAR, "api.example.com:443", False),
        (FAR, "ample.com", False),
        (FAR, "", False),
        (FAR, "*", True),
        ("https://10.7.120.2:6443", "10.0.0.0/8", True),
        ("https://10.7.120.2:6443", "10.7.120.2", True),
        ("https://10.7.120.2:6443", "10.7.120.0/31", False),
        ("https://10.7.120.2:6443", "7.120.2", False),
        ("https://[fd00::1]:6443", "fd00::/16", True),
        ("https://localhost:6443", "", True),
    ],
)
def test_no_proxy(server: str, no_proxy: str, direct: bool) -> None:
    """Names, ends of names, addresses, networks, ports; the machine itself always."""
    assert exempt(server, no_proxy) is direct
