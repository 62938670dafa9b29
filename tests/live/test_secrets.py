"""Tokens, keys and passwords appear nowhere: not in what is shown, written or kept, nor in a process list.

The API is the lab's own, reached through a proxy that wants a password; the nodes refuse ssh.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import selectors
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from pytest_calico_ipip import temporary
from pytest_calico_ipip.cluster.access import access
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.secret import Secret
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.lab.controlplane import fill
from pytest_calico_ipip.lab.spec import LabSpec
from pytest_calico_ipip.settings import Settings
from tests.lab.api.conftest import LabApi
from tests.live.private_network import ROOT

PASSWORD, NOISE = "pass-word-of-the-proxy", "noise-of-the-credential-plugin"
# as much as pytest can be made to tell
LOUD = ("-vv", "-rA", "--tb=long", "--showlocals", "-o", "junit_logging=all", "-o", "log_level=DEBUG")
# a mistake in the client, right where a request with its credentials is on its way
BUG = """
import urllib3

good = urllib3.PoolManager.urlopen

def urlopen(self, method, url, redirect=True, **kwargs):
    if method == "POST":
        raise RuntimeError("a bug")
    return good(self, method, url, redirect, **kwargs)

urllib3.PoolManager.urlopen = urlopen
"""


class Proxy(socketserver.ThreadingTCPServer):
    """Answers CONNECT, and counts who knew the password."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.let_through = self.refused = 0
        super().__init__(("127.0.0.1", 0), Tunnel)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"127.0.0.1:{self.server_address[1]}"


class Tunnel(socketserver.StreamRequestHandler):
    """One connection through it."""

    server: Proxy

    def handle(self) -> None:
        place = self.rfile.readline().split()[1].decode()
        headers = [line.decode().strip() for line in iter(self.rfile.readline, b"\r\n") if line]
        login = base64.b64encode(f"somebody:{PASSWORD}".encode()).decode()
        if f"proxy-authorization: basic {login}".lower() not in [header.lower() for header in headers]:
            self.server.refused += 1
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        self.server.let_through += 1
        host, _, port = place.rpartition(":")
        with socket.create_connection((host, int(port))) as there, selectors.DefaultSelector() as ready:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {self.connection: there, there: self.connection}
            for end in ends:
                ready.register(end, selectors.EVENT_READ)
            with contextlib.suppress(OSError):
                while True:
                    for key, _ in ready.select():
                        piece = key.fileobj.recv(65536)  # type: ignore[union-attr]
                        if not piece:
                            return
                        ends[key.fileobj].sendall(piece)  # type: ignore[index]


class Ground:
    """An API with Calico's objects, a proxy before it, and kubeconfigs that lead there."""

    def __init__(self, directory: Path) -> None:
        class CalicoApi(LabApi):
            def fill(self) -> None:
                fill(self.store, LabSpec())

        self.directory = directory
        self.api = CalicoApi(directory)
        self.api.start()
        self.proxy = Proxy()
        self.known = yaml.safe_load(self.api.kubeconfig.read_text())
        self.token: str = self.known["users"][0]["user"]["token"]
        (directory / "ssh_config").write_text("Host *\n  ProxyCommand sleep 0.5\n")
        (directory / "identity").write_text("key-of-the-nodes\n")
        (directory / "bug.py").write_text(BUG)

    def kubeconfig(self, name: str, **user: Any) -> Path:
        """The lab's, for another user."""
        path = self.directory / name
        path.write_text(json.dumps({**self.known, "users": [{**self.known["users"][0], "user": user}]}))
        return path

    def by_certificate(self) -> tuple[Path, bytes]:
        """A kubeconfig with a client certificate, and the key in it (PEM)."""
        authority: trustme.CA = self.api.server.authority
        pair = authority.issue_cert(common_name="kubernetes-admin", organization_name="system:masters")
        pem = pair.private_key_pem.bytes()
        certificate = base64.b64encode(pair.cert_chain_pems[0].bytes()).decode()
        user = {"client-certificate-data": certificate, "client-key-data": base64.b64encode(pem).decode()}
        return self.kubeconfig("by-certificate", **user), pem

    def plugin(self, answer: str, status: int = 0) -> dict[str, Any]:
        """A credential plugin that prints an answer, and noise on stderr."""
        script = self.directory / f"plugin-{status}.py"
        script.write_text(f"import sys\nprint({answer!r})\nprint({NOISE!r}, file=sys.stderr)\nsys.exit({status})\n")
        version = "client.authentication.k8s.io/v1"
        return {"exec": {"apiVersion": version, "command": sys.executable, "args": [str(script)]}}

    def credential(self) -> str:
        """What a plugin prints."""
        kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
        return json.dumps({**kind, "status": {"token": self.token}})

    def run(self, name: str, kubeconfig: Path, *arguments: str, **variables: str) -> tuple[subprocess.Popen[str], str]:
        """Run pytest as loud as it can be; all that it said, wrote and had in process lists, as one text."""
        directory = self.directory / name
        directory.mkdir()
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("KUBECONFIG", "IPIP_"))}
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *LOUD, f"--kubeconfig={kubeconfig}"),
                *(f"--ipip-ssh-config={self.directory / 'ssh_config'}", "--ipip-settle=0", "--ipip-pod-timeout=20"),
                *(f"--ipip-ssh-identity={self.directory / 'identity'}", "--ipip-evidence=evidence"),
                *("--junitxml=junit.xml", "--ipip-report=report.html", *arguments, str(ROOT / "conformance")),
            ],
            cwd=directory,
            env={**clean, **variables, "PYTHONPATH": str(self.directory), "TMPDIR": str(directory)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines: set[str] = set()
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(process.pid, lines, ended))
        watcher.start()
        try:
            said, _ = process.communicate(timeout=100)
        finally:
            process.kill()
            ended.set()
            watcher.join()
        files = [path.read_text(errors="replace") for path in directory.rglob("*") if path.is_file()]
        return process, "\n".join([said, *files, *lines])

    def _watch(self, parent: int, lines: set[str], ended: threading.Event) -> None:
        """The command lines of a process and its descendants, from time to time."""
        while not ended.wait(0.02):
            family = {parent}
            for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
                with contextlib.suppress(OSError, ValueError, IndexError):
                    above = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                    if above in family or int(path.name) == parent:
                        family.add(int(path.name))
                        lines.add((path / "cmdline").read_text(errors="replace").replace("\0", " "))

    def close(self) -> None:
        self.proxy.shutdown()
        self.proxy.server_close()
        self.api.stop()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One for all tests of this file."""
    made = Ground(tmp_path_factory.mktemp("secrets"))
    yield made
    made.close()


def test_a_run_through_a_proxy_by_a_credential_plugin_tells_nothing(ground: Ground) -> None:
    """With xdist and everything logged: neither the token, nor the proxy's password, nor the plugin's words."""
    kubeconfig = ground.kubeconfig("by-plugin", **ground.plugin(ground.credential()))
    url = f"http://somebody:{PASSWORD}@{ground.proxy.address}"
    process, told = ground.run("by-plugin.run", kubeconfig, "-n", "2", HTTPS_PROXY=url)
    assert process.returncode == 1
    assert "ssh to virtnest-rook-ceph-1" in told
    assert "pods under test are Ready" in told
    assert "exec was refused" not in told
    assert ground.proxy.let_through > 3
    assert ground.proxy.refused == 0
    for secret in (ground.token, PASSWORD, base64.b64encode(f"somebody:{PASSWORD}".encode()).decode(), NOISE):
        assert secret not in told
    assert "key-of-the-nodes" not in told
    assert [line for line in told.splitlines() if "ssh" in line and "ControlPath" in line], "no process was seen"


def test_a_bug_with_credentials_in_reach_tells_nothing(ground: Ground) -> None:
    """A traceback with the local variables of every frame is what pytest shows then."""
    kubeconfig = ground.kubeconfig("by-token", token=ground.token)
    process, told = ground.run("bug.run", kubeconfig, "-p", "bug", "-k", "pool")
    assert process.returncode == 1
    assert "a bug" in told
    assert "<headers>" in told, "it was not the frame with the credentials"
    assert ground.token not in told


def test_a_credential_plugin_that_fails_is_told_without_its_words(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    """Its stderr may hold what it was given; the sentence has its exit status."""
    for number, answer in ((3, ""), (0, "no JSON: secret-answer")):
        settings = Settings(kubeconfig=ground.kubeconfig(f"failing-{number}", **ground.plugin(answer, number)))
        with caplog.at_level(logging.DEBUG), pytest.raises(SetupProblem, match="credential plugin failed") as caught:
            access(settings)
        assert "secret-answer" not in str(caught.value) + caplog.text
        assert NOISE not in str(caught.value) + caplog.text
    assert not logging.getLogger().filters


def test_a_client_certificate_s_key_is_in_no_repr(ground: Ground, tmp_path: Path) -> None:
    """It is loaded into the TLS context, and a request with it is answered."""
    path, pem = ground.by_certificate()
    settings = Settings(kubeconfig=path)
    api = Api.connect(settings)
    api.get("/api/v1/nodes")
    shown = repr(settings) + repr(api.access) + repr(vars(api))
    assert pem.decode().splitlines()[1] not in shown
    assert base64.b64encode(pem).decode()[:60] not in shown


CONNECT = """
import sys, time
from pathlib import Path
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.settings import Settings
Api.connect(Settings(kubeconfig=Path(sys.argv[1]))).get("/api/v1/nodes")
print("connected", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("killed", [True, False])
def test_a_client_certificate_s_key_is_not_left(
    killed: bool, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The official client writes it to a file: that goes with the process, and of a killed one when another looks."""
    path, _ = ground.by_certificate()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    command = [sys.executable, "-c", CONNECT, str(path)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"connected\n"
        (keys,) = tmp_path.iterdir()
        assert len(list(keys.iterdir())) >= 2
        if killed:
            process.kill()
    assert temporary.remove_abandoned() == ([keys.name] if killed else [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("token", ["two\nlines", "caf\u00e9", "a\0b"])
def test_a_token_that_is_none_is_not_quoted(ground: Ground, token: str) -> None:
    """HTTP would refuse it with its value in the words."""
    with pytest.raises(SetupProblem, match="characters that no header may hold") as caught:
        Api.connect(Settings(kubeconfig=ground.kubeconfig("odd-token", token=token))).get("/api/v1/nodes")
    assert token not in str(caught.value)


def test_a_login_in_an_address_is_not_shown(ground: Ground, tmp_path: Path) -> None:
    """Neither in the header's line nor in a refusal."""
    known = json.loads(json.dumps(ground.known))
    known["clusters"][0]["cluster"]["server"] = f"https://somebody:{PASSWORD}@127.0.0.1:1"
    (tmp_path / "config").write_text(json.dumps(known))
    from pytest_calico_ipip import kubeconfig

    assert kubeconfig.read(tmp_path / "config", None)[1].server == "https://127.0.0.1:1"
    with pytest.raises(SetupProblem) as caught:
        Api.connect(Settings(kubeconfig=tmp_path / "config")).get("/")
    assert PASSWORD not in str(caught.value)


def test_a_secret_is_itself_for_who_uses_it() -> None:
    """And a word for who looks at it, also inside of something else."""
    secret = Secret("Bearer x")
    assert secret == "Bearer x"
    assert f"{secret}".encode() == b"Bearer x"
    assert "x" not in repr({"Authorization": secret}).removeprefix("{'Authorization'")
