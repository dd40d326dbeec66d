"""The form in which texts are compared."""

from __future__ import annotations

from unicodedata import combining, normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gochat.storage.common import matching
from gochat.storage.common.matching import MAX_MARKS, SearchWords, fold

MARKS = "\u0301\u0316\u0345\u0f73\uff9e"


def test_characters_that_become_a_mark_count_as_one() -> None:
    for code in (*range(0x3000), *range(0xA000, 0xAC00), *range(0xF900, 0x20000)):
        char = chr(code)
        assert matching._is_mark(char) == (combining(normalize("NFKD", char)[0]) != 0), hex(code)


@given(
    st.lists(
        st.sampled_from(["e\u0301", "\u1112\u1161", "ﬁ", "Ǆ", "ẞ", "ｶﾞ", "漢", " ", "a" + MARKS])
    )
)
def test_text_is_folded_by_the_rules_of_unicode(parts: list[str]) -> None:
    text = "".join(parts)
    assert fold(text) == normalize("NFKC", normalize("NFKC", text).casefold())


@pytest.mark.parametrize("marks", [MARKS, "\u0301\u0316", "\uff9e\u0301"])
@pytest.mark.parametrize("length", [MAX_MARKS, MAX_MARKS + 1, 1000])
def test_text_with_many_marks_is_found_with_few_in_a_row(marks: str, length: int) -> None:
    text = "o" + (marks * length)[:length] + " end"
    assert SearchWords((text,)).match(f"before {text} after")
    longest = run = 0
    for char in matching._stream_safe(text):
        run = run + 1 if matching._is_mark(char) else 0
        longest = max(longest, run)
    assert longest <= MAX_MARKS
