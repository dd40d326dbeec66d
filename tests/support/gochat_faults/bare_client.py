"""A person without the client library: bare frames, and only what the protocol requires.

The library fetches missing entries and drops duplicates at any time, and so hides a server that
omits something, or sends it twice. This client trusts the server: once it has caught up, what it
receives must be in order and contiguous by itself, its own entries included, each of them before it
is acknowledged. Only what it had when it caught up may come again, because a page may be ahead of
the events.

It sends several messages without waiting, and after a reconnection all that were not acknowledged,
in order. They are numbered, so that keeps their order whatever is refused; at the first refusal for
now it connects again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

import trio
from msgspec import structs

from gochat.errors import ErrorCode
from gochat.protocol.codec import encode
from gochat.protocol.connection import Connection, Role
from gochat.protocol.framing import FrameDecoder
from gochat.protocol.messages import (
    Bye,
    Conversation,
    Error,
    History,
    HistoryPage,
    LoggedIn,
    Login,
    Message,
    Ping,
    Pong,
    Position,
    Request,
    Resume,
    Send,
    Sent,
    ServerMessage,
    Sync,
    Synced,
)
from gochat.protocol.states import State
from gochat_faults.history import (
    Acknowledged,
    Ended,
    Journal,
    Restarted,
    Said,
    Started,
    common_name,
)
from gochat_faults.recorder import PASSWORD, Refused, Talk, move_in

#: Entries that it asks for at once.
PAGE: Final = 200
#: Messages in flight at once.
WINDOW: Final = 8
#: Seconds of silence after which it sends a ping, and after which it reconnects.
SILENCE: Final = 1.5
_CAPS: Final = ("log", "heartbeat")
_RECONNECT_AFTER: Final = 0.1
#: The errors from a store that has lost the account, the token, or the room.
_FORGOTTEN: Final = frozenset(
    {
        ErrorCode.BAD_TOKEN,
        ErrorCode.BAD_CREDENTIALS,
        ErrorCode.NOT_A_MEMBER,
        ErrorCode.UNKNOWN_CONVERSATION,
    }
)


class _Ended(Exception):
    """The connection is over; connect again."""


@dataclass(slots=True)
class _Log:
    """How far a conversation was seen; `ts` is the time of that entry, 0 if it is unknown.

    `caught_up` is how far it was seen when the client had caught up.
    """

    epoch: str
    seq: int
    ts: int
    caught_up: int = 0


class BareClient:
    """One person, from the first login to the end of the run; used like a
    :class:`~gochat_faults.recorder.Recorder`."""

    def __init__(self, journal: Journal, name: str, talk: Talk) -> None:
        self.name: Final = name
        self.client: Final = name
        self.stop_talking: Final = trio.Event()
        self.acknowledged = 0
        self.clients = 0
        self._journal = journal
        self._talk = talk
        self._reader = ""
        self._logs: dict[str, _Log] = {}
        self._early: list[Message] | None = []  # entries from before the list of conversations
        self._outbox: dict[str, Send] = {}
        self._in_flight: dict[str, None] = {}
        self._changed = trio.Event()
        self._cids = count(1)
        self._write_numbers = count(1)
        self._token = ""
        self._may_have_missed = False  # an unknown conversation has begun
        self._is_forgotten = False  # the store no longer knows the name or the token

    @property
    def positions(self) -> dict[str, tuple[str, int]]:
        """The epoch and seq to which each conversation was seen."""
        return {
            common_name(conv, self.name): (log.epoch, log.seq) for conv, log in self._logs.items()
        }

    @property
    def unsettled(self) -> str:
        """Return what is still wrong at the end, when nobody sends anything more; or nothing."""
        if self._early is not None:
            return f"{self.client} is not logged in"
        return f"{self.client} has not sent {[*self._outbox]}" if self._outbox else ""

    async def run(self, port: int) -> None:
        """Take part through `port`, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._say_things)
            self._begin_reading()
            while True:
                try:
                    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                        await self._live(stream)
                except OSError:
                    pass
                if self._is_forgotten:
                    self._journal.add(Ended(self._journal.now(), self._reader))
                    await move_in(f"gochat://127.0.0.1:{port}", self.name, self._talk.rooms)
                    self._begin_reading()
                await trio.sleep(_RECONNECT_AFTER)

    def _begin_reading(self) -> None:
        """Start reading without any knowledge."""
        self.clients += 1
        self._reader = f"{self.client}.{self.clients}"
        self._token, self._early, self._is_forgotten = "", [], False
        self._logs.clear()

    async def _say_things(self) -> None:
        while not self.stop_talking.is_set():
            while len(self._outbox) >= WINDOW or self._early is not None:
                await self._wait_for_change()
            await self._talk.pause()
            if self.stop_talking.is_set():
                return  # nobody waits for it now
            to, text = self._talk.next()
            cid = f"{self.name}-{next(self._cids)}"
            self._outbox[cid] = Send(to=to, text=text, cid=cid)
            self._journal.add(
                Said(
                    self._journal.now(),
                    self.name,
                    self.name,
                    common_name(to, self.name),
                    cid,
                    text,
                )
            )
            self._change()

    # -- one connection -------------------------------------------------------------------------

    async def _live(self, stream: trio.SocketStream) -> None:
        """Log in and take part, until the connection ends."""
        self._in_flight.clear()
        self._write_numbers = count(1)
        frames = _Frames(stream)
        async with trio.open_nursery() as nursery:
            try:
                await frames.send(self._login())
                while True:
                    message = await frames.receive()
                    if isinstance(message, LoggedIn):
                        self._token = message.token
                        self._early = []
                        await frames.send(self._sync(""))
                        nursery.start_soon(self._send_what_waits, frames.send)
                    if isinstance(message, Synced | HistoryPage):
                        await frames.send(*self._catch_up(message))
                    else:
                        self._take(message)
                    if isinstance(message, Ping):
                        await frames.send(Pong(request_id=message.request_id))
            except (trio.BrokenResourceError, _Ended):
                nursery.cancel_scope.cancel()

    def _login(self) -> Login | Resume:
        if not self._token:
            return Login(name=self.name, password=PASSWORD, caps=_CAPS)
        return Resume(token=self._token, caps=_CAPS)

    def _sync(self, after: str) -> Sync:
        # Without its time an entry proves nothing: the server would take the log for another one.
        have = [
            Position(conv=conv, epoch=log.epoch, seq=log.seq if log.ts else 0, ts=log.ts)
            for conv, log in self._logs.items()
            if conv > after
        ]
        return Sync(after=after, have=tuple(have), limit=PAGE if self._logs else 0)

    async def _send_what_waits(self, send: Callable[..., Awaitable[None]]) -> None:
        try:
            while True:
                due = self._due()
                if not due:
                    await self._wait_for_change()
                    continue
                await send(*due)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the reader sees it, too

    def _due(self) -> list[Send]:
        """Return what is not in flight yet, numbered; it is in flight from here on."""
        due = [cid for cid in self._outbox if cid not in self._in_flight]
        self._in_flight.update(dict.fromkeys(due))
        return [structs.replace(self._outbox[cid], n=next(self._write_numbers)) for cid in due]

    # -- what arrives ---------------------------------------------------------------------------

    def _take(self, message: ServerMessage) -> None:
        match message:
            case Message():
                if self._early is not None:
                    self._early.append(message)
                elif not self._may_come_again(message):
                    self._take_entry(message)
            case Sent():
                self._take_acknowledgement(message)
            case Error():
                self._take_refusal(message)
            case Bye():
                raise _Ended
            case _:
                pass
        if self._may_have_missed:
            # Earlier entries went to a connection that was lost by then, and the reconnect did not
            # ask for them. The next one does.
            self._may_have_missed = False
            raise _Ended

    def _take_refusal(self, error: Error) -> None:
        if error.retry_after is not None:
            raise _Ended
        if not self._journal.has_lost_data:
            raise Refused(f"{self.name}: {error}")
        if error.cid is not None:  # it is abandoned
            self._outbox.pop(error.cid, None)
            self._in_flight.pop(error.cid, None)
            self._change()
        self._is_forgotten |= error.code in _FORGOTTEN
        if error.code in _FORGOTTEN or error.cid is None:
            raise _Ended

    def _catch_up(self, page: Synced | HistoryPage) -> list[Sync | History]:
        """Take in a page of what was missed, and return what must be asked for next."""
        assert self._early is not None
        if isinstance(page, HistoryPage):
            self._early += page.entries
        else:
            for state in page.conversations:
                self._begin(state)
                self._early += state.entries
            if page.next is not None:
                return [self._sync(page.next)]
        if holes := self._holes():
            return holes
        early, self._early = self._early, None
        for entry in sorted(early, key=lambda entry: entry.seq):
            log = self._log_of(entry)
            if entry.seq > log.seq or entry.epoch != log.epoch:
                self._take_entry(entry)
        for log in self._logs.values():
            log.caught_up = log.seq
        self._change()
        return []

    def _begin(self, state: Conversation) -> None:
        """Begin with a conversation, or begin anew if its log is another one."""
        log = self._logs.get(state.conv)
        if log is not None and not state.reset:
            return
        seq = state.entries[0].seq - 1 if state.entries else state.head
        # A page may be ahead of entries that are on their way.
        live = [entry.seq for entry in self._early or () if entry.conversation == state.conv]
        if log is None:
            seq = min([seq, *(one - 1 for one in live)])
        self._logs[state.conv] = _Log(state.epoch, seq, state.ts if seq == state.head else 0)
        event = Started if log is None else Restarted
        self._journal.add(
            event(
                self._journal.now(),
                self._reader,
                common_name(state.conv, self.name),
                state.epoch,
                seq,
            )
        )

    def _holes(self) -> list[Sync | History]:
        """Return requests for what is missing before entries that have come."""
        come: dict[str, set[int]] = {}
        for entry in self._early or ():
            come.setdefault(entry.conversation, set()).add(entry.seq)
        holes: list[Sync | History] = []
        for conv, seqs in come.items():
            last = self._logs[conv].seq if conv in self._logs else min(seqs) - 1
            newest = max(seqs)
            while last + 1 in seqs:
                last += 1
            if last < newest:
                holes.append(History(conv=conv, after=last, limit=PAGE))
        return holes[:1]

    def _may_come_again(self, entry: Message) -> bool:
        log = self._log_of(entry)
        return entry.epoch == log.epoch and entry.seq <= log.caught_up

    def _take_entry(self, entry: Message) -> None:
        log = self._log_of(entry)
        self._journal.seen(self._reader, self.name, entry)  # the checker reports what is wrong
        if entry.epoch != log.epoch:
            log.caught_up = 0
        log.epoch, log.seq, log.ts = entry.epoch, entry.seq, entry.ts

    def _log_of(self, entry: Message) -> _Log:
        conv = entry.conversation
        if conv not in self._logs and conv.startswith("@") and self._journal.has_lost_data:
            self._logs[conv] = _Log(entry.epoch, 0, 0)  # it has started over
            self._may_have_missed = True
        return self._logs[conv]

    def _take_acknowledgement(self, sent: Sent) -> None:
        assert sent.cid is not None
        self._in_flight.pop(sent.cid, None)
        request = self._outbox.pop(sent.cid, None)
        if request is None:
            return
        self.acknowledged += 1
        self._journal.add(
            Acknowledged(
                self._journal.now(), self.name, self.name, sent.cid, sent.epoch, sent.seq, sent.dup
            )
        )
        self._change()
        if self._early is not None:
            return  # the entry is in a page that is under way, or kept aside
        log = self._logs.get(sent.to)
        if log is not None and log.epoch == sent.epoch and log.seq < sent.seq:
            raise AssertionError(f"{self.name} was at {log} when the server said {sent}")

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _wait_for_change(self) -> None:
        await self._changed.wait()


class _Frames:
    """Complete frames over a stream, which ends after a long silence."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        # It knows as little as possible of states, as a stranger's client does.
        self._protocol = Connection(
            Role.CLIENT, framing=FrameDecoder(16 * 1024 * 1024), state=State.UNKNOWN
        )
        self._lock = trio.Lock()

    async def send(self, *requests: Request) -> None:
        """Send requests in one segment."""
        async with self._lock:
            await self._stream.send_all(b"".join(encode(request) for request in requests))

    async def receive(self) -> ServerMessage:
        """Return the next message. Raises :exc:`_Ended`."""
        while (message := self._protocol.next_message()) is None:
            data = b""
            with trio.move_on_after(SILENCE) as asked:
                data = bytes(await self._stream.receive_some())
            if asked.cancelled_caught:
                with trio.move_on_after(SILENCE):
                    await self.send(Ping())
                    data = bytes(await self._stream.receive_some())
            if not data:
                raise _Ended
            self._protocol.receive_data(data)
        return message
