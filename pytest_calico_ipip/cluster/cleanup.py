"""What interrupted runs left behind: found by our label, and nothing else is ever touched."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.pods import APP, EXPIRES, RUN_LABEL, TIME
from pytest_calico_ipip.cluster.problems import ApiRefusal
from pytest_calico_ipip.settings import Settings


def cleanup(settings: Settings) -> list[str]:
    """Delete everything that carries our label, also what a run that goes on just now made; what was deleted.

    Raises `SetupProblem` where the API is unreachable or refuses.
    """
    api = Api.connect(settings)
    try:
        return _delete(api, only_expired=False)
    finally:
        api.close()


def remove_expired(api: Api) -> list[str]:
    """Delete what runs left whose time is over; a run that may still go on keeps its own."""
    return _delete(api, only_expired=True)


def _delete(api: Api, *, only_expired: bool) -> list[str]:
    deleted = []
    refused: list[tuple[str, ApiRefusal]] = []
    now = datetime.now(timezone.utc)
    for kind, path, owned in (
        ("namespace", "/api/v1/namespaces", _own_namespace),
        ("pod", "/api/v1/pods", _lone_pod),
    ):
        for item in api.list(path, {"labelSelector": RUN_LABEL}):
            metadata = item.get("metadata") or {}
            if RUN_LABEL not in (metadata.get("labels") or {}) or not owned(metadata):
                continue
            if metadata.get("deletionTimestamp") or (only_expired and not expired(metadata, now)):
                continue
            name, namespace = metadata["name"], metadata.get("namespace")
            target = f"/api/v1/namespaces/{namespace}/pods/{name}" if kind == "pod" else f"/api/v1/namespaces/{name}"
            what = f"{kind} {namespace}/{name}" if kind == "pod" else f"{kind} {name}"
            try:
                # of the very object that was looked at: one with the same name made since is another's
                api.send(
                    "DELETE",
                    target,
                    {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": metadata.get("uid")}},
                )
            except ApiRefusal as refusal:
                if refusal.status not in (404, 409):
                    refused.append((what, refusal))  # it may be another's: what is ours comes after it
            else:
                deleted.append(what)
    if refused:
        (what, first), more = refused[0], len(refused) - 1
        left = f"{what} and {more} more were" if more else f"{what} was"
        done = f" (deleted: {', '.join(deleted)})" if deleted else ""
        raise type(first)(first.status, f"{left} not deleted: {first.problem.rstrip('.')}{done}", first.remedy)
    return deleted


def _own_namespace(metadata: Mapping[str, Any]) -> bool:
    """Only a namespace that we made is named after its run."""
    return bool(metadata.get("name") == f"{APP}-{metadata['labels'][RUN_LABEL]}")


def _lone_pod(metadata: Mapping[str, Any]) -> bool:
    """A pod in a namespace that was there before; the others go with their namespace."""
    return bool(metadata.get("namespace") != f"{APP}-{metadata['labels'][RUN_LABEL]}")


def expired(metadata: Mapping[str, Any], now: datetime) -> bool:
    """Whether the run that made this must have ended by now; without a readable time it is left alone."""
    text = (metadata.get("annotations") or {}).get(EXPIRES, "")
    try:
        return datetime.strptime(text, TIME).replace(tzinfo=timezone.utc) < now
    except ValueError:
        return False
