"""One message on its way out."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from enum import StrEnum

import anyio

from gochat.errors import ChatError, ConnectionLost
from gochat.protocol.messages import Sent


class OutgoingState(StrEnum):
    """What has become of a message so far."""

    #: Waits to be sent, or for the answer; will be sent again after a cut.
    PENDING = "pending"
    #: Committed by the server, at the position in `sent_as`.
    SENT = "sent"
    #: Refused by the server for the reason in `error`. Nothing happens until
    #: :meth:`~gochat.client.Client.retry` or :meth:`~gochat.client.Client.discard`.
    FAILED = "failed"


def new_cid() -> str:
    """Return an id for something to be said, as unique as ids get."""
    return uuid.uuid4().hex


def _now() -> int:
    return time.time_ns() // 1_000_000


@dataclass(eq=False, slots=True, kw_only=True)
class Outgoing:
    """A message that this client sends, from :meth:`~gochat.client.Client.send` to its end.

    Read it as you like; only the client changes it, and says so by
    :class:`~gochat.client.OutgoingChanged`. `cid` is found again in the
    :class:`~gochat.client.Message` that it becomes. `created` is in milliseconds since the Unix
    epoch. `sender` is the account it belongs to: None until the first login.
    """

    to: str
    text: str
    reply_to: int | None = None
    cid: str = field(default_factory=new_cid)
    created: int = field(default_factory=_now)
    sender: str | None = None
    state: OutgoingState = OutgoingState.PENDING
    error: ChatError | None = None
    sent_as: Sent | None = None
    #: (The client's) Its place among all that is said, higher for what comes later.
    outbox_index: int = field(default=0, init=False, repr=False)
    _is_abandoned: bool = field(default=False, init=False, repr=False)
    _settled: anyio.Event | None = field(default=None, init=False, repr=False)

    async def sent(self) -> Sent:
        """Wait until the server has committed the message, and return its place in the log.

        Waits through cuts and restarts of the server, for as long as it takes. Cancelling it
        cancels the waiting, not the message.

        Raises:
            ChatError: the server refused it; the state is FAILED.
            ConnectionLost: the client was closed before. A message in an outbox with a path will
                be sent by the next client that opens it.
        """
        while self.state is OutgoingState.PENDING:
            if self._is_abandoned:
                raise ConnectionLost("the client was closed before the message was sent")
            if self._settled is None:
                self._settled = anyio.Event()
            await self._settled.wait()
        if self.sent_as is None:
            assert self.error is not None
            # A copy: one exception object raised in several tasks would mix their tracebacks.
            error = self.error
            raise ChatError(
                error.code, error.text, retry_after=error.retry_after, field=error.field
            )
        return self.sent_as

    def become_sent(self, sent: Sent) -> None:
        """(The client's) It is in the log."""
        self._become(OutgoingState.SENT, None, sent)

    def become_failed(self, error: ChatError) -> None:
        """(The client's) It was refused for good."""
        self._become(OutgoingState.FAILED, error, None)

    def become_pending(self) -> None:
        """(The client's) It is to be sent, again."""
        self._become(OutgoingState.PENDING, None, None)

    def abandon(self) -> None:
        """(The client's) Nobody will send it any more."""
        self._is_abandoned = True
        self._wake()

    def _become(self, state: OutgoingState, error: ChatError | None, sent: Sent | None) -> None:
        self.state, self.error, self.sent_as = state, error, sent
        if state is not OutgoingState.PENDING:
            self._wake()

    def _wake(self) -> None:
        if self._settled is not None:
            self._settled.set()
            self._settled = None
