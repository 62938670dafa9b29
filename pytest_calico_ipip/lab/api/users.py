"""Who asks: the lab's own token, service accounts' tokens, client certificates, and whom they speak for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from pytest_calico_ipip.lab.api.errors import ApiError, bad_request
from pytest_calico_ipip.lab.api.rbac import AUTHENTICATED, MASTERS, Action, Authorizer, User
from pytest_calico_ipip.lab.api.store import Store

ADMIN = User("kubernetes-admin", (MASTERS, AUTHENTICATED))
ISSUER = "https://kubernetes.default.svc.cluster.local"
SHORTEST, USUAL, LONGEST = 600, 3600, 24 * 3600  # seconds that a token may live


class Users:
    """Finds the user behind a request, and issues service accounts' tokens."""

    def __init__(self, store: Store, authorizer: Authorizer) -> None:
        self.admin_token = secrets.token_urlsafe(32)
        self._store, self._authorizer = store, authorizer
        self._key = secrets.token_bytes(32)

    def asking(self, request: web.Request) -> User:
        """The user. Raises `ApiError` 401 for a stranger, 403 for who may not speak for another."""
        user = self._known(request)
        headers = request.headers
        if other := headers.get("Impersonate-User"):
            groups = headers.getall("Impersonate-Group", [])
            self._authorizer.require(user, _impersonation(other))
            for group in groups:
                self._authorizer.require(user, Action("impersonate", resource="groups", name=group))
            return User(other, (*groups, *_groups_of(other), AUTHENTICATED))
        return user

    def _known(self, request: web.Request) -> User:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token:
            if hmac.compare_digest(token.encode(), self.admin_token.encode()):
                return ADMIN
            user = self._service_account(token)
        else:
            # only a certificate that the lab's own authority has signed comes through the handshake
            transport = request.transport
            user = _certified(transport.get_extra_info("peercert") if transport else None)
        if user is None:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return user

    def issue(self, namespace: str, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a TokenRequest. Raises `ApiError` 404, 400."""
        account = self._store.get("serviceaccounts", namespace, name)["metadata"]
        spec = dict(asked.get("spec") or {})
        seconds = spec.get("expirationSeconds") or USUAL
        if not isinstance(seconds, int) or not SHORTEST <= seconds <= LONGEST:
            raise bad_request(f"spec.expirationSeconds: Invalid value: {seconds}: from {SHORTEST} to {LONGEST}")
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": spec.get("audiences") or [ISSUER],
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": account["uid"]}},
        }
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + seconds))
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"audiences": claims["aud"], "expirationSeconds": seconds},
            "status": {"token": self._signed(claims), "expirationTimestamp": ends},
        }

    def _signed(self, claims: Mapping[str, Any]) -> str:
        text = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return f"{text}.{_encoded(self._mac(text))}"

    def _mac(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()

    def _service_account(self, token: str) -> User | None:
        """The account, while it is still the one that the token was issued for and the token's time is not over."""
        text, _, mac = token.rpartition(".")
        if not hmac.compare_digest(_encoded(self._mac(text)).encode(), mac.encode()):
            return None
        claims = json.loads(_decoded(text.partition(".")[2]))
        about = claims["kubernetes.io"]
        namespace, account = about["namespace"], about["serviceaccount"]
        held = self._store.held("serviceaccounts").get((namespace, account["name"]))
        if held is None or held["metadata"]["uid"] != account["uid"] or claims["exp"] < time.time():
            return None
        if ISSUER not in claims["aud"]:
            return None
        name = claims["sub"]
        return User(name, (*_groups_of(name), AUTHENTICATED), account["uid"])


def _certified(certificate: Mapping[str, Any] | None) -> User | None:
    """A client certificate's common name is the user, its organizations are the groups."""
    fields = [pair for relative in (certificate or {}).get("subject", ()) for pair in relative]
    names = [value for key, value in fields if key == "commonName"]
    if not names:
        return None
    return User(names[0], (*(value for key, value in fields if key == "organizationName"), AUTHENTICATED))


def _impersonation(name: str) -> Action:
    parts = name.split(":")
    if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:
        return Action("impersonate", resource="serviceaccounts", namespace=parts[2], name=parts[3])
    return Action("impersonate", resource="users", name=name)


def _groups_of(name: str) -> tuple[str, ...]:
    parts = name.split(":")
    if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:
        return ("system:serviceaccounts", f"system:serviceaccounts:{parts[2]}")
    return ()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
