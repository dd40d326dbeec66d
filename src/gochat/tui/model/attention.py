"""What may notify the person while they look elsewhere. Pure.

How they are notified of it is in :mod:`gochat.tui.host.notifier`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from gochat.client import Message
from gochat.client.moments import milliseconds
from gochat.protocol.text import is_mentioned
from gochat.tui.model.highlights import Highlights
from gochat.tui.model.views import Attention, AttentionKind, ConversationView

#: A message that is older than this (ms) when it arrives is history: it rings no bell.
FRESH: Final = 120_000


def wanted_by(
    message: Message,
    view: ConversationView,
    *,
    blocked: Collection[str],
    highlights: Highlights,
    now: float,
) -> Attention | None:
    """Return the attention that an unread message wants, or None.

    `blocked` are whom the person blocks; `highlights` are words that are a mention for
    them; `now` is in seconds since the Unix epoch.
    """
    is_old = now * 1000 - milliseconds(message.time) > FRESH
    if is_old or view.wanted == "none" or message.sender in blocked:
        return None
    kind: AttentionKind
    if not view.is_room:
        kind = "direct"
    elif is_mentioned(view.timeline.me, message.mentions) or highlights.are_in(message.text):
        kind = "mention"
    elif view.wanted == "all":
        kind = "message"
    else:
        return None
    return Attention(view.conv, message.sender, message.text, kind)
