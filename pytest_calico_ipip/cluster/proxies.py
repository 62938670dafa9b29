"""Whether the way to the API server leads through a proxy: as kubectl decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from pytest_calico_ipip.cluster.secret import Secret

VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
_EXEMPT = ("NO_PROXY", "no_proxy")


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that is asked to CONNECT; everything to the API server is TLS inside of that."""

    host: str
    port: int
    user: str = ""
    password: Secret = field(default_factory=Secret)

    @property
    def login(self) -> Secret:
        """`user:password`."""
        return Secret(f"{self.user}:{self.password}")

    @property
    def url(self) -> str:
        """Without credentials: it stands in messages."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def proxy_for(server: str, named: str | None, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy on the way to a server; None for the direct way. `named` is the kubeconfig's proxy-url.

    That one is always taken. One of the environment (HTTPS_PROXY; not HTTP_PROXY, which is for other servers) is not
    for loopback addresses and not for what NO_PROXY names. Raises ValueError, with what can be done, for one that
    speaks SOCKS or TLS.
    """
    wanted = named
    if wanted is None:
        wanted = _first(environment, VARIABLES[:2] if server.startswith("https:") else VARIABLES[2:])
        if wanted is None or exempt(server, _first(environment, _EXEMPT) or ""):
            return None
    parts = urlsplit(wanted if "://" in wanted else f"http://{wanted}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(
            f"its way leads by a proxy with the scheme {parts.scheme!r}, and only http:// proxies (CONNECT) are "
            "supported: name such a one as proxy-url or HTTPS_PROXY, or exempt the server with NO_PROXY"
        )
    return Proxy(parts.hostname, parts.port or 80, unquote(parts.username or ""), Secret(unquote(parts.password or "")))


def exempt(server: str, no_proxy: str) -> bool:
    """Whether NO_PROXY names this server: by name, the end of its name, address, network, with or without a port."""
    parts = urlsplit(server)
    host, port = (parts.hostname or "").lower(), parts.port or 443
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    for entry in (one.strip().lower() for one in no_proxy.split(",")):
        name, colon, of_port = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
        if not entry or (colon and of_port != str(port)):
            continue
        if name == "*":
            return True
        if address is not None:
            try:
                if address in ip_network(name.strip("[]"), strict=False):
                    return True
            except ValueError:
                continue
        # `.name` and `*.name` are what ends so, `name` is also the name itself
        elif host.endswith(f".{name.lstrip('*').lstrip('.')}") or host == name:
            return True
    return False


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)
