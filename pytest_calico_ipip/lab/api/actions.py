"""From a request to what it asks for, in the words of authorization: verb, group, resource, namespace, name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiohttp import web

from pytest_calico_ipip.lab.api.paths import Target
from pytest_calico_ipip.lab.api.query import flag
from pytest_calico_ipip.lab.api.rbac import Action

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "HEAD": "get"}
_STREAMS = ("exec", "attach")
_ONE_NAME = "metadata.name="


def on_path(request: web.Request) -> Action:
    """Of a path that is no resource: the method is the verb."""
    return Action(request.method.lower(), path=request.path)


def on_target(request: web.Request, target: Target) -> Iterator[Action]:
    """What a request for an object or a collection needs; all of it is needed."""
    kind, name = target.kind, target.name or ""
    # as an API server does it: a list of the one object with that name is a request for that name
    selector = request.query.get("fieldSelector", "")
    if not name and request.method in ("GET", "DELETE") and selector.startswith(_ONE_NAME) and "," not in selector:
        name = selector.removeprefix(_ONE_NAME)
    # a namespace lies in itself: a Role in it may speak of it
    namespace = (target.name or "") if kind.key == "namespaces" else target.namespace or ""
    resource = f"{kind.plural}/{target.subresource}" if target.subresource else kind.plural
    yield Action(_verb(request, named=target.name is not None), kind.group, resource, namespace, name)
    if target.subresource in _STREAMS and request.method == "GET":
        # an API server from 1.35 on asks for this as well, for a websocket opens with GET and yet runs a command
        yield Action("create", kind.group, resource, namespace, name)


def on_unknown(request: web.Request, parts: Sequence[str]) -> Action:
    """Of a path where nothing is served: a kind that does not exist has a verb, too."""
    if parts[0] == "api" and len(parts) > 2:
        group, rest = "", list(parts[2:])
    elif parts[0] == "apis" and len(parts) > 3:
        group, rest = parts[1], list(parts[3:])
    else:
        return on_path(request)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    resource = f"{plural}/{subresource}" if subresource else plural
    return Action(_verb(request, named=bool(name)), group, resource, namespace, name)


def _verb(request: web.Request, *, named: bool) -> str:
    if request.method == "GET" and not named:
        return "watch" if flag(request.query, "watch") else "list"
    if request.method == "DELETE":
        return "delete" if named else "deletecollection"
    return _VERBS.get(request.method, request.method.lower())
