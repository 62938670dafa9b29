"""The headers of a request: a name may come more than once, and no traceback with local variables shows a value."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import urllib3


def headers(pairs: Iterable[tuple[str, str]]) -> urllib3.HTTPHeaderDict:
    """As urllib3 takes them."""
    made: urllib3.HTTPHeaderDict = _hidden()()
    for name, value in pairs:
        made.add(name, value)
    return made


@cache
def _hidden() -> type[urllib3.HTTPHeaderDict]:
    import urllib3

    class Hidden(urllib3.HTTPHeaderDict):
        """Its `repr` would join the values, and what was a `Secret` is a text like others then."""

        def __repr__(self) -> str:
            return "<headers>"

    return Hidden
