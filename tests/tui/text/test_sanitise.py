"""Text of other people can't command the terminal, hide or steer what is read; languages stay."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gochat.tui.text.sanitise import MAX_MARKS, copyable, sanitise, sanitise_line
from gochat.tui.text.wrap import clusters

_HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "\x00\x07\x1b\x7f\x85\x9b\u200b\u200d\u202e\u2028\ufe0f\u0301\U000e0041👨🏽"
        ),
    ),
    max_size=60,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "␛[31mred"),
        ("\x07\x08\x7f", "␇␈␡"),
        ("\x9b31m", "⟨U+009B⟩31m"),
        ("a\rb", "a␍b"),
        ("a\u0085b\u2028c\u2029d", "a⟨U+0085⟩b⟨U+2028⟩c⟨U+2029⟩d"),
        ("\u202eevil\u202c", "⟨U+202E⟩evil⟨U+202C⟩"),
        ("\u2066a\u2069", "⟨U+2066⟩a⟨U+2069⟩"),
        ("a\u200bb\ufeff", "a⟨U+200B⟩b⟨U+FEFF⟩"),
        ("hi\U000e0068\U000e0069", "hi⟨U+E0068⟩⟨U+E0069⟩"),
        ("\u3164", "⟨U+3164⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("\uffff", "⟨U+FFFF⟩"),
    ],
)
def test_what_commands_or_hides_is_shown_in_its_place(text: str, shown: str) -> None:
    assert sanitise(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "plain text, with signs: [b]*_`<>&",
        "你好，世界",
        "नमस्ते",
        "می‌خواهم",  # with a zero-width non-joiner
        "e\u0301",
        "👨‍👩‍👧",
        "👍🏽",
        "🤷🏽‍♀️",
        "👩‍❤️‍👨",
        "❤️",
        "1️⃣",
        "🇩🇪",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "葛\U000e0100",
        "\u0600\u0661",
        "one\ntwo\n\nthree",
    ],
)
def test_what_languages_and_emoji_need_stays(text: str) -> None:
    assert sanitise(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u200db", "a⟨U+200D⟩b"),
        ("a\u200cb", "a⟨U+200C⟩b"),
        ("👨\u200d", "👨⟨U+200D⟩"),
        ("a\U000e0100", "a⟨U+E0100⟩"),
        ("🏴\U000e0067\U000e0062", "🏴⟨U+E0067⟩⟨U+E0062⟩"),
        (" \ufe0f", " ⟨U+FE0F⟩"),
        ("a\ufe0f", "a⟨U+FE0F⟩"),
        ("👍\ufe0f\ufe0f", "👍\ufe0f⟨U+FE0F⟩"),
        ("a🏽", "a⟨U+1F3FD⟩"),
    ],
)
def test_joiners_selectors_and_tags_where_they_join_nothing_are_shown(
    text: str, shown: str
) -> None:
    assert sanitise(text) == shown


def test_a_pile_of_marks_is_cut_down() -> None:
    assert sanitise("z" + "\u0301" * 50 + "a") == "z" + "\u0301" * MAX_MARKS + "a"
    assert sanitise("ก" + "็" * 50) == "ก" + "็" * MAX_MARKS


@pytest.mark.parametrize("text", ["\u0301x", "a\n\u0301x"])
def test_a_mark_without_a_base_gets_one_of_its_own(text: str) -> None:
    assert sanitise(text) == text.replace("\u0301", "◌\u0301")


def test_lines_end_one_way_and_tabs_are_spaces() -> None:
    assert sanitise("a\r\nb\tc\n\td") == "a\nb   c\n    d"


def test_a_name_or_topic_is_one_line() -> None:
    assert sanitise_line("a\nb\r\nc") == "a␊b␊c"


@given(_HOSTILE)
def test_nothing_that_terminals_obey_comes_through(text: str) -> None:
    for char in sanitise(text):
        assert char == "\n" or unicodedata.category(char) not in {"Cc", "Cs", "Zl", "Zp"}
        assert unicodedata.bidirectional(char) not in {
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        }  # fmt: skip


@given(_HOSTILE)
def test_a_second_time_changes_nothing(text: str) -> None:
    assert sanitise(sanitise(text)) == sanitise(text)


@given(_HOSTILE)
def test_every_line_begins_with_something_that_has_a_width(text: str) -> None:
    for line in sanitise(text).split("\n"):
        if line:
            assert clusters(line)[0].cells > 0


@given(_HOSTILE)
def test_safe_characters_all_come_through_in_order(text: str) -> None:
    wanted = [char for char in text if char.isalnum() and char.isascii()]
    shown = iter(sanitise(text))
    assert all(char in shown for char in wanted)


def test_what_is_copied_keeps_its_lines_and_tabs_and_commands_nothing() -> None:
    assert copyable("\tif x:\r\n\t\tgo\n") == "\tif x:\n\t\tgo\n"
    assert copyable("ls\x1b[201~\rrm -rf ~\u202e") == "ls␛[201~␍rm -rf ~⟨U+202E⟩"
