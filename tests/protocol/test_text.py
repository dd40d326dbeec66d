"""What a text contains: cases that other implementations can use, and what holds for any text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear import assert_linear

from gochat.protocol.text import (
    MAX_TYPED_NAME,
    UNSPACED,
    TextToken,
    TextTokenKind,
    mentions,
    readings,
    tokens,
)

FILE = json.loads(
    (Path(__file__).parents[1] / "conformance" / "texts.json").read_text(encoding="utf-8")
)
CASES = FILE["texts"]
#: Signs that mean something, and letters of scripts with and without spaces.
SIGNS = st.lists(
    st.sampled_from(
        ["@", "＠", "`", "```", "[", "](", ")", "https://", "x.org", "/", "\\", " ", "\n", ":", ",",
         "a", "é", "好", "ก", "\u0301", "-", ".", "_", "3", "> "]
    ),
    max_size=60,
).map("".join)  # fmt: skip


def _described(text: str, token: TextToken) -> dict[str, Any]:
    """Return a token as the cases have it."""
    row: dict[str, Any] = {
        "kind": token.kind.value, "at": token.start, "source": text[token.start : token.end]
    }  # fmt: skip
    row |= {"value": token.value} if token.value else {}
    row |= {"label": token.label} if token.label else {}
    if token.kind is TextTokenKind.MENTION and len(found := readings(token.value)) > 1:
        row["or"] = found[1]
    return row


@pytest.mark.parametrize("case", [case for group in CASES.values() for case in group], ids=repr)
def test_tokens_of_each_case(case: dict[str, Any]) -> None:
    text = case["text"]
    assert [_described(text, token) for token in tokens(text)] == case["tokens"]


def test_characters_of_scripts_without_spaces_are_those_of_the_file() -> None:
    ranges = [(chr(int(number, 16)) for number in one.split("-")) for one in FILE["unspaced"]]
    assert "[" + "".join(map("-".join, ranges)) + "]" == UNSPACED


@given(st.one_of(st.text(), SIGNS))
def test_tokens_of_any_text_are_in_order_and_do_not_overlap(text: str) -> None:
    end = 0
    for token in tokens(text):
        assert end <= token.start < token.end <= len(text)
        end = token.end
        if token.kind is TextTokenKind.MENTION:
            source = text[token.start : token.end]
            assert source.lstrip("@＠") == token.value
            for name in readings(token.value):
                assert name
                assert token.value.startswith(name)
                assert not name.endswith((".", "-", "_"))


@given(st.one_of(st.text(), SIGNS))
def test_mentions_are_the_tokens_that_are_mentions(text: str) -> None:
    found = [token.value for token in tokens(text) if token.kind is TextTokenKind.MENTION]
    assert [mention.names[0] for mention in mentions(text)] == found


def test_a_word_that_is_too_long_for_a_name_is_not_a_mention() -> None:
    longest = "x" * MAX_TYPED_NAME
    assert list(mentions(f"@{longest}")) == [((longest,), True)]
    assert not list(mentions(f"@{longest}https://x.org"))
    [(found, _)] = mentions(f"@{longest[1:]}好https://x.org")
    assert found == (f"{longest[1:]}好", longest[1:])
    assert not list(mentions(f"@{longest}x"))
    assert not list(mentions(f"{longest}x: look"))


@pytest.mark.parametrize(
    "unit",
    ["@", "@a", "@a ", "`", "``a`", "[", "[a](", "[a](https://", "https://", "https://x.org)", "\\",
     "```\n", "好@", "a.", "@" + "é" * 100, "\n", "\u0301@"],
)  # fmt: skip
def test_time_is_linear_in_the_length(unit: str) -> None:
    assert_linear(lambda text: list(mentions(text)), unit)
