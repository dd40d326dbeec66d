"""Read conversations: a person's conversations and markers, rooms, and members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from gochat.chat import conversations
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.modes import Modes
from gochat.chat.names import NameKey
from gochat.chat.room_state import RoomState
from gochat.protocol.messages import (
    Conversation,
    HistorySetting,
    Level,
    Member,
    Room,
)
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.epoch_tracker import EpochTracker
from gochat.storage.redis.link.pipeline import Operation, RedisCommand, call
from gochat.storage.redis.link.wire import Reply
from gochat.storage.redis.log_reading import LogReading, rooms_to_name
from gochat.storage.redis.names import Names
from gochat.storage.redis.records import decode_ban, decode_row

#: Lobby markers cached before the cache is cleared. A few megabytes.
MAX_BEGAN: Final = 50_000

_MEMBERS: Final = ("member", "operator")
_ROLES: Final[dict[bytes, Literal["member", "operator", "invited", "banned"]]] = {
    b"member": "member",
    b"operator": "operator",
    b"invited": "invited",
    b"banned": "banned",
}
_HISTORY: Final[dict[bytes, HistorySetting]] = {b"shown": "shown", b"hidden": "hidden"}
_LEVELS: Final[dict[bytes, Level]] = {b"all": "all", b"mentions": "mentions", b"none": "none"}


class Reading(LogReading):
    """Create the operations that read.

    :class:`~gochat.chat.store.Store` documents their results.
    """

    def __init__(
        self,
        keys: Keys,
        epoch_tracker: EpochTracker,
        names: Names,
        clock: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(keys, epoch_tracker, names)
        self._clock = clock
        #: The lobby's marker with which each account began; it never changes.
        self._began: dict[NameKey, tuple[int, int]] = {}

    def forget(self) -> None:
        """Clear the cache."""
        self._began = {}

    # -- a person's conversations ---------------------------------------------------------------

    def listed(self, person: NameKey) -> Operation[list[ConversationKey]]:
        """Find the conversations that may be a person's: their row in each decides."""
        partition = self._keys.partition(person)
        account, found = yield [
            RedisCommand(partition, ("EXISTS", self._keys.person(person, key_kinds.ACCOUNT))),
            RedisCommand(
                partition, ("SMEMBERS", self._keys.person(person, key_kinds.CONVERSATIONS))
            ),
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
                ("HGET", self._keys.conversation(key, key_kinds.PARTICIPANTS)[0], person),
            )
            for key in others
        ]
        found = {
            key: decode_row(row) for key, row in zip(others, rows, strict=True) if row is not None
        }
        theirs = {key: row.floor for key, row in found.items() if row.role != "invited"}
        return dict.fromkeys(listed[:1], 0) | theirs

    def private_markers(self, person: NameKey) -> Operation[dict[ConversationKey, tuple[int, int]]]:
        """Read the read marker and the head of each private conversation of a person."""
        listed = yield from self.listed(person)
        keys = [key for key in listed if conversations.is_private(key)]
        commands = []
        for key in keys:
            meta, who = self._keys.conversation(key, key_kinds.META, key_kinds.PARTICIPANTS)
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

    def addresses_after(
        self, person: NameKey, after: str
    ) -> Operation[list[tuple[str, ConversationKey]]]:
        """Find the conversations that may be a person's, ordered by address, after an address."""
        listed = yield from self.listed(person)
        yield from self._names.look_up(
            (conversations.peer(key, person) for key in listed if conversations.is_private(key)),
            (room for key in listed for room in rooms_to_name(key)),
        )
        return sorted(
            (address, key)
            for key in listed
            if (address := self._address(key, person)) is not None and address > after
        )

    def conversation(self, person: NameKey, key: ConversationKey) -> Operation[Conversation | None]:
        """Read the state of one conversation for a person; None if it is not theirs."""
        people = (conversations.peer(key, person),) if conversations.is_private(key) else ()
        yield from self._names.look_up(people, rooms_to_name(key))
        began = (yield from self.began(person)) if key == LOBBY_KEY else None
        command = call(
            self._keys.partition(key),
            scripts.STANDING,
            self._standing_keys(key),
            person,
            self._names.person(person) or "",
            *self.initial_marker(key, began),
            self._now,
        )
        (reply,) = yield from self.with_epochs([command])
        return self._conversation(key, person, reply)

    def began(self, person: NameKey) -> Operation[tuple[int, int] | None]:
        """Find the lobby's marker with which an account began; None without such an account.

        It consists of the seq, and the number of messages up to it.
        """
        known = self._began.get(person)
        if known is not None:
            return known
        yield from self._names.look_up((person,))
        command = RedisCommand(
            self._keys.partition(person),
            ("HMGET", self._keys.person(person, key_kinds.ACCOUNT), "read", "texts"),
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
        """Return the marker to assume if there is none, as the scripts take it."""
        return began if key == LOBBY_KEY and began is not None else ("", "")

    def _standing_keys(self, key: ConversationKey) -> tuple[str, ...]:
        partition = self._keys.partition(key)
        return (
            self._keys.states[partition],
            *self._keys.conversation(
                key,
                key_kinds.META,
                key_kinds.PARTICIPANTS,
                key_kinds.MENTIONS,
                key_kinds.DELETED,
                key_kinds.UNREAD,
                key_kinds.BANS,
                key_kinds.SLOWED,
            ),
        )

    @property
    def _now(self) -> int:
        """The time as the scripts take it: 0 for that of Redis."""
        return 0 if self._clock is None else self._clock()

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
        epoch, head, _, topic, private, history, slow, announced, archived, role, *theirs = reply
        read, level, unread, mentions, floor, ts, _ = theirs
        return Conversation(
            conv=address,
            epoch=epoch.decode(),
            head=head,
            ts=ts,
            read=read,
            unread=unread,
            mentions=mentions,
            level=_LEVELS[level],
            topic=topic.decode(),
            operator=role == b"operator",
            private=private == b"1",
            history=_HISTORY[history],
            floor=floor,
            slow=slow,
            announcements=announced == b"1",
            archived=archived == b"1",
        )

    # -- rooms ----------------------------------------------------------------------------------

    def room(self, key: ConversationKey, person: NameKey) -> Operation[RoomState | None]:
        """Read a room, with a person's role."""
        (state,) = yield from self.room_states([key], person)
        return state

    def room_states(
        self, keys: list[ConversationKey], person: NameKey
    ) -> Operation[list[RoomState | None]]:
        """Read rooms, with a person's roles."""
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
                    self._now,
                ),
                RedisCommand(
                    partition, ("ZCARD", self._keys.conversation(key, key_kinds.MEMBERS)[0])
                ),
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
        _, _, name, topic, private, history, slow, announced, archived, role, *theirs = reply
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
            modes=Modes(slow, announced == b"1", archived == b"1"),
            wait=theirs[6] if found in _MEMBERS else 0,
            ban=decode_ban(theirs[0]).shown() if found == "banned" else None,
        )

    def rooms(self, person: NameKey, after: str, limit: int) -> Operation[tuple[list[Room], bool]]:
        """Read a page of the public rooms and a person's own, ordered by name."""
        listed = yield from self.listed(person)
        own = [key for key in listed if not conversations.is_private(key)]
        yield from self._names.look_up((), (room for key in own for room in rooms_to_name(key)))
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
                    archived=state.modes.archived,
                )
                for state in states
                if state is not None and not state.is_hidden
            ]
        return found[:limit], len(found) > limit

    def members(
        self, key: ConversationKey, after: str, limit: int
    ) -> Operation[tuple[list[Member], int, bool]]:
        """Read a page of a room's members, ordered by key."""
        if key == LOBBY_KEY:
            return (yield from self._everybody(after, limit))
        partition = self._keys.partition(key)
        members, who = self._keys.conversation(key, key_kinds.MEMBERS, key_kinds.PARTICIPANTS)
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
                ("HMGET", self._keys.person(person, key_kinds.ACCOUNT), "name", "created"),
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


def _is_theirs(reply: Reply) -> bool:
    return reply[9] not in (None, b"invited", b"banned")
