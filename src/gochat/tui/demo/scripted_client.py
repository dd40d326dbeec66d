"""A client without a server: its answers are kept in memory, and a script makes things happen.

It satisfies :class:`~gochat.tui.actions.client.ChatClient` and behaves as a client on a real server
does, as far as one person can see. ``gochat tui --demo`` and the tests run on it. It is as long as
the client's interface: some forty methods of a few lines.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gochat.client import (
    ChatError,
    ClientEvent,
    ConnectionLost,
    ConnectionState,
    Conversation,
    Found,
    HistoryPage,
    HistorySetting,
    IsTyping,
    Level,
    Limits,
    Marked,
    Member,
    Message,
    Outgoing,
    OutgoingChanged,
    OutgoingState,
    Person,
    Presence,
    Reaction,
    Room,
    Sent,
    StateChanged,
    Synchronised,
)
from gochat.errors import ErrorCode
from gochat.protocol.messages import LOBBY, EntryKind

EPOCH = "demo"


class ScriptedClient:
    """One person's client on a world of its own. `now` gives the time in seconds."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._events: asyncio.Queue[ClientEvent] = asyncio.Queue()
        self._state = ConnectionState.OFFLINE
        self._name: str | None = None
        self._logs: dict[str, list[Message]] = {LOBBY: []}
        self._rooms: dict[str, Room] = {LOBBY: Room(room=LOBBY, joined=True)}
        self._members: dict[str, list[Member]] = {}
        self._read: dict[str, int] = {}
        self._levels: dict[str, Level] = {}
        self._mine: set[str] = {LOBBY}
        self._operated: set[str] = set()
        self._people: dict[str, Person] = {}
        self._outbox: list[Outgoing] = []
        #: Names with their passwords; empty: everybody may log in with anything.
        self.accounts: dict[str, str] = {}
        #: What the next requests of these methods raise, instead of being done.
        self.refusals: dict[str, ChatError | ConnectionLost] = {}
        #: Messages looked at for one page of what a search finds.
        self.looks_at = 20_000
        #: Of rooms: entries up to this seq are hidden.
        self.floors: dict[str, int] = {}
        #: What was asked for, for tests to look at.
        self.requests: list[tuple[Any, ...]] = []
        self.token_is_good = True

    # -- the protocol's part: state ---------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """How the client stands."""
        return self._state

    @property
    def name(self) -> str | None:
        """Who is logged in."""
        return self._name

    @property
    def me(self) -> str:
        """Who is logged in, if anybody."""
        return self._name or ""

    @property
    def token(self) -> str | None:
        """A token, which no server checks."""
        return "demo-token" if self._name else None

    @property
    def token_expires(self) -> int | None:
        """Far away."""
        return 2**50 if self._name else None

    @property
    def limits(self) -> Limits | None:
        """The usual limits."""
        return Limits(
            frame_bytes=65536, text_chars=4000, burst=10, per_second=5.0, history_page=200
        )

    @property
    def server(self) -> str | None:
        """What answers."""
        return "gochat demo"

    @property
    def outbox(self) -> tuple[Outgoing, ...]:
        """What waits."""
        return tuple(self._outbox)

    async def events(self) -> AsyncIterator[ClientEvent]:
        """Yield the events of the script."""
        while True:
            yield await self._events.get()

    # -- the protocol's part: identity ------------------------------------------------------------

    async def register(self, name: str, password: str, invite: str | None = None) -> str:
        """Create an account."""
        self._check("register", name, password, invite)
        if name in self.accounts:
            raise ChatError(ErrorCode.NAME_TAKEN, f"the name {name} is taken", field="name")
        self.accounts[name] = password
        return name

    async def log_in(self, name: str, password: str) -> None:
        """Log in."""
        self._move(ConnectionState.CONNECTING)
        try:
            self._check("log_in", name, password)
            if self.accounts and self.accounts.get(name) != password:
                raise ChatError(ErrorCode.BAD_CREDENTIALS, "wrong name or password")
        except (ChatError, ConnectionLost):
            self._move(ConnectionState.OFFLINE)
            raise
        self._begin(name)

    async def resume(self, token: str) -> None:
        """Log in by a token, as who was remembered."""
        self._check("resume", token)
        if not self.token_is_good:
            raise ChatError(ErrorCode.BAD_TOKEN, "the session has expired")
        self._begin(next(iter(self.accounts), "ada"))

    async def log_out(self) -> None:
        """Log out."""
        self._check("log_out")
        self._move(ConnectionState.OFFLINE)

    def reconnect_now(self) -> None:
        """Connect again, if the connection was cut."""
        self._check("reconnect_now")
        if self._state is ConnectionState.RECONNECTING:
            self.restore()

    async def change_password(self, old: str, new: str) -> bool:
        """Set a new password."""
        self._check("change_password", old, new)
        if self.accounts.get(self.me, old) != old:
            raise ChatError(ErrorCode.BAD_CREDENTIALS, "wrong password", field="old")
        self.accounts[self.me] = new
        return True

    def _begin(self, name: str) -> None:
        self._name = name
        self._people[name] = Person(name=name)
        self._move(ConnectionState.CONNECTED)
        self.emit(Synchronised(tuple(self._people.values()), tuple(self._conversations())))

    def _move(
        self, state: ConnectionState, retry_in: float | None = None, reason: str = ""
    ) -> None:
        self._state = state
        self.emit(StateChanged(state, retry_in, reason))

    def _check(self, method: str, *args: object) -> None:
        self.requests.append((method, *args))
        if refusal := self.refusals.pop(method, None):
            raise refusal

    # -- the protocol's part: messages ------------------------------------------------------------

    def send(self, to: str, text: str, *, reply_to: int | None = None) -> Outgoing:
        """Take a message; it is acknowledged at once unless the connection is cut."""
        self.requests.append(("send", to, text, reply_to))
        outgoing = Outgoing(
            to=to, text=text, reply_to=reply_to, created=self._ts(), cid=f"c{len(self.requests)}"
        )
        self._outbox.append(outgoing)
        if self._state is ConnectionState.CONNECTED:
            self.deliver(outgoing)
        return outgoing

    def deliver(self, outgoing: Outgoing) -> None:
        """Acknowledge a message, or refuse it."""
        if refusal := self.refusals.pop("send", None):
            assert isinstance(refusal, ChatError)
            outgoing.become_failed(refusal)
            self.emit(OutgoingChanged(outgoing))
            return
        self._outbox.remove(outgoing)
        message = self._log(
            outgoing.to, self.me, "text", outgoing.text, ref=outgoing.reply_to, cid=outgoing.cid
        )
        self._read[outgoing.to] = message.seq
        outgoing.become_sent(Sent(to=outgoing.to, epoch=EPOCH, seq=message.seq, ts=message.ts))
        self.emit(OutgoingChanged(outgoing))
        self.emit(message)

    def retry(self, outgoing: Outgoing) -> None:
        """Send a refused message again."""
        self.requests.append(("retry", outgoing.cid))
        outgoing.become_pending()
        self.emit(OutgoingChanged(outgoing))
        if self._state is ConnectionState.CONNECTED:
            self.deliver(outgoing)

    def discard(self, outgoing: Outgoing) -> None:
        """Forget a refused message."""
        self.requests.append(("discard", outgoing.cid))
        self._outbox.remove(outgoing)

    async def edit(self, to: str, seq: int, text: str) -> Sent:
        """Change a message of this person."""
        self._check("edit", to, seq, text)
        return self._say(to, self.me, "edit", text, ref=seq)

    async def delete(self, to: str, seq: int) -> Sent:
        """Take a message back."""
        self._check("delete", to, seq)
        return self._say(to, self.me, "delete", ref=seq)

    async def react(self, to: str, seq: int, emoji: str, on: bool = True) -> Sent:
        """React to a message."""
        self._check("react", to, seq, emoji, on)
        return self._say(to, self.me, "react" if on else "unreact", emoji, ref=seq)

    async def history(
        self,
        conv: str,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
        limit: int = 50,
    ) -> HistoryPage:
        """Return a page of a log."""
        self._check("history", conv, before, after, around)
        log = self._log_of(conv)
        if before is not None:
            end = min(len(log), before - 1)
            start = max(0, end - limit)
        elif after is not None:
            start, end = after, min(len(log), after + limit)
        elif around is not None:
            start = max(0, around - 1 - limit // 2)
            end = min(len(log), start + limit)
        else:
            start, end = max(0, len(log) - limit), len(log)
        floor = self.floors.get(conv, 0)
        start, end = max(start, floor), max(end, floor)
        return HistoryPage(
            conv=conv, epoch=EPOCH, head=len(log), older=start > floor, newer=end < len(log),
            floor=floor,
            entries=tuple(self._as_it_reads(conv, entry) for entry in log[start:end]),
        )  # fmt: skip

    async def search(
        self, query: str, conv: str | None = None, cursor: str | None = None, limit: int = 20
    ) -> Found:
        """Find messages."""
        self._check("search", query, conv, cursor)
        words = query.casefold().split()
        texts = [
            self._as_it_reads(name, entry)
            for name, log in self._logs.items()
            for entry in log
            if entry.kind == "text" and conv in (None, name)
        ]  # fmt: skip
        texts.sort(key=lambda text: (text.ts, text.seq), reverse=True)
        start = index = int(cursor or 0)
        hits: list[Message] = []
        while index < min(len(texts), start + self.looks_at) and len(hits) < limit:
            if all(word in texts[index].text.casefold() for word in words):
                hits.append(texts[index])
            index += 1
        return Found(hits=tuple(hits), cursor=str(index) if index < len(texts) else None)

    async def mark_read(self, conv: str, seq: int) -> None:
        """Move the marker."""
        self._check("mark_read", conv, seq)
        self._read[conv] = max(seq, self._read.get(conv, 0))

    async def set_level(self, conv: str, level: Level) -> None:
        """Choose which messages notify the person."""
        self._check("set_level", conv, level)
        self._levels[conv] = level

    async def typing(self, to: str) -> None:
        """Do nothing: nobody else is there to see it."""
        self.requests.append(("typing", to))

    # -- the protocol's part: people and rooms ----------------------------------------------------

    async def who(self) -> list[Person]:
        """Return who is online."""
        return list(self._people.values())

    async def away(self, text: str | None) -> None:
        """Go away, or come back."""
        self._check("away", text)
        self.emit(Presence(online=(Person(name=self.me, away=text),)))

    async def conversations(self) -> list[Conversation]:
        """Return the conversations."""
        return self._conversations()

    async def rooms(self) -> list[Room]:
        """Return the rooms."""
        self._check("rooms")
        return [
            replace(room, joined=name in self._mine, members=len(self._members_of(name)))
            for name, room in sorted(self._rooms.items())
        ]

    async def members(self, room: str) -> list[Member]:
        """Return who is in a room."""
        self._check("members", room)
        return self._members_of(room)

    async def create_room(self, room: str, topic: str = "", private: bool = False) -> Sent:
        """Create a room."""
        self._check("create_room", room, topic, private)
        if room in self._rooms:
            raise ChatError(ErrorCode.ROOM_EXISTS, f"there is a room {room} already", field="room")
        self.add_room(room, topic, private=private)
        self._operated.add(room)
        self._mine.add(room)
        return self._say(room, self.me, "create", "private" if private else "public")

    async def join(self, room: str) -> Sent:
        """Join a room."""
        self._check("join", room)
        if room not in self._rooms:
            raise ChatError(
                ErrorCode.UNKNOWN_CONVERSATION, f"there is no room {room}", field="room"
            )
        self._mine.add(room)
        return self._say(room, self.me, "join")

    async def leave(self, room: str) -> Sent:
        """Leave a room."""
        self._check("leave", room)
        self._mine.discard(room)
        return self._say(room, self.me, "leave")

    async def invite(self, room: str, name: str) -> Sent:
        """Invite a person."""
        self._check("invite", room, name)
        return self._say(room, self.me, "invite", name)

    async def kick(self, room: str, name: str) -> Sent:
        """Remove a person."""
        self._check("kick", room, name)
        return self._say(room, self.me, "kick", name)

    async def set_topic(self, room: str, topic: str) -> Sent:
        """Set the topic."""
        self._check("set_topic", room, topic)
        self._rooms[room] = replace(self._rooms[room], topic=topic)
        return self._say(room, self.me, "topic", topic)

    async def set_operator(self, room: str, name: str, on: bool = True) -> Sent:
        """Make a person an operator, or an ordinary member again."""
        self._check("set_operator", room, name, on)
        return self._say(room, self.me, "operator" if on else "member", name)

    async def set_access(
        self, room: str, private: bool, history: HistorySetting | None = None
    ) -> Sent:
        """Make a room private or public."""
        self._check("set_access", room, private, history)
        return self._say(room, self.me, "access", "private" if private else "public")

    async def set_history(self, room: str, history: HistorySetting) -> Sent:
        """Hide a room's history, or show it."""
        self._check("set_history", room, history)
        return self._say(room, self.me, "history", history)

    # -- the script's part ------------------------------------------------------------------------

    def emit(self, event: ClientEvent) -> None:
        """Send the app an event."""
        self._events.put_nowait(event)

    def add_room(
        self, room: str, topic: str = "", *, private: bool = False, members: Iterable[str] = (),
        joined: bool = False,
    ) -> None:  # fmt: skip
        """Add a room, before or after the login."""
        self._rooms[room] = Room(room=room, topic=topic, private=private)
        self._members[room] = [Member(name=name, since=0) for name in members]
        if joined:
            self._mine.add(room)

    def record(
        self, conv: str, sender: str, text: str, *, ago: float = 0.0, kind: EntryKind = "text",
        ref: int | None = None, mentions: Iterable[str] = (),
    ) -> Message:  # fmt: skip
        """Add an entry to the log without an event: it is from `ago` seconds before now."""
        if not conv.startswith("#"):
            self._mine.add(conv)
        return self._log(conv, sender, kind, text, ref=ref, ago=ago, mentions=tuple(mentions))

    def say(
        self, conv: str, sender: str, text: str, *, kind: EntryKind = "text",
        ref: int | None = None, mentions: Iterable[str] = (),
    ) -> Message:  # fmt: skip
        """Make a person send a message now."""
        message = self.record(conv, sender, text, kind=kind, ref=ref, mentions=mentions)
        self.emit(message)
        return message

    def type(self, conv: str, sender: str) -> None:
        """Make a person begin to type."""
        to = conv if conv.startswith("#") else f"@{self.me}"
        self.emit(IsTyping(to=to, from_=sender))

    def arrive(self, *names: str) -> None:
        """Make people come online."""
        people = tuple(Person(name=name) for name in names)
        self._people.update({person.name: person for person in people})
        if self._name:
            self.emit(Presence(online=people))

    def depart(self, *names: str) -> None:
        """Make people go offline."""
        for name in names:
            self._people.pop(name, None)
        self.emit(Presence(offline=names))

    def read(self, conv: str, seq: int | None = None) -> None:
        """Mark a conversation as read, to its end or to `seq`."""
        self._read[conv] = len(self._log_of(conv)) if seq is None else seq
        if self._name:
            self.emit(Marked(conv=conv, read=self._read[conv]))

    def cut(self, retry_in: float | None = 4.0, reason: str = "the connection was lost") -> None:
        """Cut the connection."""
        self._move(ConnectionState.RECONNECTING, retry_in, reason)

    def restore(self) -> None:
        """Restore the connection; what waited is sent."""
        self._move(ConnectionState.CONNECTED)
        self.emit(Synchronised(tuple(self._people.values()), tuple(self._conversations())))
        for outgoing in [o for o in self._outbox if o.state is OutgoingState.PENDING]:
            self.deliver(outgoing)

    def end(self, reason: str) -> None:
        """End the session, as the server does."""
        self._move(ConnectionState.OFFLINE, None, reason)

    # -- the world --------------------------------------------------------------------------------

    def _ts(self) -> int:
        return int(self._now() * 1000)

    def _log_of(self, conv: str) -> list[Message]:
        return self._logs.setdefault(conv, [])

    def _log(
        self, conv: str, sender: str, kind: EntryKind, text: str = "", *, ref: int | None = None,
        cid: str | None = None, ago: float = 0.0, mentions: tuple[str, ...] = (),
    ) -> Message:  # fmt: skip
        log = self._log_of(conv)
        private = not conv.startswith("#")
        message = Message(
            to=f"@{self.me}" if private and sender != self.me else conv,
            epoch=EPOCH,
            seq=len(log) + 1,
            ts=self._ts() - int(ago * 1000),
            from_=sender,
            kind=kind,
            text=text,
            ref=ref,
            cid=cid,
            mentions=mentions,
        )
        log.append(message)
        if private:
            self._mine.add(conv)
        return message

    def _say(
        self, conv: str, sender: str, kind: EntryKind, text: str = "", *, ref: int | None = None
    ) -> Sent:
        message = self._log(conv, sender, kind, text, ref=ref)
        self.emit(message)
        return Sent(to=conv, epoch=EPOCH, seq=message.seq, ts=message.ts)

    def _as_it_reads(self, conv: str, entry: Message) -> Message:
        if entry.kind != "text":
            return entry
        reactions: dict[str, list[str]] = {}
        for change in self._log_of(conv)[entry.seq :]:
            if change.ref != entry.seq:
                continue
            match change.kind:
                case "edit":
                    entry = replace(entry, text=change.text, edited=change.seq)
                case "delete":
                    return replace(entry, text="", deleted=True)
                case "react":
                    reactions.setdefault(change.text, []).append(change.from_)
                case "unreact" if change.from_ in reactions.get(change.text, []):
                    reactions[change.text].remove(change.from_)
                case _:
                    pass
        return replace(
            entry,
            reactions=tuple(
                Reaction(emoji=emoji, count=len(names), names=tuple(names), me=self.me in names)
                for emoji, names in reactions.items()
                if names
            ),
        )

    def _conversations(self) -> list[Conversation]:
        return [self._conversation(conv) for conv in sorted(self._mine)]

    def _conversation(self, conv: str) -> Conversation:
        log, read = self._log_of(conv), self._read.get(conv, 0)
        unread = [m for m in log[read:] if m.kind == "text" and m.from_ != self.me]
        room = self._rooms.get(conv)
        return Conversation(
            conv=conv,
            epoch=EPOCH,
            head=len(log),
            read=read,
            unread=len(unread),
            mentions=sum(self.me in m.mentions for m in unread),
            level=self._levels.get(conv, "all"),
            topic=room.topic if room else "",
            operator=conv in self._operated,
            private=room.private if room else False,
        )

    def _members_of(self, room: str) -> list[Member]:
        names = {member.name: member for member in self._members.get(room, [])}
        if room == LOBBY:
            names |= {name: Member(name=name, since=0) for name in self._people}
        if room in self._mine and self.me:
            names[self.me] = Member(name=self.me, since=0, operator=room in self._operated)
        return [
            replace(member, online=name in self._people) for name, member in sorted(names.items())
        ]


def opener(client: ScriptedClient) -> Any:
    """Return what opens `client`, whatever the address."""

    @asynccontextmanager
    async def open_scripted(
        url: str, *, outbox: Path | None = None
    ) -> AsyncIterator[ScriptedClient]:
        client.requests.append(("open", url))
        yield client

    return open_scripted
