"""Vim's keys do what they do in Vim: each expectation is what Vim 9 makes of the same text."""

from __future__ import annotations

from itertools import product

import pytest

from gochat.tui.input.vim.editor import Vim
from gochat.tui.input.vim.log_keys import LogKeys
from gochat.tui.input.vim.parsing import COMMANDS, MOTIONS, OPERATORS

ESC = "\x1b"
_NAMES = {ESC: "escape", "\x12": "ctrl+r"}


class Field:
    """A field with the editor: types what is not a command."""

    def __init__(self, text: str = "") -> None:
        """Hold `text`, in normal mode; `|` in it is the cursor."""
        self.vim = Vim()
        self.cursor = max(0, text.find("|"))
        self.text = text.replace("|", "", 1)
        self.vim.replaced(self.text, self.cursor)
        self.copied, self.wishes = "", list[tuple[str, int | None]]()
        self.vim.leave_insert(self.text, 0)

    def press(self, keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            if self.vim.mode == "insert" and key != ESC:
                self.text = self.text[: self.cursor] + key + self.text[self.cursor :]
                self.cursor += len(key)
                continue
            if self.vim.mode == "insert":
                outcome = self.vim.leave_insert(self.text, self.cursor)
            else:
                outcome = self.vim.press(_NAMES.get(key, key), self.text, self.cursor)
            self.text, self.cursor = outcome.text, outcome.cursor
            self.copied = outcome.copied or self.copied
            if outcome.wish is not None:
                self.wishes.append((outcome.wish, outcome.count))

    @property
    def shown(self) -> str:
        """The text with the cursor."""
        return f"{self.text[: self.cursor]}|{self.text[self.cursor :]}"


@pytest.mark.parametrize(
    ("before", "keys", "after"),
    [
        # motions
        ("|one two three", "w", "one |two three"),
        ("|one two three", "2w", "one two |three"),
        ("|one two three", "e", "on|e two three"),
        ("one two |three", "b", "one |two three"),
        ("one two |three", "ge", "one tw|o three"),
        ("|foo(bar, baz)", "w", "foo|(bar, baz)"),
        ("|foo(bar, baz)", "W", "foo(bar, |baz)"),
        ("|a\n\nb", "ww", "a\n\n|b"),
        ("  in|dented", "0", "|  indented"),
        ("  in|dented", "^", "  |indented"),
        ("|one two", "$", "one tw|o"),
        ("|one two", "4l", "one |two"),
        ("|one two", "fo", "one tw|o"),
        ("|one two one", "to;", "one two| one"),
        ("|one two one", "fo;,", "one tw|o one"),
        ("|foo(bar) x", "%", "foo(bar|) x"),
        ("on|e\nsecond\nx", "j", "one\nse|cond\nx"),
        ("one\nse|cond\nx", "jk", "one\nse|cond\nx"),
        ("|one\ntwo\nthree", "G", "one\ntwo\n|three"),
        ("one\ntwo\n|three", "gg", "|one\ntwo\nthree"),
        ("|one\ntwo\nthree", "2G", "one\n|two\nthree"),
        ("|你好世界 hello", "w", "你好世界 |hello"),
        ("|世界は広い", "w", "世界|は広い"),
        # operators
        ("|one two three", "dw", "|two three"),
        ("|one two three", "d2w", "|three"),
        ("|one two\nthree", "wdw", "one| \nthree"),
        ("one |two three", "daw", "one |three"),
        ("one t|wo three", "diw", "one | three"),
        ("one t|wo three", f"ciwnew{ESC}", "one ne|w three"),
        ("|one two three", f"cwnew{ESC}", "ne|w two three"),
        ("|one two three", f"2cwnew{ESC}", "ne|w three"),
        ('say "hi |there" now', 'di"', 'say "|" now'),
        ("f(a, (b|), c)", "dib", "f(a, (|), c)"),
        ("f(a, |(b), c)", "ca(x" + ESC, "f(a, |x, c)"),
        ("|first\nsecond\nthird", "dd", "|second\nthird"),
        ("first\n|second", "dd", "|first"),
        ("|first\nsecond\nthird", "2dd", "|third"),
        ("|first\nsecond\nthird", "dj", "|third"),
        ("one t|wo", "D", "one |t"),
        ("one |two", "dfo", "one| "),
        ("|one two", "dto", "|o"),
        ("|a\n\nb\nc", "de", "|c"),
        ("one two|", f"cc new{ESC}", " ne|w"),
        ("|one two", "gUiw", "|ONE two"),
        ("|one\ntwo", "gUU", "|ONE\ntwo"),
        ("|one", "2~", "ON|e"),
        ("|one two", "3rz", "zz|z two"),
        ("|one two", "9rz", "|one two"),
        ("|one\n  two\nthree", "J", "one| two\nthree"),
        # putting
        ("|one two", "dwP", "one| two"),
        ("|one\ntwo", "yyp", "one\n|one\ntwo"),
        ("one\n|two", "yyp", "one\ntwo\n|two"),
        ("one\n|two", "ddP", "|two\none"),
        ("|ab", "xp", "b|a"),
        ("|one two", "yiw$3p", "one twooneoneon|e"),
        ("|one two", '"ayw"_dd"ap', "one| "),
        # inserting
        ("|two", f"ione {ESC}", "one| two"),
        ("|two", f"aone{ESC}", "ton|ewo"),
        ("  tw|o", f"Ione {ESC}", "  one| two"),
        ("|two", f"A!{ESC}", "two|!"),
        ("|two", f"oone{ESC}", "two\non|e"),
        ("|two", f"Oone{ESC}", "on|e\ntwo"),
        ("|x", f"3iab{ESC}", "ababa|bx"),
        ("|one", f"s!{ESC}", "|!ne"),
        # undo and repeat
        ("|one two three", "dwdwu", "|two three"),
        ("|one two three", "dwdwuu\x12", "|two three"),
        ("|one two three", f"cwnew{ESC}w.", "new ne|w three"),
        ("|one two three", "dw.", "|three"),
        ("|abcdef", "x3.", "|ef"),
        ("|one", f"A!{ESC}u", "|one"),
        # visual
        ("|one two three", "vwd", "|wo three"),
        ("one t|wo three", "viwc!" + ESC, "one |! three"),
        ("one two| three", "vbd", "one |three"),
        ("|one\ntwo\nthree", "Vjd", "|three"),
        ("|one two", "v$y$p", "one twoone tw|o"),
        ("|one two", "veU", "|ONE two"),
        ("|one two three", "yiwwviwp", "one on|e three"),
        ("|one two", "vlord", "|dde two"),
        ("|one\ntwo", "vVv" + ESC, "|one\ntwo"),
    ],
)  # fmt: skip
def test_keys_do_what_they_do_in_vim(before: str, keys: str, after: str) -> None:
    field = Field(before)
    field.press(keys)
    assert field.shown == after
    assert field.vim.mode == "normal"
    assert not field.vim.pending


@pytest.mark.parametrize("cluster", ["é", "👩‍👩‍👧", "🇩🇪", "❤️", "नि"])
@pytest.mark.parametrize(
    ("before", "keys", "after"),
    [
        ("|Xb", "x", "|b"),
        ("a|X", "x", "|a"),
        ("aX|b", "X", "a|b"),
        ("|XX", "l", "X|X"),
        ("X|b", "h", "|Xb"),
        ("|XXc", "2x", "|c"),
        ("|ab", "ylx$p", "b|a"),
        ("|aXb", "lvd", "a|b"),
        ("|aXb", "fXr.", "a|.b"),
        ("|aXb", f"A!{ESC}", "aXb|!"),
    ],
)
def test_what_people_see_as_one_character_is_one(
    cluster: str, before: str, keys: str, after: str
) -> None:
    field = Field(before.replace("X", cluster))
    field.press(keys.replace("fX", f"f{cluster[0]}"))
    assert field.shown == after.replace("X", cluster)


def test_what_is_not_about_the_text_is_asked_of_the_app() -> None:
    field = Field("")
    field.press("kjggG/:nN3gtgT")
    assert field.wishes == [
        ("up", None), ("down", None), ("oldest", None), ("now", None), ("search", None),
        ("palette", None), ("next_hit", None), ("previous_hit", None), ("conversation", 3),
        ("previous_conversation", None),
    ]  # fmt: skip
    assert (field.text, field.copied) == ("", "")


def test_the_plus_register_is_the_clipboard() -> None:
    field = Field("|one two")
    field.press('"+yiw')
    assert field.copied == "one"
    field.press("wyiw")
    assert field.copied == "one"


def test_no_two_commands_leave_the_cursor_outside_the_text() -> None:
    """Every command after every other one: the state stays sound, whatever was in it."""
    keys = sorted(key for key in MOTIONS | COMMANDS | OPERATORS if len(key) < 3)
    for one, other in product(keys, keys):
        field = Field("|a (b)\n\n👩‍👩‍👧 d")
        field.press(f"{one}{other}x{ESC}")
        assert 0 <= field.cursor <= len(field.text), (one, other)
        assert field.text[field.cursor : field.cursor + 1] != "\u200d", (one, other)


def test_the_log_has_counts_and_keys_of_two_letters() -> None:
    log = LogKeys()
    assert [key for key in "05jdxe" if log.takes(key)] == ["5", "j"]
    assert log.press("1") is None
    assert log.press("0") is None
    command = log.press("k")
    assert command is not None
    assert (command.key, command.times) == ("k", 10)
    assert log.press("g") is None
    assert log.takes("t")
    command = log.press("t")
    assert command is not None
    assert command.key == "gt"
    assert not log.takes("t")
