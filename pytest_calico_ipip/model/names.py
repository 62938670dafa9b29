"""What can be a node's name: it becomes a folder's, a word of commands, and a key of files."""

from __future__ import annotations

import re

_SUBDOMAIN = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


def is_node_name(name: object) -> bool:
    """Whether every API server would take it: a DNS subdomain (RFC 1123), none of whose labels is empty."""
    return isinstance(name, str) and _SUBDOMAIN.fullmatch(name) is not None and ".." not in name
