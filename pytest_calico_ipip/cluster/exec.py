"""A command inside a container, through the API's websocket: what it printed, and its own exit status."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from pytest_calico_ipip.cluster.connection import CONNECT_SECONDS, Api
from pytest_calico_ipip.cluster.retries import IN_TROUBLE, THROTTLED, retries
from pytest_calico_ipip.cluster.secret import Secret
from pytest_calico_ipip.remote import one_line

LIMIT = 16 * 1024 * 1024  # bytes of output
LARGEST_MESSAGE = 32 * 1024 * 1024  # bytes; servers send some kilobytes at a time
STDIN, STDOUT, STDERR, ERROR, CLOSE = 0, 1, 2, 3, 255  # channels of the protocol
END_OF_INPUT = "v5.channel.k8s.io"  # since Kubernetes 1.30: standard input can be ended


class ExecProblem(OSError):
    """The command was not run, or its connection broke off; the message says why."""


@dataclass(frozen=True)
class Executed:
    """How a command ended. `status` is None where it could not be run at all: `stderr` then says why."""

    status: int | None
    stdout: bytes = b""
    stderr: bytes = b""


class Execution:
    """A command that runs in a container, with its standard input where that is asked for. One thread reads."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        pod: str,
        container: str | None,
        command: Sequence[str],
        timeout: float,
        *,
        stdin: bool = False,
    ) -> None:
        """Start it. Raises `ExecProblem` where the API refuses."""
        import websocket

        query = [("command", word) for word in command] + [("stdout", "true"), ("stderr", "true")]
        if stdin:
            query.append(("stdin", "true"))
        if container:
            query.append(("container", container))
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/exec?{urlencode(query)}"
        scheme, _, rest = api.server.partition("://")
        url = ("wss" if scheme == "https" else "ws") + "://" + rest + path
        # the last are what a connection that another thread has cut may end with
        self._errors = (websocket.WebSocketException, OSError, ValueError, AttributeError)
        self.ended: Executed | None = None  # once it has come to its end; its stdout was handed out by `read`
        self.stderr = bytearray()
        try:
            # what may take long is asked for while much else goes on: then its start is waited for, too
            patience = max(min(timeout, CONNECT_SECONDS * 2), timeout / 3)
            self._socket = _connected(api, url, patience)
        except (websocket.WebSocketException, OSError, ValueError) as error:
            raise ExecProblem(f"exec in {namespace}/{pod} was refused: {_reason(error)}") from error
        self._arrived = 0  # bytes of the message that is being read
        self._receive = self._socket.frame_buffer.recv
        self._socket.frame_buffer.recv = self._bounded

    @property
    def status(self) -> int | None:
        """Its exit status, once `read` has come to the end; None where it was never run to one: `stderr` says why."""
        return self.ended.status if self.ended else None

    def read(self, seconds: float) -> bytes:
        """The next piece of its stdout; nothing at its end. Raises `TimeoutError`, or `ExecProblem` if it broke off."""
        import websocket

        deadline = time.monotonic() + seconds
        while self.ended is None:
            self._arrived = 0
            try:
                self._socket.settimeout(max(0.1, deadline - time.monotonic()))
                opcode, data = self._socket.recv_data()
            except websocket.WebSocketTimeoutException:
                raise TimeoutError from None
            except self._errors as error:
                raise ExecProblem(f"exec broke off: {_reason(error)}") from error
            data = data.encode() if isinstance(data, str) else data
            if opcode == websocket.ABNF.OPCODE_CLOSE or (data and data[0] == ERROR):
                self.ended = _ended(data[1:] if opcode != websocket.ABNF.OPCODE_CLOSE else b"", bytes(self.stderr))
                self.stderr = bytearray(self.ended.stderr)
            elif data and data[0] == STDERR:
                self.stderr += data[1 : 1 + LIMIT - len(self.stderr)]
            elif len(data) > 1 and data[0] == STDOUT:
                return bytes(data[1:])
            if time.monotonic() > deadline:
                raise TimeoutError
        return b""

    def write(self, data: bytes) -> None:
        """Send to its standard input. Raises `ExecProblem`."""
        self._send(bytes([STDIN]) + data)

    def end_input(self) -> None:
        """Nothing more comes; servers before Kubernetes 1.30 have no way to be told."""
        if self._socket.subprotocol == END_OF_INPUT:
            self._send(bytes([CLOSE, STDIN]))

    def close(self) -> None:
        """Leave it; its standard input ends by that. For the thread that reads."""
        self.cut()
        with contextlib.suppress(*self._errors):
            self._socket.shutdown()  # type: ignore[no-untyped-call,unused-ignore]

    def cut(self) -> None:
        """Make whoever reads come to an end, from whatever thread."""
        if (tcp := self._socket.sock) is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(tcp, socket.SHUT_RDWR)  # not TLS's own, which may wait for the other side

    def _bounded(self, size: int) -> bytes:
        """The client itself would take a message of any size into memory."""
        piece: bytes = self._receive(size)
        self._arrived += len(piece)
        if self._arrived > LARGEST_MESSAGE:
            raise ValueError(f"a message of more than {LARGEST_MESSAGE >> 20} MiB")
        return piece

    def _send(self, message: bytes) -> None:
        try:
            self._socket.send_binary(message)
        except self._errors as error:
            raise ExecProblem(f"exec broke off: {_reason(error)}") from error


def execute(
    api: Api, namespace: str, pod: str, container: str | None, command: Sequence[str], timeout: float
) -> Executed:
    """Run a command to its end. Never raises for what the cluster does: a refusal is an `Executed` without a status."""
    deadline = time.monotonic() + timeout
    stdout = bytearray()
    try:
        running = Execution(api, namespace, pod, container, command, timeout)
    except ExecProblem as problem:
        return Executed(None, b"", str(problem).encode())
    try:
        while piece := running.read(deadline - time.monotonic()):
            stdout += piece
            if len(stdout) + len(running.stderr) > LIMIT:
                return Executed(None, bytes(stdout), b"more output than one command may print")
    except TimeoutError:
        return Executed(None, bytes(stdout), f"no end after {timeout:.0f} s: {' '.join(command)}".encode())
    except ExecProblem as problem:
        return Executed(None, bytes(stdout), str(problem).encode())
    finally:
        running.close()
    assert running.ended is not None
    return replace(running.ended, stdout=bytes(stdout))


def _ended(said: bytes, stderr: bytes) -> Executed:
    """The Status on the error channel gives the exit status, or says why there is none."""
    status = _object(said)
    if status.get("status") == "Success":
        return Executed(0, b"", stderr)
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    for cause in causes if isinstance(causes, list) else []:
        code = str(cause.get("message")) if isinstance(cause, dict) and cause.get("reason") == "ExitCode" else ""
        if re.fullmatch("[0-9]{1,3}", code):
            return Executed(int(code), b"", stderr)
    words = one_line(str(status.get("message") or "the connection ended without an exit status"))
    return Executed(None, b"", stderr + words.encode())


def _object(said: bytes) -> dict[str, Any]:
    """A JSON object; an empty one in the place of anything else."""
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _connected(api: Api, url: str, patience: float) -> Any:
    """The open websocket; a server that is throttled or in trouble has run nothing yet, and is asked again."""
    import urllib3
    import websocket

    left = retries("GET")
    while True:
        try:
            return websocket.create_connection(url, timeout=patience, enable_multithread=True, **_options(api))
        except websocket.WebSocketBadStatusException as error:
            if error.status_code not in {THROTTLED, *IN_TROUBLE} - {500}:  # what a kubelet says of a pod that is gone
                raise
            said = urllib3.HTTPResponse(status=error.status_code, headers=error.resp_headers or {})
            try:
                left = left.increment("GET", url, response=said)
            except urllib3.exceptions.MaxRetryError:
                raise error from None
            left.sleep(said)


def _options(api: Api) -> dict[str, Any]:
    """TLS, credentials and proxy as the kubeconfig has them."""
    access = api.access
    authorization = access.authorization()
    tls: dict[str, Any] = {"context": access.tls, "check_hostname": access.tls.check_hostname}
    if access.server_name:
        tls["server_hostname"] = access.server_name
    header = [f"{name}: {value}" for name, value in access.acting_as]
    options: dict[str, Any] = {
        "sslopt": tls,
        "header": [*header, Secret(f"Authorization: {authorization}")] if authorization else header,
        "subprotocols": ["v5.channel.k8s.io", "v4.channel.k8s.io"],
        "http_no_proxy": ["*"],  # the environment has been asked, and not by this library
    }
    if (proxy := access.proxy) is not None:
        options |= {"http_proxy_host": proxy.host, "http_proxy_port": proxy.port, "proxy_type": "http"}
        options |= {"http_no_proxy": ["-"], "http_proxy_auth": (proxy.user, proxy.password) if proxy.user else None}
    return options


def _reason(error: BaseException) -> str:
    """A handshake's refusal carries the server's own Status; its headers are nobody's business."""
    body = getattr(error, "resp_body", None)
    if body:
        return one_line(str(_object(body).get("message") or "") or body[:4000])
    return one_line(str(error).partition(" -+-+- ")[0] or type(error).__name__, 200)
