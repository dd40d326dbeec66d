"""Slash commands: what is written is done, or reported if it is wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gochat.tui.input import commands
from gochat.tui.input.commands import COMMANDS, carry_out, is_command, plain


class Recorder:
    """Notes what it is asked to do."""

    conv = "#lobby"

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def note(*args: Any, **kwargs: Any) -> None:
            self.done.append((name, *args, *kwargs.values()))

        return note


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("/msg mei hello you", [("send", "@mei", "hello you"), ("open_conversation", "@mei")]),
        ("/msg @mei", [("open_conversation", "@mei")]),
        ("/query mei", [("open_conversation", "@mei")]),
        ("/join design", [("join", "#design")]),
        ("/JOIN #design", [("join", "#design")]),
        ("/leave", [("leave", "#lobby")]),
        ("/leave #design", [("leave", "#design")]),
        ("/leave @mei", [("leave", "@mei")]),
        ("/create design How it looks", [("create", "#design", "How it looks", False)]),
        ("/create-private x", [("create", "#x", "", True)]),
        ("/topic", [("show_topic",)]),
        ("/topic  New topic ", [("set_topic", "New topic")]),
        ("/topic -", [("set_topic", "")]),
        ("/invite @mei", [("invite", "mei")]),
        ("/decline garden", [("decline", "#garden")]),
        ("/kick mei", [("kick", "mei", "")]),
        ("/kick mei be kind", [("kick", "mei", "be kind")]),
        ("/ban mei", [("ban", "mei", None, "")]),
        ("/ban mei be kind", [("ban", "mei", None, "be kind")]),
        ("/ban @mei 7d be kind", [("ban", "mei", timedelta(days=7), "be kind")]),
        ("/ban mei 90m", [("ban", "mei", timedelta(minutes=90), "")]),
        ("/ban mei 0d", [("ban", "mei", None, "0d")]),
        ("/unban @mei", [("unban", "mei")]),
        ("/bans", [("show_bans",)]),
        ("/slow 30s", [("set_slow_mode", timedelta(seconds=30))]),
        ("/slow off", [("set_slow_mode", timedelta(0))]),
        ("/slow x", [("notify", "Write /slow 30s, /slow 5m, /slow 1h or /slow off.")]),
        ("/announce on", [("set_announcements", True)]),
        ("/announce off", [("set_announcements", False)]),
        ("/announce hi", [("notify", "Write /announce on or /announce off.")]),
        ("/archive", [("set_archived", True)]),
        ("/unarchive", [("set_archived", False)]),
        ("/mute @mei", [("restrict", "mei", "mute", None, "")]),
        ("/mute mei 2h too loud", [("restrict", "mei", "mute", timedelta(hours=2), "too loud")]),
        ("/unmute mei", [("unrestrict", "mei", "mute")]),
        ("/server-ban mei 7d spam", [("restrict", "mei", "ban", timedelta(days=7), "spam")]),
        ("/server-unban mei", [("unrestrict", "mei", "ban")]),
        ("/restrictions", [("show_restrictions",)]),
        (
            "/address-ban 203.0.113.0/24 7d spam",
            [("ban_address", "203.0.113.0/24", timedelta(days=7), "spam")],
        ),
        ("/address-ban ::1", [("ban_address", "::1", None, "")]),
        ("/hand-over den @mei eve left", [("hand_over", "#den", "mei", "eve left")]),
        ("/address-unban 203.0.113.7", [("unban_address", "203.0.113.7")]),
        ("/address-bans", [("show_address_bans",)]),
        ("/report", [("report_selected", "")]),
        ("/report very rude", [("report_selected", "very rude")]),
        ("/reports", [("show_reports",)]),
        ("/resolve 3", [("resolve_report", 3, "")]),
        ("/resolve #3 warned him", [("resolve_report", 3, "warned him")]),
        (
            "/resolve mei",
            [("notify", "Write /resolve and the number of a report, as /reports shows it.")],
        ),
        ("/pin", [("pin_selected", True)]),
        ("/unpin", [("pin_selected", False)]),
        ("/pins", [("open_panel", "pins")]),
        ("/save", [("save_selected", True)]),
        ("/unsave", [("save_selected", False)]),
        ("/saved", [("open_panel", "saved")]),
        ("/block @mei", [("block", "mei", True)]),
        ("/ignore mei", [("block", "mei", True)]),
        ("/unblock mei", [("block", "mei", False)]),
        ("/blocked", [("show_blocked",)]),
        ("/me waves at you", [("send", "#lobby", "waves at you", "action")]),
        ("/op mei", [("set_operator", "mei", True)]),
        ("/deop mei", [("set_operator", "mei", False)]),
        ("/private", [("set_access", True)]),
        ("/public", [("set_access", False, None)]),
        ("/public hidden", [("set_access", False, "hidden")]),
        ("/public all", [("notify", "Write /public, /public shown or /public hidden.")]),
        ("/history", [("show_history_setting",)]),
        ("/history hidden", [("set_history", "hidden")]),
        ("/history all", [("notify", "Write /history, /history shown or /history hidden.")]),
        ("/away", [("away", "away")]),
        ("/away at lunch", [("away", "at lunch")]),
        ("/back", [("away", None)]),
        ("/status", [("set_status", "")]),
        ("/status 🌴 on holiday until 18:00", [("set_status", "🌴 on holiday until 18:00")]),
        ("/notify mentions", [("set_level", "mentions")]),
        (
            "/notify loud",
            [("notify", "Write /notify all, mentions or none; for a while /notify none 8h.")],
        ),
        ("/notify none 8h", [("silence", timedelta(hours=8))]),
        ("/dnd 2h", [("be_quiet", timedelta(hours=2))]),
        ("/dnd off", [("be_quiet", None)]),
        ("/dnd", [("show_quiet",)]),
        ("/dnd soon", [("notify", "Write /dnd 30m, /dnd 2h or /dnd off.")]),
        ("/theme nord", [("set_theme", "nord")]),
        ("/search two words", [("open_panel", "search", "two words")]),
        ("/help topic", [("open_panel", "help", "topic")]),
        ("/who", [("open_panel", "people")]),
        ("/q", [("quit",)]),
    ],
)
def test_a_command_does_what_it_says(text: str, done: list[tuple[Any, ...]]) -> None:
    recorder = Recorder()
    assert carry_out(text, recorder) is None
    assert recorder.done == done


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("/jion x", "Did you mean /join"),
        ("/xyzzy", "/help shows what there is"),
        ("/xyzzy", "write //xyzzy"),
        ("/join", "Please write /join ROOM: become a member of a room."),
        ("/msg", "Please write /msg NAME [TEXT]"),
    ],
)
def test_what_is_wrong_is_reported_and_nothing_is_done(text: str, reported: str) -> None:
    recorder = Recorder()
    assert reported in (carry_out(text, recorder) or "")
    assert recorder.done == []


@pytest.mark.parametrize("text", ["/", "/ join", "//join", "hello /join", " /join", ""])
def test_what_is_no_command_is_text(text: str) -> None:
    assert not is_command(text)


def test_two_slashes_are_one_in_the_text() -> None:
    assert plain("//etc/passwd") == "/etc/passwd"
    assert plain("1/2") == "1/2"


def test_every_command_has_a_help_and_a_name_of_its_own() -> None:
    names = [name for command in COMMANDS for name in (command.name, *command.aliases)]
    assert len(names) == len(set(names))
    for command in COMMANDS:
        assert command.text
        assert not command.text.endswith(".")
        assert command.usage.startswith(f"/{command.name}")


def test_the_argument_at_the_cursor_is_known() -> None:
    def at(text: str) -> str | None:
        there = commands.argument_at(text)
        return there[1].name if there and there[1] else None

    assert at("/msg ") == "NAME"
    assert at("/msg mei") == "NAME"
    assert at("/msg mei hel") == "TEXT"
    assert at("/msg mei hello yo") == "TEXT"
    assert at("/join a b") is None
    assert at("/msg") is None
    assert at("/nothing x") is None
