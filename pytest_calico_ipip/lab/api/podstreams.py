"""A pod's running side: `exec`, `attach` and `log`, checked against the store and handed to the kubelets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from pytest_calico_ipip.lab.api import channels, query
from pytest_calico_ipip.lab.api.errors import ApiError, bad_request
from pytest_calico_ipip.lab.api.paths import Target
from pytest_calico_ipip.lab.api.runtime import Runtime, RuntimeRefusal
from pytest_calico_ipip.lab.api.selectors import Object
from pytest_calico_ipip.lab.api.store import Store

REFUSAL_TIME = 0.2  # seconds that a kubelet has to refuse a log before the answer begins
_WANTED = {"stdin": channels.STDIN, "stdout": channels.STDOUT, "stderr": channels.STDERR}


class PodStreams:
    """Request handlers; `ApiError`s are for the caller to answer."""

    def __init__(self, store: Store, runtime: Runtime) -> None:
        self._store, self._runtime = store, runtime

    async def exec(self, request: web.Request, target: Target) -> web.StreamResponse:
        """A command in a container."""
        pod, container = self._container(request, target)
        asked, command = request.query, request.query.getall("command", [])
        if not command:
            raise bad_request("you must specify at least 1 command")
        wanted = _streams(request)
        socket = await _upgraded(request)
        link = channels.Channels(socket, wanted)
        try:
            process = await self._runtime.exec(
                target.namespace or "",
                pod["metadata"]["name"],
                container,
                command,
                tty=query.flag(asked, "tty"),
                stdin=channels.STDIN in wanted,
            )
        except RuntimeRefusal as refusal:
            await link.finish(channels.refused(str(refusal)))
            return socket
        await _serve(link, process, owned=True)
        return socket

    async def attach(self, request: web.Request, target: Target) -> web.StreamResponse:
        """A container's main process; it stays when the client leaves."""
        pod, container = self._container(request, target)
        wanted = _streams(request)
        socket = await _upgraded(request)
        link = channels.Channels(socket, wanted)
        name, with_input = pod["metadata"]["name"], channels.STDIN in wanted
        try:
            process = await self._runtime.attach(target.namespace or "", name, container, stdin=with_input)
        except RuntimeRefusal as refusal:
            await link.finish(channels.refused(str(refusal)))
            return socket
        await _serve(link, process, owned=False)
        return socket

    async def log(self, request: web.Request, target: Target) -> web.StreamResponse:
        """What a container's main process has written."""
        pod, container = self._container(request, target)
        asked, name = request.query, pod["metadata"]["name"]
        if query.flag(asked, "previous"):
            raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        if asked.get("sinceSeconds") or asked.get("sinceTime"):
            raise bad_request("this lab's logs cannot begin at a time: use tailLines (kubectl logs --tail)")
        tail = query.number(asked, "tailLines")
        if tail is not None and tail < 0:
            raise ApiError(422, "Invalid", "tailLines: Invalid value: must be greater than or equal to 0")
        lines = self._runtime.logs(
            target.namespace or "",
            name,
            container,
            follow=query.flag(asked, "follow"),
            tail=tail,
            timestamps=query.flag(asked, "timestamps"),
        )
        return await _copy(request, lines, query.number(asked, "limitBytes"))

    def _container(self, request: web.Request, target: Target) -> tuple[Object, str]:
        """The pod and the container that is meant. Raises `ApiError` 404, 400."""
        name = target.name or ""
        pod = self._store.get("pods", target.namespace, name)
        spec = pod["spec"]
        known = [one["name"] for one in [*spec["containers"], *spec.get("initContainers", ())]]
        wanted = request.query.get("container") or ""
        if not wanted:
            if len(spec["containers"]) > 1:
                listed = " ".join(one["name"] for one in spec["containers"])
                raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
            wanted = known[0]
        if wanted not in known:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        if not spec.get("nodeName"):
            raise bad_request(f"pod {name} does not have a host assigned")
        return pod, wanted


def _streams(request: web.Request) -> set[int]:
    asked = request.query
    wanted = {number for name, number in _WANTED.items() if query.flag(asked, name)}
    if not wanted:
        raise bad_request("you must specify at least one of stdin, stdout, stderr")
    return wanted


async def _upgraded(request: web.Request) -> web.WebSocketResponse:
    """The websocket that the request asks for. Raises `ApiError` 400 where it asks for something else, as SPDY."""
    offered = request.headers.get("Sec-WebSocket-Protocol", "").replace(" ", "").split(",")
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise bad_request("this lab's exec and attach speak websockets only: use kubectl 1.30 or later")
    if not set(offered) & set(channels.PROTOCOLS):
        raise bad_request(f"none of the offered protocols is spoken here: {', '.join(channels.PROTOCOLS)}")
    return await channels.open_socket(request)


async def _serve(link: channels.Channels, process: Any, *, owned: bool) -> None:
    with contextlib.suppress(ConnectionResetError):  # the client has gone: nobody is there to be told
        await link.serve(process, owned=owned)


async def _copy(request: web.Request, lines: AsyncIterator[bytes], limit: int | None) -> web.StreamResponse:
    """Hand the pieces on as they come, at most `limit` bytes of them."""
    coming = asyncio.ensure_future(anext(lines, b""))
    stream = web.StreamResponse(headers={"Content-Type": "text/plain"})
    left = float("inf") if limit is None else limit
    try:
        # a refusal comes at once and is an answer of its own; a log that says nothing yet must not look like none
        await asyncio.wait({coming}, timeout=REFUSAL_TIME)
        if coming.done():
            coming.result()
        await stream.prepare(request)
        while (piece := await coming) and left > 0:
            await stream.write(piece if len(piece) <= left else piece[: int(left)])
            left -= len(piece)
            coming = asyncio.ensure_future(anext(lines, b""))
    except RuntimeRefusal as refusal:
        if stream.prepared:
            raise
        raise bad_request(str(refusal)) from None
    except ConnectionResetError:
        pass  # the client has seen enough
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
    return stream
