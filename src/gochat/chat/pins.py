"""Pinned messages: what a conversation wants to find again.

A pin is an entry of the log (``pin``, ``unpin``) about a message, so every client that follows the
log learns of it, and the commit decides whether it may be. The message then refers to the entry
that pinned it. Deleting the message, or removing it for its age, ends that with it: an entry is
never older than what it is about.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: Messages that are pinned in a conversation at most: more nobody looks through.
MAX_PINS: Final = 100


class PinRef(NamedTuple):
    """A pinned message: the seq of the entry that pinned it, by whom (the displayed name) and when,
    and the seq of the message."""

    pin: int
    seq: int
    by: str
    ts: int
