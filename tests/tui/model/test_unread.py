"""Counts go down, too: with deletions and edits; and what is not known is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from gochat.client import Conversation, LogEntry, Synchronised
from gochat.client.convert import to_entry
from gochat.protocol import messages as wire
from gochat.tui.model.chat import ChatModel


def entry(seq: int, sender: str = "mei", **fields: Any) -> LogEntry:
    fields.setdefault("text", "x")
    message = wire.Message(to="#design", epoch="e", seq=seq, ts=1, from_=sender, **fields)
    return to_entry(message, "ada")


def conversation(name: str, head: int, **fields: Any) -> Conversation:
    return Conversation(name=name, epoch="e", head=head, time=None, **fields)


@pytest.fixture
def model() -> ChatModel:
    model = ChatModel("ada", clock=lambda: 0.0, now=lambda: 0.0)
    model.apply(Synchronised((), (conversation("#lobby", 0), conversation("#design", 5, read=5))))
    model.take_changes()
    return model


def counts(model: ChatModel) -> tuple[int, int]:
    view = model.conversations["#design"]
    return view.unread, view.mentions


def test_deleting_an_unread_message_takes_it_off_the_count(model: ChatModel) -> None:
    model.apply(entry(6))
    model.apply(entry(7, mentions=("ada",)))
    model.apply(entry(8, kind="delete", ref=7, text=""))
    assert counts(model) == (1, 0)
    model.apply(entry(9, kind="delete", ref=7, text=""))  # once is enough
    model.apply(entry(10, kind="delete", ref=6, text=""))
    assert counts(model) == (0, 0)
    assert not model.take_changes().stale


def test_deleting_what_was_read_or_is_ones_own_changes_no_count(model: ChatModel) -> None:
    model.apply(entry(6))
    model.apply(entry(7, "ada"))
    model.apply(entry(8, kind="delete", ref=7, text=""))
    model.apply(entry(9, kind="delete", ref=3, text=""))
    assert counts(model) == (1, 0)


def test_an_edit_can_add_and_take_away_a_mention(model: ChatModel) -> None:
    model.apply(entry(6))
    model.apply(entry(7, kind="edit", ref=6, mentions=("ada",)))
    assert counts(model) == (1, 1)
    model.apply(entry(8, kind="edit", ref=6))
    assert counts(model) == (1, 0)


def test_the_server_is_asked_where_the_deleted_message_is_not_loaded(model: ChatModel) -> None:
    model.apply(
        Synchronised((), (conversation("#lobby", 0), conversation("#design", 8, read=5, unread=3)))
    )
    model.take_changes()
    model.apply(entry(9, kind="delete", ref=7, text=""))
    assert model.take_changes().stale
    model.describe([conversation("#design", 9, read=5, unread=2)])
    assert counts(model) == (2, 0)


def test_an_answer_does_not_bring_back_what_was_read_meanwhile(model: ChatModel) -> None:
    model.apply(entry(6))
    model.show("#design")
    model.mark_read(6)
    model.describe([conversation("#design", 6, read=5, unread=1, topic="new")])
    assert counts(model) == (0, 0)
    assert model.shown.topic == "new"
