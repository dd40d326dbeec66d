"""Read the log: pages, messages of other people, one message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct, structs

from gochat.chat import conversations
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.history import as_seen
from gochat.chat.log import Page, Waiting
from gochat.chat.names import NameKey
from gochat.chat.pins import PinRef
from gochat.errors import StoreUnavailable
from gochat.protocol.messages import (
    Message,
    Reaction,
)
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.epoch_tracker import EpochTracker
from gochat.storage.redis.link.pipeline import Operation, RedisCommand, call
from gochat.storage.redis.link.wire import Reply
from gochat.storage.redis.names import Names
from gochat.storage.redis.records import Record, Shape, decode_record, reaction

#: Attempts to read when the data turns out to have another history.
MAX_TRIES: Final = 3
#: Entries examined for a page of other people's messages.
MAX_SKIPPED: Final = 1000


class EntryRange(Struct, frozen=True):
    """The entries to read: the newest before `before`, or the oldest after `after`."""

    key: ConversationKey
    limit: int
    before: int | None = None
    after: int | None = None
    #: Only other people's messages that are not deleted, among this many entries; 0: all entries.
    skipped: int = 0
    #: The entry is the viewer's own, and is read regardless of their floor.
    is_own: bool = False


class Extract(Struct, frozen=True):
    """Contiguous entries, from which messages can be made."""

    epoch: str
    head: int
    first: int
    records: list[Record]
    reactions: dict[int, list[Reaction]]
    shape: Shape
    #: True if the viewer was in the room, if it is one.
    is_inside: bool
    floor: int
    #: Entries up to this seq are no longer kept.
    base: int

    def message(self, index: int) -> Message:
        """Return the message of a record, as the viewer sees it, with its reactions."""
        seq = self.first + index
        message = as_seen(self.shape.message(seq, self.records[index]), self.floor)
        if seq in self.reactions:
            return structs.replace(message, reactions=tuple(self.reactions[seq]))
        return message


class LogReading:
    """Create the operations that read entries.

    :class:`~gochat.chat.store.Store` documents their results.
    """

    def __init__(self, keys: Keys, epoch_tracker: EpochTracker, names: Names) -> None:
        self._keys = keys
        self._epoch_tracker = epoch_tracker
        self._names = names

    def page(
        self,
        key: ConversationKey,
        viewer: NameKey | None,
        before: int | None,
        after: int | None,
        limit: int,
        *,
        is_own: bool = False,
    ) -> Operation[Page]:
        """Read contiguous entries in their present state."""
        span = EntryRange(key, limit, before, after, is_own=is_own)
        (extract,) = yield from self.extracts(viewer, [span])
        entries = [extract.message(index) for index in range(len(extract.records))]
        return Page(
            extract.epoch, extract.head, entries, extract.is_inside, extract.floor, extract.base
        )

    def extracts(
        self, viewer: NameKey | None, spans: Sequence[EntryRange]
    ) -> Operation[list[Extract]]:
        """Read contiguous entries of each span, without making messages of them yet."""
        keys = dict.fromkeys(span.key for span in spans)
        people = {key: people_to_name(key) for key in keys}
        rooms = [room for key in keys for room in rooms_to_name(key)]
        everybody = [person for these in people.values() for person in these]
        yield from self._names.look_up((*everybody, *((viewer,) if viewer else ())), rooms)
        # Now, because another thread may clear the names while we read.
        shapes = {key: self._shape(key, people[key]) for key in keys}
        name = (self._names.person(viewer) or "") if viewer else ""
        replies = yield from self.with_epochs(
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
            *self._keys.conversation(
                span.key, key_kinds.META, key_kinds.LOG, key_kinds.REACTIONS, key_kinds.PARTICIPANTS
            ),
        )
        return call(
            partition,
            scripts.PAGE,
            keys,
            "" if span.before is None else span.before,
            "" if span.after is None else span.after,
            span.limit,
            name,
            viewer if viewer is not None and rooms_to_name(span.key) and not span.is_own else "",
            span.skipped,
        )

    def _extract(self, reply: Reply, shape: Callable[[str], Shape]) -> Extract:
        epoch, head, first, packed, given, is_inside, floor = reply[:7]
        reactions: dict[int, list[Reaction]] = {}
        for row in given:
            seq, found = reaction(row)
            reactions.setdefault(seq, []).append(found)
        records = [decode_record(record) for record in packed]
        name = epoch.decode()
        return Extract(
            name, head, first, records, reactions, shape(name), is_inside == 1, floor, reply[9]
        )

    def waiting(
        self,
        key: ConversationKey,
        viewer: NameKey,
        after: int,
        limit: int,
    ) -> Operation[Waiting]:
        """Read other people's messages."""
        people = people_to_name(key)
        yield from self._names.look_up((*people, viewer), rooms_to_name(key))
        shape = self._shape(key, people)
        span = EntryRange(key, limit, after=after, skipped=MAX_SKIPPED)
        command = self._page_command(span, viewer, self._names.person(viewer) or "")
        (reply,) = yield from self.with_epochs([command])
        extract, numbers, read_to = self._extract(reply, shape), reply[7], reply[8]
        messages = [
            structs.replace(
                extract.shape.message(seq, record),
                reactions=tuple(extract.reactions.get(seq, ())),
            )
            for seq, record in zip(numbers, extract.records, strict=True)
        ]
        return Waiting(extract.head, read_to, messages)

    def message(self, key: ConversationKey, seq: int, viewer: NameKey) -> Operation[Message | None]:
        """Read one message."""
        if seq < 1:
            return None
        page = yield from self.page(key, viewer, None, seq - 1, 1)
        found = next((entry for entry in page.entries if entry.seq == seq), None)
        return found if found is not None and found.kind == "text" else None

    def pins(self, key: ConversationKey) -> Operation[list[PinRef]]:
        """Read what is pinned."""
        partition = self._keys.partition(key)
        keys = (
            self._keys.states[partition],
            *self._keys.conversation(key, key_kinds.META, key_kinds.LOG, key_kinds.PINS),
        )
        (reply,) = yield from self.with_epochs([call(partition, scripts.PINS, keys)])
        found = []
        for seq, pin, packed in reply[1:]:
            record = decode_record(packed)
            found.append(PinRef(pin, seq, record.sender, record.ts))
        return sorted(found, reverse=True)

    def name(self, person: NameKey) -> str:
        """Return the name of a person who was looked up; empty if unknown."""
        return self._names.person(person) or ""

    def _shape(self, key: ConversationKey, people: Sequence[NameKey]) -> Callable[[str], Shape]:
        """Return a function from an epoch to a conversation's Shape. Look up its names before."""
        room = self._names.room(key) or (key if key == LOBBY_KEY else "")
        shown = {person: self._names.person(person) or person for person in people}
        return lambda epoch: Shape(key, epoch, room, lambda person: shown.get(person, person))

    def with_epochs(self, commands: Sequence[RedisCommand]) -> Operation[list[Reply]]:
        """Return the replies of scripts, which begin with the epoch.

        The epoch is missing if Redis was emptied a moment ago and nobody has noticed. Then check at
        once: clients must not take missing entries for the end of the history that they know.
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


def rooms_to_name(key: ConversationKey) -> Iterable[ConversationKey]:
    """Return the room whose name must be looked up, if a conversation is one."""
    return () if key == LOBBY_KEY or conversations.is_private(key) else (key,)


def people_to_name(key: ConversationKey) -> tuple[NameKey, ...]:
    """Return the people whose names must be looked up, if a conversation is private."""
    return tuple(conversations.participants(key)) if conversations.is_private(key) else ()
