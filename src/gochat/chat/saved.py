"""Saved messages: a list that each person keeps for themselves, on all their devices.

A store keeps references only. Whether the person can still read a message, and what it reads now,
is decided each time that the list is read (by the server's `saved` module): messages are deleted
and expire, people leave rooms and are removed from them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gochat.chat.conversations import ConversationKey
from gochat.errors import ChatError, ErrorCode

#: Messages in a person's list at most: some years of one in a day.
MAX_SAVED: Final = 1000


class SavedRef(NamedTuple):
    """A message that was saved at `ts`. `written` is when it was committed: after a loss of data
    another message can have its seq, but not its time.

    They are ordered by time; those of the same time by conversation and seq.
    """

    ts: int
    conversation: ConversationKey
    seq: int
    written: int


def too_many_saved() -> ChatError:
    """Return the error for saving a message where the list is full."""
    return ChatError(
        ErrorCode.TOO_MANY,
        f"you have saved {MAX_SAVED:,} messages, and can't save more: remove one first",
        field="seq",
        details={"rule": "saved", "max": MAX_SAVED},
    )
