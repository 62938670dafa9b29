"""A project whose tests are judged by checks of its own, so that the shell is tested without cluster and judges."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml  # noqa: F401  (its C part cannot be loaded twice in a process, and pytester forgets what it imported)

from tests.shell.shell_project import Api, Project


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "CALICO_IPIP_LAB", "PYTEST_ADDOPTS") or name.startswith(
            "IPIP_"
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    """An empty project."""
    return Project(pytester)


@pytest.fixture
def api() -> Iterator[Api]:
    """A running server of this test's own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            body = json.dumps(state.document).encode()
            self.send_response(state.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Api(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Callable[..., Path]:
    """Write a kubeconfig that leads to a server."""

    def write(server: str, *contexts: str) -> Path:
        names = contexts or ("kubernetes-admin@cluster.local",)
        path = tmp_path / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": names[0],
                    "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in names],
                    "clusters": [{"name": "c", "cluster": {"server": server}}],
                    "users": [{"name": "u", "user": {"token": "very-secret-token"}}],
                }
            )
        )
        return path

    return write
