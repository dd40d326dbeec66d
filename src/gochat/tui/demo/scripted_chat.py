"""The conversations, rooms and people that a scripted client is shown, and the rules for them.

Only as one person sees them, in memory, and as a server would send them. What an entry changes is
changed as it is appended, whoever says it; what the person may not do is refused with the code and
the field that a server gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

from msgspec.structs import replace

from gochat.client.errors import chat_error
from gochat.client.models import Person, Status
from gochat.errors import ErrorCode
from gochat.protocol.messages import (
    LOBBY,
    AddressBan,
    Conversation,
    EntryKind,
    Form,
    Invitation,
    Level,
    Member,
    Message,
    OpenReport,
    Reaction,
    Restriction,
    RestrictionKind,
    Room,
    ServerRole,
)
from gochat.protocol.text import is_mentioned
from gochat.protocol.text import mentions as mentions_in
from gochat.tui.demo.scripted_room import ScriptedRoom

EPOCH = "demo"


class ScriptedChat:
    """A chat as `me` sees it. `now` gives the time in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.me = ""
        #: The person's role at the server.
        self.role: ServerRole = "member"
        #: Who is online.
        self.people: dict[str, Person] = {}
        #: What people say of themselves, online or not.
        self.statuses: dict[str, Status] = {}
        self.read: dict[str, int] = {}
        #: Who is banned from the server or muted.
        self.restrictions: dict[tuple[str, RestrictionKind], Restriction] = {}
        #: Addresses and networks that are banned.
        self.address_bans: dict[str, AddressBan] = {}
        #: Reports that wait for the person, by their ids.
        self.reports: dict[int, OpenReport] = {}
        self._report_ids = count(1)
        #: Whom the person blocks.
        self.blocked: set[str] = set()
        #: Up to when the person has seen their activity.
        self.activity_seen = 0
        #: What the person has saved, and when, by conversation and seq.
        self.saved: dict[tuple[str, int], int] = {}
        self.levels: dict[str, Level] = {}
        self._known: set[str] = set()  # who has an account
        self._logs: dict[str, list[Message]] = {LOBBY: []}
        self._rooms: dict[str, ScriptedRoom] = {}

    def enter(self, name: str) -> None:
        """Be the chat of `name`: rooms that were made before had a member without a name."""
        for room in self._rooms.values():
            if (member := room.members.pop(self.me, None)) is not None:
                room.members[name] = replace(member, name=name)
        self.me = name
        self.know(name)
        self.people[name] = Person(name=name, status=self.statuses.get(name))

    def know(self, *names: str) -> None:
        """Take note of who has an account."""
        self._known.update(names)

    def add_room(self, room: str, topic: str, *, private: bool, members: Iterable[Member]) -> None:
        """Add a room."""
        self._rooms[room] = ScriptedRoom(
            topic, private, members={member.name: member for member in members}
        )
        self.know(*(name for name in self._rooms[room].members if name))

    def new_report_id(self) -> int:
        """Return an id that no report has had."""
        return next(self._report_ids)

    def time(self) -> int:
        """Return the time in milliseconds."""
        return int(self._now() * 1000)

    # -- who and where --------------------------------------------------------------------------

    def person(self, name: str, field: str = "name") -> str:
        """Return how somebody's name is spelled."""
        key = name.removeprefix("@").casefold()
        found = next((known for known in self._known if known.casefold() == key), None)
        if found is None:
            raise chat_error(ErrorCode.UNKNOWN_PERSON, f"no account is named {name!r}", field=field)
        return found

    def address(self, to: str, field: str = "to") -> str:
        """Return the conversation that `to` names, which the person may read and write."""
        if to.startswith("@"):
            return "@" + self.person(to, field)
        if to.casefold() == LOBBY:
            return LOBBY
        name = self.room(to, field)
        if self.me not in self._rooms[name].members:
            raise chat_error(
                ErrorCode.NOT_A_MEMBER, f"you are not in {name}: join it first", field=field
            )
        return name

    def room(self, address: str, field: str = "room") -> str:
        """Return how a room that the person may know of is spelled."""
        if address.casefold() == LOBBY:
            raise chat_error(
                ErrorCode.NOT_PERMITTED, "#lobby is everybody's: it stays as it is", field=field
            )
        key = address.casefold()
        name = next((name for name in self._rooms if name.casefold() == key), None)
        if name is None or not (self._is_listed(name) or self.me in self._rooms[name].invited):
            raise chat_error(
                ErrorCode.UNKNOWN_CONVERSATION, f"unknown room {address!r}", field=field
            )
        return name

    def own_room(self, address: str, *, to: str = "") -> str:
        """Return how a room is spelled that the person is in, and an operator of if need be: `to`
        says what for."""
        name = self.room(address)
        member = self._rooms[name].members.get(self.me)
        if member is None:
            raise chat_error(ErrorCode.NOT_A_MEMBER, f"you are not in {name}", field="room")
        own = ("choose operators", "change who may join", "choose what those who join read")
        if to and not (member.operator if to in own else self.operates(name)):
            raise chat_error(ErrorCode.NOT_PERMITTED, f"only operators can {to}", field="room")
        return name

    def operates(self, conv: str) -> bool:
        """Return whether the person does what operators do in a conversation."""
        room = self._rooms.get(conv, ScriptedRoom())
        if self.me in room.operators:
            return True
        is_there = conv == LOBBY or (self.me in room.members and not room.private)
        return self.role != "member" and is_there

    def is_private(self, room: str) -> bool:
        """Return whether only who is invited can join a room."""
        return self._rooms[room].private

    def has_room(self, room: str) -> bool:
        """Return whether the name of a room is taken."""
        return any(name.casefold() == room.casefold() for name in (LOBBY, *self._rooms))

    def is_member(self, room: str, name: str) -> bool:
        """Return whether somebody is in a room."""
        return name in self._rooms[room].members

    def member(self, room: str, name: str, *, or_invited: bool = False) -> str:
        """Return how the name of a member, or of who is invited, is spelled."""
        person = self.person(name)
        is_there = self.is_member(room, person)
        if not is_there and not (or_invited and person in self._rooms[room].invited):
            raise chat_error(ErrorCode.NOT_A_MEMBER, f"{person} is not in {room}", field="name")
        return person

    def operators(self, room: str) -> list[str]:
        """Return who are the operators of a room."""
        return self._rooms[room].operators

    def is_only_operator(self, room: str) -> bool:
        """Return whether the person is the one operator of a room."""
        return self._rooms[room].operators == [self.me]

    def heir(self, room: str) -> str | None:
        """Return who has to be made an operator before the person leaves: who is there longest."""
        others = (name for name in self._rooms[room].members if name != self.me)
        return next(others, None) if self.is_only_operator(room) else None

    def require_open(self, conv: str) -> None:
        """Require that the person can write in a conversation."""
        room = self._rooms.get(conv, ScriptedRoom())
        if text := room.why_closed(conv, is_operator=self.operates(conv)):
            raise chat_error(ErrorCode.NOT_PERMITTED, text, field="to")

    def bans(self, room: str) -> dict[str, Message]:
        """Return who is banned from a room, each with the entry that says so. None ever ends."""
        return self._rooms[room].bans

    def sees(self, conv: str) -> bool:
        """Return whether the person receives the entries of a conversation."""
        is_joined = conv.startswith("#") and conv != LOBBY
        return not is_joined or (conv in self._rooms and self.is_member(conv, self.me))

    def _is_listed(self, room: str) -> bool:
        return not self._rooms[room].private or self.me in self._rooms[room].members

    def invitations(self) -> tuple[Invitation, ...]:
        """Return the person's pending invitations, by room."""
        return tuple(
            Invitation(room=name, from_=entry.from_, ts=entry.ts, topic=room.topic)
            for name, room in sorted(self._rooms.items())
            if (entry := room.invited.get(self.me)) is not None
        )

    # -- the log --------------------------------------------------------------------------------

    def log(self, conv: str) -> list[Message]:
        """Return all entries of a conversation, as they were said."""
        return self._logs.setdefault(conv, [])

    def append(
        self, conv: str, sender: str, kind: EntryKind, text: str = "", *, ref: int | None = None,
        cid: str | None = None, ago: float = 0.0, mentions: tuple[str, ...] = (),
        form: Form = "text", reason: str = "", seconds: int = 0,
    ) -> Message:  # fmt: skip
        """Append an entry, said `ago` seconds before now, and change what it changes."""
        log = self.log(conv)
        is_room = conv.startswith("#")
        message = Message(
            to=conv if is_room or sender == self.me else f"@{self.me}",
            conv=None if is_room or sender == self.me else conv,
            epoch=EPOCH,
            seq=len(log) + 1,
            ts=self.time() - int(ago * 1000),
            from_=sender,
            kind=kind,
            text=text,
            ref=ref,
            cid=cid,
            mentions=mentions,
            form=form,
            reason=reason,
            seconds=seconds,
        )
        log.append(message)
        self.know(sender, *(() if is_room else (conv[1:],)))
        if is_room and conv != LOBBY:
            self._rooms.setdefault(conv, ScriptedRoom()).apply(message)
            if kind in ("create", "join") and sender == self.me:
                self.read[conv] = message.seq
        return message

    def is_so(self, conv: str, kind: EntryKind, text: str, ref: int | None) -> bool:
        """Return whether an entry of the person would change nothing."""
        if kind in ("pin", "unpin"):
            return self.message(conv, ref or 0).pinned == (kind == "pin")
        if kind in ("react", "unreact"):
            reactions = self.message(conv, ref or 0).reactions
            return any(r.emoji == text and r.me for r in reactions) == (kind == "react")
        return self._rooms.get(conv, ScriptedRoom()).is_so(kind, text, self.me)

    def mentioned(self, conv: str, text: str) -> tuple[str, ...]:
        """Return the people whom a text names."""
        if not conv.startswith("#"):
            return ()
        known = {name.casefold(): name for name in self._known}
        found = (
            next((known[n.casefold()] for n in mention.names if n.casefold() in known), None)
            for mention in mentions_in(text)
        )
        return tuple(dict.fromkeys(filter(None, found)))

    def message(self, conv: str, seq: int, field: str = "seq") -> Message:
        """Return a message as it reads now, which was not taken back."""
        log = self.log(conv)
        entry = self.as_it_reads(conv, log[seq - 1]) if 0 < seq <= len(log) else None
        if entry is None or entry.kind != "text" or entry.deleted:
            raise chat_error(ErrorCode.UNKNOWN_MESSAGE, f"{conv} has no message {seq}", field=field)
        return entry

    def as_it_reads(self, conv: str, entry: Message) -> Message:
        """Return an entry with what was changed since."""
        changes = self.log(conv)[entry.seq :]
        if entry.kind == "edit":
            is_over = any(c.ref == entry.ref and c.kind in ("edit", "delete") for c in changes)
            return replace(entry, text="", deleted=True) if is_over else entry
        if entry.kind != "text":
            return entry
        reactions: dict[str, list[str]] = {}
        for change in changes:
            if change.ref != entry.seq:
                continue
            names = reactions.setdefault(change.text, [])
            match change.kind:
                case "edit":
                    entry = replace(
                        entry, text=change.text, edited=change.seq, mentions=change.mentions
                    )
                case "pin" | "unpin":
                    entry = replace(entry, pinned=change.kind == "pin")
                case "delete":
                    return replace(entry, text="", mentions=(), deleted=True, pinned=False)
                case "react" if change.from_ not in names:
                    names.append(change.from_)
                case "unreact" if change.from_ in names:
                    names.remove(change.from_)
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

    # -- lists ----------------------------------------------------------------------------------

    def online(self) -> list[Person]:
        """Return who is online, by name."""
        return [person for _, person in sorted(self.people.items())]

    def conversations(self) -> list[Conversation]:
        """Return the person's conversations, by name."""
        own = {LOBBY} | {name for name, room in self._rooms.items() if self.me in room.members}
        own |= {conv for conv, log in self._logs.items() if conv.startswith("@") and log}
        return [self.conversation(conv) for conv in sorted(own)]

    def conversation(self, conv: str) -> Conversation:
        """Return one of them."""
        log, read = self.log(conv), self.read.get(conv, 0)
        unread = [
            m
            for m in (self.as_it_reads(conv, entry) for entry in log[read:])
            if m.kind == "text" and not m.deleted and m.from_ != self.me
        ]
        room = self._rooms.get(conv, ScriptedRoom())
        member = room.members.get(self.me)
        return Conversation(
            conv=conv,
            epoch=EPOCH,
            head=len(log),
            ts=log[-1].ts if log else 0,
            read=read,
            unread=len(unread),
            mentions=sum(is_mentioned(self.me, m.mentions) for m in unread),
            level=self.levels.get(conv, "all"),
            topic=room.topic,
            operator=member is not None and member.operator,
            private=room.private,
            history=room.history,
            slow=int(room.modes.get("slow", 0)),
            announcements=room.is_announcements,
            archived=room.is_archived,
        )

    def rooms(self) -> list[Room]:
        """Return the public rooms and the person's own, by name."""
        rooms = [
            Room(
                room=name,
                topic=room.topic,
                members=len(room.members),
                private=room.private,
                joined=self.me in room.members,
                archived=room.is_archived,
            )
            for name, room in self._rooms.items()
            if self._is_listed(name)
        ]
        rooms.append(Room(room=LOBBY, members=len(self._known), joined=True))
        return sorted(rooms, key=lambda room: room.room)

    def members(self, room: str) -> list[Member]:
        """Return who is in a room, by name."""
        return [
            replace(member, online=name in self.people)
            for name, member in sorted(self._rooms[room].members.items())
        ]

    def texts(self, conv: str | None) -> list[Message]:
        """Return the messages of a conversation, or of all, newest first."""
        texts = [
            self.as_it_reads(name, entry)
            for name in ([conv] if conv else [c.conv for c in self.conversations()])
            for entry in self.log(name)
            if entry.kind == "text"
        ]
        return sorted(texts, key=lambda text: (text.ts, text.seq), reverse=True)
