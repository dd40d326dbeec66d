"""What belongs to a login: an object that exists as long as somebody is logged in on a connection.

The hub delivers to it. Who logs somebody in or out creates or drops it
(:mod:`gochat.server.authentication`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from gochat.chat.accounts import Identity
from gochat.chat.conversations import ConversationKey
from gochat.chat.grants import Grant
from gochat.chat.tokens import HeldToken
from gochat.protocol.messages import ByeReason, Capability, Message, ServerRole
from gochat.server.hub import OnlinePerson
from gochat.server.posted_messages import PostedMessages
from gochat.server.posting import Sink
from gochat.server.receipt_tracker import ReceiptTracker


class _Nowhere:
    """Discards what would be sent to a session that is about to end, or not logged in yet.

    With `is_behind`, what can wait is kept for it.
    """

    def __init__(self, *, is_behind: bool) -> None:
        self.is_behind: Final = is_behind

    def post(self, frames: bytes) -> None:
        """Discard frames."""

    send = post


_NOWHERE: Final = _Nowhere(is_behind=False)
_NOT_YET: Final = _Nowhere(is_behind=True)


class LoggedInSession(Protocol):
    """The session of a login: see :class:`gochat.server.session.Session`."""

    @property
    def address(self) -> str:
        """The peer's address."""

    @property
    def is_ending(self) -> bool:
        """True once the session is closing."""

    def close(self, reason: ByeReason, text: str = "", *, retry_after: float | None = None) -> None:
        """End the session with `bye`."""


class ActiveLogin:
    """A person who is logged in on a session.

    It is sent no events until :meth:`begin`: the reply to the login comes first.
    """

    __slots__ = (
        "_outlet", "caps", "events", "grant", "identity", "person", "posted", "receipts",
        "role", "session", "token", "wants_log",
    )  # fmt: skip

    def __init__(
        self,
        session: LoggedInSession,
        identity: Identity,
        token: HeldToken,
        grant: Grant,
        caps: frozenset[str],
        outlet: Sink,
        receipts: ReceiptTracker | None,
    ) -> None:
        self.session: Final = session
        #: Of another generation after the person has changed the password.
        self.identity = identity
        #: None while the person is changing the password.
        self.token: HeldToken | None = token
        self.grant = grant
        self.caps = caps
        self.wants_log = Capability.LOG in caps
        #: The person's role at the server, as the client knows it; None before the login's reply.
        self.role: ServerRole | None = None
        #: Where the hub's events go.
        self.events: Sink = _NOT_YET
        self._outlet: Final = outlet
        #: For a client that keeps no read marker of its own.
        self.receipts: Final = receipts
        #: Which private messages were posted to a client without the capability `log`.
        self.posted: Final = PostedMessages()
        #: Set in the step in which the login joins the hub.
        self.person: OnlinePerson

    @property
    def is_muted(self) -> bool:
        """True if it gets no more events: the session is about to end."""
        return self.events is _NOWHERE

    def mute(self) -> None:
        """Discard events from now on, because they would follow a gap."""
        self.events = _NOWHERE

    def begin(self) -> None:
        """Post events from now on, unless the login is muted."""
        if self.events is _NOT_YET:
            self.events = self._outlet

    def post_private(
        self, conversation: ConversationKey, entries: Sequence[Message], frames: Sequence[bytes]
    ) -> None:
        """Post what others have just said to a client without the capability `log`.

        Called by the hub, with all entries of a commit. Messages that were posted already, or wait
        until those before them are, are left out.
        """
        name, seq, data = self.identity.name, 0, []
        for entry, frame in zip(entries, frames, strict=True):
            is_others = entry.kind == "text" and entry.from_ != name
            if is_others and self.posted.admits(conversation, entry.seq):
                data.append(frame)
                seq = entry.seq
        if data:
            self.events.post(b"".join(data))
            self.note_delivered(conversation, seq)

    def note_delivered(self, conversation: ConversationKey, seq: int) -> None:
        """Record a private message that was posted to a client without the capability `log`."""
        if self.receipts is not None and not self.is_muted:
            self.receipts.note(conversation, seq)
