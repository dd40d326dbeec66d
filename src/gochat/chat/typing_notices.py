"""Rate limit for typing notices.

Performs no I/O: callers pass the time, in seconds of a monotonic clock.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from gochat.chat.conversations import ConversationKey


class TypingNotices:
    """Limits the typing notices of one person.

    One per interval in a conversation, and on average one per interval overall, of which
    :data:`AT_ONCE` may come together.
    """

    #: Enough for answering in several conversations, but nobody types everywhere.
    AT_ONCE: Final = 3

    __slots__ = ("_typed",)

    def __init__(self) -> None:
        #: The conversation and time of each notice that still counts, the oldest first.
        self._typed: deque[tuple[ConversationKey, float]] = deque(maxlen=self.AT_ONCE)

    def admit(self, conversation: ConversationKey, interval: float, now: float) -> bool:
        """Return whether to deliver a notice; if so, count it."""
        for earlier, at in self._typed:
            if earlier == conversation and now - at < interval:
                return False
        if len(self._typed) == self.AT_ONCE and now - self._typed[0][1] < self.AT_ONCE * interval:
            return False
        self._typed.append((conversation, now))
        return True
