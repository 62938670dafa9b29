"""Who is asked may answer for ever, with one endless thing, with JSON that cannot be read, or not at all."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_calico_ipip import remote
from pytest_calico_ipip.cluster import connection, exec, lists, pages, weight
from pytest_calico_ipip.cluster.access import Access
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.exec import Executed, Execution, execute
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.nodes.in_pod import PodConnection
from pytest_calico_ipip.nodes.reading import eth0_mtu, underlay_nic
from pytest_calico_ipip.observation.round import _devices
from pytest_calico_ipip.settings import Settings
from tests.hostile.values import any_json
from tests.lab.api.conftest import LabApi
from tests.live.api_stand_in import StandIn

DEEP = b"[" * 200_000
BOMBS = {
    "nested": DEEP,
    "nested object": b'{"items":' * 200_000,
    "huge number": b'{"items": ' + b"9" * 100_000 + b"}",
    "cut off": b'{"items": [',
    "html": b"<html>\x1b[2J</html>",
    "no text": b"\xff\xfe\x00",
    "nothing": b"",
}
ODD = [b"null", b"[]", b"3", b'"x"', b'{"items": null}', b'{"items": {}}', b'{"items": "x"}', b'{"items": [null, 3]}']


@pytest.fixture
def api(tmp_path: Path) -> Iterator[StandIn]:
    """An API server that answers as a test wants."""
    made = StandIn(tmp_path, lambda method, path: (200, b""))
    yield made
    made.close()


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The lab's API; what is run in its pod `a` runs on this machine."""
    made = LabApi(tmp_path_factory.mktemp("api"))
    made.start()
    pod = {"metadata": {"name": "a", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made.call(made.store.create, "pods", pod)
    yield Api.connect(Settings(kubeconfig=made.kubeconfig))
    for process in made.runtime.processes:
        made.call(process.kill)
        asyncio.run_coroutine_threadsafe(process.wait(), made._loop).result(10)
        made.call(process._process._transport.close)  # type: ignore[attr-defined]
    made.stop()


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=[*BOMBS])
def test_an_answer_that_is_no_json_is_an_error_in_one_printable_line(api: StandIn, bomb: bytes) -> None:
    """Lists, objects and watches alike; what stood there is quoted, bounded and without escapes."""
    api.reply = lambda method, path: (200, bomb + b"\n")
    client = Api.connect(api.settings())
    for call in (
        lambda: client.list("/api/v1/nodes"),
        lambda: client.send("GET", "/api/v1/nodes"),
        lambda: [*client.watch("/api/v1/pods", {}, 2)] if bomb else client.list("/"),
    ):
        with pytest.raises(SetupProblem, match="no JSON that can be read") as caught:
            call()
        assert caught.value.problem.isprintable()
        assert len(caught.value.problem) < 300


@pytest.mark.parametrize("odd", ODD)
def test_json_of_another_shape_is_an_empty_list(api: StandIn, odd: bytes) -> None:
    """Nobody trips over it."""
    api.reply = lambda method, path: (200, odd)
    client = Api.connect(api.settings())
    assert client.list("/api/v1/nodes") == []
    assert isinstance(client.send("GET", "/api/v1/nodes"), dict)


@pytest.mark.parametrize("body", [*BOMBS.values(), *ODD])
def test_a_refusal_may_say_anything(api: StandIn, body: bytes) -> None:
    """The sentence stands, whatever the server's words are."""
    api.reply = lambda method, path: (403, body)
    with pytest.raises(SetupProblem) as caught:
        Api.connect(api.settings()).list("/api/v1/nodes")
    assert caught.value.problem.isprintable()
    assert len(caught.value.problem) < 600


def test_an_answer_and_an_event_have_a_largest_size(api: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it reading stops: an ERROR, or for a watch its end."""
    monkeypatch.setattr(connection, "LIMIT", 1000)
    monkeypatch.setattr(connection, "LARGEST_EVENT", 1000)
    api.reply = lambda method, path: (200, b"x" * 200_000)
    client = Api.connect(api.settings())
    with pytest.raises(SetupProblem, match="more than 1000 bytes"):
        client.list("/api/v1/nodes")
    assert [*client.watch("/api/v1/pods", {}, 5)] == []


@pytest.mark.parametrize("grain", [b"{},", b"[],", b'{"":{}},', b"[[[[[[[[]]]]]]]],", b'"ab",', b"1.5,"])
def test_json_that_would_take_more_memory_than_there_is_is_not_read(api: StandIn, grain: bytes) -> None:
    """64 MiB of it would be up to 3 GiB; the estimate that refuses it is about what it takes, or more."""
    tracemalloc.start()
    small = b"[" + grain * ((1 << 20) // len(grain)) + b"0]"
    before = tracemalloc.get_traced_memory()[0]
    read = json.loads(small)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert read
    assert taken < 1.1 * weight.weight(small)
    body = b'{"items": [' + grain * (weight.HEAVIEST_LIST // weight.weight(grain) + 1) + b"{}]}"
    assert len(body) <= pages.LIMIT
    api.reply = lambda method, path: (200, body)
    with pytest.raises(SetupProblem, match="MiB of memory, more than 640"):
        Api.connect(api.settings()).list("/api/v1/nodes")
    with pytest.raises(SetupProblem, match="MiB of memory, more than 64:"):
        Api.connect(api.settings()).send("GET", "/api/v1/nodes")


def test_the_lists_of_a_large_cluster_are_read() -> None:
    """As many recorded pods as the largest answer holds, with room for what real ones have besides."""
    recorded = (Path(__file__).parents[1] / "recorded" / "v3.31.7-always" / "api" / "pods.json").read_bytes()
    pods = json.dumps(json.loads(recorded), separators=(",", ":")).encode()
    assert weight.weight(pods) * pages.LIMIT // len(pods) < 0.85 * weight.HEAVIEST_LIST


def test_all_lists_together_have_a_largest_size(api: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each of them may be small enough."""
    monkeypatch.setattr(lists, "HEAVIEST_READING", 3000)
    api.reply = lambda method, path: (200, json.dumps({"items": [], "x": "x" * 500}).encode())
    with pytest.raises(SetupProblem, match="lists would take more than"):
        lists.fetch(Api.connect(api.settings()), Evidence(tmp_path / "evidence"))


@pytest.mark.parametrize("deep", [DEEP, b'{"a":' * 200_000])
def test_what_a_node_nests_is_no_interface_and_no_route(deep: bytes) -> None:
    """`ip -j` nests four deep."""
    assert underlay_nic(deep, []) is None
    assert eth0_mtu(deep) is None
    assert _devices(deep) == {}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    any_json(st.text(max_size=8) | st.just("ExitCode"), key=st.sampled_from(["status", "details", "causes", "reason"]))
)
def test_no_status_of_an_exec_can_raise(said: Any) -> None:
    """The error channel's JSON comes from a kubelet: null, lists and numbers end a command without a status."""
    ended = exec._ended(json.dumps(said).encode(), b"")
    assert ended.status is None or (isinstance(said, dict) and said.get("status") == "Success")


@pytest.mark.parametrize("said", [b"", b"null", DEEP, b"\xff", *ODD])
def test_odd_statuses_have_no_exit_status(said: bytes) -> None:
    """And a sentence in its place."""
    assert exec._ended(said, b"") == Executed(None, b"", b"the connection ended without an exit status")


def test_a_command_in_a_pod_may_not_print_for_ever(pods: Api) -> None:
    """BIRD in calico-node's pod is asked so: its output is cut at 16 MiB, at once."""
    began = time.monotonic()
    done = execute(pods, "default", "a", "c", ["cat", "/dev/zero"], 60)
    assert (done.status, done.stderr) == (None, b"more output than one command may print")
    assert exec.LIMIT <= len(done.stdout) < exec.LIMIT + (1 << 20)
    done = execute(pods, "default", "a", "c", ["sh", "-c", "head -c 40000000 /dev/zero >&2"], 60)
    assert len(done.stderr) <= exec.LIMIT + 200
    assert time.monotonic() - began < 40


def test_a_command_in_a_pod_may_not_be_silent_for_ever(pods: Api) -> None:
    """Nothing comes, or now and then a byte: the time is the same."""
    for command in ("sleep 60", "while :; do echo; sleep 0.1; done"):
        began = time.monotonic()
        done = execute(pods, "default", "a", "c", ["sh", "-c", command], 0.5)
        assert done.status is None
        assert b"no end after" in done.stderr
        assert time.monotonic() - began < 10


def test_a_node_reached_by_pod_may_not_send_for_ever(pods: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by ssh: a broken connection, for a command and for the shell."""
    monkeypatch.setattr(remote, "LIMIT", 1 << 20)
    start = partial(_started, pods)
    for call in ("run", "ask"):
        node = PodConnection("n1", "default/a", start, 60)
        began = time.monotonic()
        answer = getattr(node, call)("cat /dev/zero", 30)
        assert answer.failed_to_run
        assert len(answer.stdout) < 4 << 20
        assert time.monotonic() - began < 20
        node.close()


def _started(api: Api, command: Any) -> Execution:
    return Execution(api, "default", "a", "c", command, 30, stdin=True)


def test_one_message_may_not_be_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A websocket frame may claim any size; reading stops where no server of Kubernetes goes."""
    monkeypatch.setattr(exec, "LARGEST_MESSAGE", 1 << 20)
    with huge_message(b"\1" + bytes(8 << 20)) as api:
        done = execute(api, "default", "a", "c", ["true"], 20)
    assert done.status is None
    assert b"a message of more than 1 MiB" in done.stderr


class huge_message:
    """A server whose exec sends one message."""

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.loop = asyncio.new_event_loop()

    async def exec(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["v5.channel.k8s.io"])
        await socket.prepare(request)
        await socket.send_bytes(self.message)
        return socket

    async def start(self) -> int:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.exec)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        port: int = self.runner.addresses[0][1]
        return port

    def __enter__(self) -> Api:
        port = self.loop.run_until_complete(self.start())
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        return Api(Access(f"http://127.0.0.1:{port}", ssl.create_default_context(), lambda: None))

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.runner.cleanup(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
