"""What concerns the person, in one list: mentions, replies and reactions to their messages, as the
server lists them; with invitations, and private conversations with something unread; and, as a
moderator of the server, the reports that wait for them. Pure.

A new kind of thing needs a row here (:func:`rows`), and what choosing it does (the actions' module
:mod:`~gochat.tui.actions.activity`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal, Protocol, TypeAlias

from gochat.client import (
    ActivityItem,
    ActivityPage,
    Invitation,
    LogEntry,
    Message,
    MessageDeleted,
    MessageEdited,
    ReactionAdded,
    ReactionRemoved,
    Report,
)
from gochat.client.moments import milliseconds
from gochat.protocol.text import EVERYBODY
from gochat.tui.model.views import ConversationView
from gochat.tui.text.names import separated

RowKind: TypeAlias = Literal["mention", "reply", "reaction", "invitation", "unread", "report"]


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """One thing that concerns the person.

    `seq` is the message to show, None where the conversation is opened; of a report, its id. `text`
    is what was written, the emoji, the topic, who is reported, or empty; `about` how the person's
    own message begins, or why a report was made. `ts` is in milliseconds since the Unix epoch.
    `number` counts the unread messages of an ``unread`` row.
    """

    key: str
    kind: RowKind
    conv: str
    sender: str
    ts: int
    is_new: bool
    seq: int | None = None
    text: str = ""
    about: str = ""
    number: int = 0

    @property
    def message(self) -> str:
        """What was written to the person, if that is what concerns them."""
        return self.text if self.kind in ("mention", "reply") else ""


class Activity:
    """What the server has listed. `cursor` asks for more of it; None: that is all."""

    def __init__(self) -> None:
        self.items: tuple[ActivityItem, ...] = ()
        self.seen = 0
        self.cursor: str | None = None

    def take(self, page: ActivityPage) -> None:
        """Take the first page, instead of what is here."""
        self.items, self.cursor = page.items, page.cursor
        self.see(milliseconds(page.seen))

    def add(self, page: ActivityPage) -> None:
        """Take a further page."""
        self.items, self.cursor = self.items + page.items, page.cursor

    def see(self, ts: int) -> None:
        """The person has seen it up to this time."""
        self.seen = max(self.seen, ts)

    def is_changed_by(self, entry: LogEntry) -> bool:
        """Return whether an entry changes the list, without a notification by the server."""
        match entry:
            case Message(is_own=False):
                return EVERYBODY in entry.mentions
            case MessageDeleted() | MessageEdited() | ReactionRemoved():
                place = (entry.conversation, entry.message.seq)
                return any(place in _places(item) for item in self.items)
            case _:
                return False


class Listed(Protocol):
    """What the list is made of: :class:`~gochat.tui.model.chat.ChatModel`."""

    activity: Activity
    conversations: dict[str, ConversationView]
    reports: dict[int, Report]

    @property
    def invitations(self) -> Mapping[str, Invitation]:
        """The pending invitations, by room."""


def rows(model: Listed) -> list[ActivityRow]:
    """Return everything that concerns the person, the newest first."""
    found = chain(_items(model), _invitations(model), _unread(model), _reports(model))
    return sorted(found, key=lambda row: (row.ts, row.key), reverse=True)


def count_new(model: Listed) -> int:
    """Return how much of it is new."""
    return sum(row.is_new for row in rows(model))


def count_new_items(model: Listed) -> int:
    """Return how much is new of what the list of conversations has no row for, as it has for
    invitations and unread private conversations."""
    return sum(row.is_new for row in chain(_items(model), _reports(model)))


def _items(model: Listed) -> Iterator[ActivityRow]:
    for item in model.activity.items:
        entry = item.entry
        view = model.conversations.get(entry.conversation)
        if view is None or not view.joined:
            continue
        is_reaction = isinstance(entry, ReactionAdded)
        ts = milliseconds(item.time)
        yield ActivityRow(
            key=f"{entry.conversation} {entry.seq}",
            kind=item.kind,
            conv=entry.conversation,
            sender=entry.sender,
            ts=ts,
            is_new=ts > model.activity.seen and entry.seq > view.read,
            seq=entry.message.seq if isinstance(entry, ReactionAdded) else entry.seq,
            text=entry.emoji if isinstance(entry, ReactionAdded) else entry.text,
            about=item.about if is_reaction or item.kind == "reply" else "",
        )


def _invitations(model: Listed) -> Iterator[ActivityRow]:
    for room, invitation in model.invitations.items():
        ts = milliseconds(invitation.time)
        yield ActivityRow(
            key=f"invitation {room}",
            kind="invitation",
            conv=room,
            sender=invitation.sender,
            ts=ts,
            is_new=ts > model.activity.seen,
            text=invitation.topic,
        )


def _unread(model: Listed) -> Iterator[ActivityRow]:
    for view in model.conversations.values():
        if not view.is_room and view.unread:
            yield ActivityRow(
                key=f"unread {view.conv}",
                kind="unread",
                conv=view.conv,
                sender=view.name,
                ts=view.time,
                is_new=view.time > model.activity.seen,
                number=view.unread,
            )


def _reports(model: Listed) -> Iterator[ActivityRow]:
    """Yield a row for each report that waits; it is new until it is resolved."""
    for report in model.reports.values():
        senders = dict.fromkeys(one.sender for one in report.messages)
        yield ActivityRow(
            key=f"report {report.id}",
            kind="report",
            conv=report.conversation,
            sender=report.sender,
            ts=milliseconds(report.time),
            is_new=True,
            seq=report.id,
            text=separated([name for name in senders if name != report.sender]),
            about=report.reason,
        )


def _places(item: ActivityItem) -> Iterator[tuple[str, int]]:
    """Yield the entries by which an item is what it is."""
    yield item.entry.conversation, item.entry.seq
    if isinstance(item.entry, ReactionAdded):
        yield item.entry.conversation, item.entry.message.seq
