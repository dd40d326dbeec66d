"""Which private messages were posted to a session without the capability `log`."""

from __future__ import annotations

from gochat.chat.conversations import ConversationKey


class PostedMessages:
    """Decides which messages are posted as they come. Create it before the session can get any.

    :mod:`gochat.server.waiting_messages` posts the others.
    """

    __slots__ = ("posted", "unread")

    def __init__(self) -> None:
        #: The seq up to which messages were posted, or need not be.
        self.posted: dict[ConversationKey, int] = {}
        #: Conversations to read, each with the seq after which to begin; None once events are
        #: posted as they come.
        self.unread: dict[ConversationKey, int] | None = {}

    def admits(self, conversation: ConversationKey, seq: int) -> bool:
        """Return True if a message that has just been committed is to be posted now."""
        posted = self.posted.get(conversation)
        if posted is not None and seq <= posted:
            return False
        if self.unread is not None:
            self.unread.setdefault(conversation, seq - 1 if posted is None else posted)
            return False
        if posted is not None:
            del self.posted[conversation]  # later events are beyond it, too
        return True
