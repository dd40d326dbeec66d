"""What concerns the person, as the app lists it."""

from __future__ import annotations

from collections.abc import Sequence

from gochat.client import (
    ActivityChanged,
    ActivityPage,
    Conversation,
    Invitation,
    LogEntry,
    Synchronised,
)
from gochat.client.convert import to_activity, to_entry
from gochat.client.moments import moment
from gochat.protocol import messages as wire
from gochat.tui.model.activity import count_new, count_new_items, rows
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.presentation import describe

ROOM = "#garden"


def entry(seq: int, conv: str = ROOM, kind: wire.EntryKind = "text", **fields: object) -> LogEntry:
    return to_entry(said(seq, conv, kind, **fields), "ada")


def said(
    seq: int, conv: str = ROOM, kind: wire.EntryKind = "text", **fields: object
) -> wire.Message:
    given = {"text": "hi", "from_": "mei", **fields}
    return wire.Message(to=conv, epoch="e", seq=seq, ts=1000 * seq, kind=kind, **given)  # type: ignore[arg-type]  # fields of a message


def page(*items: wire.ActivityItem, seen: int = 0) -> ActivityPage:
    return to_activity(wire.ActivityList(items=items, seen=seen), "ada")


PAGE: Sequence[wire.ActivityItem] = (
    wire.ActivityItem(
        kind="reaction", ts=4000, entry=said(4, kind="react", text="👍", ref=2), about="seeds?"
    ),
    wire.ActivityItem(kind="reply", ts=3000, entry=said(3, ref=2), about="seeds?"),
    wire.ActivityItem(kind="mention", ts=1000, entry=said(1, "#lobby", text="hi @ada")),
)


def model(*, read: int = 0, seen: int = 0) -> ChatModel:
    """Ada's app after its start, with one private message and one invitation."""
    made = ChatModel("ada")
    made.apply(
        Synchronised(
            (),
            (
                Conversation(name="#lobby", epoch="e", head=1, time=None),
                Conversation(name=ROOM, epoch="e", head=4, time=None, read=read),
                Conversation(name="@bob", epoch="e", head=2, time=moment(2000), unread=1),
            ),
            (Invitation(room="#cellar", sender="eve", time=moment(5000)),),
        )
    )
    assert made.take_changes().activity_stale
    made.take_activity(page(*PAGE, seen=seen))
    return made


def shown(made: ChatModel) -> list[str]:
    return [f"{'*' * row.is_new}{row.sender} {describe(row)}" for row in rows(made)]


def test_everything_is_in_one_list_newest_first() -> None:
    assert shown(model()) == [
        "*eve invites you to #cellar",
        "*mei reacted 👍 in #garden: seeds?",
        "*mei replied in #garden",
        "*bob 1 unread message",
        "*mei in #lobby",
    ]


def test_what_was_read_or_seen_is_not_new() -> None:
    made = model(read=3)
    assert count_new(made) == 4
    made.see_activity(2000)
    assert [row.is_new for row in rows(made)] == [True, True, False, False, False]
    made.see_activity(1000)
    assert count_new(made) == 2
    assert count_new_items(made) == 1  # the invitation has a row of its own
    made.take_activity(page(*PAGE, seen=5000))  # on another device
    assert count_new(made) == 0


def test_rooms_that_were_left_are_not_listed() -> None:
    made = model()
    made.apply(entry(5, kind="kick", text="ada"))
    assert [row.conv for row in rows(made)] == ["#cellar", "@bob", "#lobby"]


def test_only_what_may_change_the_list_asks_again() -> None:
    made = model()
    for event, is_stale in (
        (entry(5), False),
        (entry(6, mentions=("ada",)), False),  # the server says so
        (ActivityChanged(), True),
        (entry(7, mentions=("@room",)), True),
        (entry(8, kind="delete", text="", ref=3), True),
        (entry(9, kind="delete", text="", ref=5), False),
        (entry(10, kind="unreact", text="👍", ref=2), True),
        (entry(11, kind="edit", text="x", ref=9), False),
    ):
        made.apply(event)
        assert made.take_changes().activity_stale == is_stale, event


def test_hostile_texts_are_one_harmless_line() -> None:
    made = ChatModel("ada")
    invitation = Invitation(room="#x\x1b[2J", sender="e\nve", time=moment(1), topic="a\x07\ntopic")
    made.apply(Synchronised((), (), (invitation,)))
    (row,) = rows(made)
    assert describe(row).isprintable()
