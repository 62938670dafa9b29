"""What the lab's Kubernetes API refuses, in Kubernetes' own shape and wording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A refusal: an HTTP status, Kubernetes' reason for it, and the sentence that a client shows."""

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})

    def status(self) -> dict[str, Any]:
        """As the `Status` object that clients parse."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            body["details"] = self.details
        body["code"] = self.code
        return body


def qualified_details(resource: str, name: str) -> dict[str, Any]:
    """The `details` of a refusal about a resource, and about one object of it where a name is given."""
    return {key: value for key, value in _details(resource, name).items() if value}


def _details(resource: str, name: str) -> dict[str, Any]:
    plural, _, group = resource.partition(".")
    return {"name": name, **({"group": group} if group else {}), "kind": plural}


def not_found(resource: str, name: str) -> ApiError:
    """No such object."""
    return ApiError(404, "NotFound", f'{resource} "{name}" not found', _details(resource, name))


def no_such_path() -> ApiError:
    """No such resource: what an API server says of a path it does not serve."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: str, name: str) -> ApiError:
    """The name is taken."""
    return ApiError(409, "AlreadyExists", f'{resource} "{name}" already exists', _details(resource, name))


def conflict(resource: str, name: str, why: str | None = None) -> ApiError:
    """The object is not what the client thinks it is; without a reason: it changed since it was read."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(resource, name))


def forbidden(resource: str, name: str, why: str) -> ApiError:
    """Allowed to nobody."""
    return ApiError(403, "Forbidden", f'{resource} "{name}" is forbidden: {why}', _details(resource, name))


def bad_request(why: str) -> ApiError:
    """The request itself makes no sense."""
    return ApiError(400, "BadRequest", why)


def invalid(kind: str, group: str, name: str, field: str, why: str, cause: str = "FieldValueInvalid") -> ApiError:
    """One field of the object is wrong."""
    qualified = f"{kind}.{group}" if group else kind
    details = {"name": name, **({"group": group} if group else {}), "kind": kind}
    details |= {"causes": [{"reason": cause, "message": why, "field": field}]}  # type: ignore[dict-item]
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {field}: {why}', details)


def expired(asked: int, oldest: int) -> ApiError:
    """The watch starts before what is remembered: the client must list again."""
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def unsupported_media(got: str, wanted: str) -> ApiError:
    """A body in a form that is not read here."""
    message = f"the body of the request was in an unknown format - accepted media types include: {wanted} (got {got})"
    return ApiError(415, "UnsupportedMediaType", message)
