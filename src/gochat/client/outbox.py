"""The queue of messages to send, in order. Pure, except for the spool that it writes to.

The order of a sender's messages is kept by construction: **at most one message of each
conversation is in flight at a time**, and the next one goes when the server has accepted it or
refused it for good. More than one in flight would require that the server never refuses a message
and accepts the next. It can't promise that: between two requests on one connection a token of the
rate limit is refilled, a store comes back, a queue empties. Pacing by the announced limits makes
such refusals rare, not impossible; other sessions of the account use up the same limit. Different
conversations have no order between them, so several are in flight at once, up to a window.

The price is one round trip per message of a conversation. With the default limit of 5 messages a
second it is not noticeable below 200 ms.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from operator import attrgetter
from pathlib import Path
from typing import Final

from gochat.client.options import Clock
from gochat.client.outgoing import Outgoing, OutgoingState
from gochat.client.spool import Spool
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Limits, Message, Sent
from gochat.token_bucket import TokenBucket

#: The longest wait (seconds) for the rate limit that a server announced: if a message is too early,
#: the server refuses it.
MAX_RATE_WAIT: Final = 60.0
#: How many messages may be in flight at once, each of a different conversation.
WINDOW: Final = 32
#: How many messages may be PENDING or FAILED. Far more than a person writes in a day offline; a bot
#: that gets here lost its server long ago.
MAX_OUTBOX: Final = 1000
#: If the server turns out to have lost data, messages acknowledged within this time (seconds)
#: before the connection was last good, at most so many, are sent again. A replica lags less.
RECENT_SECONDS: Final = 60.0
MAX_RECENT: Final = 200
#: How long to wait (seconds) after a refusal without a delay.
DEFAULT_RETRY_AFTER: Final = 1.0

#: Temporary refusals: the message stays, and is sent again.
RETRYABLE: Final = frozenset(
    # NOT_LOGGED_IN: a message that was sent while the program logged out; it stays for the next
    # login.
    {ErrorCode.RATE_LIMITED, ErrorCode.UNAVAILABLE, ErrorCode.BUSY, ErrorCode.NOT_LOGGED_IN}
)


class Outbox:
    """Messages that wait, are in flight or have failed, in the order of their `send`."""

    def __init__(self, clock: Clock, spool: Spool | None = None) -> None:
        self._clock = clock
        self._spool = spool
        self._waiting: dict[str, Outgoing] = {}  # by cid, in order; PENDING and FAILED
        self._in_flight: dict[str, float] = {}  # cid → when it was sent
        self._recent: deque[tuple[float, Outgoing]] = deque(maxlen=MAX_RECENT)
        self._indexes = count(1)
        self._pauses: dict[str, float] = {}  # conversation → not before
        self._pause = 0.0
        #: Paces messages to avoid refusals. Only the server's own count decides: other sessions of
        #: the account use the same limit. None if there is no limit.
        self._bucket: TokenBucket | None = None
        self._max_debt = 0.0
        if spool is not None:
            self._waiting = {outgoing.cid: outgoing for outgoing in spool.load()}
            for outgoing in self._waiting.values():
                outgoing.outbox_index = next(self._indexes)
            spool.messages = lambda: self._waiting.values()

    @classmethod
    @contextmanager
    def open(cls, path: Path | None, *, clock: Clock) -> Iterator[Outbox]:
        """Open an outbox, stored in the file at `path` if it is given.

        Raises as :meth:`Spool.open` does.
        """
        if path is None:
            yield cls(clock)
            return
        with Spool.open(path) as spool:
            yield cls(clock, spool)

    def of(self, sender: str | None) -> tuple[Outgoing, ...]:
        """Return the PENDING and FAILED messages of `sender`, or of everyone if it is None.

        Messages without a sender are included.
        """
        return tuple(
            outgoing
            for outgoing in self._waiting.values()
            if sender is None or outgoing.sender in (None, sender)
        )

    # -- the program's side ---------------------------------------------------------------------

    def add(self, outgoing: Outgoing) -> None:
        """Add a new message.

        Raises:
            ChatError: ``busy``: the outbox is full.
        """
        if len(self._waiting) >= MAX_OUTBOX:
            raise ChatError(
                ErrorCode.BUSY, f"{MAX_OUTBOX} messages wait to be sent: wait until some are"
            )
        outgoing.outbox_index = next(self._indexes)
        self._waiting[outgoing.cid] = outgoing
        if self._spool is not None:
            self._spool.add(outgoing)

    def retry(self, outgoing: Outgoing) -> bool:
        """Make a FAILED message the last PENDING one. Return False if it is not FAILED."""
        if self._failed(outgoing) is None:
            return False
        del self._waiting[outgoing.cid]
        outgoing.become_pending()
        outgoing.outbox_index = next(self._indexes)
        self._waiting[outgoing.cid] = outgoing
        self._rewrite()
        return True

    def discard(self, outgoing: Outgoing) -> bool:
        """Forget a FAILED message. Return False if it is not FAILED."""
        if self._failed(outgoing) is None:
            return False
        self._remove(outgoing.cid)
        return True

    # -- the connection's side ------------------------------------------------------------------

    def begin(self, sender: str, limits: Limits) -> None:
        """Begin a login of `sender`: messages without a sender become theirs, and none is in
        flight."""
        now = self._clock.now()
        if any(outgoing.sender != sender for _, outgoing in self._recent):
            self._recent.clear()
        burst = self._max_debt = float(max(limits.burst, 1))
        has_rate = limits.per_second > 0
        self._bucket = TokenBucket(burst, limits.per_second, now) if has_rate else None
        for outgoing in self._waiting.values():
            if outgoing.sender is None:
                outgoing.sender = sender
                self._update(outgoing)
        self.connection_lost()

    def connection_lost(self) -> None:
        """Mark messages in flight to be sent again: they may not have arrived."""
        self._in_flight.clear()
        self._pauses.clear()
        self._pause = 0.0

    def next(self, sender: str) -> Outgoing | None:
        """Return the message to send now, or None; it counts as in flight from here on."""
        now = self._clock.now()
        if now < self._pause or len(self._in_flight) >= WINDOW:
            return None
        if self._bucket is not None and self._bucket.wait(now) > 0:
            return None
        for outgoing in self._heads(sender):
            if outgoing.cid not in self._in_flight and now >= self._pauses.get(_key(outgoing), 0):
                self._in_flight[outgoing.cid] = now
                self.spend()
                return outgoing
        return None

    def wait(self, sender: str) -> float | None:
        """Return the seconds until :meth:`next` may return a message; None: only a change helps."""
        now = self._clock.now()
        if len(self._in_flight) >= WINDOW:
            return None
        starts = [
            self._pauses.get(_key(outgoing), now)
            for outgoing in self._heads(sender)
            if outgoing.cid not in self._in_flight
        ]
        if not starts:
            return None
        wait = self._bucket.wait(now) if self._bucket is not None else 0.0
        return max(min(starts) - now, self._pause - now, min(wait, MAX_RATE_WAIT), 0.0)

    def waiting_since(self) -> float | None:
        """Return when the oldest message in flight was sent (the clock's seconds), or None."""
        return min(self._in_flight.values(), default=None)

    def spend(self) -> None:
        """Count a request against the server's rate limit."""
        if self._bucket is not None:
            self._bucket.charge(self._clock.now(), max_debt=self._max_debt)

    def acknowledge(self, cid: str, sent: Sent) -> Outgoing | None:
        """Mark a message as committed. Return it, or None if that was known already."""
        outgoing = self._waiting.get(cid)
        if outgoing is None:
            return None
        self._in_flight.pop(cid, None)
        self._remove(cid)
        outgoing.become_sent(sent)
        self._recent.append((self._clock.now(), outgoing))
        return outgoing

    def refuse(self, cid: str, error: ChatError) -> Outgoing | None:
        """Handle a refusal. Return the message if it has FAILED, None if it stays."""
        outgoing = self._waiting.get(cid)
        if outgoing is None or self._in_flight.pop(cid, None) is None:
            return None
        if error.code in RETRYABLE:
            until = self._clock.now() + (
                DEFAULT_RETRY_AFTER if error.retry_after is None else error.retry_after
            )
            if error.code == ErrorCode.RATE_LIMITED and error.field is None:
                self._pause = max(self._pause, until)  # the limit is the sender's
            else:
                self._pauses[_key(outgoing)] = until  # the others may be in another store
            return None
        outgoing.become_failed(error)
        self._update(outgoing)
        return outgoing

    def lost_by_server(
        self, conv: str, epoch: str, kept: Sequence[Message], since: float
    ) -> list[Outgoing]:
        """Requeue recently acknowledged messages that the new log of `conv` lacks, and return them.

        The log was replaced, and now ends with `kept` in the history `epoch`. Recently is within
        :data:`RECENT_SECONDS` before `since`. The messages return to their positions in the order
        of sending, so before newer ones.
        """
        cids = {entry.cid for entry in kept}
        head = kept[-1].seq if kept else 0
        again = [
            outgoing
            for acknowledged, outgoing in self._recent
            if acknowledged >= since - RECENT_SECONDS
            and conversation_key(outgoing.to) == conversation_key(conv)
            and outgoing.sent_as is not None
            and (outgoing.sent_as.epoch != epoch or outgoing.sent_as.seq > head)
            and outgoing.cid not in cids
        ]
        if again:
            self._recent = deque(
                (item for item in self._recent if item[1] not in again), maxlen=MAX_RECENT
            )
            for outgoing in again:
                outgoing.become_pending()
            # Some waiting messages may have been lost and requeued before.
            ordered = sorted((*again, *self._waiting.values()), key=attrgetter("outbox_index"))
            self._waiting = {outgoing.cid: outgoing for outgoing in ordered}
            self._rewrite()
        return again

    # -- inside ---------------------------------------------------------------------------------

    def _heads(self, sender: str) -> Iterator[Outgoing]:
        """Yield the first PENDING message of each conversation."""
        seen: set[str] = set()
        for outgoing in self._waiting.values():
            if outgoing.state is not OutgoingState.PENDING or outgoing.sender != sender:
                continue
            key = _key(outgoing)
            if key not in seen:
                seen.add(key)
                yield outgoing

    def _failed(self, outgoing: Outgoing) -> Outgoing | None:
        is_ours = self._waiting.get(outgoing.cid) is outgoing
        return outgoing if is_ours and outgoing.state is OutgoingState.FAILED else None

    def _remove(self, cid: str) -> None:
        del self._waiting[cid]
        if self._spool is not None:
            self._spool.remove(cid)

    def _update(self, outgoing: Outgoing) -> None:
        if self._spool is not None:
            self._spool.update(outgoing)

    def _rewrite(self) -> None:
        if self._spool is not None:
            self._spool.rewrite()


def conversation_key(address: str) -> str:
    """Return a key that is the same for all spellings of a conversation."""
    return unicodedata.normalize("NFKC", address).casefold()


def _key(outgoing: Outgoing) -> str:
    return conversation_key(outgoing.to)
