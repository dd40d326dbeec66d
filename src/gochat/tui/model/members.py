"""Who is in the conversation that is shown, in the order in which a list shows them. Pure.

The members of a room are asked for once, and follow its log from then on. Who is online comes
first.
"""

from __future__ import annotations

from typing import Protocol

from gochat.client import (
    LogEntry,
    OperatorAdded,
    OperatorRemoved,
    PersonBanned,
    PersonJoined,
    PersonKicked,
    PersonLeft,
    RoomCreated,
    RoomHandedOver,
)
from gochat.protocol.messages import LOBBY
from gochat.tui.model.roster import Roster
from gochat.tui.model.views import ConversationView
from gochat.tui.text.names import natural


class Shown(Protocol):
    """What the list is made of: :class:`~gochat.tui.model.chat.ChatModel`."""

    me: str
    people: Roster

    @property
    def shown(self) -> ConversationView:
        """The conversation that is shown."""


def apply(view: ConversationView, entry: LogEntry) -> None:
    """Take what an entry of a room's log changes."""
    operators: dict[str, bool] = {}
    gone = ""
    match entry:
        case PersonJoined():
            operators = {entry.sender: False}
        case RoomCreated() | RoomHandedOver():
            operators = {entry.sender: True}
        case OperatorAdded() | OperatorRemoved():
            operators = {entry.name: isinstance(entry, OperatorAdded)}
        case PersonLeft():
            gone = entry.sender
        case PersonKicked() | PersonBanned():
            gone = entry.name
        case _:
            return
    view.member_changes += 1
    if view.members is not None:
        view.members.update(operators)
        view.members.pop(gone, None)


def names(model: Shown) -> list[str] | None:
    """Return who is in the shown conversation, those who are online first; None: not known yet.

    In the lobby, where everybody is, only those who are online.
    """
    view = model.shown
    if view.conv == LOBBY:
        return model.people.names()
    if not view.is_room:
        return [view.name] if view.name == model.me else [view.name, model.me]
    if view.members is None or not view.joined:
        return None
    people = model.people
    return sorted(view.members, key=lambda name: (name not in people, natural(name), name))
