"""Times as Kubernetes writes and shows them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone


def timestamp(after: float = 0) -> str:
    """Now (plus so many seconds), as Kubernetes writes it: `2026-11-22T17:49:02Z`."""
    return (datetime.now(timezone.utc) + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%SZ")


def since(text: str | None) -> str:
    """The AGE of a timestamp; `<unknown>` without one."""
    if not text:
        return "<unknown>"
    try:
        then = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return "<unknown>"
    return span((datetime.now(timezone.utc) - then).total_seconds())


def span(seconds: float) -> str:
    """`65s`, `3m5s`, `12m`, `5h3m`, `2d4h`, `3y40d`: one or two units, as kubectl shows a duration."""
    if seconds < -1:
        return "<invalid>"
    whole = max(int(seconds), 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 2920:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(big: int, unit: str, small: int, smaller: str) -> str:
    return f"{big}{unit}{small}{smaller}" if small else f"{big}{unit}"
