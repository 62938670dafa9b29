"""Whom a kubeconfig's user acts as (kubectl's `--as`): it is that one's rights that count, in every request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

FIELDS = {"as", "as-uid", "as-groups", "as-user-extra"}


def headers(user: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The headers that say so, as client-go sends them; none where the user acts as itself.

    Raises ValueError for what cannot be said: a request without it would be made with other rights.
    """
    said = {field: user[field] for field in FIELDS if user.get(field)}
    if said and "as" not in said:
        raise ValueError(f"its user has {', '.join(sorted(said))} without `as`, which says whom to act as")
    extra = said.get("as-user-extra", {})
    if not isinstance(extra, Mapping):
        raise ValueError("its user's as-user-extra is no map")
    return (
        *(("Impersonate-User", value) for value in _values("as", [said["as"]] if said else [])),
        *(("Impersonate-Uid", value) for value in _values("as-uid", [said["as-uid"]] if "as-uid" in said else [])),
        *(("Impersonate-Group", value) for value in _values("as-groups", said.get("as-groups", []))),
        *(
            # the other characters of a header's name are letters, digits and `_.-~`, which `quote` leaves alone
            (f"Impersonate-Extra-{quote(str(key), safe='!#$&*+^`|' + chr(39))}", value)
            for key, listed in extra.items()
            for value in _values("as-user-extra", listed)
        ),
    )


def _values(field: str, listed: Any) -> list[str]:
    if not isinstance(listed, list) or not all(isinstance(value, str) for value in listed):
        raise ValueError(f"its user's {field} is not what kubectl takes")
    for value in listed:
        # a server cuts blanks off, and what is left may be another's name
        if not (value and value.isascii() and value.isprintable() and value == value.strip()):
            raise ValueError(f"its user's {field} has characters that no header may hold")
    return listed
