"""The verbs of HTTP on the objects of the store: get, list, watch, create, update, patch, delete, deletecollection."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from pytest_calico_ipip.lab.api import patches, query, tables
from pytest_calico_ipip.lab.api.errors import ApiError, bad_request, no_such_path
from pytest_calico_ipip.lab.api.paths import Target
from pytest_calico_ipip.lab.api.selectors import Object
from pytest_calico_ipip.lab.api.store import Store, Watch

LONGEST_WATCH = 3600.0  # seconds, where the client names no time


def answer(value: Any, code: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=_json(value), status=code, content_type="application/json")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Objects:
    """Request handlers; `ApiError`s are for the caller to answer."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, request: web.Request, target: Target) -> web.StreamResponse:
        """One object."""
        if target.subresource not in (None, "status"):
            raise no_such_path()
        obj = self._store.get(target.kind.key, target.namespace, target.name or "")
        return self._one(request, target, obj)

    async def list_or_watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        """All selected objects, or their changes."""
        if query.flag(request.query, "watch"):
            return await self._watch(request, target)
        found, version = self._store.list(target.kind.key, target.namespace, **_selectors(request))
        if query.wants_table(request.headers.get("Accept", "")):
            return answer(tables.table(target.kind, found, version, include=_included(request)))
        meta = {"kind": f"{target.kind.kind}List", "apiVersion": target.kind.api_version}
        return answer({**meta, "metadata": {"resourceVersion": version}, "items": found})

    async def create(self, request: web.Request, target: Target) -> web.StreamResponse:
        """A new object."""
        obj = await _object(request)
        new = self._store.create(target.kind.key, obj, namespace=target.namespace, dry_run=_dry(request))
        return self._one(request, target, new, 201)

    async def create_subresource(self, request: web.Request, target: Target) -> web.StreamResponse:
        """A pod's binding to a node, or its eviction from one."""
        obj, name = await _object(request), target.name or ""
        if target.subresource == "binding":
            node = (obj.get("target") or {}).get("name")
            if not node:
                raise bad_request("target.name: the node's name is missing")
            self._store.bind(target.namespace or "", name, node)
        elif target.subresource == "eviction":
            self._store.delete("pods", target.namespace, name, **_deletion(obj.get("deleteOptions") or {}, request))
        else:
            raise no_such_path()
        return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)

    async def update(self, request: web.Request, target: Target) -> web.StreamResponse:
        """The whole object anew, or its status."""
        obj = await _object(request)
        meta = obj.setdefault("metadata", {})
        if meta.setdefault("name", target.name) != target.name:
            raise bad_request("the name of the object does not match the name on the URL")
        if target.kind.namespaced:
            meta["namespace"] = target.namespace
        new = self._store.update(target.kind.key, obj, subresource=target.subresource, dry_run=_dry(request))
        return self._one(request, target, new)

    async def patch(self, request: web.Request, target: Target) -> web.StreamResponse:
        """A part of the object; a server-side apply of an object that is not there creates it."""
        form = request.headers.get("Content-Type", "").split(";")[0].strip()
        patch = query.body(await request.read(), form)
        where = (target.kind.key, target.namespace, target.name or "")
        try:
            new = self._store.patch(*where, patch, form, target.subresource, dry_run=_dry(request))
        except ApiError as error:
            if error.code != 404 or form != patches.APPLY or target.subresource or not isinstance(patch, dict):
                raise
            patch.setdefault("metadata", {}).setdefault("name", target.name)
            made = self._store.create(target.kind.key, patch, namespace=target.namespace, dry_run=_dry(request))
            return self._one(request, target, made, 201)
        return self._one(request, target, new)

    async def delete(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Pods and namespaces answer with themselves, for they are not gone yet; others with a Status."""
        if target.subresource:
            raise no_such_path()
        options = await _options(request)
        kind, name = target.kind, target.name or ""
        gone = self._store.delete(kind.key, target.namespace, name, **_deletion(options, request))
        if kind.key in ("pods", "namespaces") or gone["metadata"].get("finalizers"):
            return self._one(request, target, gone)
        details = {"name": name, **({"group": kind.group} if kind.group else {})}
        details |= {"kind": kind.plural, "uid": gone["metadata"]["uid"]}
        return answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})

    async def delete_collection(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Everything selected; answers with the list of it."""
        options = await _options(request)
        if target.kind.namespaced and target.namespace is None:
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        found, version = self._store.list(target.kind.key, target.namespace, **_selectors(request))
        for obj in found:
            with contextlib.suppress(_Gone):  # with its owner, or by another client
                self._delete_quietly(target, obj, _deletion(options, request))
        meta = {"kind": f"{target.kind.kind}List", "apiVersion": target.kind.api_version}
        return answer({**meta, "metadata": {"resourceVersion": version}, "items": found})

    def _delete_quietly(self, target: Target, obj: Object, options: dict[str, Any]) -> None:
        try:
            self._store.delete(target.kind.key, target.namespace, obj["metadata"]["name"], **options)
        except ApiError as error:
            if error.code == 404:
                raise _Gone from None
            raise

    def _one(self, request: web.Request, target: Target, obj: Object, code: int = 200) -> web.Response:
        if query.wants_table(request.headers.get("Accept", "")):
            version = obj["metadata"].get("resourceVersion", "")
            return answer(tables.table(target.kind, [obj], version, include=_included(request)), code)
        return answer(obj, code)

    # watching

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        asked = request.query
        whole = query.flag(asked, "sendInitialEvents")
        since = None if whole else asked.get("resourceVersion")
        seconds = query.number(asked, "timeoutSeconds")
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        as_table = query.wants_table(request.headers.get("Accept", ""))
        lines = _Lines(stream, target, _included(request) if as_table else None)
        try:
            changes = self._store.watch(
                target.kind.key, target.namespace, resource_version=since, **_selectors(request)
            )
        except ApiError as error:
            if error.code != 410:
                raise
            await stream.prepare(request)
            await lines.send("ERROR", error.status())
            return stream
        initial = changes.waiting if whole else -1
        version = self._store.version
        with changes, contextlib.suppress(asyncio.TimeoutError, ConnectionResetError):
            await stream.prepare(request)
            await asyncio.wait_for(
                _send(changes, lines, initial, version), LONGEST_WATCH if seconds is None else max(seconds, 0)
            )
        return stream


class _Gone(Exception):
    """Somebody else deleted it first."""


async def _send(changes: Watch, lines: _Lines, initial: int, version: str) -> None:
    """All changes; after so many initial ones the mark that the picture is complete (-1: no mark)."""
    if initial == 0:
        await lines.complete(version)
    async for change, obj in changes:
        await lines.send(change, obj)
        initial -= 1
        if initial == 0:
            await lines.complete(version)


class _Lines:
    """A watch's answer: a JSON object a line, each a change; for kubectl's tables each object is a Table."""

    def __init__(self, stream: web.StreamResponse, target: Target, include: str | None) -> None:
        self._stream, self._target, self._include = stream, target, include
        self._headed = False

    async def send(self, change: str, obj: Object) -> None:
        if self._include is not None and change != "ERROR":
            version = obj["metadata"].get("resourceVersion", "")
            rows = [] if change == "BOOKMARK" else [obj]
            headed, self._headed = not self._headed, True
            obj = tables.table(self._target.kind, rows, version, include=self._include, headed=headed)
            if change == "BOOKMARK":
                obj["rows"] = []
        await self._stream.write(_json({"type": change, "object": obj}) + b"\n")

    async def complete(self, version: str) -> None:
        kind = self._target.kind
        meta = {"resourceVersion": version, "annotations": {"k8s.io/initial-events-end": "true"}}
        await self.send("BOOKMARK", {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": meta})


# what requests ask for


def _selectors(request: web.Request) -> dict[str, str | None]:
    asked = request.query
    return {"label_selector": asked.get("labelSelector"), "field_selector": asked.get("fieldSelector")}


def _included(request: web.Request) -> str:
    wanted = request.query.get("includeObject") or "Metadata"
    if wanted not in ("Metadata", "Object", "None"):
        raise bad_request(f"unrecognized includeObject value: {wanted!r}")
    return wanted


def _dry(request: web.Request) -> bool:
    wanted = request.query.getall("dryRun", [])
    if any(one not in ("", "All") for one in wanted):
        raise bad_request(f"dryRun: {wanted[0]!r}: supported values: All")
    return "All" in wanted


async def _object(request: web.Request) -> dict[str, Any]:
    obj = query.body(await request.read(), request.headers.get("Content-Type", ""))
    if not isinstance(obj, dict):
        raise bad_request("the body holds no object")
    if "metadata" in obj and not isinstance(obj["metadata"], dict):
        raise bad_request("metadata is no object")
    return obj


async def _options(request: web.Request) -> Mapping[str, Any]:
    options = query.body(await request.read(), request.headers.get("Content-Type", "")) or {}
    if not isinstance(options, dict):
        raise bad_request("the body holds no DeleteOptions")
    return options


def _deletion(options: Mapping[str, Any], request: web.Request) -> dict[str, Any]:
    """DeleteOptions, from a body or the query, as `Store.delete` takes them."""
    grace = options.get("gracePeriodSeconds")
    preconditions = options.get("preconditions") or {}
    policy = options.get("propagationPolicy") or request.query.get("propagationPolicy")
    return {
        "grace_period_seconds": query.number(request.query, "gracePeriodSeconds") if grace is None else int(grace),
        "uid": preconditions.get("uid"),
        "resource_version": preconditions.get("resourceVersion"),
        "orphan": policy == "Orphan" or bool(options.get("orphanDependents")),
        "dry_run": _dry(request) or "All" in (options.get("dryRun") or ()),
    }
