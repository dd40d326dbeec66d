"""A conversation in Redis, examined by a check (redis_check.py) while servers use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from gochat.chat import conversations, names
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.log import MAX_AHEAD, OF_MESSAGES
from gochat.chat.names import NameKey
from gochat.errors import StoreCorrupt
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis.link.wire import Refused, Reply
from gochat.storage.redis.records import Record, decode_ban, decode_record, decode_row
from gochat.storage.transfer.redis_online import OnlineRedis, Question, Snapshot
from gochat.storage.transfer.redis_source import pairs

#: Findings of one kind: more would add no information.
MAX_FINDINGS: Final = 20
#: Elements of a sorted set, or of a feed, read by one command.
ELEMENTS: Final = 500

#: What looks wrong with something: a text for each kind.
Found: TypeAlias = dict[str, str]
#: Errors of decoding stored data.
UNDECODABLE: Final = (msgspec.DecodeError, msgspec.ValidationError, ValueError, KeyError)

_ROLES: Final = frozenset({"member", "operator", "invited"})


class ExaminedConversation:
    """A conversation that is examined, as far as it was read."""

    def __init__(self, source: OnlineRedis, key: ConversationKey, now: int) -> None:
        self.key: Final = key
        self._source = source
        self._keys = source.keys
        self._now = now
        self._partition = self._keys.partition(key)
        self._after = 0
        self._before: Record | None = None
        self._highest: dict[str, int] = {}
        self._head = 0
        self.found: Found = {}
        self.remarks: list[str] = []
        self._ahead = 0
        self.position = 0
        #: The key and the display name of a room.
        self.named: tuple[str, str] | None = None
        #: Whom it refers to, with the name of a key that does.
        self.people: dict[NameKey, str] = {}
        self.is_complete = False
        self.is_readable = True

    def _name(self, kind: str) -> str:
        return self._keys.conversation(self.key, kind)[0]

    def take_counters(self, kind: str, elements: Reply | Refused) -> bytes:
        """Take in what is unread; return where there may be more, or nothing."""
        key = self._name(kind)
        if isinstance(elements, Refused):
            self.found[f"type {key}"] = f"{key}: {elements}"
            return b""
        for element in elements:
            name, nul, seq = element.partition(b"\0")
            if not nul or not seq.isdigit():
                self.found[f"element {key}"] = f"{key}: has an element that gochat does not write"
                continue
            self._highest[key] = max(self._highest.get(key, 0), int(seq))
            if kind == key_kinds.UNREAD:
                self.people.setdefault(names.known(name.decode(errors="replace")), key)
        return b"(" + elements[-1] if len(elements) == ELEMENTS else b""

    def question(self) -> Question:
        """Return what is to be read next."""
        return Question(self.key, self._after)

    def take(self, answer: Snapshot | Refused) -> int:
        """Take in what was read; return the number of entries."""
        meta, log = self._name(key_kinds.META), self._name(key_kinds.LOG)
        if isinstance(answer, Refused):
            return self._give_up("script", f"{meta}, {log} and others of {self.key}: {answer}")
        try:
            head, base = answer.head, answer.base
            is_whole = answer.length == head - base
        except ValueError as error:
            return self._give_up("meta", f"{meta}: is damaged ({error})")
        if not is_whole:
            return self._give_up(
                "length",
                f"{log}: has {answer.length} entries, but {meta} says {head - base} "
                f"(from {base + 1} to {head})",
            )
        if not head and self.key != LOBBY_KEY:
            listed = self._keys.common(self._partition, "convs")
            return self._give_up("missing", f"{meta}: is missing, but {listed} lists {self.key}")
        if answer.first > self._after + 1:
            self._before = None  # the oldest have been removed meanwhile
        self._take_entries(answer, log)
        self._take_reactions(answer)
        self._after, self._head = answer.last, head
        if answer.last >= head:
            self.is_complete = True
            self._take_properties(answer, meta)
        return len(answer.records)

    def _give_up(self, kind: str, text: str) -> int:
        self.found[kind] = text
        self.is_complete, self.is_readable = True, False
        return 0

    def _take_entries(self, answer: Snapshot, log: str) -> None:
        pins = self._name(key_kinds.PINS)
        gone = {int(seq) for seq in answer.deleted}
        pinned = {bytes(element) for element in answer.pins}
        for seq, packed in enumerate(answer.records, start=answer.first):
            try:
                record = decode_record(packed)
            except UNDECODABLE as error:
                self.found[f"entry {seq}"] = f"{log}: entry {seq} is damaged ({error})"
                self._before = None
                continue
            if wrong := self._contradiction(seq, record, answer.head, is_gone=seq in gone):
                self.found[f"entry {seq}"] = f"{log}: entry {seq} {wrong}"
            if record.pinned:
                element = b"%012d:%012d" % (seq, record.pinned)
                if element not in pinned:
                    self.found[f"pin {seq}"] = f"{log}: entry {seq} is pinned, and not in {pins}"
                pinned.discard(element)
            self._note_time(seq, record)
            self.people.setdefault(names.known(record.sender), log)
            self.position = max(self.position, record.position)
            self._before = record
        for element in sorted(pinned):
            shown = element.decode(errors="replace")
            self.found[f"pin {shown}"] = f"{pins}: has {shown}, where nothing is pinned"

    def _contradiction(self, seq: int, record: Record, head: int, *, is_gone: bool) -> str:
        """Return what is wrong with an entry, empty if nothing is."""
        is_text = record.kind == "text"
        before = self._before
        if before is not None:
            if record.texts != before.texts + is_text:
                return f"counts {record.texts} messages, and the one before it {before.texts}"
            if record.stamp <= before.stamp:
                return "was stamped before the one in front of it"
            if 0 < record.position <= before.position:
                return "was committed before the one in front of it"
        if record.kind in OF_MESSAGES and not 0 < record.ref < seq:
            return f"changes the entry {record.ref}, which is not in front of it"
        if is_text and record.edited and not seq < record.edited <= head:
            return f"was edited by the entry {record.edited}, which is not after it"
        if record.pinned and (not is_text or record.deleted or not seq < record.pinned <= head):
            return f"would have been pinned by the entry {record.pinned}"
        if is_text and bool(record.deleted) != is_gone:
            listed = self._name(key_kinds.DELETED)
            is_or_not = "is" if record.deleted else "is not"
            return f"{is_or_not} deleted, unlike {listed} says"
        if record.deleted and record.text:
            return "is deleted, and has a text"
        return ""

    def _note_time(self, seq: int, record: Record) -> None:
        if record.ts > self._now + MAX_AHEAD:
            self._ahead += 1
            if self._ahead == 1:
                self.remarks.append(
                    f"the clock was ahead: in {self.key}, entries from {seq} on have times in the "
                    "future"
                )
        before = self._before
        if before is not None and record.ts < before.ts and len(self.remarks) < MAX_FINDINGS:
            self.remarks.append(
                f"the clock was wrong: in {self.key} the time goes back at entry {seq}"
            )

    def _take_reactions(self, answer: Snapshot) -> None:
        key = self._name(key_kinds.REACTIONS)
        for row in answer.reactions:
            target, given, remainder = row[:12], row[13:25], row[26:]
            emoji, nul, name = remainder.partition(b"\0")
            if not (target.isdigit() and given.isdigit() and emoji and nul and name):
                self.found[f"element {key}"] = f"{key}: has an element that gochat does not write"
                continue
            if not int(target) < int(given) <= answer.head:
                self.found[f"reaction {int(target)}"] = (
                    f"{key}: entry {int(given)} would have reacted to entry {int(target)}"
                )
            self.people.setdefault(names.known(name.decode(errors="replace")), key)

    def _take_properties(self, answer: Snapshot, meta: str) -> None:
        """Examine the properties, which are of the same moment as the last entry."""
        _, _, name, _, private, *_, ts, texts, stamp, indexed = answer.properties
        last = self._before
        kept = (int(ts or 0), int(texts or 0), int(stamp or 0))
        if last is not None and kept != (last.ts, last.texts, last.stamp):
            self.found["properties"] = f"{meta}: is not of the last entry, {answer.head}"
        if int(indexed or 0) > answer.head:
            self.found["indexed"] = (
                f"{meta}: the search index would have entries up to {int(indexed or 0)}, after the "
                f"last, {answer.head}"
            )
        for key, highest in self._highest.items():
            if highest > answer.head:
                self.found[f"unread {key}"] = (
                    f"{key}: counts entry {highest}, but the last is {answer.head}"
                )
        if self.key.startswith("#") and self.key != LOBBY_KEY:
            self._take_room(answer, meta, name, is_private=private == b"1")

    def _take_room(
        self, answer: Snapshot, meta: str, name: bytes | None, *, is_private: bool
    ) -> None:
        rooms = self._keys.common(self._partition, "rooms")
        shown = (name or b"").decode(errors="replace")
        if str(names.known(shown)) != self.key:
            self.found["name"] = f"{meta}: lacks the name of {self.key}"
            return
        self.named = self.key, shown
        if bool(answer.is_listed) == is_private:
            text = "is private, and listed" if is_private else "is public, and not listed"
            self.found["listed"] = f"{rooms}: {self.key} {text}"
        bans = self._name(key_kinds.BANS)
        for person, packed in pairs(answer.bans):
            try:
                decode_ban(packed)
            except UNDECODABLE as error:
                self.found["bans"] = f"{bans}: is damaged ({error})"
            self.people.setdefault(NameKey(person.decode(errors="replace")), bans)

    # -- people ---------------------------------------------------------------------------------

    def read_people(self) -> None:
        """Read the participants, and compare each with the list of members."""
        if self.key == LOBBY_KEY:
            return
        who, members = self._name(key_kinds.PARTICIPANTS), self._name(key_kinds.MEMBERS)
        try:
            for rows in self._source.scan_rows(self.key):
                self._compare([NameKey(key.decode(errors="replace")) for key in rows[::2]])
            start = b"-"
            while some := self._source.redis.ask_one(
                self._partition, "ZRANGEBYLEX", members, start, "+", "LIMIT", 0, ELEMENTS
            ):
                self._compare([NameKey(key.decode(errors="replace")) for key in some])
                start = b"(" + some[-1]
        except StoreCorrupt as error:
            self.found["people"] = f"{who}, {members}: {error}"

    def _compare(self, people: Sequence[NameKey]) -> None:
        if not people:
            return
        (answer,) = self._source.snapshots(
            [Question(self.key, self._head, people, with_entries=False)]
        )
        if isinstance(answer, Refused):
            self.found["people"] = f"{self._name(key_kinds.PARTICIPANTS)}: {answer}"
            return
        for person, (packed, is_member) in zip(people, answer.rows, strict=True):
            if wrong := self._row(person, packed, answer.head, is_member=bool(is_member)):
                self.found[f"row {person}"] = wrong
        self._check_lists([p for p, (row, _) in zip(people, answer.rows, strict=True) if row])

    def _row(self, person: NameKey, packed: bytes | None, head: int, *, is_member: bool) -> str:
        """Return what is wrong with a participant, empty if nothing is."""
        who, members = self._name(key_kinds.PARTICIPANTS), self._name(key_kinds.MEMBERS)
        self.people.setdefault(person, who)
        if packed is None:
            return f"{members}: lists {person}, who has no row in {who}" if is_member else ""
        try:
            row = decode_row(packed)
        except UNDECODABLE as error:
            return f"{who}: the row of {person} is damaged ({error})"
        if names.known(row.name) != person:
            return f"{who}: the row of {person} is of {row.name}"
        if conversations.is_private(self.key):
            if person not in conversations.participants(self.key):
                return f"{who}: has {person}, who is not one of the two"
        elif row.role not in _ROLES:
            return f"{who}: {person} has the role {row.role!r}"
        elif is_member != (row.role in ("member", "operator")):
            lists = "lists" if is_member else "does not list"
            return f"{who}: {person} has the role {row.role!r}, but {members} {lists} them"
        if max(row.read, row.floor) > head:
            return f"{who}: {person} has read up to {row.read}, where there is nothing"
        return ""

    def _check_lists(self, people: Sequence[NameKey]) -> None:
        """Examine whether people find the conversation: their lists are written before it."""
        lists = [self._keys.person(person, key_kinds.CONVERSATIONS) for person in people]
        replies = self._source.redis.try_to_ask(
            [
                (self._keys.partition(person), ("SISMEMBER", listed, self.key))
                for person, listed in zip(people, lists, strict=True)
            ]
        )
        for person, listed, reply in zip(people, lists, replies, strict=True):
            if isinstance(reply, Refused):
                self.found[f"type {listed}"] = f"{listed}: {reply}"
            elif not reply:
                self.found[f"list {person}"] = f"{listed}: lacks {self.key}, where {person} is"
