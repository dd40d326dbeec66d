"""A write that a task of the program waits for."""

from __future__ import annotations

import anyio

from gochat.errors import ChatError, ConnectionLost
from gochat.protocol.messages import Reply, WriteRequest


class Call:
    """A request that writes, other than a message; from the call to its reply.

    Unlike a message it is not stored, and a refusal for now ends it: the program decides. It is
    sent again after a lost connection.
    """

    def __init__(self, request: WriteRequest) -> None:
        self.request = request
        #: Its position in the order of sending, as that of a message.
        self.outbox_index = 0
        self._ended = anyio.Event()
        self._outcome: Reply | ChatError | ConnectionLost | None = None

    @property
    def cid(self) -> str | None:
        """The id that makes the server carry it out once."""
        return self.request.cid

    @property
    def conversation(self) -> str:
        """The conversation that it is about."""
        where = getattr(self.request, "to", None) or getattr(self.request, "room", "")
        assert isinstance(where, str)
        return where

    def end(self, outcome: Reply | ChatError | ConnectionLost) -> None:
        """Set the outcome."""
        self._outcome = outcome
        self._ended.set()

    async def wait(self) -> Reply:
        """Wait for the reply, which may be an `Error`.

        Raises:
            ChatError: it does not fit a frame; nothing was sent.
            ConnectionLost: the client went offline.
        """
        await self._ended.wait()
        if isinstance(self._outcome, ChatError | ConnectionLost):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome
