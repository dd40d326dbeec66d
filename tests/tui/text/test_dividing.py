"""Texts that are too long for one message are divided, and code in them stays code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear import assert_linear

from gochat.tui.text.blocks import parse
from gochat.tui.text.dividing import divided
from gochat.tui.text.document import LineKind


def test_texts_are_divided_at_lines_then_words_then_clusters() -> None:
    assert divided("aaa bbb\nccc ddd eee", 8) == ["aaa bbb", "ccc ddd", "eee"]
    assert divided("a" * 20, 8) == ["a" * 8, "a" * 8, "a" * 4]
    assert divided("👩‍💻" * 3, 4) == ["👩‍💻"] * 3
    assert divided("\n\nabc def\n\n", 4) == ["abc", "def"]


def test_code_that_goes_on_in_the_next_part_begins_again() -> None:
    assert divided("look:\n```py\nx = 1\ny = 2\nz = 3\n```\nend", 24) == [
        "look:\n```py\nx = 1\n```",
        "```py\ny = 2\nz = 3\n```",
        "end",
    ]


def test_no_part_begins_or_ends_with_an_empty_block() -> None:
    assert divided("aaaaaaaaa\n```py\nx = 1\n```\nend", 20) == [
        "aaaaaaaaa",
        "```py\nx = 1\n```\nend",
    ]


def test_backticks_alone_are_divided_like_other_words() -> None:
    """They might begin a block; but then no part would have room for what is in it."""
    for text in ("`" * 50, "`" * 20 + "\n" + "`" * 20 + "a", "```" + " " * 40 + "\n" + "a" * 9):
        assert "".join("".join(divided(text, 24)).split()) == "".join(text.split())


@given(st.text("`a \n", max_size=200), st.integers(8, 60))
def test_no_letter_is_lost_however_many_backticks_there_are(text: str, most: int) -> None:
    parts = divided(text, most)
    assert all(0 < len(part) <= most for part in parts)
    assert "".join(parts).count("a") == text.count("a")


@pytest.mark.parametrize("unit", ["`", "`a`", "好", "é", "👩‍💻", "```\n", "```\nx\n"])
def test_time_is_linear_in_the_length(unit: str) -> None:
    assert_linear(lambda text: divided(text, 400), unit)


_LINES = st.lists(st.sampled_from(["word", "two words", "", "```", "```py", "a" * 30]), max_size=20)


@given(_LINES, st.integers(24, 60))
def test_what_is_code_is_code_in_every_part(lines: list[str], most: int) -> None:
    def kinds(text: str) -> list[tuple[str, bool]]:
        document = parse(text)
        return [
            (word, line.kind is LineKind.CODE)
            for line in document.lines
            for word in document.plain[line.start : line.end].replace("a", "a ").split()
        ]

    text = "\n".join(lines)
    parts = divided(text, most)
    assert all(0 < len(part) <= most for part in parts)
    assert [word for part in parts for word in kinds(part)] == kinds(text)
