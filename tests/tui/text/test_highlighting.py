"""Code in known languages is coloured, and no code takes long."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gochat.tui.text.highlighting import (
    _CHUNK,
    LANGUAGES,
    MAX_HIGHLIGHTED,
    _chunks,
    highlight,
)

#: What lexers may stumble over, split at the bars.
_TRAPS = (
    "a |1 |\n|\t| |a\n|// |/|/*|*/|\\|#|--|-|!|@|$|${|$(|(|{|[|<|<a |<!--|&|%|=|::|:|;|,|."
    '|1.|0x|1e|\'|"|`|"""|r\'|a(|a<|[a|{a|a:|a=|if |fn |x = |*|~|?'
)


def _named(code: str, language: str) -> list[tuple[str, str]]:
    return [(code[token.start : token.end], token.role) for token in highlight(code, language)]


def test_python() -> None:
    named = _named("def f(): return 'x'  # y", "py")
    assert ("def", "keyword") in named
    assert ("f", "function") in named
    assert ("# y", "comment") in named


def test_a_diff_tells_what_goes_and_what_comes() -> None:
    assert _named("-old\n+new\n", "diff") == [("-old", "removed"), ("+new", "string")]


@pytest.mark.parametrize("language", ["", "nonsense", "../../x"])
def test_an_unknown_language_has_no_colours(language: str) -> None:
    assert highlight("def f(): pass", language) == ()


@given(st.text(max_size=200), st.sampled_from(sorted(LANGUAGES)))
def test_tokens_lie_within_the_code_in_order(code: str, language: str) -> None:
    end = 0
    for token in highlight(code, language):
        assert end <= token.start < token.end <= len(code)
        end = token.end


def test_a_comment_at_the_end_needs_no_line_break() -> None:
    assert ("# why", "comment") in _named("ls # why", "bash")


def test_long_code_is_coloured_to_its_end() -> None:
    code = "x = 1  # one\n" * 100
    named = _named(code, "python")
    assert named.count(("# one", "comment")) == 100
    assert named.count(("1", "number")) == 100


def test_longer_code_is_not_coloured() -> None:
    assert highlight("x = 1\n" * 1000, "python") == ()


@pytest.mark.parametrize("language", sorted(set(LANGUAGES.values())))
def test_no_code_of_a_message_takes_long(language: str) -> None:
    highlight("", language)  # the first use imports the lexer
    chunks, worst = MAX_HIGHLIGHTED // _CHUNK, 0.0
    for trap in _TRAPS.split("|"):
        assert all(len(part) <= _CHUNK for _, part in _chunks(trap * _CHUNK * chunks))
        code = trap * (_CHUNK // len(trap) - 1)  # one chunk, as each is read by itself
        start = process_time()
        highlight(code, language)
        worst = max(worst, process_time() - start)
    # A guard against what grows without bound, not a claim about speed: some 0.05 s when idle.
    assert worst * chunks < 3.0
