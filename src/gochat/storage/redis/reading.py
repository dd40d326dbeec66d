"""Reading conversations: pages, messages, and how they stand for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct, structs

from gochat.chat import conversations
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.history import as_seen
from gochat.chat.names import NameKey
from gochat.chat.store import Page, RoomState, Waiting
from gochat.errors import StoreUnavailable
from gochat.protocol.messages import (
    Conversation,
    HistorySetting,
    Level,
    Member,
    Message,
    Reaction,
    Room,
)
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.epoch_tracker import EpochTracker
from gochat.storage.redis.link.pipeline import Operation, RedisCommand, call
from gochat.storage.redis.link.wire import Reply
from gochat.storage.redis.names import Names
from gochat.storage.redis.records import Record, Shape, decode_record, decode_row, reaction

#: Times that reading is tried anew when the data turns out to have another history.
MAX_TRIES: Final = 3
#: Conversations asked about in one step.
CHUNK: Final = 100
#: Entries that are looked at for a page of messages of others.
MAX_SKIPPED: Final = 1000
#: Markers of the lobby remembered; when there are more, it begins anew. A few megabytes.
MAX_BEGAN: Final = 50_000

_MEMBERS: Final = ("member", "operator")
_ROLES: Final[dict[bytes, Literal["member", "operator", "invited"]]] = {
    b"member": "member",
    b"operator": "operator",
    b"invited": "invited",
}
_HISTORY: Final[dict[bytes, HistorySetting]] = {b"shown": "shown", b"hidden": "hidden"}
_LEVELS: Final[dict[bytes, Level]] = {b"all": "all", b"mentions": "mentions", b"none": "none"}


class EntryRange(Struct, frozen=True):
    """Which entries of a conversation are read: the newest in front of `before`, or the oldest
    behind `after`; `as_of` the positions up to which each partition's log is read."""

    key: ConversationKey
    limit: int
    before: int | None = None
    after: int | None = None
    as_of: tuple[int, ...] | None = None
    #: Only messages of others that are not deleted, among so many entries; 0: all entries.
    skipped: int = 0
    #: It is what the viewer has said, and is read whatever their floor is.
    is_own: bool = False


class Extract(Struct, frozen=True):
    """Contiguous entries, of which messages can be made."""

    epoch: str
    head: int
    first: int
    records: list[Record]
    reactions: dict[int, list[Reaction]]
    shape: Shape
    #: Whether the viewer was in the room, where it is one.
    is_inside: bool
    floor: int

    def message(self, index: int) -> Message:
        """Return the message of a record, as the viewer sees it, with its reactions."""
        seq = self.first + index
        message = as_seen(self.shape.message(seq, self.records[index]), self.floor)
        if seq in self.reactions:
            return structs.replace(message, reactions=tuple(self.reactions[seq]))
        return message


class Reading:
    """Makes the operations that read. See :class:`~gochat.chat.store.Store` for what they
    return."""

    def __init__(self, keys: Keys, epoch_tracker: EpochTracker, names: Names) -> None:
        self._keys = keys
        self._epoch_tracker = epoch_tracker
        self._names = names
        #: The lobby's marker that each account began with; it never changes.
        self._began: dict[NameKey, tuple[int, int]] = {}

    def forget(self) -> None:
        """Forget what is remembered of the data."""
        self._began = {}

    # -- the log --------------------------------------------------------------------------------

    def page(
        self,
        key: ConversationKey,
        viewer: NameKey | None,
        before: int | None,
        after: int | None,
        limit: int,
        as_of: tuple[int, ...] | None,
        *,
        is_own: bool = False,
    ) -> Operation[Page]:
        """Read contiguous entries, as they read now."""
        span = EntryRange(key, limit, before, after, as_of, is_own=is_own)
        (extract,) = yield from self.extracts(viewer, [span])
        entries = [extract.message(index) for index in range(len(extract.records))]
        return Page(extract.epoch, extract.head, entries, extract.is_inside, extract.floor)

    def extracts(
        self, viewer: NameKey | None, spans: Sequence[EntryRange]
    ) -> Operation[list[Extract]]:
        """Read contiguous entries, of each span, but make no messages of them yet."""
        keys = dict.fromkeys(span.key for span in spans)
        people = {key: _participants(key) for key in keys}
        rooms = [room for key in keys for room in _rooms(key)]
        everybody = [person for these in people.values() for person in these]
        yield from self._names.look_up((*everybody, *((viewer,) if viewer else ())), rooms)
        # Now, for while we read another thread may find that all names have to be looked up anew.
        shapes = {key: self._shape(key, people[key]) for key in keys}
        name = (self._names.person(viewer) or "") if viewer else ""
        replies = yield from self._with_epochs(
            [self._page_command(span, viewer, name) for span in spans]
        )
        return [
            self._extract(reply, shapes[span.key])
            for span, reply in zip(spans, replies, strict=True)
        ]

    def _page_command(self, span: EntryRange, viewer: NameKey | None, name: str) -> RedisCommand:
        partition = self._keys.partition(span.key)
        keys = (
            self._keys.states[partition],
            *self._keys.conversation(span.key, "c", "l", "r", "w"),
        )
        return call(
            partition,
            scripts.PAGE,
            keys,
            "" if span.before is None else span.before,
            "" if span.after is None else span.after,
            span.limit,
            "" if span.as_of is None else span.as_of[partition],
            name,
            viewer if viewer is not None and _rooms(span.key) and not span.is_own else "",
            span.skipped,
        )

    def _extract(self, reply: Reply, shape: Callable[[str], Shape]) -> Extract:
        epoch, head, first, packed, given, is_inside, floor = reply[:7]
        reactions: dict[int, list[Reaction]] = {}
        for one in given:
            seq, found = reaction(one)
            reactions.setdefault(seq, []).append(found)
        records = [decode_record(record) for record in packed]
        name = epoch.decode()
        return Extract(name, head, first, records, reactions, shape(name), is_inside == 1, floor)

    def waiting(
        self,
        key: ConversationKey,
        viewer: NameKey,
        after: int,
        limit: int,
        as_of: tuple[int, ...] | None,
    ) -> Operation[tuple[str, Waiting]]:
        """Read messages of others; returned with the epoch."""
        people = _participants(key)
        yield from self._names.look_up((*people, viewer), _rooms(key))
        shape = self._shape(key, people)
        span = EntryRange(key, limit, after=after, as_of=as_of, skipped=MAX_SKIPPED)
        command = self._page_command(span, viewer, self._names.person(viewer) or "")
        (reply,) = yield from self._with_epochs([command])
        extract, numbers, read_to = self._extract(reply, shape), reply[7], reply[8]
        messages = [
            structs.replace(
                extract.shape.message(seq, record),
                reactions=tuple(extract.reactions.get(seq, ())),
            )
            for seq, record in zip(numbers, extract.records, strict=True)
        ]
        return extract.epoch, Waiting(extract.head, read_to, messages)

    def message(self, key: ConversationKey, seq: int, viewer: NameKey) -> Operation[Message | None]:
        """Read one message."""
        if seq < 1:
            return None
        page = yield from self.page(key, viewer, None, seq - 1, 1, None)
        found = next((entry for entry in page.entries if entry.seq == seq), None)
        return found if found is not None and found.kind == "text" else None

    def name(self, person: NameKey) -> str:
        """Return the name of somebody who was looked up."""
        return self._names.person(person) or ""

    def _shape(self, key: ConversationKey, people: Sequence[NameKey]) -> Callable[[str], Shape]:
        """Return how entries of a conversation look in an epoch; its names have been looked up."""
        room = self._names.room(key) or (key if key == LOBBY_KEY else "")
        shown = {person: self._names.person(person) or person for person in people}
        return lambda epoch: Shape(key, epoch, room, lambda person: shown.get(person, person))

    def _with_epochs(self, commands: Sequence[RedisCommand]) -> Operation[list[Reply]]:
        """Return the answers of scripts that begin with the epoch.

        There is none where all was emptied a moment ago and nobody has noticed. So we do: what is
        not there any more must not be told as the end of the history that people know.
        """
        for _ in range(MAX_TRIES):
            replies = yield commands
            emptied = [
                command.partition
                for command, reply in zip(commands, replies, strict=True)
                if reply[0] is None
            ]
            if not emptied:
                return replies
            for partition in emptied:
                self._epoch_tracker.doubt(partition)
        raise StoreUnavailable("the store's history is changing")

    # -- a person's conversations ---------------------------------------------------------------

    def listed(self, person: NameKey) -> Operation[list[ConversationKey]]:
        """Find the conversations that may be a person's: they are if their row says so."""
        partition = self._keys.partition(person)
        account, found = yield [
            RedisCommand(partition, ("EXISTS", self._keys.person(person, "a"))),
            RedisCommand(partition, ("SMEMBERS", self._keys.person(person, "p"))),
        ]
        keys = [ConversationKey(key.decode()) for key in found]
        return [LOBBY_KEY, *sorted(keys)] if account else []

    def conversation_keys(self, person: NameKey) -> Operation[dict[ConversationKey, int]]:
        """Find the keys of a person's conversations, each with their floor."""
        listed = yield from self.listed(person)
        others = [key for key in listed if key != LOBBY_KEY]
        rows = yield [
            RedisCommand(
                self._keys.partition(key),
                ("HGET", self._keys.conversation(key, "w")[0], person),
            )
            for key in others
        ]
        found = {
            key: decode_row(row) for key, row in zip(others, rows, strict=True) if row is not None
        }
        theirs = {key: row.floor for key, row in found.items() if row.role != "invited"}
        return dict.fromkeys(listed[:1], 0) | theirs

    def private_markers(self, person: NameKey) -> Operation[dict[ConversationKey, tuple[int, int]]]:
        """Read the markers and heads of all private conversations of a person."""
        listed = yield from self.listed(person)
        keys = [key for key in listed if conversations.is_private(key)]
        commands = []
        for key in keys:
            meta, who = self._keys.conversation(key, "c", "w")
            partition = self._keys.partition(key)
            commands += [
                RedisCommand(partition, ("HGET", meta, "seq")),
                RedisCommand(partition, ("HGET", who, person)),
            ]
        replies = yield commands
        return {
            key: (decode_row(row).read, int(head or 0))
            for key, head, row in zip(keys, replies[::2], replies[1::2], strict=True)
            if row is not None
        }

    def conversations(
        self, person: NameKey, after: str, limit: int
    ) -> Operation[tuple[list[Conversation], bool]]:
        """Read a page of a person's conversations, by address."""
        listed = yield from self.listed(person)
        yield from self._names.look_up(
            (conversations.peer(key, person) for key in listed if conversations.is_private(key)),
            (room for key in listed for room in _rooms(key)),
        )
        found: list[Conversation] = []
        ahead = sorted(
            (address, key)
            for key in listed
            if (address := self._address(key, person)) is not None and address > after
        )
        while ahead and len(found) <= limit:
            wanted = min(CHUNK, limit + 1 - len(found))
            some, ahead = ahead[:wanted], ahead[wanted:]
            states = yield from self.standings(person, [key for _, key in some])
            found += [state for state in states if state is not None]
        return found[:limit], len(found) > limit

    def conversation(self, person: NameKey, key: ConversationKey) -> Operation[Conversation | None]:
        """Read how one conversation stands."""
        (state,) = yield from self.standings(person, [key])
        return state

    def standings(
        self, person: NameKey, keys: list[ConversationKey]
    ) -> Operation[list[Conversation | None]]:
        """Read how conversations stand for a person; None for those that are not theirs."""
        yield from self._names.look_up(
            (conversations.peer(key, person) for key in keys if conversations.is_private(key)),
            (room for key in keys for room in _rooms(key)),
        )
        began = (yield from self.began(person)) if LOBBY_KEY in keys else None
        commands = [
            call(
                self._keys.partition(key),
                scripts.STANDING,
                self._standing_keys(key),
                person,
                self._names.person(person) or "",
                *self.initial_marker(key, began),
            )
            for key in keys
        ]
        replies = yield from self._with_epochs(commands)
        return [
            self._conversation(key, person, reply) for key, reply in zip(keys, replies, strict=True)
        ]

    def began(self, person: NameKey) -> Operation[tuple[int, int] | None]:
        """Find the lobby's marker that an account began with: seq, and messages up to it; None
        if there is no such account."""
        known = self._began.get(person)
        if known is not None:
            return known
        yield from self._names.look_up((person,))
        command = RedisCommand(
            self._keys.partition(person),
            ("HMGET", self._keys.person(person, "a"), "read", "texts"),
        )
        ((read, texts),) = yield [command]
        if read is None:
            return None
        if len(self._began) >= MAX_BEGAN:
            self._began = {}
        marker = self._began[person] = (int(read), int(texts))
        return marker

    def initial_marker(
        self, key: ConversationKey, began: tuple[int, int] | None
    ) -> tuple[int | str, int | str]:
        """Return the marker that holds while there is none, as scripts take it."""
        return began if key == LOBBY_KEY and began is not None else ("", "")

    def _standing_keys(self, key: ConversationKey) -> tuple[str, ...]:
        partition = self._keys.partition(key)
        return (
            self._keys.states[partition],
            *self._keys.conversation(key, "c", "w", "n", "d", "s"),
        )

    def _address(self, key: ConversationKey, person: NameKey) -> str | None:
        if conversations.is_private(key):
            peer = self._names.person(conversations.peer(key, person))
            return None if peer is None else "@" + peer
        return key if key == LOBBY_KEY else self._names.room(key)

    def _conversation(
        self, key: ConversationKey, person: NameKey, reply: Reply
    ) -> Conversation | None:
        address = self._address(key, person)
        if address is None or not _is_theirs(reply):
            return None
        epoch, head, _, topic, private, history, role, read, level, unread, mentions, floor = reply
        return Conversation(
            conv=address,
            epoch=epoch.decode(),
            head=head,
            read=read,
            unread=unread,
            mentions=mentions,
            level=_LEVELS[level],
            topic=topic.decode(),
            operator=role == b"operator",
            private=private == b"1",
            history=_HISTORY[history],
            floor=floor,
        )

    # -- rooms ----------------------------------------------------------------------------------

    def room(self, key: ConversationKey, person: NameKey) -> Operation[RoomState | None]:
        """Read a room, with the role of a person."""
        (state,) = yield from self.room_states([key], person)
        return state

    def room_states(
        self, keys: list[ConversationKey], person: NameKey
    ) -> Operation[list[RoomState | None]]:
        """Read rooms, with the roles of a person."""
        began = (yield from self.began(person)) if LOBBY_KEY in keys else None
        commands = []
        for key in keys:
            partition = self._keys.partition(key)
            commands += [
                call(
                    partition,
                    scripts.STANDING,
                    self._standing_keys(key),
                    person,
                    "",
                    *self.initial_marker(key, began),
                ),
                RedisCommand(partition, ("ZCARD", self._keys.conversation(key, "m")[0])),
            ]
        everybody = []
        if LOBBY_KEY in keys:
            everybody = [
                RedisCommand(p, ("ZCARD", self._keys.common(p, "people")))
                for p in range(self._keys.partitions)
            ]
        replies = yield [*commands, *everybody]
        people = sum(replies[len(commands) :])
        return [
            self._room(key, standing, people if key == LOBBY_KEY else members)
            for key, standing, members in zip(
                keys, replies[: len(commands) : 2], replies[1 : len(commands) : 2], strict=True
            )
        ]

    def _room(self, key: ConversationKey, reply: Reply, members: int) -> RoomState | None:
        _, _, name, topic, private, history, role, *_ = reply
        if not name and key != LOBBY_KEY:
            return None
        found = "member" if key == LOBBY_KEY and role is not None else _ROLES.get(role)
        return RoomState(
            key=key,
            name=name.decode() or key,
            topic=topic.decode(),
            private=private == b"1",
            members=members,
            role=found,
            history=_HISTORY[history],
        )

    def rooms(self, person: NameKey, after: str, limit: int) -> Operation[tuple[list[Room], bool]]:
        """Read a page of the public rooms and a person's own, by address."""
        listed = yield from self.listed(person)
        own = [key for key in listed if not conversations.is_private(key)]
        yield from self._names.look_up((), (room for key in own for room in _rooms(key)))
        theirs = {name: key for key in own if (name := self._address(key, person)) is not None}
        found: list[Room] = []
        while len(found) <= limit:
            wanted = limit + 1 - len(found)
            replies = yield [
                RedisCommand(
                    partition,
                    (
                        "ZRANGEBYLEX",
                        self._keys.common(partition, "rooms"),
                        f"({after}" if after else "-",
                        "+",
                        "LIMIT",
                        0,
                        wanted,
                    ),
                )
                for partition in range(self._keys.partitions)
            ]
            public = {name.decode() for reply in replies for name in reply}
            own_names = (name for name in theirs if name > after)
            names = sorted({*public, *own_names})[:wanted]
            if not names:
                break
            after = names[-1]
            keys = [conversations.key(name, person) for name in names]
            states = yield from self.room_states(keys, person)
            found += [
                Room(
                    room=state.name,
                    topic=state.topic,
                    members=state.members,
                    private=state.private,
                    joined=state.role in _MEMBERS,
                )
                for state in states
                if state is not None and (not state.private or state.role is not None)
            ]
        return found[:limit], len(found) > limit

    def members(
        self, key: ConversationKey, after: str, limit: int
    ) -> Operation[tuple[list[Member], int, bool]]:
        """Read a page of a room's members, by key."""
        if key == LOBBY_KEY:
            return (yield from self._everybody(after, limit))
        partition = self._keys.partition(key)
        members, who = self._keys.conversation(key, "m", "w")
        total, found = yield [
            RedisCommand(partition, ("ZCARD", members)),
            RedisCommand(partition, _range(members, after, limit + 1)),
        ]
        page = found[:limit]
        if not page:
            return [], total, False
        (rows,) = yield [RedisCommand(partition, ("HMGET", who, *page))]
        rows = [decode_row(row) for row in rows if row is not None]
        return (
            [
                Member(name=row.name, since=row.since, operator=row.role == "operator")
                for row in rows
            ],
            total,
            len(found) > limit,
        )

    def _everybody(self, after: str, limit: int) -> Operation[tuple[list[Member], int, bool]]:
        partitions = range(self._keys.partitions)
        commands = []
        for partition in partitions:
            people = self._keys.common(partition, "people")
            commands += [
                RedisCommand(partition, ("ZCARD", people)),
                RedisCommand(partition, _range(people, after, limit + 1)),
            ]
        replies = yield commands
        found = sorted(NameKey(key.decode()) for reply in replies[1::2] for key in reply)
        page = found[:limit]
        accounts = yield [
            RedisCommand(
                self._keys.partition(person),
                ("HMGET", self._keys.person(person, "a"), "name", "created"),
            )
            for person in page
        ]
        return (
            [
                Member(name=name.decode(), since=int(created))
                for name, created in accounts
                if name is not None
            ],
            sum(replies[::2]),
            len(found) > limit,
        )


def _range(key: str, after: str, count: int) -> tuple[str | int, ...]:
    start = f"({after}" if after else "-"
    return ("ZRANGEBYLEX", key, start, "+", "LIMIT", 0, count)


def _rooms(key: ConversationKey) -> Iterable[ConversationKey]:
    """The room that a conversation is, whose name has to be looked up."""
    return () if key == LOBBY_KEY or conversations.is_private(key) else (key,)


def _participants(key: ConversationKey) -> tuple[NameKey, ...]:
    """The people of a private conversation, whose names have to be looked up."""
    return tuple(conversations.participants(key)) if conversations.is_private(key) else ()


def _is_theirs(reply: Reply) -> bool:
    return reply[6] is not None and reply[6] != b"invited"
