"""The queue of what is to be written, in order. Pure, except for the spool that it writes to.

Messages, and the program's other writes (edits, reactions, joins …), are sent without waiting for
replies, up to a window, and keep their order all the same: they are numbered
(:mod:`.pipeline`), and the server takes none before one that it refused for now. There is one
sequence for all of them, as a program that sends a message and then leaves the room expects the
message to be there.

Only what goes to the same conversation is in order. A refusal delays one conversation, as long as
the server says, except that of the rate limit, which delays all messages: other conversations may
be in another store. The program's other writes don't wait for the rate limit, only for earlier
messages of the same conversation: somebody waits for their replies.
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

from gochat.client.call import Call
from gochat.client.convert import to_sent
from gochat.client.errors import DEFAULT_RETRY_AFTER, OutboxFull
from gochat.client.options import Clock
from gochat.client.outgoing import Outgoing, OutgoingState
from gochat.client.pipeline import Pipeline
from gochat.client.replies import checked
from gochat.client.spool import Spool
from gochat.errors import NOT_NOW, ChatError, ConnectionLost, ErrorCode
from gochat.protocol.messages import Limits, Message, Ok, Reply, Send, Sent, WriteRequest
from gochat.token_bucket import TokenBucket

#: The longest wait (seconds) for the rate limit that a server announced: if a message is too early,
#: the server refuses it.
MAX_RATE_WAIT: Final = 60.0
#: How many messages may be PENDING or FAILED. Far more than a person writes in a day offline; a bot
#: that gets here lost its server long ago.
MAX_OUTBOX: Final = 1000
#: If the server turns out to have lost data, messages acknowledged within this time (seconds)
#: before the connection was last good, at most so many, are sent again. A replica lags less.
RECENT_SECONDS: Final = 60.0
MAX_RECENT: Final = 200

#: Temporary refusals: the message stays, and is sent again. NOT_LOGGED_IN: it was sent while the
#: program logged out; it stays for the next login.
RETRYABLE: Final = NOT_NOW | {ErrorCode.NOT_LOGGED_IN}


class Outbox:
    """Messages that wait, are in flight or have failed, and calls, in the order of sending."""

    def __init__(self, clock: Clock, spool: Spool | None = None) -> None:
        self._clock = clock
        self._spool = spool
        self._waiting: dict[str, Outgoing] = {}  # by cid, in order; PENDING and FAILED
        self._calls: dict[str | None, Call] = {}  # by cid, in order
        self._pipeline = Pipeline()
        self._recent: deque[tuple[float, Outgoing]] = deque(maxlen=MAX_RECENT)
        #: Conversations that the server may have lost, and until when they were known to be there.
        self._gone: dict[str, float] = {}
        #: The keys of conversations that turn out to have a new log. What waits is not sent there
        #: until it is known what else must be sent again, before it.
        self.unsure = set[str]()
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
            OutboxFull: it has :data:`MAX_OUTBOX` messages.
        """
        if len(self._waiting) >= MAX_OUTBOX:
            raise OutboxFull(f"{MAX_OUTBOX:,} messages wait to be sent: wait until some are")
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
            self._gone.clear()
        self.unsure = set()
        burst = self._max_debt = float(max(limits.burst, 1))
        has_rate = limits.per_second > 0
        self._bucket = TokenBucket(burst, limits.per_second, now) if has_rate else None
        for outgoing in self._waiting.values():
            if outgoing.sender is None:
                outgoing.sender = sender
                self._update(outgoing)
        self.connection_lost()

    def connection_lost(self) -> None:
        """Mark writes in flight to be sent again: they may not have arrived."""
        self._pipeline.begin()
        self._pauses.clear()
        self._pause = 0.0

    def next(self, sender: str) -> WriteRequest | None:
        """Return the request to send now, or None; it counts as in flight from here on."""
        now = self._clock.now()
        is_early = now < self._pause or (self._bucket is not None and self._bucket.wait(now) > 0)
        if self._pipeline.is_full or (is_early and not self._calls):
            return None
        in_flight = self._pipeline.cids
        held = set[str]()  # conversations of which something has to wait
        for write in self._queue(sender):
            if write.cid in in_flight:
                continue
            is_keyed = is_early or held or self._pauses or self.unsure
            key = conversation_key(write.conversation) if is_keyed else ""
            is_message = isinstance(write, Outgoing)
            is_held = is_early or key in self.unsure or now < self._pauses.get(key, 0)
            if key in held or (is_message and is_held):
                held.add(key)
                continue
            self._spend(now)
            return self._pipeline.send(_request(write), now)
        return None

    def wait(self, sender: str) -> float | None:
        """Return the seconds until :meth:`next` may return a message; None: only a change helps."""
        now = self._clock.now()
        if self._pipeline.is_full:
            return None
        in_flight = self._pipeline.cids
        starts = [
            self._pauses.get(_key(outgoing), now) if self._pauses else now
            for outgoing in self._pending(sender)
            if outgoing.cid not in in_flight and not (self.unsure and _key(outgoing) in self.unsure)
        ]
        if not starts:
            return None
        wait = self._bucket.wait(now) if self._bucket is not None else 0.0
        return max(min(starts) - now, self._pause - now, min(wait, MAX_RATE_WAIT), 0.0)

    def waiting_since(self) -> float | None:
        """Return when the oldest write in flight was sent (the clock's seconds), or None."""
        return self._pipeline.since

    def acknowledge(self, cid: str, sent: Sent) -> Outgoing | None:
        """Mark a message as committed. Return it, or None if that was known already."""
        outgoing = self._waiting.get(cid)
        if outgoing is None:
            return None
        self._remove(cid)
        outgoing.become_sent(to_sent(sent))
        self._recent.append((self._clock.now(), outgoing))
        return outgoing

    def replied(self, request: WriteRequest, reply: Reply) -> Outgoing | None:
        """Take in the reply to a request. Return the message that was SENT or FAILED by it.

        Raises:
            ProtocolError: the server counts the writes otherwise.
        """
        try:
            checked(reply, *((Sent,) if isinstance(request, Send) else (Sent, Ok)))
        except ChatError as error:
            return self.refuse(request, error, reply)
        ended = self._pipeline.settle(request, None)
        self._give_back(0 if _is_new(reply) else ended)
        if isinstance(request, Send) and isinstance(reply, Sent):
            return self.acknowledge(request.cid or "", reply)
        self._end_call(request, reply)
        return None

    def refuse(
        self, request: WriteRequest, error: ChatError, reply: Reply | None = None
    ) -> Outgoing | None:
        """Handle a refusal. Return the message if it has FAILED, None if it stays.

        Raises:
            ProtocolError: the server counts the writes otherwise.
        """
        ended = self._pipeline.settle(request, error.code)
        if not ended:
            return None  # it was given up, and is sent again
        is_rate = error.code == ErrorCode.RATE_LIMITED and error.field is None
        self._give_back(0 if is_rate else ended)
        if not isinstance(request, Send):
            self._end_call(request, error if reply is None else reply)
            return None
        outgoing = self._waiting.get(request.cid or "")
        if outgoing is None:
            return None
        if error.code in RETRYABLE:
            until = self._clock.now() + (
                DEFAULT_RETRY_AFTER if error.retry_after is None else error.retry_after
            )
            if is_rate:
                self._pause = max(self._pause, until)  # the limit is the sender's
            else:
                self._pauses[_key(outgoing)] = until  # the others may be in another store
            return None
        outgoing.become_failed(error)
        self._update(outgoing)
        return outgoing

    # -- calls ----------------------------------------------------------------------------------

    def call(self, call: Call) -> None:
        """Add a write that somebody waits for."""
        call.outbox_index = next(self._indexes)
        self._calls[call.cid] = call

    def withdraw(self, call: Call) -> None:
        """Forget a call for which nobody waits any more; it may have been sent."""
        self._calls.pop(call.cid, None)

    def end_calls(self, kind: type[ConnectionLost], reason: str) -> None:
        """End all calls with an exception of this kind: the client goes offline."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.end(kind(reason))

    def _end_call(self, request: WriteRequest, outcome: Reply | ChatError) -> None:
        call = self._calls.pop(request.cid, None)
        if call is not None:
            call.end(outcome)

    def note_gone(self, conv: str, since: float) -> None:
        """Note that the server doesn't have `conv`, which was there until `since`.

        If it comes back with a new log, its messages that were recent at that time are sent again,
        however long that takes.
        """
        key = conversation_key(conv)
        if any(_key(outgoing) == key for _, outgoing in self._recent):
            self._gone.setdefault(key, since)

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
        key = conversation_key(conv)
        since = min(since, self._gone.pop(key, since))
        again = [
            outgoing
            for acknowledged, outgoing in self._recent
            if acknowledged >= since - RECENT_SECONDS
            and _key(outgoing) == key
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

    def _pending(self, sender: str) -> Iterator[Outgoing]:
        """Yield the PENDING messages in order."""
        for outgoing in self._waiting.values():
            if outgoing.state is OutgoingState.PENDING and outgoing.sender == sender:
                yield outgoing

    def _queue(self, sender: str) -> Iterator[Outgoing | Call]:
        """Yield the PENDING messages and the calls, in order."""
        if not self._calls:
            return self._pending(sender)
        waiting: list[Outgoing | Call] = [*self._pending(sender), *self._calls.values()]
        return iter(sorted(waiting, key=attrgetter("outbox_index")))

    def _spend(self, now: float) -> None:
        """Count a write against the server's rate limit."""
        if self._bucket is not None:
            self._bucket.charge(now, max_debt=self._max_debt)

    def _give_back(self, writes: int) -> None:
        """Count writes out again that took no turn of the rate limit."""
        if self._bucket is not None:
            self._bucket.give_back(writes)

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
    return conversation_key(outgoing.conversation)


def _request(write: Outgoing | Call) -> WriteRequest:
    if isinstance(write, Call):
        return write.request
    return Send(
        to=write.conversation,
        text=write.text,
        reply_to=None if write.reply_to is None else write.reply_to.seq,
        form=write.form,
        meta=dict(write.meta),
        cid=write.cid,
    )


def _is_new(reply: Reply) -> bool:
    """Return whether a reply means that something was written, which takes a turn of the limit."""
    return isinstance(reply, Sent) and not reply.dup
