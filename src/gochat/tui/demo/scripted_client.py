"""A client without a server: its replies come from memory, and a script makes things happen.

It satisfies :class:`~gochat.tui.actions.client.ChatClient` and behaves as a client on a real server
does, as far as one person can tell: the tests in ``tests/client/contract`` hold both to it.
``gochat tui --demo`` and the tests run on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gochat.client import (
    ActivityChanged,
    ActivityPage,
    ConnectionState,
    Conversation,
    Found,
    HistoryPage,
    IsTyping,
    Level,
    Marked,
    Member,
    MessageId,
    MessageRef,
    Person,
    PinnedMessage,
    Presence,
    Room,
    SavedChanged,
    SavedPage,
    Sent,
    Status,
    convert,
)
from gochat.client.errors import chat_error
from gochat.client.moments import milliseconds, moment
from gochat.errors import ErrorCode
from gochat.protocol import messages as wire
from gochat.protocol.messages import LOBBY, EntryKind
from gochat.tui.demo import scripted_reading as reading
from gochat.tui.demo.scripted_chat import EPOCH
from gochat.tui.demo.scripted_rooms import ScriptedRooms
from gochat.tui.demo.scripted_rules import check_status, check_text


class ScriptedClient(ScriptedRooms):
    """One person's client on a chat of its own. `now` gives the time in seconds."""

    # -- messages ----------------------------------------------------------------------------------

    async def edit(self, message: MessageRef, text: str) -> Sent:
        """Change a message of one's own."""
        to, seq = message.conversation, message.seq
        await self._request("edit", to, seq, text)
        check_text(text)
        conv = self._chat.address(to)
        if self._chat.message(conv, seq).from_ != self.me:
            raise chat_error(
                ErrorCode.NOT_PERMITTED, "only its author can edit a message", field="seq"
            )
        self._chat.require_open(conv)
        return self._commit(conv, "edit", text, ref=seq)

    async def delete(self, message: MessageRef, *, reason: str = "") -> Sent:
        """Take a message back."""
        to, seq = message.conversation, message.seq
        await self._request("delete", to, seq)
        conv = self._chat.address(to)
        is_own = self._chat.message(conv, seq).from_ == self.me
        if not is_own and not self._chat.operates(conv):
            raise chat_error(
                ErrorCode.NOT_PERMITTED,
                "only its author or an operator can delete a message",
                field="seq",
            )
        return self._commit(conv, "delete", ref=seq, reason=reason)

    async def react(self, message: MessageRef, emoji: str, *, on: bool = True) -> Sent | None:
        """React to a message."""
        to, seq = message.conversation, message.seq
        await self._request("react", to, seq, emoji, on)
        if emoji.isascii():
            raise chat_error(ErrorCode.BAD_REQUEST, "a reaction is one emoji", field="emoji")
        conv = self._chat.address(to)
        self._chat.message(conv, seq)
        return self._change(conv, "react" if on else "unreact", emoji, ref=seq)

    async def pin(self, message: MessageRef) -> Sent | None:
        """Pin a message."""
        return await self._pin(message, on=True)

    async def unpin(self, message: MessageRef) -> Sent | None:
        """Unpin a message."""
        return await self._pin(message, on=False)

    async def _pin(self, message: MessageRef, *, on: bool) -> Sent | None:
        to, seq = message.conversation, message.seq
        await self._request("pin" if on else "unpin", to, seq)
        conv = self._chat.address(to)
        self._chat.message(conv, seq)
        if conv.startswith("#") and not self._chat.operates(conv):
            raise chat_error(ErrorCode.NOT_PERMITTED, "only operators can pin messages", field="to")
        self._chat.require_open(conv)
        return self._change(conv, "pin" if on else "unpin", ref=seq)

    async def pins(self, conversation: str) -> list[PinnedMessage]:
        """Return what is pinned."""
        await self._request("pins", conversation)
        conv = self._chat.address(conversation, "conv")
        return [convert.to_pinned(one, self.me) for one in reading.pins(self._chat, conv)]

    async def pinned_seqs(self, conversation: str) -> tuple[int, ...]:
        """Return the seqs of what is pinned."""
        await self._request("pinned_seqs", conversation)
        conv = self._chat.address(conversation, "conv")
        return tuple(one.entry.seq for one in reading.pins(self._chat, conv))

    async def save(self, message: MessageRef) -> None:
        """Save a message."""
        await self._request("save", message.conversation, message.seq)
        conv = self._chat.address(message.conversation)
        self._chat.message(conv, message.seq)
        if (place := (conv, message.seq)) not in self._chat.saved:
            self._chat.saved[place] = self._chat.time()
            self.emit(SavedChanged(message=MessageId(*place)))

    async def unsave(self, message: MessageRef) -> None:
        """Take it from what is saved."""
        await self._request("unsave", message.conversation, message.seq)
        place = (self._chat.address(message.conversation), message.seq)
        if self._chat.saved.pop(place, None) is not None:
            self.emit(SavedChanged(message=MessageId(*place), on=False))

    async def saved(self, *, cursor: str | None = None, limit: int = 20) -> SavedPage:
        """Return what is saved."""
        await self._request("saved", cursor, limit)
        items, start = reading.saved(self._chat), int(cursor or 0)
        following = str(start + limit) if start + limit < len(items) else None
        page = wire.SavedList(items=tuple(items[start : start + limit]), cursor=following)
        return convert.to_saved(page, self.me)

    async def history(
        self,
        conversation: str,
        *,
        before: MessageRef | int | None = None,
        after: MessageRef | int | None = None,
        around: MessageRef | int | None = None,
        at: datetime | None = None,
        limit: int = 50,
    ) -> HistoryPage:
        """Return a page of a log."""
        before, after, around = map(_seq, (before, after, around))
        await self._request("history", conversation, before, after, around)
        if sum(bound is not None for bound in (before, after, around, at)) > 1:
            raise chat_error(
                ErrorCode.BAD_REQUEST, "give one of before, after, around and at", field="before"
            )
        conv = self._chat.address(conversation, "conv")
        log, floor = self._chat.log(conv), self.floors.get(conv, 0)
        start, end = reading.span(
            log, floor, limit, before=before, after=after, around=around, at=at
        )
        page = wire.HistoryPage(
            conv=conv, epoch=EPOCH, head=len(log), older=start > floor, newer=end < len(log),
            floor=floor,
            entries=tuple(self._chat.as_it_reads(conv, entry) for entry in log[start:end]),
        )  # fmt: skip
        return convert.to_page(page, self.me)

    async def search(
        self,
        query: str,
        *,
        conversation: str | None = None,
        cursor: str | None = None,
        limit: int = 20,
    ) -> Found:
        """Find messages."""
        await self._request("search", query, conversation, cursor)
        if not query.strip():
            raise chat_error(ErrorCode.TEXT_EMPTY, "there is nothing to look for", field="query")
        where = None if conversation is None else self._chat.address(conversation, "conv")
        if (place := reading.place(query)) is not None:
            where = self._chat.address(place, "query")
        texts = self._chat.texts(where)
        hits, end = reading.search(texts, query, self.me, int(cursor or 0), self.looks_at, limit)
        found = wire.Found(hits=tuple(hits), cursor=None if end is None else str(end))
        return convert.to_found(found, self.me)

    async def activity(self, *, cursor: str | None = None, limit: int = 20) -> ActivityPage:
        """Return what concerns the person."""
        await self._request("activity", cursor, limit)
        items, start = reading.activity(self._chat), int(cursor or 0)
        following = str(start + limit) if start + limit < len(items) else None
        page = wire.ActivityList(
            items=tuple(items[start : start + limit]),
            seen=self._chat.activity_seen,
            cursor=following,
        )
        return convert.to_activity(page, self.me)

    async def mark_activity(self, seen: datetime) -> None:
        """Move forward up to when it is seen."""
        await self._request("mark_activity", seen)
        self._chat.activity_seen = max(self._chat.activity_seen, milliseconds(seen))
        self.emit(ActivityChanged())

    async def mark_read(self, message: MessageRef) -> None:
        """Move the marker."""
        await self._request("mark_read", message.conversation, message.seq)
        conv = self._chat.address(message.conversation, "conv")
        seq = min(message.seq, len(self._chat.log(conv)))
        if seq > self._chat.read.get(conv, 0):
            self._chat.read[conv] = seq
            self._tell_marked(conv)

    async def set_level(self, conversation: str, level: Level) -> None:
        """Set which messages count as unread."""
        await self._request("set_level", conversation, level)
        conv = self._chat.address(conversation, "conv")
        self._chat.levels[conv] = level
        self._tell_marked(conv)

    def _tell_marked(self, conv: str) -> None:
        now = self._chat.conversation(conv)
        self.emit(
            Marked(
                conversation=conv,
                read=now.read,
                unread=now.unread,
                mentions=now.mentions,
                level=now.level,
            )
        )

    async def typing(self, conversation: str) -> None:
        """Notify nobody."""
        self.requests.append(("typing", conversation))

    # -- people and rooms --------------------------------------------------

    async def who(self) -> list[Person]:
        """Return who is online."""
        await self._request("who")
        return self._chat.online()

    async def away(self, text: str | None) -> None:
        """Go away, or come back."""
        await self._request("away", text)
        me = replace(self._chat.people[self.me], away=text)
        self._chat.people[self.me] = me
        self.emit(Presence(online=(me,)))

    async def set_status(
        self, text: str, *, emoji: str = "", duration: timedelta | None = None
    ) -> None:
        """Set the person's status, or take it back."""
        await self._request("set_status", text, emoji, duration)
        check_status(text)
        until = None if duration is None else moment(self._chat.time()) + duration
        said = Status(emoji=emoji, text=text.strip(), until=until) if text or emoji else None
        self.describe_person(self.me, said)

    async def statuses(self, names: Iterable[str]) -> dict[str, Status]:
        """Return the statuses of people, online or not."""
        asked = list(names)
        await self._request("statuses", asked)
        return {name: self._chat.statuses[name] for name in asked if name in self._chat.statuses}

    def describe_person(self, name: str, said: Status | None) -> None:
        """Make somebody say something of themselves, or no longer."""
        self._chat.statuses.pop(name, None)
        if said is not None:
            self._chat.statuses[name] = said
        if (person := self._chat.people.get(name)) is not None:
            self._chat.people[name] = replace(person, status=said)
            self._notify(Presence(online=(self._chat.people[name],)))

    async def conversations(self) -> list[Conversation]:
        """Return the conversations."""
        await self._request("conversations")
        return [
            convert.to_conversation(conversation) for conversation in self._chat.conversations()
        ]

    async def rooms(self) -> list[Room]:
        """Return the rooms."""
        await self._request("rooms")
        return [convert.to_room(room) for room in self._chat.rooms()]

    async def members(self, room: str) -> list[Member]:
        """Return who is in a room."""
        await self._request("members", room)
        name = self._chat.address(room, "room")
        if name == LOBBY or name.startswith("@"):
            raise chat_error(
                ErrorCode.BAD_REQUEST, f"{name} is not a room: ask who is online", field="room"
            )
        return [convert.to_member(member) for member in self._chat.members(name)]

    # -- the script's part ----------------------------------------------------------------------

    def add_room(
        self, room: str, topic: str = "", *, private: bool = False, members: Iterable[str] = (),
        operators: Iterable[str] = (), joined: bool = False,
    ) -> None:  # fmt: skip
        """Add a room, before or after the login; `operators` are members, too."""
        people = [wire.Member(name=name, since=0, operator=True) for name in operators]
        people += [wire.Member(name=name, since=0) for name in members]
        people += [wire.Member(name=self.me, since=0)] if joined else []
        self._chat.add_room(room, topic, private=private, members=people)

    def record(
        self, conv: str, sender: str, text: str, *, ago: float = 0.0, kind: EntryKind = "text",
        ref: int | None = None, mentions: Iterable[str] = (),
    ) -> wire.Message:  # fmt: skip
        """Add an entry to the log without an event, as if it was committed `ago` seconds before."""
        return self._chat.append(
            conv, sender, kind, text, ref=ref, ago=ago, mentions=tuple(mentions)
        )

    def say(
        self, conv: str, sender: str, text: str, *, kind: EntryKind = "text",
        ref: int | None = None, mentions: Iterable[str] = (),
    ) -> wire.Message:  # fmt: skip
        """Make somebody say something now. The app receives it if it is for the person: at once, or
        once the connection is back."""
        was_inside, before = self._chat.sees(conv), self._chat.invitations()
        message = self.record(conv, sender, text, kind=kind, ref=ref, mentions=mentions)
        if self._name is not None and (was_inside or self._chat.sees(conv)):
            if self._state is ConnectionState.CONNECTED:
                self.emit_entry(message)
            else:
                self._missed.append(message)
        if reading.concern(self._chat, conv, message) is not None:
            self._notify(ActivityChanged())
        if self._state is ConnectionState.CONNECTED:
            self._tell_invitations(before)
        return message

    def type(self, conv: str, sender: str) -> None:
        """Make somebody begin to type."""
        self._notify(IsTyping(conv if conv.startswith("#") else f"@{sender}", sender))

    def arrive(self, *names: str) -> None:
        """Bring people online."""
        people = tuple(Person(name=one, status=self._chat.statuses.get(one)) for one in names)
        self._chat.people.update({person.name: person for person in people})
        self._chat.know(*names)
        self._notify(Presence(online=people))

    def know(self, *names: str) -> None:
        """Add people with an account, who need not be online."""
        self._chat.know(*names)

    def depart(self, *names: str) -> None:
        """Take people offline."""
        for name in names:
            self._chat.people.pop(name, None)
        self._notify(Presence(offline=names))

    def read(self, conv: str, seq: int | None = None) -> None:
        """Move the read marker from another device, to the end of a conversation or to `seq`."""
        self._chat.read[conv] = len(self._chat.log(conv)) if seq is None else seq
        if self._state is ConnectionState.CONNECTED:
            self._tell_marked(conv)


def _seq(entry: MessageRef | int | None) -> int | None:
    return entry if entry is None or isinstance(entry, int) else entry.seq


def opener(client: ScriptedClient) -> Any:
    """Return what opens `client`, whatever the address."""

    @asynccontextmanager
    async def open_scripted(
        url: str, *, outbox: Path | None = None
    ) -> AsyncIterator[ScriptedClient]:
        client.requests.append(("open", url))
        try:
            yield client
        finally:
            client.close()

    return open_scripted
