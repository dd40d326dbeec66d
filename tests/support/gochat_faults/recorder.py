"""A person with the client library who sends messages, reads everything, and records both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Final

import trio
from patience import PATIENCE

from gochat.client import (
    Client,
    ClientEvent,
    ClientOptions,
    ConnectionLost,
    ConnectionState,
    Entry,
    LogEntry,
    Message,
    MessageId,
    Outgoing,
    OutgoingChanged,
    OutgoingState,
    Reset,
    StateChanged,
    Synchronised,
    open_client,
)
from gochat.errors import ChatError, ErrorCode
from gochat_faults.history import (
    Acknowledged,
    Ended,
    Journal,
    Resends,
    Restarted,
    Retried,
    Said,
    Started,
    common_name,
)
from gochat_faults.server_process import ServerProcess

PASSWORD: Final = "correct horse"
#: Times short enough for many reconnects in a run, in the same proportions as a real client's.
OPTIONS: Final = ClientOptions(
    connect_timeout=2.0,
    request_timeout=4.0,
    heartbeat_interval=1.0,
    heartbeat_grace=1.0,
    backoff_base=0.05,
    backoff_cap=0.5,
    gap_grace=0.1,
)
#: A client that waits for a busy server, and does not ping it.
UNHURRIED: Final = ClientOptions(
    connect_timeout=PATIENCE,
    request_timeout=PATIENCE,
    heartbeat_interval=PATIENCE,
    backoff_base=0.05,
    backoff_cap=0.3,
)
#: How many messages of one person may wait for acknowledgements.
MAX_OUTSTANDING: Final = 30
#: Reactions per message: entries of another kind, which every reader must see, too.
REACTIONS: Final = 0.05
_BABBLE: Final = "".join(
    Random(0).choices('abcdefghij klmnop qrstuvwxyz 中文聊天 "\\\n👋é', k=100_000)
)


#: Seconds until a refused request is retried, if the store has lost data.
_RETRY_AFTER: Final = 0.3


class Refused(Exception):
    """The server refused for good what it should have accepted."""


class Talk:
    """What one person sends: where, how much and how fast, drawn from a seed.

    `pace` is the mean pause between two messages in seconds.
    """

    def __init__(self, addresses: Sequence[str], random: Random, pace: float) -> None:
        self.addresses: Final = addresses
        self.random: Final = random
        self.pace: Final = pace

    @property
    def rooms(self) -> list[str]:
        """The rooms among the conversations, which must be joined."""
        return [to for to in self.addresses if to.startswith("#") and to != "#lobby"]

    def next(self) -> tuple[str, str]:
        """Return where to send the next message, and its text."""
        random = self.random
        length = random.choice((3, 10, 40, 40, 100, 100, 400, 2000))
        start = random.randrange(len(_BABBLE) - length)
        text = _BABBLE[start : start + length].strip()
        return random.choice(self.addresses), f"{random.randrange(10**6)} {text}"

    async def pause(self) -> None:
        """Wait until the next one is due."""
        await trio.sleep(self.random.expovariate(1 / self.pace) if self.pace else 0)


@asynccontextmanager
async def logged_in(server: ServerProcess, name: str) -> AsyncIterator[Client]:
    """Open a client without faults, and log it in; register first if necessary."""
    async with open_client(server.url, options=UNHURRIED) as client:
        if name not in server.registered:
            with suppress(ChatError):  # it exists by now
                await client.register(name, PASSWORD)
            server.registered.add(name)
        await client.log_in(name, PASSWORD)
        yield client


async def move_in(url: str, name: str, rooms: Iterable[str]) -> None:
    """Register and join rooms, as far as that is not done; retry until it is."""
    while True:
        try:
            async with open_client(url, options=OPTIONS) as client:
                try:
                    await client.register(name, PASSWORD)
                except ChatError as error:
                    if error.code != ErrorCode.NAME_TAKEN:
                        raise
                await client.log_in(name, PASSWORD)
                inside = {conversation.name for conversation in await client.conversations()}
                for room in rooms:
                    if room not in inside:
                        await _enter(client, room)
                return
        except ConnectionLost:
            await trio.sleep(0.1)
        except ChatError as error:  # even if all data is lost meanwhile
            await trio.sleep(error.retry_after or 0.1)


async def _enter(client: Client, room: str) -> None:
    try:
        await client.join(room)
    except ChatError as error:
        if error.code != ErrorCode.UNKNOWN_CONVERSATION:
            raise
        await client.create_room(room)


class Recorder:
    """One person on one device, from the first login to the end of the run.

    With an `outbox`, the client is closed and reopened every few seconds, `lifetime` on average:
    unsent messages then wait in the file. `stop_talking` ends the sending; the reading goes on
    until :meth:`run` is cancelled.
    """

    def __init__(
        self,
        journal: Journal,
        name: str,
        talk: Talk,
        *,
        device: str = "",
        outbox: Path | None = None,
        lifetime: float = 5.0,
    ) -> None:
        self.name: Final = name
        self.client: Final = name + device
        self.stop_talking: Final = trio.Event()
        self.acknowledged = 0
        self.clients = 0
        #: Epoch and seq to which the present reader has seen each conversation, by common name.
        self.positions: dict[str, tuple[str, int]] = {}
        self._journal = journal
        self._talk = talk
        self._outbox = outbox
        self._lifetime = lifetime
        self._started: set[str] = set()
        self._texts: dict[str, int] = {}  # the newest message of each conversation
        self._reader = ""
        self._client: Client | None = None
        self._settled = trio.Event()
        self._moving = trio.Lock()
        self._moved = 0.0

    @property
    def unsettled(self) -> str:
        """Return what is still wrong at the end, when nobody sends anything more; or nothing."""
        client = self._client
        if client is None or client.state is not ConnectionState.CONNECTED or not self._started:
            return f"{self.client} is {client.state if client is not None else 'beginning'}"
        waiting = [(one.conversation, one.state.value, str(one.error)) for one in client.outbox]
        return f"{self.client} has not sent {waiting}" if waiting else ""

    async def run(self, port: int) -> None:
        """Take part through `port`, until cancelled."""
        if self._outbox is None:
            self._journal.add(Resends(self.client))
        while True:
            self.clients += 1
            self._reader = f"{self.client}.{self.clients}"
            self._started.clear()
            self.positions.clear()
            with trio.CancelScope() as lifetime:
                async with trio.open_nursery() as nursery:
                    if self._outbox is not None:
                        nursery.start_soon(self._end, lifetime)
                    await self._live(port)
            self._journal.add(Ended(self._journal.now(), self._reader))

    async def _end(self, lifetime: trio.CancelScope) -> None:
        with trio.move_on_after(self._talk.random.expovariate(1 / self._lifetime)) as scope:
            await self.stop_talking.wait()
        if scope.cancelled_caught:
            lifetime.cancel()

    async def _live(self, port: int) -> None:
        url = f"gochat://127.0.0.1:{port}"
        async with open_client(url, outbox=self._outbox, options=OPTIONS) as client:
            try:
                self._client = client
                await self._log_in(client, url)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._say_things, client, nursery)
                    for outgoing in client.outbox:
                        if outgoing.state is OutgoingState.FAILED:
                            nursery.start_soon(self._retry, client, url, outgoing)
                    async for event in client:
                        self._note(event)
                        match event:
                            case StateChanged(state=ConnectionState.OFFLINE):
                                nursery.start_soon(self._log_in, client, url)
                            case OutgoingChanged(outgoing=outgoing) if (
                                outgoing.state is OutgoingState.FAILED
                            ):
                                nursery.start_soon(self._retry, client, url, outgoing)
                            case _:
                                pass
            finally:
                self._client = None

    async def _log_in(self, client: Client, url: str) -> None:
        """Log in, even if the account no longer exists; once is enough."""
        while client.state is ConnectionState.OFFLINE:
            try:
                await client.log_in(self.name, PASSWORD)
            except ConnectionLost:
                await trio.sleep(0.1)
            except ChatError as error:
                if error.retry_after is not None:
                    await trio.sleep(error.retry_after)
                elif self._journal.has_lost_data:
                    await move_in(url, self.name, self._talk.rooms)
                else:
                    raise

    async def _retry(self, client: Client, url: str, outgoing: Outgoing) -> None:
        """Resend a refused message, because the store had lost the other person, or the room."""
        refused = trio.current_time()
        await trio.sleep(_RETRY_AFTER)
        if outgoing.conversation in self._talk.rooms:
            async with self._moving:
                if self._moved < refused:
                    await move_in(url, self.name, self._talk.rooms)
                    self._moved = trio.current_time()
        if outgoing.state is OutgoingState.FAILED:
            client.retry(outgoing)
            self._journal.add(Retried(self._journal.now(), self.client, self.name, outgoing.cid))

    async def _say_things(self, client: Client, nursery: trio.Nursery) -> None:
        while not self.stop_talking.is_set():
            while len(client.outbox) >= MAX_OUTSTANDING:
                self._settled = trio.Event()
                await self._settled.wait()
            await self._talk.pause()
            if self.stop_talking.is_set():
                return  # nobody waits for it now
            if self._texts and self._talk.random.random() < REACTIONS:
                address, seq = self._talk.random.choice([*self._texts.items()])
                nursery.start_soon(self._react, client, address, seq)
            to, text = self._talk.next()
            outgoing = client.send(to, text)
            self._journal.add(
                Said(
                    self._journal.now(),
                    self.client,
                    self.name,
                    common_name(to, self.name),
                    outgoing.cid,
                    text,
                )
            )

    async def _react(self, client: Client, address: str, seq: int) -> None:
        """Add an entry that is not a message, and that nobody promised to retry."""
        try:
            await client.react(MessageId(address, seq), "👍")
        except ConnectionLost:
            pass
        except ChatError as error:
            if error.retry_after is None and not self._journal.has_lost_data:
                raise

    def _note(self, event: ClientEvent) -> None:
        match event:
            case Entry():
                self._see(event)
            case Reset():
                before = event.entries[0].seq - 1 if event.entries else 0
                conversation = common_name(event.conversation, self.name)
                self.positions[conversation] = (event.epoch, before)
                self._journal.add(
                    Restarted(self._journal.now(), self._reader, conversation, event.epoch, before)
                )
                for entry in event.entries:
                    self._see(entry)
            case Synchronised():
                self._start(event)
            case OutgoingChanged(outgoing=outgoing) if outgoing.state is OutgoingState.SENT:
                assert outgoing.sent_as is not None
                self.acknowledged += 1
                sent = outgoing.sent_as
                self._journal.add(
                    Acknowledged(
                        self._journal.now(), self.client, self.name, outgoing.cid, sent.epoch,
                        sent.seq, sent.repeated, is_replicated=False,
                    )
                )  # fmt: skip
                self._settled.set()
            case OutgoingChanged(outgoing=outgoing) if (
                outgoing.state is OutgoingState.FAILED and not self._journal.has_lost_data
            ):
                where = f"{outgoing.conversation} {outgoing.cid}"
                raise Refused(f"{self.client} {where}: {outgoing.error}")
            case _:
                pass

    def _start(self, event: Synchronised) -> None:
        for conversation in event.conversations:
            common = common_name(conversation.name, self.name)
            if common not in self._started:
                self._started.add(common)
                if common in self.positions:
                    continue  # a connection before had shown some of it: it goes on from there
                self.positions[common] = (conversation.epoch, conversation.head)
                self._journal.add(
                    Started(
                        self._journal.now(), self._reader, common, conversation.epoch,
                        conversation.head,
                    )
                )  # fmt: skip

    def _see(self, entry: LogEntry) -> None:
        conversation = self._journal.seen(self._reader, self.name, entry)
        self.positions[conversation] = (entry.epoch, entry.seq)
        if isinstance(entry, Message):
            self._texts[entry.conversation] = entry.seq
