"""What the API server, or the way to it, refused: as one sentence with the remedy."""

from __future__ import annotations

import json

from pytest_calico_ipip.cluster import permission
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.remote import one_line


class ApiRefusal(SetupProblem):
    """The API server answered with an error; `status` is the HTTP status, `repeated` whether it was asked before."""

    def __init__(self, status: int, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.status = status
        self.repeated = False


class Unauthorized(ApiRefusal):
    """The user lacks a right."""


def refused(status: int, body: bytes, what: str, server: str) -> ApiRefusal:
    """The error of an HTTP status; `what` is the request as words: "GET /api/v1/nodes"."""
    said = _message(body)
    if status == 401:
        return ApiRefusal(
            status,
            f"{server} does not accept the credentials: {said or 'Unauthorized'}",
            "The token or certificate has expired or belongs to another cluster: log in again, then check with "
            "`kubectl get nodes`.",
        )
    if status == 403:
        return _forbidden(said, what, server)
    if status == 404:
        return ApiRefusal(status, f"{server} has no {what}: {said or 'not found'}", "Is this the cluster you meant?")
    if status in (429, 500, 502, 503, 504):
        return ApiRefusal(
            status,
            f"{server} could not answer {what}: HTTP {status} {said}".rstrip(),
            "The API server or something before it is in trouble or busy: try again, and see its own logs.",
        )
    return ApiRefusal(
        status,
        f"{server} refused {what}: HTTP {status} {said}".rstrip(),
        "See the server's words above; admission webhooks, quotas and Pod Security speak here.",
    )


def _forbidden(said: str, what: str, server: str) -> ApiRefusal:
    """Authorization says which right is missing; what admission says is about the object, whoever sends it."""
    about = permission.refused(said)
    if about is not None:
        user, missing = about
        problem, remedy = permission.sentences(user, [missing])
        return Unauthorized(403, f"{server}: {problem}", remedy)
    if what.startswith("GET"):  # admission has no say in reading
        return ApiRefusal(
            403,
            f"{server} does not allow {what}: {said or 'Forbidden'}",
            "Give the kubeconfig's user that right (a ClusterRole), or use a kubeconfig that has it.",
        )
    return ApiRefusal(
        403,
        f"{server} forbids {what}: {said or 'Forbidden'}",
        "Not a missing right but a rule about the object says this: Pod Security, a quota, or a policy webhook. "
        "Another namespace is chosen with --ipip-namespace.",
    )


def unreachable(error: BaseException, server: str) -> SetupProblem:
    """The error of a connection that could not be made or broke."""
    text = _innermost(error)
    lowered = text.lower()
    if "certificate" in lowered or "ssl" in lowered:
        return SetupProblem(
            f"{server}: TLS failed: {text}",
            "The kubeconfig's certificate-authority does not fit this server, or something between answers for it.",
        )
    if "refused" in lowered:
        return SetupProblem(
            f"{server} refuses the connection: {text}",
            "Is the API server running, and is this the right port? Check with `kubectl cluster-info`.",
        )
    if "timed out" in lowered or "timeout" in lowered:
        return SetupProblem(
            f"{server} does not answer in time: {text}",
            "Is it reachable from here (VPN, firewall, proxy)? Check with `kubectl --request-timeout=5s get nodes`.",
        )
    if "name or service" in lowered or "resolve" in lowered or "nodename nor servname" in lowered:
        return SetupProblem(
            f"{server}: its name cannot be resolved: {text}", "Check the server's name in the kubeconfig, and the DNS."
        )
    return SetupProblem(
        f"{server} is unreachable: {text}", "Check the network between here and there, and the kubeconfig's server."
    )


def _message(body: bytes) -> str:
    """The `message` of a Kubernetes Status, or the beginning of whatever answered."""
    try:
        status = json.loads(body)
    except (ValueError, RecursionError):
        return one_line(body, 200)
    return one_line(str(status.get("message", "")), 300) if isinstance(status, dict) else ""


def _innermost(error: BaseException) -> str:
    """The cause that says something: urllib3 wraps it in layers that name the URL and the retries."""
    while True:
        inner = getattr(error, "reason", None)
        inner = inner if isinstance(inner, BaseException) else error.__cause__
        if inner is None:
            return one_line(str(error) or type(error).__name__, 300)
        error = inner
