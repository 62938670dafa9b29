"""When a request to the API server is worth another try: throttled, or in trouble for a moment."""

from __future__ import annotations

from functools import cache
from typing import Any

ATTEMPTS = 4
BACKOFF_SECONDS = 0.2  # 0, 0.4 and 0.8 between the attempts, and at most as much again by chance
LONGEST_SECONDS = 10.0  # whatever Retry-After asks for: a run has better things to do than to wait for an hour
THROTTLED = 429
UNAVAILABLE = 503
IN_TROUBLE = (500, 502, UNAVAILABLE, 504)


def retries(method: str) -> Any:
    """The policy for one request, a `urllib3.Retry`.

    A server that is throttling has done nothing yet, so anything may be asked again. One in trouble may have: only what
    can be done twice is. A POST of ours is a question, or names what it makes: the server refuses to make that twice
    (409), and who asked looks whose it is. So it may be repeated where a server is unavailable; what else went wrong
    would go wrong again. A kept connection that turns out to be broken is worth one more try, a silent server none.
    """
    in_trouble = IN_TROUBLE if method in ("GET", "DELETE") else (UNAVAILABLE,)
    return _bounded()(
        total=ATTEMPTS - 1,
        connect=0,
        read=1 if method == "GET" else 0,
        redirect=0,
        other=0,
        status=ATTEMPTS - 1,
        allowed_methods={method},
        status_forcelist={THROTTLED, *in_trouble},
        backoff_factor=BACKOFF_SECONDS,
        backoff_jitter=BACKOFF_SECONDS,
        raise_on_status=False,  # the last answer has the server's words
    )


@cache
def _bounded() -> Any:
    import urllib3

    class Bounded(urllib3.Retry):
        """Does as Retry-After says, within reason."""

        def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
            """Seconds; None where the server says nothing, or nothing readable."""
            try:
                seconds = super().get_retry_after(response)
            except urllib3.exceptions.InvalidHeader:
                return None
            return None if seconds is None else min(seconds, LONGEST_SECONDS)

    return Bounded
