"""The lab's API server: TLS, who may, and the way from a path to the store or to a container."""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trustme
from aiohttp import web

from pytest_calico_ipip.lab.api import actions, discovery, errors, kubeconfig, openapi, rbac, reviews
from pytest_calico_ipip.lab.api.accounts import ApiPlace
from pytest_calico_ipip.lab.api.errors import ApiError
from pytest_calico_ipip.lab.api.objects import Objects, answer
from pytest_calico_ipip.lab.api.paths import Target, parse
from pytest_calico_ipip.lab.api.podstreams import PodStreams
from pytest_calico_ipip.lab.api.query import body
from pytest_calico_ipip.lab.api.rbac import Authorizer, User
from pytest_calico_ipip.lab.api.runtime import Runtime
from pytest_calico_ipip.lab.api.store import Store
from pytest_calico_ipip.lab.api.users import Users

_LOG = logging.getLogger(__name__)
_OPEN = frozenset({"healthz", "livez", "readyz", "version"})  # as in Kubernetes: without a token
_LARGEST_BODY = 8 * 1024 * 1024  # bytes


class ApiServer:
    """Serves a store over HTTPS. `start` writes the kubeconfig; what stands below is there from then on."""

    url: str
    kubeconfig: Path
    authority: trustme.CA
    place: ApiPlace

    def __init__(self, store: Store, runtime: Runtime) -> None:
        for resource, role in rbac.defaults():
            store.create(resource, role)
        self._objects = Objects(store)
        self._streams = PodStreams(store, runtime)
        self._authorizer = Authorizer(store)
        self._users = Users(store, self._authorizer)
        self._runner: web.AppRunner | None = None

    async def start(self, state: Path, host: str = "127.0.0.1", port: int = 0, *, for_pods: str | None = None) -> Path:
        """Listen on `host` (any free port unless one is given); returns `<state>/kubeconfig`, mode 0600.

        `for_pods` is one more address, with the same port, that pods reach: see `place`.
        """
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        names = dict.fromkeys([host, for_pods or host, "127.0.0.1", "localhost", "kubernetes.default.svc"])
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _use(tls, authority.issue_cert(*names, key_type=trustme.KeyType.ECDSA), state)
        # a client may show a certificate of this authority in the place of a token
        tls.load_verify_locations(cadata=authority.cert_pem.bytes().decode())
        tls.verify_mode = ssl.CERT_OPTIONAL
        self.authority = authority
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # a client that goes away ends its watch, its log and its process at once
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=tls, backlog=512)
        await site.start()
        bound = self._runner.addresses[0][1]
        if for_pods is not None:
            await web.TCPSite(self._runner, for_pods, bound, ssl_context=tls, backlog=512).start()
        self.place = ApiPlace(for_pods or host, bound, self._account_files)
        address = f"[{host}]" if ":" in host else host
        self.url = f"https://{address}:{bound}"
        self.kubeconfig = state / "kubeconfig"
        kubeconfig.write(
            self.kubeconfig, url=self.url, authority=authority.cert_pem.bytes(), token=self._users.admin_token
        )
        return self.kubeconfig

    def _account_files(self, namespace: str, account: str) -> dict[str, str]:
        """What a pod with this service account has below `accounts.MOUNTED`. Raises `ApiError` 404."""
        token: str = self._users.issue(namespace, account, {})["status"]["token"]
        return {"token": token, "ca.crt": self.authority.cert_pem.bytes().decode(), "namespace": namespace}

    async def stop(self) -> None:
        """End every stream and stop listening; safe to call twice."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ApiError as error:
            return answer(error.status(), error.code)
        except web.HTTPRequestEntityTooLarge:
            too_large = ApiError(413, "RequestEntityTooLarge", f"the body has more than {_LARGEST_BODY} bytes")
            return answer(too_large.status(), 413)
        except (asyncio.CancelledError, ConnectionResetError):
            raise
        except Exception as error:
            _LOG.exception("the lab's API failed at %s %s", request.method, request.path)
            broken = ApiError(500, "InternalError", f"Internal error occurred: {type(error).__name__}: {error}")
            return answer(broken.status(), 500)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        parts = [part for part in request.path.split("/") if part]
        root = parts[0] if parts else ""
        if root in _OPEN:
            return answer(discovery.version()) if root == "version" else web.Response(text="ok")
        user = self._users.asking(request)
        if found := _about(parts):
            self._authorizer.require(user, actions.on_path(request))
            return answer(found)
        if reviews.is_review(parts):
            return await self._review(request, user, parts[1], parts[3])
        target = parse(parts)
        if target is None:
            # who may not ask for a kind is not told whether it exists
            self._authorizer.require(user, actions.on_unknown(request, parts))
            raise errors.no_such_path()
        for action in actions.on_target(request, target):
            self._authorizer.require(user, action)
        return await self._serve(request, target)

    async def _review(self, request: web.Request, user: User, group: str, plural: str) -> web.StreamResponse:
        if request.method != "POST":
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        self._authorizer.require(user, rbac.Action("create", group, plural))
        return answer(reviews.answered(group, plural, self._authorizer, user, await _asked(request)), 201)

    async def _serve(self, request: web.Request, target: Target) -> web.StreamResponse:
        stream = {"exec": self._streams.exec, "attach": self._streams.attach, "log": self._streams.log}.get(
            target.subresource or ""
        )
        if stream is not None:
            return await stream(request, target)
        if target.subresource == "token" and request.method == "POST":
            asked = await _asked(request)
            return answer(self._users.issue(target.namespace or "", target.name or "", asked), 201)
        verbs: dict[tuple[str, bool], Callable[[web.Request, Target], Awaitable[web.StreamResponse]]] = {
            ("GET", True): self._objects.get,
            ("GET", False): self._objects.list_or_watch,
            ("POST", False): self._objects.create,
            ("POST", True): self._objects.create_subresource,
            ("PUT", True): self._objects.update,
            ("PATCH", True): self._objects.patch,
            ("DELETE", True): self._objects.delete,
            ("DELETE", False): self._objects.delete_collection,
        }
        verb = verbs.get((request.method, target.name is not None))
        if verb is None:
            why = "the server does not allow this method on the requested resource"
            raise ApiError(405, "MethodNotAllowed", why)
        return await verb(request, target)


def _use(tls: ssl.SSLContext, certificate: trustme.LeafCert, state: Path) -> None:
    """Python loads keys from files only: a file in the lab's own directory that is gone at once."""
    with tempfile.TemporaryDirectory(dir=state) as directory:
        path = Path(directory) / "key-and-certificate.pem"
        path.touch(mode=0o600)
        certificate.private_key_and_cert_chain_pem.write_to_path(path)
        tls.load_cert_chain(path)


def _about(parts: list[str]) -> dict[str, Any] | None:
    """Discovery and OpenAPI; `None` for other paths."""
    if parts[:2] == ["openapi", "v3"]:
        return openapi.index() if len(parts) == 2 else openapi.document("/".join(parts[2:]))
    if not parts:
        return {"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]}
    if parts == ["api"]:
        return discovery.core_versions()
    if parts == ["apis"]:
        return discovery.group_list()
    if parts == ["api", "v1"]:
        return discovery.resource_list("", "v1")
    if parts[0] == "apis" and len(parts) == 2:
        return discovery.group(parts[1])
    if parts[0] == "apis" and len(parts) == 3:
        return discovery.resource_list(parts[1], parts[2])
    return None


async def _asked(request: web.Request) -> dict[str, Any]:
    asked = body(await request.read(), request.headers.get("Content-Type", "")) or {}
    if not isinstance(asked, dict):
        raise errors.bad_request("the body holds no object")
    return asked
