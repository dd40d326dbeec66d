"""Lines of a message are quotes, code, headings, lists, tables and rules."""

from __future__ import annotations

import pytest

from gochat.tui.text.blocks import parse
from gochat.tui.text.document import Document, Line, LineKind


def _lines(document: Document) -> list[tuple[str, LineKind]]:
    return [(document.plain[line.start : line.end], line.kind) for line in document.lines]


def _spans(document: Document) -> list[tuple[str, str]]:
    return [(document.plain[span.start : span.end], span.role) for span in document.spans]


def _only(text: str) -> Line:
    (line,) = parse(text).lines
    return line


def test_fences_are_lines_of_code_with_their_language() -> None:
    document = parse("said\n```py\nx = 1  # one\n\n```\nend")
    assert _lines(document) == [
        ("said", LineKind.TEXT),
        ("x = 1  # one", LineKind.CODE),
        ("", LineKind.CODE),
        ("end", LineKind.TEXT),
    ]
    assert [(line.label, line.ends) for line in document.lines] == [
        (None, False), ("py", False), (None, True), (None, False),
    ]  # fmt: skip
    assert ("# one", "comment") in _spans(document)
    assert ("1", "number") in _spans(document)


def test_blocks_that_follow_each_other_begin_and_end_each() -> None:
    lines = parse("```\none\n```\n```sh\ntwo\n```").lines
    assert [(line.label, line.ends) for line in lines] == [("", True), ("sh", True)]


def test_markup_within_code_is_code() -> None:
    document = parse("```\n**x** @mei https://x.org\n# a\n- b\n|a|b|\n|-|-|\n```")
    assert document.plain == "**x** @mei https://x.org\n# a\n- b\n|a|b|\n|-|-|"
    assert document.spans == ()
    assert {line.kind for line in document.lines} == {LineKind.CODE}


@pytest.mark.parametrize("text", ["```\nopen", "```\nopen\n```", "```\nopen```"])
def test_a_fence_ends_with_its_mark_or_the_message(text: str) -> None:
    document = parse(text)
    assert document.plain == "open"
    assert document.lines[0].kind is LineKind.CODE


def test_a_fence_without_code_is_an_empty_line_of_code() -> None:
    assert _lines(parse("```\n```")) == [("", LineKind.CODE)]


@pytest.mark.parametrize(
    ("text", "plain", "depth"),
    [
        ("> said", "said", 1),
        (">", "", 1),
        ("> > said", "said", 2),
        (">> said", "said", 2),
        ("> > > said", "said", 3),
        ("> " * 7 + "said", "> > said", 5),
        (">>> print(1)", ">>> print(1)", 0),
        (">said", ">said", 0),
        (">_<", ">_<", 0),
    ],
)
def test_quotes_nest(text: str, plain: str, depth: int) -> None:
    document = parse(text)
    assert (document.plain, document.lines[0].quote) == (plain, depth)


def test_code_and_lists_can_be_quoted() -> None:
    document = parse("> - one\n> ```\n> > x\n> ```\n> after\n```\n> y\n```")
    assert [(*line, document.lines[n].quote) for n, line in enumerate(_lines(document))] == [
        ("• one", LineKind.TEXT, 1),
        ("> x", LineKind.CODE, 1),
        ("after", LineKind.TEXT, 1),
        ("> y", LineKind.CODE, 0),
    ]


def test_a_quoted_block_ends_with_its_quote() -> None:
    assert _lines(parse("> ```\n> x\nsaid")) == [("x", LineKind.CODE), ("said", LineKind.TEXT)]


def test_headings_lose_their_signs() -> None:
    document = parse("# Plan for *today*\n### Details")
    assert _lines(document) == [
        ("Plan for today", LineKind.HEADING),
        ("Details", LineKind.HEADING),
    ]
    assert _spans(document) == [
        ("Plan for today", "title"), ("today", "italic"), ("Details", "heading"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "plain", "hang"),
    [
        ("- one **two**", "• one two", 2),
        ("* one", "• one", 2),
        ("  - one", "  ◦ one", 4),
        ("3. one", "3. one", 3),
        ("12) one", "12) one", 4),
        ("- [ ] one", "☐ one", 2),
        ("- [x] one", "☑ one", 2),
        ("-one", "-one", 0),
        ("- ", "- ", 0),
        ("1.5 km", "1.5 km", 0),
        ("2026. A year", "2026. A year", 0),
        ("-- mei", "-- mei", 0),
    ],
)
def test_items_of_lists_have_a_sign_and_hang(text: str, plain: str, hang: int) -> None:
    assert parse(text).plain == plain
    assert _only(text).hang == hang


@pytest.mark.parametrize("text", ["---", "***", "___", "- - -", "----------"])
def test_a_rule_stands_between_other_lines(text: str) -> None:
    assert _lines(parse(f"one\n{text}\ntwo"))[1] == ("", LineKind.RULE)
    assert parse(text).lines[0].kind is not LineKind.RULE


def test_a_table_has_its_columns_padded_to_the_widest_cell() -> None:
    document = parse("| name | *n* |\n|:--|--:|\n| 你好 | 1 |\n| mei | 100 |\nend")
    assert _lines(document) == [
        ("name │ n", LineKind.TABLE),
        ("你好 │ 1", LineKind.TABLE),
        ("mei │ 100", LineKind.TABLE),
        ("end", LineKind.TEXT),
    ]
    heading, first, second, _ = document.lines
    assert heading.below == "─────┼────"
    assert [line.columns for line in (heading, first, second)] == [10, 10, 10]
    assert [tuple(pad) for pad in first.pads] == [(first.start + 5, 2)]
    assert [tuple(pad) for pad in second.pads] == [(second.start + 3, 1)]
    assert ("name", "bold") in _spans(document)


@pytest.mark.parametrize(
    "text", ["a | b", "a | b\n---", "a | b\n-- | x", "| a | b |\n|---|", "a\n|-|-|", "|a|\n|-|"]
)
def test_what_only_looks_like_a_table_is_text(text: str) -> None:
    assert LineKind.TABLE not in {line.kind for line in parse(text).lines}


def test_cells_are_neither_lost_nor_missed() -> None:
    document = parse("a|b\n-|-\n1|2|3|4\nx \\| y")
    assert _lines(document)[1:] == [("1 │ 2 | 3 | 4", LineKind.TABLE), ("x | y │ ", LineKind.TABLE)]
