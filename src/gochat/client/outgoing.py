"""One outgoing message."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import anyio

from gochat.client.entries import MessageId
from gochat.client.errors import ClientClosed, copied
from gochat.client.models import Sent
from gochat.client.moments import now
from gochat.errors import ChatError
from gochat.protocol.messages import Form


class OutgoingState(StrEnum):
    """The state of an outgoing message."""

    #: Waits to be sent, or for the reply; sent again after a reconnect.
    PENDING = "pending"
    #: Committed by the server, at the position in `sent_as`.
    SENT = "sent"
    #: Refused by the server for the reason in `error`. Nothing happens until
    #: :meth:`~gochat.client.Client.retry` or :meth:`~gochat.client.Client.discard`.
    FAILED = "failed"


def new_cid() -> str:
    """Return a unique id for a request that writes: 32 hexadecimal digits.

    The first five are the hour, so that a server finds what is new in a small part of its index of
    millions; the time itself would tell everybody how long a message has waited to be sent. The
    others are random.
    """
    return f"{int(time.time()) // 3600 % 16**5:05x}{secrets.token_hex(14)[1:]}"


@dataclass(eq=False, slots=True, kw_only=True)
class Outgoing:
    """A message that this client sends, from :meth:`~gochat.client.Client.send` to its end.

    Awaiting it is awaiting :meth:`sent`. Only the client changes it, and reports each change with
    :class:`~gochat.client.OutgoingChanged`. The :class:`~gochat.client.Message` that it becomes has
    the same `cid`. `sender` is the account it belongs to: None until the first login.
    """

    conversation: str
    text: str
    reply_to: MessageId | None = None
    form: Form = "text"
    meta: Mapping[str, str] = field(default_factory=dict)
    cid: str = field(default_factory=new_cid)
    created: datetime = field(default_factory=now)
    sender: str | None = None
    state: OutgoingState = OutgoingState.PENDING
    error: ChatError | None = None
    sent_as: Sent | None = None
    #: (Internal) Its position in the order of sending: higher is later.
    outbox_index: int = field(default=0, init=False, repr=False)
    _is_abandoned: bool = field(default=False, init=False, repr=False)
    _settled: anyio.Event | None = field(default=None, init=False, repr=False)

    def __await__(self) -> Generator[Any, Any, Sent]:
        return self.sent().__await__()

    async def sent(self) -> Sent:
        """Wait until the server has committed the message, and return its position in the log.

        Waits through lost connections and restarts of the server, for as long as it takes.
        Cancelling it cancels the waiting, not the message.

        Raises:
            ChatError: the server refused it; the state is FAILED.
            ClientClosed: the client was closed first. If the outbox has a path, the next client
                that opens it sends the message.
        """
        while self.state is OutgoingState.PENDING:
            if self._is_abandoned:
                raise ClientClosed("the client was closed before the message was sent")
            if self._settled is None:
                self._settled = anyio.Event()
            await self._settled.wait()
        if self.sent_as is None:
            assert self.error is not None
            raise copied(self.error)
        return self.sent_as

    def become_sent(self, sent: Sent) -> None:
        """(Internal) The message is in the log."""
        self._become(OutgoingState.SENT, None, sent)

    def become_failed(self, error: ChatError) -> None:
        """(Internal) The server refused the message for good."""
        self._become(OutgoingState.FAILED, error, None)

    def become_pending(self) -> None:
        """(Internal) The message is to be sent, or sent again."""
        self._become(OutgoingState.PENDING, None, None)

    def abandon(self) -> None:
        """(Internal) The client was closed, and will not send the message."""
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
