"""Counting what is unread. Pure.

The server counts, too, and its number is taken whenever it gives one; between two of those each
entry is counted here as it arrives, by the same rule: messages of others after the read marker that
are not deleted.
"""

from __future__ import annotations

from gochat.client import Message, MessageDeleted, MessageEdited
from gochat.protocol.text import is_mentioned
from gochat.tui.model.views import ConversationView


def count(view: ConversationView, message: Message, *, counted: bool) -> bool:
    """Count a message that has arrived, unless it is `counted`; return whether it is unread."""
    me = view.timeline.me
    if message.is_own:
        if not view.unread:
            view.read = max(view.read, message.seq)  # a person's own messages are never unread
        return False
    if message.seq <= view.read:
        return False
    if not counted:
        view.unread += 1
        view.mentions += is_mentioned(me, message.mentions)
    return True


def amend(view: ConversationView, change: MessageDeleted | MessageEdited) -> bool:
    """Count what an edit or a deletion changes, before the timeline has it.

    Return False where that can't be known, because the message is not loaded.
    """
    seq, me = change.message.seq, view.timeline.me
    if seq <= view.read:
        return True
    line = view.timeline.entry(seq)
    if line is None:
        return False
    if line.own or line.deleted or change.seq <= line.as_of:
        return True
    if isinstance(change, MessageDeleted):
        view.unread = max(0, view.unread - 1)
        view.mentions = max(0, view.mentions - is_mentioned(me, line.mentions))
    elif not change.deleted:
        view.mentions = max(
            0, view.mentions + is_mentioned(me, change.mentions) - is_mentioned(me, line.mentions)
        )
    return True
