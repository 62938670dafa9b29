"""`exec` and `attach` over websockets, frame by frame."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, cast

import aiohttp
import pytest
import yaml

from . import fakes
from .conftest import LabApi
from .test_server import Http, _pem

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
if TYPE_CHECKING:
    Socket = aiohttp.ClientWebSocketResponse[Literal[True]]


class Exec:
    """Opens exec and attach websockets of one pod, each in an event loop of its own."""

    def __init__(self, api: LabApi, namespace: str) -> None:
        known = yaml.safe_load(api.kubeconfig.read_text())
        cluster = known["clusters"][0]["cluster"]
        self._base = f"{cluster['server']}/api/v1/namespaces/{namespace}/pods/a"
        self._tls = ssl.create_default_context(cadata=_pem(cluster["certificate-authority-data"]))
        self._token = known["users"][0]["user"]["token"]

    def __call__(
        self,
        command: list[str],
        story: Callable[[Socket], Awaitable[Any]] | None = None,
        *,
        protocol: str = V5,
        what: str = "exec",
        **flags: str,
    ) -> Any:
        """The result of the story, or of reading everything to the end."""
        query = [*(("command", word) for word in command), *({"stdout": "true", "stderr": "true", **flags}).items()]

        async def run() -> Any:
            headers = {"Authorization": f"Bearer {self._token}"}
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.ws_connect(
                    f"{self._base}/{what}", params=query, ssl=self._tls, protocols=[protocol], max_msg_size=0
                ) as socket,
            ):
                assert socket.protocol == protocol
                return await asyncio.wait_for((story or everything)(cast("Socket", socket)), 10)

        return asyncio.run(run())


async def everything(socket: Socket) -> tuple[bytes, bytes, dict[str, Any]]:
    """Standard output, standard error and the final status; the socket was closed as sockets are closed."""
    found: dict[int, bytes] = {1: b"", 2: b"", 3: b""}
    async for message in socket:
        assert message.type is aiohttp.WSMsgType.BINARY
        found[message.data[0]] += message.data[1:]
    assert socket.close_code == 1000
    return found[1], found[2], json.loads(found[3])


@pytest.fixture
def in_pod(lab_api: LabApi, namespace: str) -> Exec:
    """A running pod `a` to exec into."""
    lab_api.call(lab_api.store.create, "pods", fakes.pod("a", namespace=namespace))
    return Exec(lab_api, namespace)


@pytest.mark.parametrize("protocol", [V4, V5])
def test_output_errors_and_status_come_apart(in_pod: Exec, protocol: str) -> None:
    """Each on its channel, and the exit status at the end."""
    out, err, status = in_pod(["sh", "-c", "echo out; echo err >&2; exit 7"], protocol=protocol)
    assert (out, err, status["reason"]) == (b"out\n", b"err\n", "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


def test_success_says_success(in_pod: Exec) -> None:
    """And no more; booleans in Python's spelling count."""
    out, _, status = in_pod(["echo", "a b", "$HOME"], stdout="True", stderr="False")
    assert (out, status) == (b"a b $HOME\n", {"metadata": {}, "status": "Success"})


def test_only_what_was_asked_for_comes(in_pod: Exec) -> None:
    """Without stderr there is none."""
    assert in_pod(["sh", "-c", "echo out; echo err >&2"], stderr="false")[:2] == (b"out\n", b"")


def test_a_program_that_is_not_there(in_pod: Exec) -> None:
    """A failure without an exit code, which is how clients tell it from a program that failed."""
    _, _, status = in_pod(["no-such-program"])
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert 'exec: "no-such-program": executable file not found in $PATH' in status["message"]
    assert all(cause.get("reason") != "ExitCode" for cause in status["details"]["causes"])


def test_large_output_arrives_whole(in_pod: Exec) -> None:
    """Four megabytes, in pieces that fit."""
    out, _, status = in_pod(["head", "-c", str(4 << 20), "/dev/zero"])
    assert (len(out), status["status"]) == (4 << 20, "Success")


def test_standard_input_is_fed_and_closed(in_pod: Exec) -> None:
    """In binary or text frames; v5's close signal ends it."""

    async def story(socket: Socket) -> Any:
        await socket.send_bytes(b"\x00one ")
        await socket.send_str("\x00two")
        await socket.send_bytes(b"\xff\x00")
        return await everything(socket)

    assert in_pod(["cat"], story, stdin="true")[0] == b"one two"


def test_a_terminal_has_a_size(in_pod: Exec) -> None:
    """The client's, also when it changes."""

    async def story(socket: Socket) -> Any:
        await socket.send_bytes(b"\x04not a size")
        await socket.send_bytes(b'\x04{"Width": 132, "Height": 43}')
        await socket.send_bytes(b"\x00stty size; exit 3\n")
        return await everything(socket)

    out, _, status = in_pod(["sh"], story, stdin="true", tty="true")
    assert b"43 132" in out
    assert status["details"]["causes"][0]["message"] == "3"


def test_a_client_that_leaves_takes_its_process_along(lab_api: LabApi, in_pod: Exec) -> None:
    """Nothing of an interrupted exec stays behind."""

    async def story(socket: Socket) -> Any:
        return await socket.receive_bytes()

    assert in_pod(["sh", "-c", "echo begun; sleep 1000"], story) == b"\x01begun\n"
    process = lab_api.runtime.processes[-1]
    assert asyncio.run_coroutine_threadsafe(process.wait(), lab_api._loop).result(5) == 128 + 9


def test_attach_leaves_the_process_alone(lab_api: LabApi, in_pod: Exec) -> None:
    """It is the container's, not the client's."""

    async def story(socket: Socket) -> Any:
        await socket.send_bytes(b"\x00hello\n")
        return await socket.receive_bytes()

    assert in_pod([], story, what="attach", stdin="true") == b"\x01hello\n"
    process = lab_api.runtime.processes[-1]
    assert not process.killed
    process.kill()


def test_what_cannot_be_executed_is_refused_before_the_upgrade(lab_api: LabApi, in_pod: Exec, namespace: str) -> None:
    """With the same Status to a websocket and to SPDY, which kubectl tries next."""
    call = Http(lab_api.kubeconfig)
    base = f"/api/v1/namespaces/{namespace}/pods"
    websocket = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Protocol": V5,
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    two = fakes.pod("two", namespace=namespace)
    two["spec"]["containers"].append({"name": "second", "image": "x"})
    lab_api.call(lab_api.store.create, "pods", two)
    for path, words in (
        ("none/exec?command=ls&stdout=true", 'pods "none" not found'),
        ("a/exec?command=ls&stdout=true&container=x", "container x is not valid for pod a"),
        ("a/exec?stdout=true", "at least 1 command"),
        ("a/exec?command=ls", "at least one of stdin, stdout, stderr"),
        ("two/exec?command=ls&stdout=true", "choose one of: [main second]"),
    ):
        refused = call("GET", f"{base}/{path}", **websocket)
        assert words in refused[1]["message"]
        assert call("POST", f"{base}/{path}", Connection="Upgrade", Upgrade="SPDY/3.1") == refused
    spdy = call("POST", f"{base}/a/exec?command=ls&stdout=true", Connection="Upgrade", Upgrade="SPDY/3.1")
    assert (spdy[0], "kubectl 1.30 or later" in spdy[1]["message"]) == (400, True)
    old = call(
        "GET", f"{base}/a/exec?command=ls&stdout=true", **{**websocket, "Sec_WebSocket_Protocol": "channel.k8s.io"}
    )
    assert (old[0], "none of the offered protocols" in old[1]["message"]) == (400, True)
