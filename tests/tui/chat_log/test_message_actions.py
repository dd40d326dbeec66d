"""What can be done with a message is decided once, for its keys, its words and its hints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from rich.style import Style

from gochat.tui.chat_log import LogMessage, LogNotice
from gochat.tui.chat_log.message_actions import MESSAGE_ACTIONS, ActionName, offered
from gochat.tui.chat_log.toolbar import toolbar
from gochat.tui.input import keys
from gochat.tui.model.entries import TimelineEntry
from gochat.tui.widgets import hints

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_every_action_has_a_row_in_the_table() -> None:
    assert {action.name for action in MESSAGE_ACTIONS} == set(get_args(ActionName))
    assert len({action.key for action in MESSAGE_ACTIONS}) == len(MESSAGE_ACTIONS)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "reply react copy"),
        ({"own": True}, "reply react copy edit delete"),
        ({"own": True, "state": "pending"}, "copy"),
        ({"own": True, "state": "failed"}, "retry delete copy"),
        ({"own": True, "deleted": True}, ""),
    ],
)
def test_the_mouse_and_the_keys_are_offered_the_same(fields: Any, expected: str) -> None:
    message = LogMessage("1", "mei", "hello", NOON, **fields)
    entry = TimelineEntry(key="1", kind="text", sender="mei", text="hello", ts=0, **fields)
    assert " ".join(offered(message)) == expected
    assert toolbar(message, Style()).text.split() == expected.split()
    shown = hints.for_message(keys.defaults(), entry)[:-1]
    by_key = {action.key: action.name for action in MESSAGE_ACTIONS}
    assert [by_key[hint.key] for hint in shown] == expected.split()


def test_nothing_can_be_done_with_a_notice() -> None:
    assert toolbar(LogNotice("1", NOON, "mei joined"), Style()).text == ""
