"""The connection to the API server: raw bytes in and out, so that evidence is what the server said."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pytest_calico_ipip.cluster.access import Access, access
from pytest_calico_ipip.cluster.answers import decoded, items
from pytest_calico_ipip.cluster.headers import headers
from pytest_calico_ipip.cluster.pages import LIMIT, whole_list
from pytest_calico_ipip.cluster.problems import refused, unreachable
from pytest_calico_ipip.cluster.retries import retries
from pytest_calico_ipip.cluster.secret import Secret
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.settings import Settings

if TYPE_CHECKING:
    import urllib3

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
LARGEST_EVENT = 16 * 1024 * 1024  # bytes; no object that etcd takes is larger than a tenth of it


class Api:
    """One API server. Thread-safe; every call is bounded in time and size and raises `SetupProblem`."""

    def __init__(self, access: Access) -> None:
        import urllib3

        self.access = access
        self.server = access.server
        options: dict[str, Any] = {"maxsize": 16, "ssl_context": access.tls}
        if access.server_name:
            options["server_hostname"] = access.server_name
        self._pool: urllib3.PoolManager
        if access.proxy is not None:
            login = urllib3.make_headers(proxy_basic_auth=access.proxy.login) if access.proxy.user else {}
            hidden = {name: Secret(value) for name, value in login.items()}
            self._pool = urllib3.ProxyManager(access.proxy.url, proxy_headers=hidden, **options)
        else:
            self._pool = urllib3.PoolManager(**options)

    @classmethod
    def connect(cls, settings: Settings) -> Api:
        """As the kubeconfig of the settings says; nothing is sent yet."""
        return cls(access(settings))

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.clear()

    def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The body of a GET, byte for byte."""
        return self._request("GET", path, query)

    def whole(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """A list, however many pages it has; see `pages`."""
        return whole_list(self.get, path, query or {})

    def list(self, path: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """The items of a list."""
        return items(self.whole(path, query))

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """POST, DELETE and so on with a JSON body; the answer's object."""
        data = json.dumps(body).encode() if body is not None else None
        answer = decoded(self._request(method, path, query, data))
        return answer if isinstance(answer, dict) else {}

    def watch(self, path: str, query: Mapping[str, str], seconds: float) -> Iterator[dict[str, Any]]:
        """Events of a watch, from the objects that are there (as ADDED) on; ends after `seconds` at most."""
        import urllib3

        deadline = time.monotonic() + seconds
        query = {**query, "watch": "true", "timeoutSeconds": str(max(1, int(seconds)))}
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=max(1.0, seconds))
        response = self._open("GET", path, query, None, timeout)
        rest = b""
        try:
            for piece in response.stream(65536):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    event = decoded(line) if line.strip() else None
                    if isinstance(event, dict):
                        yield event
                # the server may go on for ever, with many events or with one
                if len(rest) > LARGEST_EVENT or time.monotonic() > deadline:
                    return
        except (urllib3.exceptions.HTTPError, OSError):
            return  # ended by time or by the server: the caller looks at its own clock and asks again
        finally:
            response.close()

    def _request(self, method: str, path: str, query: Mapping[str, str] | None, body: bytes | None = None) -> bytes:
        import urllib3

        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        response = self._open(method, path, query, body, timeout)
        try:
            data = response.read(LIMIT + 1)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(error, self.server) from error
        finally:
            response.release_conn()
        if len(data) > LIMIT:
            raise SetupProblem(
                f"{self.server} sent more than {LIMIT} bytes for {path}",
                "Is this a Kubernetes API? A larger list cannot be judged.",
            )
        return data

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        timeout: urllib3.Timeout,
    ) -> urllib3.BaseHTTPResponse:
        import urllib3

        pairs = [("Accept", "application/json"), ("User-Agent", "pytest-calico-ipip"), *self.access.acting_as]
        if body is not None:
            pairs.append(("Content-Type", "application/json"))
        if authorization := self.access.authorization():
            pairs.append(("Authorization", authorization))
        url = self.server + path + ("?" + urlencode(query) if query else "")
        try:
            response = self._pool.urlopen(
                method,
                url,
                body=body,
                headers=headers(pairs),
                timeout=timeout,
                retries=retries(method),
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(error, self.server) from error
        if response.status >= 300:
            try:
                said = response.read(65536)
            except (urllib3.exceptions.HTTPError, OSError):
                said = b""
            response.release_conn()
            refusal = refused(response.status, said, f"{method} {path}", self.server)
            refusal.repeated = bool(response.retries and response.retries.history)
            raise refusal
        return response
