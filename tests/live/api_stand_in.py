"""A TLS server on the loopback that answers each request as a test wants, and a kubeconfig for it."""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

from pytest_calico_ipip.settings import Settings

Reply = tuple[int, bytes]
TOKEN = "secret-token-of-the-test"


class StandIn:
    """Counts and answers requests. `reply` gets method and path (with query) and returns status and body.

    How many objects a page may hold is left out of the path: every list asks for so many.
    """

    def __init__(self, directory: Path, reply: Callable[[str, str], Reply]) -> None:
        self.reply = reply
        self.requests: list[tuple[str, str, str]] = []  # method, path, Authorization
        self.acting_as: list[list[tuple[str, str]]] = []  # the headers of each that say so
        self.authority = trustme.CA()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                path = re.sub(r"\?limit=\d+&", "?", re.sub(r"[?&]limit=\d+$", "", self.path))
                path = re.sub(r"&limit=\d+", "", path)
                stand_in.requests.append((self.command, path, self.headers.get("Authorization", "")))
                acting = [(name, said) for name, said in self.headers.items() if name.startswith("Impersonate-")]
                stand_in.acting_as.append(acting)
                status, body = stand_in.reply(self.command, path)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                """Silent."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that refuses our certificate is what some tests want."""

        self.server = Server(("127.0.0.1", 0), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1").configure_cert(tls)
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.address = f"https://127.0.0.1:{self.server.server_address[1]}"
        self.kubeconfig = directory / "kubeconfig"
        self.write_kubeconfig({"token": TOKEN})
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def write_kubeconfig(self, user: dict[str, Any], authority: bytes | None = None) -> None:
        """A kubeconfig (JSON is YAML) for one user."""
        pem = self.kubeconfig.with_name("ca.pem")
        pem.write_bytes(authority or self.authority.cert_pem.bytes())
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": self.address, "certificate-authority": str(pem)}}],
            "users": [{"name": "u", "user": user}],
        }
        self.kubeconfig.write_text(json.dumps(config))

    def settings(self) -> Settings:
        """Settings that lead here."""
        return Settings(kubeconfig=self.kubeconfig)

    def close(self) -> None:
        """The end."""
        self.server.shutdown()
        self.server.server_close()


def status(code: int, message: str) -> Reply:
    """A Kubernetes Status."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}
    return code, json.dumps(body).encode()


def listing(*items: dict[str, Any]) -> Reply:
    """A List."""
    return 200, json.dumps({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": list(items)}).encode()
