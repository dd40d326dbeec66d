"""Entries of a timeline as items of the log: actions, notices, reasons."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gochat.tui.chat_log import LogMessage, LogNotice
from gochat.tui.chat_log.rows import Context, Geometry, layout_message
from gochat.tui.model.entries import TimelineEntry
from gochat.tui.model.highlights import Highlights
from gochat.tui.text.blocks import parse
from gochat.tui.text.sanitise import sanitise
from gochat.tui.widgets.log_items import log_item

HOSTILE = "waves\x1b]52;c;?\x07\u202e\n* eve leaves"


def item(**fields: Any) -> LogMessage | LogNotice:
    given: dict[str, Any] = {"key": "1", "kind": "text", "sender": "mei", "text": "waves", "ts": 0}
    return log_item(TimelineEntry(**given | fields), "ada")


def shown(message: LogMessage) -> list[tuple[str, str]]:
    """Return the pieces of a message's rows, with their roles."""
    document = parse(sanitise(message.text))
    rows = layout_message(message, document, Context(clock="10:00"), Geometry(80))
    return [(piece.text.strip(), piece.roles) for row in rows for piece in row.pieces]


def test_action_reads_as_what_its_sender_does_under_their_name() -> None:
    message = item(form="action")
    assert isinstance(message, LogMessage)
    assert message.text == r"\* mei waves", "it is not an item of a list"
    pieces = shown(message)
    assert ("mei", "sender") in pieces, "so that nobody's text passes for another's action"
    assert ("* mei waves", "text") in pieces


def test_notice_is_dimmed_and_a_text_is_not() -> None:
    for form, role in (("notice", "notice"), ("text", "text")):
        message = item(form=form)
        assert isinstance(message, LogMessage)
        assert ("waves", role) in shown(message)


@pytest.mark.parametrize("own", [True, False])
def test_word_of_ones_own_is_drawn_as_a_mention_in_what_others_write(own: bool) -> None:
    entry = TimelineEntry(key="1", kind="text", sender="mei", text="Deploy!", ts=0, own=own)
    message = log_item(entry, "ada", Highlights(["deploy"]))
    assert isinstance(message, LogMessage)
    assert message.mention is not own


@pytest.mark.parametrize("form", ["action", "notice"])
def test_hostile_text_stays_inert(form: str) -> None:
    message = item(form=form, text=HOSTILE)
    assert isinstance(message, LogMessage)
    text = "".join(piece for piece, _ in shown(message))
    assert not set("\x1b\x07\u202e") & set(text)
    assert ("mei", "sender") in shown(message)


@pytest.mark.parametrize(
    ("fields", "text", "group"),
    [
        ({"kind": "kick", "text": "bob", "reason": "be kind"}, "mei removed bob: be kind", None),
        ({"kind": "kick", "text": "bob"}, "mei removed bob", None),
        ({"kind": "ban", "text": "bob", "reason": "spam"}, "mei banned bob: spam", None),
        (
            {"kind": "ban", "text": "bob", "duration": timedelta(days=7)},
            "mei banned bob for 7 days",
            None,
        ),
        ({"kind": "slow", "text": "90"}, "mei set slow mode: one message every 90 s", None),
        ({"kind": "slow", "text": "0"}, "mei ended slow mode", None),
        ({"kind": "announcements", "text": "on"}, "mei let only operators write here", None),
        ({"kind": "announcements", "text": "off"}, "mei let everybody here write", None),
        ({"kind": "archive", "text": "on"}, "mei archived this room", None),
        (
            {"kind": "archive", "text": "off"},
            "mei brought this room back from the archive",
            None,
        ),
        (
            {"kind": "hand_over"},
            "mei became an operator, appointed by the admins of the server",
            None,
        ),
        ({"kind": "unban", "text": "bob"}, "mei lifted the ban of bob", None),
        ({"kind": "leave", "text": "", "reason": "lunch"}, "mei left: lunch", None),
        ({"kind": "leave", "text": ""}, "mei left", "left"),
    ],
)
def test_reason_is_shown(fields: dict[str, Any], text: str, group: str | None) -> None:
    notice = item(**fields)
    assert isinstance(notice, LogNotice)
    assert (notice.text, notice.group) == (text, group)


def test_pin_does_not_quote_whom_the_reader_blocks() -> None:
    entry = TimelineEntry(key="2", kind="pin", sender="bob", text="", ts=0, reply=("mei", "spam"))
    quoted, silent = log_item(entry, "ada"), log_item(entry, "ada", blocked={"mei"})
    assert isinstance(quoted, LogNotice)
    assert isinstance(silent, LogNotice)
    assert quoted.text == "bob pinned: spam"
    assert silent.text == "bob pinned a message"
