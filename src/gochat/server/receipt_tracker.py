"""What a client without the capability `log` has received, as its connection shows it.

:class:`~gochat.server.receipts.Receipts` decides which messages are delivered. This module gives it
what was posted and written, what the peer's host has acknowledged, and how much has arrived.
"""

from __future__ import annotations

from math import inf
from typing import Final

import trio

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.server.delivery import Outlet
from gochat.server.receipts import Receipts, Seqs
from gochat.server.sockets import unacknowledged, unread
from gochat.server.tls import TlsStream


class ReceiptTracker:
    """Follows the private messages that a connection is sent, from a login of `person` on.

    It goes on after a logout: what was sent before may be delivered later. `descriptor` is the
    socket's, if there is one.
    """

    __slots__ = ("_descriptor", "_outlet", "_read", "_receipts", "_stream", "person")

    def __init__(
        self, person: NameKey, outlet: Outlet, stream: trio.abc.Stream, descriptor: int | None
    ) -> None:
        self.person: Final = person
        self._outlet = outlet
        self._stream = stream
        self._descriptor = descriptor
        self._receipts = Receipts()
        self._read = 0  # bytes
        outlet.on_progress = self._note_written

    def __bool__(self) -> bool:
        """Return True while there are messages that bytes from the client could confirm."""
        return bool(self._receipts)

    # -- sending --------------------------------------------------------------------------------

    def note(self, conversation: ConversationKey, seq: int) -> None:
        """Record a message that was posted."""
        if self._outlet.is_open:
            self._receipts.note(conversation, seq, *self._written())

    # -- receiving ------------------------------------------------------------------------------

    def look(self) -> None:
        """Record what is written, and what the peer's host has acknowledged.

        Call this before waiting for bytes: only those that arrive after it confirm anything.
        """
        if not self:
            return
        self._note_written()
        waiting = None if self._descriptor is None else unacknowledged(self._descriptor)
        if waiting is not None:
            self._receipts.acknowledge(self._outlet.acknowledged(waiting))
        else:
            self._receipts.settle(self._outlet.written, trio.current_time())

    def read(self, size: int) -> None:
        """Record that bytes were read."""
        self._read += size

    def take(self, *, has_ended: bool = False) -> Seqs:
        """Return what is delivered, after bytes have been read, or the end, and forget it."""
        # After a failed write an error looks like an end, because the system reports it only once.
        if not self or self._outlet.is_closed:
            return {}
        self.look()
        return self._receipts.take(inf if has_ended else self._arrived())

    # -- inside ---------------------------------------------------------------------------------

    def _note_written(self) -> None:
        if self:
            self._receipts.note_written(self._outlet.written, self._arrived())

    def _written(self) -> tuple[int, float]:
        """Flush, and return the position posted so far and the bytes that had arrived before.

        The latter is infinite if the peer has not taken everything yet.
        """
        # Count first: on a busy machine a local peer can answer before the write returns.
        arrived = self._arrived()
        self._outlet.flush()
        posted = self._outlet.posted
        return posted, arrived if self._outlet.written >= posted else inf

    def _arrived(self) -> int:
        """Bytes that have arrived, read or not."""
        read = self._stream.received if isinstance(self._stream, TlsStream) else self._read
        return read if self._descriptor is None else read + unread(self._descriptor)
