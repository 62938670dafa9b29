"""How to reach an API server: address, TLS and credentials, as a kubeconfig or a pod's service account has them.

Whatever a kubeconfig may hold, the official client understands it. Loading that client takes a second on a slow
machine, though, and a token beside a certificate authority needs none of it: such a file is read here.
"""

from __future__ import annotations

import atexit
import base64
import functools
import os
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pytest_calico_ipip import temporary
from pytest_calico_ipip.cluster import acting_as
from pytest_calico_ipip.cluster.proxies import VARIABLES, Proxy, proxy_for
from pytest_calico_ipip.cluster.secret import Secret, unlogged
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.remote import one_line
from pytest_calico_ipip.settings import Settings

_SIMPLE_CLUSTER = {"server", "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify"}
_SIMPLE_USER = {"token"}


@dataclass(frozen=True)
class Access:
    """One API server as one user. `authorization` gives the header's value anew for each request."""

    server: str
    tls: ssl.SSLContext
    authorization: Callable[[], Secret | None] = field(repr=False)
    server_name: str | None = None  # the name in its certificate, where that is not the address
    proxy: Proxy | None = None  # on the way there, where one is
    acting_as: tuple[tuple[str, str], ...] = ()  # headers of each request, where the user acts as another


def access(settings: Settings) -> Access:
    """Read what the settings name; nothing is sent yet, unless a credential plugin does. Raises `SetupProblem`."""
    if settings.in_cluster:
        return _of_the_pod()
    if settings.kubeconfig is None:
        raise SetupProblem("No kubeconfig was given", "Name one with --kubeconfig FILE.")
    try:
        document = _document(settings.kubeconfig)
        cluster, user = (_chosen(document, settings.context, kind) for kind in ("cluster", "user"))
        keys = any(str(name).endswith("-data") or name == "exec" for name in (*cluster, *user))
        found = _simple(cluster, user, settings.kubeconfig) or _official(settings.kubeconfig, settings.context, keys)
        return replace(found, acting_as=acting_as.headers(user))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise SetupProblem(
            f"{settings.kubeconfig} cannot be used: {one_line(str(error), 200)}",
            "Check it with `kubectl --kubeconfig FILE get nodes`; a context is chosen with --ipip-context.",
        ) from error


def _document(path: Path) -> Any:
    import yaml

    try:
        return yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.YAMLError:
        raise ValueError("it is not YAML") from None  # the parser's own words quote the file, and it has credentials


def _chosen(document: Any, context: str | None, kind: str) -> dict[str, Any]:
    """What is said of the context's `cluster` or `user`; nothing where there is none: the official client says why."""
    try:
        chosen = _named(document["contexts"], context or document["current-context"])["context"]
        found = _named(document[f"{kind}s"], chosen[kind])[kind]
    except (KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _simple(cluster: dict[str, Any], user: dict[str, Any], path: Path) -> Access | None:
    """A cluster with its authority and a user with a token; None for everything that says more."""
    server = cluster.get("server")
    simple = set(cluster) <= _SIMPLE_CLUSTER and set(user) - acting_as.FIELDS == _SIMPLE_USER and user["token"]
    if not simple or not str(server).startswith("https:"):
        return None
    authorization = _header(f"Bearer {user.pop('token')}")
    authority = cluster.get("certificate-authority")
    data = cluster.get("certificate-authority-data")
    tls = _tls(
        str(path.parent / authority) if authority else None,
        base64.b64decode(data).decode("ascii") if data else None,
        verify=not cluster.get("insecure-skip-tls-verify"),
    )
    address = without_login(str(server))
    return Access(address, tls, lambda: authorization, proxy=proxy_for(address, None, os.environ))


def _of_the_pod() -> Access:
    """The pod's service account, as the official client takes it: the token's file is read again every minute."""
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call,unused-ignore]
        return _configured(configuration)
    except (config.ConfigException, OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise SetupProblem(
            f"The pod's service account cannot be used: {one_line(str(error), 200)}",
            "Its token, certificate authority and API server's address come from the kubelet: see the pod's "
            "serviceAccountName and automountServiceAccountToken.",
        ) from error


def _official(path: Path, context: str | None, keys: bool) -> Access:
    """The official client: client certificates, credential plugins and auth providers, proxies, and its own errors.

    `keys`: whether it may have to write some to files.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        with unlogged() as said:
            config.load_kube_config(  # type: ignore[no-untyped-call,unused-ignore]
                config_file=str(path),
                context=context,
                client_configuration=configuration,
                persist_config=False,
                temp_file_path=str(_folder_of_keys()) if keys else None,
            )
    except config.ConfigException as error:
        raise ValueError(str(error)) from error
    _refuse_a_failed_plugin(said)
    return _configured(configuration)


@functools.cache
def _folder_of_keys() -> Path:
    """Where the official client writes what a kubeconfig holds inline, and looks for it when a credential is renewed.

    It goes with this process, or with the next run that finds its owner dead.
    """
    held = temporary.make("keys")
    atexit.register(held.remove)
    return held.path


def _refuse_a_failed_plugin(said: list[str]) -> None:
    """The client only logs it, and goes on without credentials; behind its first sentence is the plugin's own."""
    if said:
        raise ValueError(f"its credential plugin failed: {said[0].partition('. ')[0]}")


def _configured(configuration: Any) -> Access:
    from kubernetes.config import ConfigException

    tls = _tls(configuration.ssl_ca_cert, None, verify=configuration.verify_ssl)
    if configuration.cert_file:
        tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    one_at_a_time = threading.Lock()  # a credential plugin may be run to refresh a token

    def authorization() -> Secret | None:
        try:
            with one_at_a_time, unlogged() as said:
                token = configuration.auth_settings().get("BearerToken")
            _refuse_a_failed_plugin(said)
            return _header(str(token["value"]).strip()) if token else None
        except (ConfigException, OSError, ValueError) as error:
            raise SetupProblem(
                f"The credentials for {configuration.host} could not be renewed: {one_line(str(error), 200)}",
                "Log in again; in a pod, see whether its service account is still there.",
            ) from error

    # what the client took from the environment is no proxy-url
    of_environment = {os.environ.get(name) for name in VARIABLES}
    named = configuration.proxy if configuration.proxy not in of_environment else None
    address = without_login(configuration.host)
    return Access(
        address,
        tls,
        authorization,
        getattr(configuration, "tls_server_name", None),
        proxy_for(address, named, os.environ),
    )


def without_login(url: str) -> str:
    """A URL without user and password, which nothing may show."""
    parts = urlsplit(url.rstrip("/"))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _header(value: str) -> Secret:
    """What an Authorization header may hold. Raises ValueError, which does not quote it."""
    if not (value.isascii() and value.isprintable()):
        raise ValueError("its token has characters that no header may hold")
    return Secret(value)


def _tls(ca_file: str | None, ca_data: str | None, *, verify: bool) -> ssl.SSLContext:
    tls = ssl.create_default_context(cafile=ca_file, cadata=ca_data)
    # clusters' own authorities often lack what Python 3.13 began to insist on
    tls.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if not verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls


def _named(entries: list[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise KeyError(name)
