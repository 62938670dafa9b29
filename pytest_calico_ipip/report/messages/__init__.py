"""Everything that a report says in a human language, by key: one catalogue for each language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from pytest_calico_ipip.report.wording import plain

LANGUAGES = ("en", "zh")
MOST_PLACES = 4  # of one cause


@dataclass(frozen=True)
class Words:
    """One language. Ids, names, values and commands are the same in all."""

    language: str
    sentences: Mapping[str, str]  # with {placeholders}
    causes: Mapping[str, str]  # id → what it means; empty: the rules' own words serve
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

    def cause(self, ident: str, subjects: Sequence[str]) -> str:
        """What a cause means and where, in this language; "" where the rule's own sentence serves."""
        meaning = self.causes.get(ident, "")
        places = ", ".join(plain(subject).replace(":", " → ") for subject in subjects[:MOST_PLACES])
        more = " …" if len(subjects) > MOST_PLACES else ""
        return f"{places}{more}：{meaning}" if meaning and places else meaning


@cache
def words(language: str) -> Words:
    """The catalogue of one of LANGUAGES, loaded when it is asked for."""
    if language not in LANGUAGES:
        raise ValueError(f"no catalogue of messages in {language!r}")
    module = import_module(f"{__name__}.{language}")
    return Words(language, module.SENTENCES, module.CAUSES, module.REQUIREMENTS)
