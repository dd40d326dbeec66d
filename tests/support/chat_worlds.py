"""Two worlds around ada's client: the demo's scripted one, and a real server with bots.

Both have the same methods, so that one test can hold both clients to one contract. Conversations
are named as ada sees them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any, Protocol, TypeVar, cast

import anyio
import anyio.to_thread
from live_server import LiveServer, live_server
from patience import PATIENCE
from peers import PASSWORD

from gochat.client import (
    Client,
    ClientEvent,
    Entry,
    IsTyping,
    LogEntry,
    MessageId,
    NewLogin,
    Sent,
    open_client,
)
from gochat.client.options import InternalOptions
from gochat.protocol.messages import EntryKind, ServerRole
from gochat.tui.actions.client import ChatClient
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.model.entries import described

E = TypeVar("E")

ADDRESS = "192.0.2.7"


class Events:
    """The events that a client's program receives, in order."""

    def __init__(self, client: ChatClient) -> None:
        self._events = aiter(client)
        self.all: list[ClientEvent] = []

    async def next(self) -> ClientEvent:
        """Return the next event."""
        with anyio.fail_after(PATIENCE):
            event = await anext(self._events)
        self.all.append(event)
        return event

    async def next_of(self, kind: type[E], where: Callable[[E], bool] = lambda _: True) -> E:
        """Return the next event of a type; skip those before it."""
        while True:
            event = await self.next()
            if isinstance(event, kind) and where(event):
                return event


class World(Protocol):
    """The world around ada."""

    #: Her client.
    ada: ChatClient
    events: Events

    def account(self, *names: str) -> None:
        """Create people with an account, and the password of all tests."""

    def arrive(self, *names: str) -> None:
        """Make people come online."""

    def depart(self, name: str) -> None:
        """Make a person go offline."""

    def room(
        self, room: str, *, operator: str, members: Iterable[str] = (), topic: str = "",
        private: bool = False,
    ) -> None:  # fmt: skip
        """Make a person create a room, which others join."""

    def hand_over(self, room: str, name: str) -> None:
        """Make who runs the server make somebody an operator of a room."""

    def promote(self, role: ServerRole = "moderator") -> None:
        """Make who runs the server give ada a role."""

    def report(self, conv: str, name: str, seq: int, reason: str) -> None:
        """Make a person report a message to the moderators."""

    def say(
        self, conv: str, sender: str, text: str, *, kind: EntryKind = "text", ref: int | None = None
    ) -> int:
        """Make a person send a message or another entry to a conversation; return its seq."""

    def type(self, conv: str, sender: str) -> None:
        """Make a person type."""

    async def has_typed(self, to: str, receiver: str) -> bool:
        """Wait for ada to be shown typing; return whether she was."""

    def read(self, conv: str, seq: int) -> None:
        """Make ada read a conversation on another device."""

    def log_in_elsewhere(self) -> None:
        """Make ada log in from ADDRESS."""

    def cut(self) -> None:
        """Cut ada's connection; her client's next attempt is accepted."""

    def end(self) -> None:
        """Make the server end ada's session."""


class ScriptedWorld:
    """The world of a scripted client."""

    def __init__(self) -> None:
        # No two entries have the same time: a search finds the newest first.
        milliseconds = count(1_800_000_000_000)
        self.client = ScriptedClient(now=lambda: next(milliseconds) / 1000)
        self.ada: ChatClient = self.client
        self.events = Events(self.ada)

    def account(self, *names: str) -> None:
        self.client.accounts.update(dict.fromkeys(names, PASSWORD))
        self.client.know(*(name for name in names if name != "ada"))

    def arrive(self, *names: str) -> None:
        self.account(*names)
        self.client.arrive(*names)

    def depart(self, name: str) -> None:
        self.client.depart(name)

    def hand_over(self, room: str, name: str) -> None:
        self.client.say(room, name, "", kind="hand_over")

    def promote(self, role: ServerRole = "moderator") -> None:
        self.client.role = role

    def report(self, conv: str, name: str, seq: int, reason: str) -> None:
        self.client.reported(name, conv, seq, reason)

    def room(
        self, room: str, *, operator: str, members: Iterable[str] = (), topic: str = "",
        private: bool = False,
    ) -> None:  # fmt: skip
        self.account(operator, *members)
        self.client.say(room, operator, "private" if private else "public", kind="create")
        if topic:
            self.client.say(room, operator, topic, kind="topic")
        for name in members:
            if private:
                self.client.say(room, operator, name, kind="invite")
            self.client.say(room, name, "", kind="join")

    def say(
        self, conv: str, sender: str, text: str, *, kind: EntryKind = "text", ref: int | None = None
    ) -> int:
        mentions = ["ada"] if "@ada" in text and conv.startswith("#") else []
        return self.client.say(conv, sender, text, kind=kind, ref=ref, mentions=mentions).seq

    def type(self, conv: str, sender: str) -> None:
        self.client.type(conv, sender)

    async def has_typed(self, to: str, receiver: str) -> bool:
        return ("typing", to) in self.client.requests

    def read(self, conv: str, seq: int) -> None:
        self.client.read(conv, seq)

    def log_in_elsewhere(self) -> None:
        self.client.devices.add("", ADDRESS)
        self.client.emit(NewLogin(address=ADDRESS, by="password"))

    def cut(self) -> None:
        self.client.cut()

    def end(self) -> None:
        self.client.end("the password was changed on another device")


class LiveWorld:
    """The world of the real client, on a real server."""

    def __init__(self, server: LiveServer, client: Client) -> None:
        self._server = server
        self._cids = count(1)
        self.ada: ChatClient = client
        self.events = Events(client)

    def account(self, *names: str) -> None:
        for name in names:
            self._server.register(name)

    def arrive(self, *names: str) -> None:
        for name in names:
            self._server.bot(name)

    def depart(self, name: str) -> None:
        self._server.leave(name)

    def room(
        self, room: str, *, operator: str, members: Iterable[str] = (), topic: str = "",
        private: bool = False,
    ) -> None:  # fmt: skip
        run = self._server.run
        run(partial(self._server.bot(operator).create_room, room, topic=topic, private=private))
        for name in members:
            if private:
                run(self._server.bot(operator).invite, room, name)
            run(self._server.bot(name).join, room)

    def say(
        self, conv: str, sender: str, text: str, *, kind: EntryKind = "text", ref: int | None = None
    ) -> int:
        bot = self._server.bot(sender)
        to = "@ada" if conv.startswith("@") and sender != "ada" else conv
        seq = ref or 0

        async def send() -> Sent:
            if ref is None:
                return await bot.send(to, text)
            return await bot.reply(MessageId(to, ref), text)

        requests: dict[str, Callable[[], Any]] = {
            "text": send,
            "edit": lambda: bot.edit(MessageId(to, seq), text),
            "delete": lambda: bot.delete(MessageId(to, seq)),
            "react": lambda: bot.react(MessageId(to, seq), text),
            "unreact": lambda: bot.react(MessageId(to, seq), text, on=False),
            "pin": lambda: bot.pin(MessageId(to, seq)),
            "unpin": lambda: bot.unpin(MessageId(to, seq)),
            "join": lambda: bot.join(to),
            "leave": lambda: bot.leave(to),
            "invite": lambda: bot.invite(to, text),
            "kick": lambda: bot.kick(to, text),
            "ban": lambda: bot.ban(to, text),
            "slow": lambda: bot.set_slow_mode(to, timedelta(seconds=int(text))),
            "announcements": lambda: bot.set_announcements(to, on=text == "on"),
            "archive": lambda: bot.set_archived(to, on=text == "on"),
            "unban": lambda: bot.unban(to, text),
            "topic": lambda: bot.set_topic(to, text),
            "operator": lambda: bot.set_operator(to, text),
            "member": lambda: bot.set_operator(to, text, on=False),
            "access": lambda: bot.set_access(to, private=text == "private"),
        }
        sent: Sent | None = self._server.run(requests[kind])
        return 0 if sent is None else sent.seq  # it was so already

    def type(self, conv: str, sender: str) -> None:
        self._server.run(self._server.bot(sender).typing, "@ada" if conv[0] == "@" else conv)

    async def has_typed(self, to: str, receiver: str) -> bool:
        bot = self._server.bot(receiver)

        async def wait() -> bool:
            async for event in bot:
                if isinstance(event, IsTyping) and event.name == "ada":
                    return event.conversation == to
            return False

        # In another thread: ada's client needs this thread's loop to send.
        return await anyio.to_thread.run_sync(self._server.run, wait)

    def hand_over(self, room: str, name: str) -> None:
        self._server.hand_over(room, name)

    def promote(self, role: ServerRole = "moderator") -> None:
        self._server.promote("ada", role)

    def report(self, conv: str, name: str, seq: int, reason: str) -> None:
        bot = self._server.bot(name)
        self._server.run(partial(bot.report, [MessageId(conv, seq)], reason=reason))

    def read(self, conv: str, seq: int) -> None:
        self._server.run(self._server.bot("ada").mark_read, MessageId(conv, seq))

    def log_in_elsewhere(self) -> None:
        self._server.log_in_from(ADDRESS, "ada")

    def cut(self) -> None:
        self._server.cut()
        self._server.admit()

    def end(self) -> None:
        run, bot = self._server.run, self._server.bot("ada")
        run(bot.change_password, PASSWORD, PASSWORD)


@contextmanager
def scripted_world() -> Iterator[World]:
    """The scripted client; ada has an account."""
    world = ScriptedWorld()
    world.account("ada")
    yield world


@asynccontextmanager
async def live_world() -> AsyncIterator[World]:
    """The real client on a server of its own; ada has an account. It reconnects on request only."""
    with live_server() as server:
        server.register("ada")
        options = InternalOptions(backoff_base=10 * PATIENCE, random=lambda: 1.0, gap_grace=0.0)
        async with open_client(server.url, options=options) as client:
            yield LiveWorld(server, client)


def told(entry: Entry) -> tuple[str, str]:
    """Return the kind of an entry, and what it says."""
    return described(cast("LogEntry", entry))


def own(event: Entry) -> bool:
    """Return whether ada wrote it."""
    return event.is_own
