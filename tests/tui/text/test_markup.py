"""Messages show light Markdown; code, names and formulas that only look like it stay as written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear import assert_linear

from gochat.tui.text.blocks import parse
from gochat.tui.text.document import Document
from gochat.tui.text.markup import ascii_address


def _spans(document: Document) -> list[tuple[str, str]]:
    return [(document.plain[span.start : span.end], span.role) for span in document.spans]


@pytest.mark.parametrize(
    ("text", "plain", "spans"),
    [
        ("**bold** text", "bold text", [("bold", "bold")]),
        ("__bold__", "bold", [("bold", "bold")]),
        ("*it* and _it_", "it and it", [("it", "italic"), ("it", "italic")]),
        ("~~gone~~", "gone", [("gone", "strike")]),
        ("***both***", "both", [("both", "bold"), ("both", "italic")]),
        ("**a *b* c**", "a b c", [("a b c", "bold"), ("b", "italic")]),
        ("这是**重点**内容", "这是重点内容", [("重点", "bold")]),
        ("(*really*)", "(really)", [("really", "italic")]),
        ("`x = *y*`", "x = *y*", [("x = *y*", "code")]),
        ("``a ` b``", "a ` b", [("a ` b", "code")]),
        (r"\*no\*", "*no*", []),
        (r"\``` x", "``` x", []),
    ],
)
def test_what_is_markup(text: str, plain: str, spans: list[tuple[str, str]]) -> None:
    document = parse(text)
    assert document.plain == plain
    assert _spans(document) == spans


@pytest.mark.parametrize(
    "text",
    [
        "snake_case_name",
        "2*3*4",
        "a * b * c",
        "f(*args, **kwargs)",
        "** not bold **",
        "**open",
        "*_*",
        r"¯\_(ツ)_/¯",
        "`open",
        "[b]Rich[/b] [link=x]markup[/link]",
        "[/] [click=app.quit]x[/] [red on blue]",
        "me@example.org",
        "@",
        "#no heading",
        ">_<",
        "[label](javascript:alert)",
        "ftp://x.org file:///etc/passwd",
        "https://",
    ],
)
def test_what_is_not_markup_stays_as_written(text: str) -> None:
    document = parse(text)
    assert document.plain == text
    assert document.spans == ()


def test_mentions_of_everybody_are_drawn() -> None:
    document = parse("@room, @HERE and @mei", ("@room", "mei"))
    assert [part for part, _ in _spans(document)] == ["@room", "@HERE", "@mei"]
    assert [part for part, _ in _spans(parse("here, @room", ("@room",)))] == ["@room"]


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("hi @mei, @Ann-Lee.", ["@mei", "@Ann-Lee"]),
        ("@MEI and ＠ｍｅｉ", ["@MEI", "＠ｍｅｉ"]),
        ("@mei你好", ["@mei"]),
        ("mei: `@mei` https://x.org/@mei", ["mei"]),
        ("@nobody and @meiling, mei", []),
        ("```\n@mei\n```", []),
        ("> @mei: hi", ["@mei"]),
        (r"\@mei", []),
    ],
)
def test_mentions_that_the_server_found_are_drawn(text: str, drawn: list[str]) -> None:
    document = parse(text, ("mei", "Ann-Lee"))
    assert [part for part, role in _spans(document) if role == "name"] == drawn
    assert "name" not in {role for _, role in _spans(parse(text))}


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("see https://x.org/a.", "https://x.org/a"),
        ("(https://x.org/a_(b))", "https://x.org/a_(b)"),
        ("**https://x.org/**", "https://x.org/"),
        ("https://x.org/?q=a&b#c!", "https://x.org/?q=a&b#c"),
        ("见https://x.org/。", "https://x.org/"),
        ("见 https://x.org/。", "https://x.org/"),
        ("HTTPS://X.org/A", "https://x.org/A"),
        ("https://münchen.de/ü", "https://xn--mnchen-3ya.de/%C3%BC"),
        ("https://x.org@evil.org/", ""),
        ("http://[::1]:8889/", "http://[::1]:8889/"),
        ("http://[::1/", ""),
        ("http://x:99999/", ""),
        ("https://x⟨U+202E⟩.org", "https://x"),
    ],
)
def test_links(text: str, link: str) -> None:
    assert parse(text).links == ((link,) if link else ())


def test_a_labelled_link_tells_where_it_leads() -> None:
    document = parse("[your bank](https://evil.example/login)")
    assert document.plain == "your bank (evil.example)"
    assert document.links == ("https://evil.example/login",)
    assert parse("[x.org](https://x.org/a)").plain == "x.org"


_PIECES = [
    "|",
    "-",
    "# ",
    "- ",
    "\n|-|-|\n",
    "*",
    "**",
    "_",
    "`",
    "```",
    "~~",
    "[",
    "](",
    ")",
    "https://",
    "@",
    "\\",
    ">",
    " ",
    "\n",
    "a",
]
_MARKED = st.lists(st.sampled_from([*_PIECES, "https://x.org/", "é", "好"]), max_size=60).map(
    "".join
)


@given(st.one_of(st.text(), _MARKED))
def test_lines_are_the_text_and_spans_lie_within(text: str) -> None:
    document = parse(text)
    assert "\n".join(document.plain[line.start : line.end] for line in document.lines) == (
        document.plain
    )
    assert list(document.spans) == sorted(document.spans)
    for span in document.spans:
        assert 0 <= span.start < span.end <= len(document.plain)
        assert "\n" not in document.plain[span.start : span.end] or span.role != "link"


@given(_MARKED)
def test_letters_are_never_lost(text: str) -> None:
    fenced = "```" in text  # what follows a fence names a language
    plain = parse(text).plain
    if not fenced:
        assert plain.count("好") >= text.count("好")


@given(st.text())
def test_an_address_is_ascii_without_spaces_and_controls(text: str) -> None:
    address = ascii_address("https://x.org/" + text)
    assert address.isascii()
    assert all(char > " " for char in address)


@pytest.mark.parametrize(
    "unit",
    ["*", "**a", "_a_", "`", "``a`", "[", "[a](", "https://", "https://x.org)", "@a", "\\", "> ",
     "~~", "***", "*a `", "(", "a)", "[a](https://", "```\n", "*a**b", "|", "|-|\n",
     "|-", "- ", "-", "# ", "1. "],
)  # fmt: skip
def test_time_is_linear_in_the_length(unit: str) -> None:
    assert_linear(parse, unit)
