"""A way to the API server that can be cut: a TCP proxy on the loopback, and a kubeconfig that leads through it."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import yaml

PASS, REFUSE, HANG = "pass", "refuse", "hang"


class Way:
    """Passes bytes on both ways, refuses everything, or lets everything hang, open connections too."""

    def __init__(self, kubeconfig: Path, through: Path) -> None:
        """Listen; write a kubeconfig to `through`."""
        known = yaml.safe_load(kubeconfig.read_text())
        server = urlsplit(known["clusters"][0]["cluster"]["server"])
        self._target = (str(server.hostname), int(server.port or 443))
        self._mode = PASS
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._port = 0
        self._listen()
        known["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self._port}"
        through.write_text(json.dumps(known))

    def cut(self, mode: str) -> None:
        """REFUSE or HANG from now on."""
        self._mode = mode
        if mode == REFUSE:
            if self._listener is not None:
                self._listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread in accept
                self._listener.close()
                self._listener = None
            self.reset()

    def reset(self) -> None:
        """Break every open connection, as a router that has lost its state."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """As it was; what hung goes on."""
        self._mode = PASS
        if self._listener is None:
            self._listen()

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        listener.listen(64)
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._wait()
        try:
            server = socket.create_connection(self._target, 10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        self._open |= {client, server}
        threads = [
            threading.Thread(target=self._pump, args=pair, daemon=True) for pair in ((client, server), (server, client))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._open -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                self._wait()
                target.sendall(piece)
        except OSError:
            pass
        self._wait()
        for each, how in ((source, socket.SHUT_RD), (target, socket.SHUT_WR)):
            with contextlib.suppress(OSError):
                each.shutdown(how)

    def _wait(self) -> None:
        while self._mode == HANG:
            time.sleep(0.05)
