"""What an entry changes of a conversation for the person: its topic, who may join, their role.

Pure.
"""

from __future__ import annotations

from gochat.client import (
    AccessChanged,
    AnnouncementsChanged,
    ArchiveChanged,
    HistoryChanged,
    LogEntry,
    OperatorAdded,
    OperatorRemoved,
    PersonBanned,
    PersonJoined,
    PersonKicked,
    PersonLeft,
    RoomCreated,
    RoomHandedOver,
    SlowModeChanged,
    TopicChanged,
)
from gochat.tui.model.views import ConversationView


def begins(entry: LogEntry) -> bool:
    """Return whether the person is in the room from this entry on."""
    return isinstance(entry, PersonJoined | RoomCreated | RoomHandedOver) and entry.is_own


def ends(entry: LogEntry, me: str) -> bool:
    """Return whether the person is no longer in the room from this entry on."""
    match entry:
        case PersonLeft(is_own=True):
            return True
        case PersonKicked() | PersonBanned():
            return entry.name == me
        case _:
            return False


def apply(view: ConversationView, entry: LogEntry, me: str) -> None:
    """Take what an entry changes."""
    match entry:
        case TopicChanged():
            view.topic = entry.topic
        case AccessChanged():
            view.private = entry.private
            if not view.private:
                view.history = "shown"
        case HistoryChanged():
            view.history = entry.history
        case SlowModeChanged():
            view.slow_mode = entry.interval
        case AnnouncementsChanged():
            view.announcements = entry.on
        case ArchiveChanged():
            view.archived = entry.archived
        case OperatorAdded() if entry.name == me:
            view.operator = True
        case OperatorRemoved() if entry.name == me:
            view.operator = False
        case RoomCreated():
            view.operator |= entry.is_own
            view.private = entry.private
        case RoomHandedOver(is_own=True):
            view.operator = True
        case PersonKicked() | PersonBanned():
            view.typing.stop([entry.name])
            view.operator &= entry.name != me
        case PersonLeft(is_own=True):
            view.operator = False
        case _:
            pass
