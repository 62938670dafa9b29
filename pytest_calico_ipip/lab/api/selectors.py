"""Label and field selectors: from a query's text to a test on an object."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pytest_calico_ipip.lab.api.errors import bad_request

Object = dict[str, Any]
Predicate = Callable[[Object], bool]

_SET = re.compile(r"^\s*([^\s!=,()]+)\s+(in|notin)\s+\(([^)]*)\)\s*$")
_EQUALITY = re.compile(r"^\s*([^\s!=,()]+)\s*(==|!=|=)\s*([^\s!=,()]*)\s*$")
_EXISTS = re.compile(r"^\s*(!?)\s*([^\s!=,()]+)\s*$")


def _requirement(term: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(term):
        key, operator, inside = found.groups()
        values = {value.strip() for value in inside.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUALITY.match(term):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(term):
        absent, key = found.groups()
        return lambda labels: (key in labels) != bool(absent)
    raise bad_request(f"unable to parse requirement: {term!r} is no label selector")


def _terms(text: str) -> list[str]:
    """Split at the commas outside parentheses."""
    return [term for term in re.split(r",(?![^(]*\))", text) if term.strip()]


def by_labels(text: str | None) -> Predicate:
    """`app=web,tier in (a, b),!old` as a test; nothing selects everything."""
    requirements = [_requirement(term) for term in _terms(text or "")]

    def selected(obj: Object) -> bool:
        labels = obj.get("metadata", {}).get("labels") or {}
        return all(requirement(labels) for requirement in requirements)

    return selected


def at_path(obj: Any, path: str) -> Any:
    """What stands at a dotted path, or `None`."""
    for part in path.split("."):
        if not isinstance(obj, dict):
            return None
        obj = obj.get(part)
    return obj


# fields with a value although nobody wrote one
_UNWRITTEN = {"spec.unschedulable": "false", "spec.restartPolicy": "Always"}


def by_fields(text: str | None) -> Predicate:
    """`spec.nodeName=a,status.phase!=Failed` as a test; a field that is not there reads as an empty string."""
    wanted: list[tuple[str, bool, str]] = []
    for term in _terms(text or ""):
        found = _EQUALITY.match(term)
        if not found:
            raise bad_request(f"invalid selector: {term!r}; can't understand it")
        path, operator, value = found.groups()
        wanted.append((path, operator != "!=", value))

    def selected(obj: Object) -> bool:
        for path, equal, value in wanted:
            here = at_path(obj, path)
            text = _UNWRITTEN.get(path, "") if here is None else here
            text = str(text).lower() if isinstance(text, bool) else str(text)
            if (text == value) != equal:
                return False
        return True

    return selected


def by_label_selector(selector: Mapping[str, Any] | None) -> Predicate:
    """A `LabelSelector` object (`matchLabels`, `matchExpressions`) as a test."""
    selector = selector or {}
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        terms.append(expression_text(expression))
    return by_labels(",".join(terms))


def expression_text(expression: Mapping[str, Any]) -> str:
    """One `matchExpressions` entry in the query's language."""
    key, operator = expression["key"], expression["operator"]
    if operator == "Exists":
        return str(key)
    if operator == "DoesNotExist":
        return f"!{key}"
    return f"{key} {operator.lower()} ({','.join(expression.get('values') or [])})"
