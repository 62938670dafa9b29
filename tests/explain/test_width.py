"""Text by the columns that it takes on a terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from pytest_calico_ipip.report.width import pad, width, wrap

TEXT = st.text(alphabet="ab1.,:()/ 中文包路由，。：（）“”✓→", max_size=120)


def test_a_chinese_character_takes_two_columns() -> None:
    """Columns are counted as a terminal counts them."""
    assert [width(text) for text in ("ab", "路由", "a路", "✓ →", "e\u0301")] == [2, 4, 3, 3, 1]


def test_columns_line_up() -> None:
    """What is padded takes the same columns whatever the script."""
    assert {width(pad(text, 10)) for text in ("route", "路由", "内核决定")} == {10}


@given(TEXT, st.integers(20, 60))
def test_wrapping_loses_nothing(text: str, columns: int) -> None:
    """Line by line the text is whole, but for blanks where lines end."""
    assert "".join("".join(wrap(text, columns)).split()) == "".join(text.split())


@given(st.text(alphabet="中文包路由ab", max_size=120), st.integers(20, 60))
def test_chinese_fits(text: str, columns: int) -> None:
    """A line of words that can be broken is no wider than it may be."""
    longest = max((len(word) for word in "".join(c if c in "ab" else " " for c in text).split()), default=0)
    assert all(width(line) <= max(columns, longest) for line in wrap(text, columns))


@given(st.text(alphabet="中文，。：；）（", max_size=60))
def test_a_line_does_not_begin_with_punctuation(text: str) -> None:
    """What closes a phrase stays with it, and what opens one goes with what follows."""
    lines = wrap(text, 20)
    assert not any(line[0] in "，。：；）" for line in lines[1:])
    assert not any(line[-1] == "（" for line in lines[:-1])
    assert all(unicodedata.category(line[0]) for line in lines if line)


def test_a_long_word_is_not_cut() -> None:
    """A command or a name stays whole, so that it can be copied."""
    assert wrap("see cni-8fba5c47-5c46-41f0-9dda-67c7ad01ec3c now", 10) == [
        *("see", "cni-8fba5c47-5c46-41f0-9dda-67c7ad01ec3c", "now")
    ]
