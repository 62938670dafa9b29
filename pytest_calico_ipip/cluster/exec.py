"""A command inside a container, through the API's websocket: what it printed, and its own exit status."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from pytest_calico_ipip.cluster.connection import CONNECT_SECONDS, Api
from pytest_calico_ipip.remote import one_line

LIMIT = 16 * 1024 * 1024  # bytes of output
STDOUT, STDERR, ERROR = 1, 2, 3  # channels of the protocol


@dataclass(frozen=True)
class Executed:
    """How a command ended. `status` is None where it could not be run at all: `stderr` then says why."""

    status: int | None
    stdout: bytes = b""
    stderr: bytes = b""


def execute(
    api: Api, namespace: str, pod: str, container: str | None, command: Sequence[str], timeout: float
) -> Executed:
    """Run a command to its end. Never raises for what the cluster does: a refusal is an `Executed` without a status."""
    import websocket

    query = [("command", word) for word in command] + [("stdout", "true"), ("stderr", "true")]
    if container:
        query.append(("container", container))
    path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/exec?{urlencode(query)}"
    scheme, _, rest = api.server.partition("://")
    url = ("wss" if scheme == "https" else "ws") + "://" + rest + path
    deadline = time.monotonic() + timeout
    output: dict[int, bytearray] = {STDOUT: bytearray(), STDERR: bytearray(), ERROR: bytearray()}
    try:
        socket = websocket.create_connection(url, timeout=min(timeout, CONNECT_SECONDS * 2), **_options(api))
    except (websocket.WebSocketException, OSError, ValueError) as error:
        return Executed(None, b"", f"exec in {namespace}/{pod} was refused: {_reason(error)}".encode())
    try:
        while not output[ERROR]:
            socket.settimeout(max(0.1, deadline - time.monotonic()))
            opcode, data = socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                break
            data = data.encode() if isinstance(data, str) else data
            if data and data[0] in output:
                output[data[0]] += data[1:]
            if sum(map(len, output.values())) > LIMIT:
                return Executed(None, bytes(output[STDOUT]), b"more output than one command may print")
            if time.monotonic() > deadline:
                raise websocket.WebSocketTimeoutException
    except websocket.WebSocketTimeoutException:
        return Executed(None, bytes(output[STDOUT]), f"no end after {timeout:.0f} s: {' '.join(command)}".encode())
    except (websocket.WebSocketException, OSError) as error:
        return Executed(None, bytes(output[STDOUT]), f"exec broke off: {_reason(error)}".encode())
    finally:
        socket.close(timeout=1)
    return _ended(output)


def _ended(output: dict[int, bytearray]) -> Executed:
    """The Status on the error channel gives the exit status, or says why there is none."""
    stdout, stderr = bytes(output[STDOUT]), bytes(output[STDERR])
    try:
        status = json.loads(bytes(output[ERROR]) or b"{}")
    except ValueError:
        status = {}
    if status.get("status") == "Success":
        return Executed(0, stdout, stderr)
    for cause in (status.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode" and str(cause.get("message")).isdigit():
            return Executed(int(cause["message"]), stdout, stderr)
    words = one_line(str(status.get("message") or "the connection ended without an exit status"))
    return Executed(None, stdout, stderr + words.encode())


def _options(api: Api) -> dict[str, Any]:
    """TLS, credentials and proxy as the kubeconfig has them."""
    access = api.access
    authorization = access.authorization()
    tls: dict[str, Any] = {"context": access.tls, "check_hostname": access.tls.check_hostname}
    if access.server_name:
        tls["server_hostname"] = access.server_name
    options: dict[str, Any] = {
        "sslopt": tls,
        "header": [f"Authorization: {authorization}"] if authorization else [],
        "subprotocols": ["v5.channel.k8s.io", "v4.channel.k8s.io"],
        "http_no_proxy": (access.no_proxy or "").split(",") if access.proxy else ["*"],
    }
    if access.proxy:
        proxy = urlsplit(access.proxy)
        options.update(http_proxy_host=proxy.hostname, http_proxy_port=proxy.port, proxy_type=proxy.scheme)
    return options


def _reason(error: BaseException) -> str:
    """A handshake's refusal carries the server's own Status; its headers are nobody's business."""
    body = getattr(error, "resp_body", None)
    if body:
        try:
            return one_line(str(json.loads(body).get("message")))
        except (ValueError, AttributeError):
            return one_line(body)
    return one_line(str(error).partition(" -+-+- ")[0] or type(error).__name__, 200)
