"""Calico's label selectors, as far as a pool's nodeSelector needs them (libcalico-go/lib/selector)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_TOKEN = re.compile(
    r"""\s*(?:(?P<op>==|!=|&&|\|\||!|\(|\)|\{|\}|,)|(?P<text>"[^"]*"|'[^']*')|(?P<word>[A-Za-z0-9_./-]+))"""
)
_MAX_LENGTH = 4096


def selects(selector: str, labels: Mapping[str, str], unreadable: bool = True) -> bool:
    """Whether a selector matches these labels. An empty one matches all; of one that cannot be read the caller says."""
    if not selector.strip():
        return True
    try:
        return _Parser(selector, labels).parse()
    except _Unreadable:
        return unreadable


class _Unreadable(Exception):
    pass


class _Parser:
    """Recursive descent over `a == "b" && !(has(c) || d in {"e", "f"})`."""

    def __init__(self, selector: str, labels: Mapping[str, str]) -> None:
        if len(selector) > _MAX_LENGTH:
            raise _Unreadable
        self._labels = labels
        self._tokens: list[str] = []
        position = 0
        text = selector.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise _Unreadable
            self._tokens.append(match.group().strip())
            position = match.end()
        self._depth = 0

    def parse(self) -> bool:
        result = self._either()
        if self._tokens:
            raise _Unreadable
        return result

    def _next(self) -> str:
        if not self._tokens:
            raise _Unreadable
        return self._tokens.pop(0)

    def _take(self, token: str) -> bool:
        if self._tokens and self._tokens[0] == token:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise _Unreadable

    def _either(self) -> bool:
        result = self._both()
        while self._take("||"):
            other = self._both()
            result = result or other
        return result

    def _both(self) -> bool:
        result = self._one()
        while self._take("&&"):
            other = self._one()
            result = result and other
        return result

    def _one(self) -> bool:
        self._depth += 1
        if self._depth > 100:
            raise _Unreadable
        try:
            return self._operation()
        finally:
            self._depth -= 1

    def _operation(self) -> bool:
        if self._take("!"):
            return not self._one()
        if self._take("("):
            result = self._either()
            self._expect(")")
            return result
        word = self._next()
        if self._take("("):
            return self._function(word)
        return self._comparison(word)

    def _function(self, name: str) -> bool:
        if name in ("all", "global"):
            self._expect(")")
            return name == "all"
        if name != "has":
            raise _Unreadable
        label = self._next()
        self._expect(")")
        return label in self._labels

    def _comparison(self, label: str) -> bool:
        value = self._labels.get(label)
        operator = self._next()
        if operator == "==":
            return value == self._text()
        if operator == "!=":
            return value != self._text()
        if operator == "not":
            self._expect("in")
            return value not in self._set()
        if operator == "in":
            return value in self._set()
        tests: dict[str, Callable[[str, str], bool]] = {"starts": str.startswith, "ends": str.endswith}
        if operator == "contains":
            part = self._text()
            return value is not None and part in value
        if operator in tests:
            self._expect("with")
            part = self._text()
            return value is not None and tests[operator](value, part)
        raise _Unreadable

    def _text(self) -> str:
        token = self._next()
        if token[:1] not in "\"'" or len(token) < 2:
            raise _Unreadable
        return token[1:-1]

    def _set(self) -> tuple[str, ...]:
        self._expect("{")
        values = [self._text()]
        while self._take(","):
            values.append(self._text())
        self._expect("}")
        return tuple(values)
