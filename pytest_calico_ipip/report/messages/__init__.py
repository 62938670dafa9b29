"""Everything that a report says in a human language, by key: one catalogue for each language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from pytest_calico_ipip.report.wording import plain

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Words:
    """One language. Ids, names, values and commands are the same in all."""

    language: str
    sentences: Mapping[str, str]  # with {placeholders}
    requirements: Mapping[str, str]  # id → the requirement in one sentence; empty: the tests' own words serve

    def say(self, key: str, **values: object) -> str:
        """The sentence of a key; values from the cluster are made harmless and bounded."""
        return self.sentences[key].format(**{name: plain(str(value)) for name, value in values.items()})

    def count(self, key: str, number: int, **values: object) -> str:
        """The sentence for one thing, or the one for several."""
        return self.say(f"{key}.one" if number == 1 else f"{key}.many", number=number, **values)

    def requirement(self, ident: str, sentence: str) -> str:
        """A requirement in this language; the given sentence where this language has none."""
        return self.requirements.get(ident, sentence)


@cache
def words(language: str) -> Words:
    """The catalogue of one of LANGUAGES, loaded when it is asked for."""
    if language not in LANGUAGES:
        raise ValueError(f"no catalogue of messages in {language!r}")
    module = import_module(f"{__name__}.{language}")
    return Words(language, module.SENTENCES, module.REQUIREMENTS)
