"""The connection to the API server: the official client's kubeconfig, credentials and TLS; raw bytes in and out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pytest_calico_ipip.cluster.problems import refused, unreachable
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.remote import one_line
from pytest_calico_ipip.settings import Settings

if TYPE_CHECKING:
    import urllib3

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
LIMIT = 512 * 1024 * 1024  # bytes of one answer


class Api:
    """One API server. Thread-safe; every call is bounded in time and size and raises `SetupProblem`."""

    def __init__(self, configuration: Any, pool: urllib3.PoolManager) -> None:
        self.configuration = configuration
        self.server: str = configuration.host.rstrip("/")
        self._pool = pool
        self._credentials = threading.Lock()

    @classmethod
    def connect(cls, settings: Settings) -> Api:
        """Read the kubeconfig; nothing is sent yet, unless a credential plugin of the kubeconfig does."""
        if settings.kubeconfig is None:
            raise SetupProblem("No kubeconfig was given", "Name one with --kubeconfig FILE.")
        from kubernetes import client, config

        configuration = client.Configuration()
        try:
            config.load_kube_config(  # type: ignore[no-untyped-call,unused-ignore]
                config_file=str(settings.kubeconfig),
                context=settings.context,
                client_configuration=configuration,
                persist_config=False,
            )
        except config.ConfigException as error:
            raise SetupProblem(
                f"{settings.kubeconfig} cannot be used: {one_line(str(error))}",
                "Check it with `kubectl --kubeconfig FILE get nodes`; a context is chosen with --ipip-context.",
            ) from error
        except (OSError, ValueError) as error:
            raise SetupProblem(
                f"{settings.kubeconfig} cannot be read: {one_line(str(error))}", "Name a kubeconfig that you may read."
            ) from error
        configuration.connection_pool_maxsize = 16
        return cls(configuration, client.ApiClient(configuration).rest_client.pool_manager)

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.clear()

    def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The body of a GET, byte for byte."""
        return self._request("GET", path, query)

    def list(self, path: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """The items of a list."""
        return _items(self.get(path, query))

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """POST, DELETE and so on with a JSON body; the answer's object."""
        data = json.dumps(body).encode() if body is not None else None
        answer = json.loads(self._request(method, path, query, data))
        return answer if isinstance(answer, dict) else {}

    def watch(self, path: str, query: Mapping[str, str], seconds: float) -> Iterator[dict[str, Any]]:
        """Events of a watch, from the objects that are there (as ADDED) on; ends after `seconds` at most."""
        import urllib3

        query = {**query, "watch": "true", "timeoutSeconds": str(max(1, int(seconds)))}
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=max(1.0, seconds))
        response = self._open("GET", path, query, None, timeout)
        rest = b""
        try:
            for piece in response.stream(65536):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    event = json.loads(line) if line.strip() else None
                    if isinstance(event, dict):
                        yield event
        except (urllib3.exceptions.HTTPError, OSError):
            return  # ended by time or by the server: the caller looks at its own clock and asks again
        finally:
            response.close()

    def authorization(self) -> str | None:
        """The value of the Authorization header (it may be refreshed by a credential plugin: one at a time)."""
        with self._credentials:
            token = self.configuration.auth_settings().get("BearerToken")
        return token["value"] if token else None

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
            raise SetupProblem(f"{self.server} sent more than {LIMIT} bytes for {path}", "Is this a Kubernetes API?")
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

        headers = {"Accept": "application/json", "User-Agent": "pytest-calico-ipip"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if authorization := self.authorization():
            headers["Authorization"] = authorization
        url = self.server + path + ("?" + urlencode(query) if query else "")
        # a broken kept connection is worth one more try; a server that does not answer is not
        retries = urllib3.Retry(total=1, connect=0, read=1 if method == "GET" else 0, redirect=0, status=0, other=0)
        try:
            response = self._pool.request(
                method, url, body=body, headers=headers, timeout=timeout, retries=retries, preload_content=False
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(error, self.server) from error
        if response.status >= 300:
            try:
                said = response.read(65536)
            except (urllib3.exceptions.HTTPError, OSError):
                said = b""
            response.release_conn()
            raise refused(response.status, said, f"{method} {path}", self.server)
        return response


def _items(body: bytes) -> list[dict[str, Any]]:
    """The items of a list as the API server wrote it; `items: null` is an empty list."""
    data = json.loads(body)
    return [item for item in data.get("items") or [] if isinstance(item, dict)] if isinstance(data, dict) else []
