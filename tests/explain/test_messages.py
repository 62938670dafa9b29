"""The catalogues of messages: the languages say the same things, and know every requirement."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

import pytest_calico_ipip.report.messages as catalogues
from pytest_calico_ipip.model.catalogue import REQUIREMENTS
from pytest_calico_ipip.report.messages import LANGUAGES, words

PACKAGE = Path(catalogues.__file__).parents[2]
OTHERS = [language for language in LANGUAGES if language != "en"]


def placeholders(sentence: str) -> set[str | None]:
    """The names that stand in braces."""
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def test_every_catalogue_is_a_language() -> None:
    """What can be chosen is what there is."""
    folder = Path(catalogues.__file__).parent
    assert {file.stem for file in folder.glob("[a-z]*.py")} == set(LANGUAGES)


@pytest.mark.parametrize("language", OTHERS)
def test_the_languages_have_the_same_sentences(language: str) -> None:
    """Each key is in both catalogues, with the same values in its sentence."""
    english, other = words("en").sentences, words(language).sentences
    assert list(other) == list(english)
    assert {key: placeholders(text) for key, text in other.items()} == {
        key: placeholders(text) for key, text in english.items()
    }


@pytest.mark.parametrize("language", OTHERS)
def test_every_requirement_is_translated(language: str) -> None:
    """The catalogue of requirements is there as a whole, and nothing beside it."""
    translated = words(language).requirements
    assert set(translated) == set(REQUIREMENTS)
    assert all(re.search("[\u4e00-\u9fff]", sentence) for sentence in translated.values())


NO_CAUSES = {"iptables-save", "kube-system", "calico-node"}  # words of the same form


def named_causes() -> set[str]:
    """Every id that the rules of the diagnosis write."""
    trees = [ast.parse(file.read_text()) for file in (PACKAGE / "model" / "diagnosis").glob("*.py")]
    words = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    ids = {word for word in words if isinstance(word, str) and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", word)}
    return ids - NO_CAUSES


@pytest.mark.parametrize("language", OTHERS)
def test_every_cause_is_translated(language: str) -> None:
    """What the diagnosis can name has its meaning in each language, and nothing else has; none has a placeholder."""
    translated = words(language).causes
    assert set(translated) == named_causes()
    assert all(re.search("[\u4e00-\u9fff]", text) and not placeholders(text) for text in translated.values())


def test_a_cause_says_where() -> None:
    """The meaning stands behind the nodes or pairs that it is about; in English the rule's own sentence serves."""
    assert words("zh").cause("tunnel-down", ("a:b", "c")) == "a → b, c：tunl0 没有启用"
    assert words("zh").cause("tunnel-down", tuple("abcde")).startswith("a, b, c, d …：")
    assert words("en").cause("tunnel-down", ("a",)) == ""


def test_every_sentence_is_said_somewhere() -> None:
    """No key is left over from a sentence that nobody says any more."""
    code = "".join(
        file.read_text() for room in ("model/lesson", "report", ".") for file in (PACKAGE / room).glob("*.py")
    )
    subjects, headers, facts = "node|pair|cluster", "outer|inner|middle|packet", "device|route|decision|neighbour"
    kinds = f"{subjects}|{headers}|{facts}|expected|observed|read in|again|note|way"

    def spoken(key: str) -> bool:
        stem = re.sub(r"\.(one|many)$", "", key)
        stem = re.sub(r"-at-once$", "", stem)
        general = re.sub(rf"(?<=[.-])({kinds})$", "", stem)
        built = general != stem and re.search(rf"f[\"']{re.escape(general)}\{{", code) is not None
        return built or re.search(rf"[\"']{re.escape(stem)}[\"']", code) is not None

    assert [key for key in words("en").sentences if not spoken(key)] == []


def test_values_are_made_harmless() -> None:
    """A value from the cluster can neither steer the terminal nor be taken for a placeholder."""
    said = words("en").say("lesson.in-pod", pod="a\x1b[31m{pod}\u202e")
    assert said == "in the pod a\\x1b[31m{pod}\\u202e"


def test_an_unknown_language_is_refused() -> None:
    """Only what is in the list is ever loaded."""
    with pytest.raises(ValueError, match="no catalogue"):
        words("os")
