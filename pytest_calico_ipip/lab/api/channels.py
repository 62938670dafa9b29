"""`exec` and `attach` over a websocket: Kubernetes' channels on one side, a process in a container on the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from aiohttp import WSMsgType, web

from pytest_calico_ipip.lab.api.runtime import Process

# in the order of preference; v5 can say that standard input ends
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
CHUNK = 64 * 1024
LAST_WAIT = 5.0  # seconds for a killed process to be gone


def succeeded() -> dict[str, Any]:
    """The last word about a process that ended with 0."""
    return {"metadata": {}, "status": "Success"}


def ended(code: int) -> dict[str, Any]:
    """The last word about a process that ended."""
    if code == 0:
        return succeeded()
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def refused(why: str) -> dict[str, Any]:
    """The last word where no process came to be."""
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "InternalError",
        "message": f"Internal error occurred: {why}",
        "details": {"causes": [{"message": why}]},
        "code": 500,
    }


class Channels:
    """One client's websocket."""

    def __init__(self, socket: web.WebSocketResponse, wanted: set[int]) -> None:
        """`wanted`: which of STDIN, STDOUT and STDERR the client asked for."""
        self._socket, self._wanted = socket, wanted

    async def serve(self, process: Process, *, owned: bool) -> None:
        """Carry data both ways until the process ends or the client leaves; an owned process ends with the client."""
        output = asyncio.create_task(self._output(process))
        feeding = asyncio.create_task(self._input(process))
        try:
            await asyncio.wait({output, feeding}, return_when=asyncio.FIRST_COMPLETED)
            if output.done():
                output.result()
                code = await process.wait()
                # while somebody reads the websocket it would be cut off instead of closed
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)
                await self.finish(ended(code) if owned else succeeded())
        finally:
            if owned:
                process.kill()  # nothing when it has ended
            for task in (output, feeding):
                task.cancel()
            await asyncio.gather(output, feeding, return_exceptions=True)
            if owned:  # frees what the process held here
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(process.wait(), LAST_WAIT)

    async def finish(self, status: dict[str, Any]) -> None:
        """Say how it ended, and close as websockets close."""
        with contextlib.suppress(ConnectionResetError):
            await self._socket.send_bytes(bytes([ERROR]) + json.dumps(status).encode())
            await self._socket.close(code=1000)

    async def _output(self, process: Process) -> None:
        async for channel, data in process.output():
            if channel in self._wanted:
                for at in range(0, len(data), CHUNK):
                    await self._socket.send_bytes(bytes([channel]) + data[at : at + CHUNK])

    async def _input(self, process: Process) -> None:
        """Until the client closes the websocket."""
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                frame = message.data.encode()  # the Python client's way
            elif message.type is WSMsgType.BINARY:
                frame = message.data
            else:
                continue
            if not frame:
                continue
            channel, data = frame[0], frame[1:]
            if channel == STDIN and STDIN in self._wanted:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it no longer reads
                    if data:
                        await process.write(data)
            elif channel == CLOSE and data == bytes([STDIN]):
                await process.close_stdin()
            elif channel == RESIZE:
                _resize(process, data)


def _resize(process: Process, data: bytes) -> None:
    try:
        size = json.loads(data)
        rows, columns = int(size["Height"]), int(size["Width"])
    except (ValueError, KeyError, TypeError):
        return  # a size that cannot be read changes nothing
    if 0 < rows < 65536 and 0 < columns < 65536:
        process.resize(rows, columns)


async def open_socket(request: web.Request) -> web.WebSocketResponse:
    """Upgrade the request."""
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0, compress=False, timeout=2)
    await socket.prepare(request)
    return socket
