"""The data in a Redis, read as a whole, to copy it into another store.

It uses connections of its own and does not attach (epoch_tracker.py), because that would write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from gochat.chat.administration import AuditEntry
from gochat.chat.admission_store import ServerInvitation
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.modes import Modes
from gochat.chat.names import NameKey
from gochat.chat.reports import Report
from gochat.chat.restriction import Restriction
from gochat.chat.retention import Rule
from gochat.chat.token import TOKEN_ID_SIZE, Token
from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.storage.redis import admission, network_bans, reports, retention, saved
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis.audit import decode_audit
from gochat.storage.redis.keys import COPY_OF, VERSION
from gochat.storage.redis.link.deployment import Deployment
from gochat.storage.redis.link.url import Location, parse_url
from gochat.storage.redis.link.wire import Arguments, Reply
from gochat.storage.redis.people import ACCOUNT_FIELDS, decode_account
from gochat.storage.redis.records import Record, decode_ban, decode_record, decode_row
from gochat.storage.redis.tokens import decode_token
from gochat.storage.transfer.contents import (
    GROUP,
    MANY,
    AccountRecord,
    AdmissionRecord,
    BanRecord,
    ConversationRecord,
    EntryRecord,
    ParticipantRecord,
    ReactionRecord,
    Source,
)
from gochat.storage.transfer.redis_old_edits import without_old_edits
from gochat.storage.transfer.redis_rehearsal import rehearse_reading

T = TypeVar("T")

_MODES = ("slow", "announcements", "archived")


def find_partitions(location: Location) -> tuple[int | None, str]:
    """Return the number of partitions, or None without data, and the source of an unfinished copy.

    The source is empty if the data is not an unfinished copy.

    Raises:
        StoreCorrupt: the data is a newer gochat's.
    """
    first = Deployment(location, 1)
    try:
        version, partitions, copy_of = first.ask_one(
            0, "HMGET", first.keys.meta, "version", "partitions", COPY_OF
        )
    finally:
        first.close()
    if version is not None and int(version) > VERSION:
        raise StoreCorrupt(
            f"the data in {location} was written by a newer gochat: "
            "update gochat; it is left as it is"
        )
    return None if partitions is None else int(partitions), (copy_of or b"").decode()


@contextmanager
def open_source(url: str) -> Iterator[Source]:
    """Open the data in a Redis to copy it.

    Raises:
        ConfigError: there is no data, or it is itself an unfinished copy; or the user lacks a
            permission that reading needs.
        StoreUnavailable: Redis can't be reached.
        StoreCorrupt: the data is a newer gochat's.
    """
    location = parse_url(url)
    partitions, copy_of = find_partitions(location)
    if partitions is None:
        raise ConfigError(
            f"no gochat data found in {location} under the prefix {location.options.prefix!r}"
        )
    if copy_of:
        raise ConfigError(f"the data in {location} is itself a copy that is not finished")
    deployment = Deployment(location, partitions)
    try:
        rehearse_reading(deployment)
        yield RedisSource(deployment)
    finally:
        deployment.close()


class RedisSource:
    """A :class:`~gochat.storage.transfer.contents.Source` in Redis."""

    def __init__(self, deployment: Deployment) -> None:
        self._redis = deployment
        self._keys = deployment.keys

    def fingerprint(self) -> str:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        states = self._redis.ask(
            [
                (partition, ("HMGET", state, "epoch", "pos"))
                for partition, state in enumerate(self._keys.states)
            ]
        )
        digest = blake2b(repr(states).encode(), digest_size=16)
        return f"redis {digest.hexdigest()}"

    def require_idle(self) -> None:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        nodes = self._redis.live_nodes()
        if nodes:
            raise StoreUnavailable(
                f"{self._redis.location} is in use by {nodes} gochat "
                f"{'server' if nodes == 1 else 'servers'}: stop all of them first, or what people "
                "say meanwhile is not in the copy. (One that was killed counts for some seconds.)"
            )

    def conversations(self) -> Iterator[Sequence[ConversationRecord]]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        yield [found for found in self.find([LOBBY_KEY]) if found is not None]
        for some in self.listed():
            yield [found for found in self.find(some) if found is not None]

    def listed(self) -> Iterator[Sequence[ConversationKey]]:
        """Yield the keys of all conversations but the lobby, at most :data:`GROUP` at once."""
        for partition in range(self._keys.partitions):
            listed, cursor = self._keys.common(partition, "convs"), b"0"
            found: set[ConversationKey] = set()
            while True:
                cursor, members = self._redis.ask_one(
                    partition, "SSCAN", listed, cursor, "COUNT", MANY
                )
                found.update(ConversationKey(key.decode()) for key in members)
                if cursor == b"0":
                    break
            keys = sorted(found - {LOBBY_KEY})
            for start in range(0, len(keys), GROUP):
                yield keys[start : start + GROUP]

    def find(self, keys: Sequence[ConversationKey]) -> list[ConversationRecord | None]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        commands: list[tuple[int, Arguments]] = []
        for key in keys:
            about, log, bans = self._keys.conversation(
                key, key_kinds.META, key_kinds.LOG, key_kinds.BANS
            )
            fields = ("seq", "base", "name", "topic", "private", "history", "floor", *_MODES)
            partition = self._keys.partition(key)
            commands += [
                (partition, ("HMGET", about, *fields)),
                (partition, ("LLEN", log)),
                (partition, ("HGETALL", bans)),
            ]
        replies = self._redis.ask(commands)
        return [
            self.conversation(key, about, length, bans)
            for key, about, length, bans in zip(
                keys, replies[::3], replies[1::3], replies[2::3], strict=True
            )
        ]

    def conversation(
        self,
        key: ConversationKey,
        about: Sequence[bytes | None],
        length: int,
        bans: Sequence[bytes],
    ) -> ConversationRecord | None:
        """Return a conversation from its properties, the length of its log, and its bans.

        It is None without a seq, except for the lobby. Raises StoreCorrupt.
        """
        seq, base, name, topic, private, history, floor, slow, announced, archived = about
        if seq is None and key != LOBBY_KEY:
            return None
        head, first = int(seq or 0), int(base or 0)
        if head - first != length:
            raise StoreCorrupt(
                f"the log of {key} in {self._redis.location} says that it has {head - first} "
                f"entries, but has {length}"
            )
        shown = key if key == LOBBY_KEY else (name or b"").decode()
        return ConversationRecord(
            *(key, shown, (topic or b"").decode(), private == b"1", first, head),
            history="hidden" if history == b"hidden" else "shown",
            floor=int(floor or 0),
            modes=Modes(int(slow or 0), announced == b"1", archived == b"1"),
            bans=tuple(self._ban(who, row) for who, row in sorted(pairs(bans))),
        )

    def _ban(self, key: bytes, packed: bytes) -> BanRecord:
        row = self.trusted(decode_ban, packed)
        person = NameKey(key.decode())
        return BanRecord(person, row.name, row.by, row.since, row.ends, row.reason)

    def entries(
        self, wanted: Sequence[tuple[ConversationRecord, int]], limit: int
    ) -> list[list[EntryRecord]]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        commands: list[tuple[int, Arguments]] = []
        for record, seq in wanted:
            partition = self._keys.partition(record.key)
            log, reactions = self._keys.conversation(record.key, key_kinds.LOG, key_kinds.REACTIONS)
            first, last = seq - record.base, seq - record.base + limit - 1
            low, high = f"[{seq + 1:012d}:", f"({seq + limit:012d};"
            commands += [
                (partition, ("LRANGE", log, first, last)),
                (partition, ("ZRANGEBYLEX", reactions, low, high)),
            ]
        replies = self._redis.ask(commands)
        found = [
            self.decoded(record.key, seq, records, reactions)
            for (record, seq), records, reactions in zip(
                wanted, replies[::2], replies[1::2], strict=True
            )
        ]
        records = [record for record, _ in wanted]
        return without_old_edits(self._redis.ask, self._keys, records, found)

    def decoded(
        self,
        key: ConversationKey,
        seq: int,
        records: Sequence[bytes],
        reactions: Sequence[bytes],
    ) -> list[EntryRecord]:
        """Return the entries after `seq` from their records and reactions. Raises StoreCorrupt."""
        given: dict[int, list[ReactionRecord]] = {}
        for row in reactions:
            # The seq of the message, the seq of the reaction, the emoji, and who gave it.
            emoji, _, name = row[26:].partition(b"\0")
            given.setdefault(int(row[:12]), []).append(
                ReactionRecord(int(row[13:25]), emoji.decode(), name.decode())
            )
        try:
            return [
                _entry(seq + index, decode_record(packed), tuple(given.get(seq + index, ())))
                for index, packed in enumerate(records, start=1)
            ]
        except msgspec.DecodeError as error:
            raise StoreCorrupt(
                f"an entry of {key} in {self._redis.location} after {seq} is damaged ({error})"
            ) from error

    def participants(self, records: Sequence[ConversationRecord]) -> list[list[ParticipantRecord]]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        replies = self._redis.ask(
            [
                (
                    self._keys.partition(record.key),
                    ("HGETALL", self._keys.conversation(record.key, key_kinds.PARTICIPANTS)[0]),
                )
                for record in records
                if record.key != LOBBY_KEY
            ]
        )
        rows = iter(replies)
        return [
            []
            if record.key == LOBBY_KEY
            else sorted(
                (self.participant(key, row) for key, row in pairs(next(rows))),
                key=lambda who: who.person,
            )
            for record in records
        ]

    def people(self) -> Iterator[Sequence[AccountRecord]]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        for partition in range(self._keys.partitions):
            start = "-"
            while keys := self._redis.ask_one(
                partition,
                *("ZRANGEBYLEX", self._keys.common(partition, "people"), start, "+"),
                *("LIMIT", 0, MANY),
            ):
                people = [NameKey(key.decode()) for key in keys]
                yield self.accounts(people)
                start = f"({people[-1]}"

    def accounts(self, people: Sequence[NameKey]) -> list[AccountRecord]:
        """Return these accounts. Raises StoreCorrupt if one is missing."""
        (rows,) = self._keys.conversation(LOBBY_KEY, key_kinds.PARTICIPANTS)
        *found, in_lobby = self._redis.ask(
            [
                *(
                    (self._keys.partition(who), words)
                    for who in people
                    for words in (
                        (
                            *("HMGET", self._keys.person(who, key_kinds.ACCOUNT)),
                            *(*ACCOUNT_FIELDS, "read", "activity"),
                        ),
                        ("HKEYS", self._keys.person(who, key_kinds.BLOCKED)),
                        saved.query(self._keys, who),
                    )
                ),
                (self._keys.partition(LOBBY_KEY), ("HMGET", rows, *people)),
            ]
        )
        return [
            self._person(who, account, row, blocked, kept)
            for who, account, blocked, kept, row in zip(
                people, found[::3], found[1::3], found[2::3], in_lobby, strict=True
            )
        ]

    def _person(
        self,
        key: NameKey,
        account: Reply,
        packed: bytes | None,
        blocked: Sequence[bytes],
        flat: Sequence[bytes],
    ) -> AccountRecord:
        *fields, read, activity_seen = account
        kept = decode_account(key, fields)
        if kept is None:
            raise StoreCorrupt(f"the account of {key} is missing in {self._redis.location}")
        row = None if packed is None else self.trusted(decode_row, packed)
        others = tuple(NameKey(other.decode()) for other in sorted(blocked))
        seen = int(activity_seen or 0)
        refs = tuple(saved.decode_saved(flat))
        if row is None:
            return AccountRecord(kept, int(read or 0), "all", others, seen, refs)
        return AccountRecord(kept, row.read, row.level, others, seen, refs)

    def audit(self) -> Iterator[Sequence[AuditEntry]]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        start = 0
        while some := self._redis.ask_one(0, "LRANGE", self._keys.audit, start, start + MANY - 1):
            yield [self.trusted(decode_audit, element) for element in some]
            start += MANY

    def tokens(self, now: int) -> Iterator[Sequence[Token]]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        seen: set[bytes] = set()
        for found in self.token_ids():
            new = [(token_id, owner) for token_id, owner in found if token_id not in seen]
            seen.update(token_id for token_id, _ in new)
            tokens = [self._field(who, key_kinds.TOKENS, token_id.hex()) for token_id, who in new]
            owners = [self._field(who, key_kinds.ACCOUNT, "generation") for _, who in new]
            packed, generations = self._redis.ask(tokens), self._redis.ask(owners)
            yield [
                token
                for (token_id, owner), some, generation in zip(
                    new, packed, generations, strict=True
                )
                if some is not None and generation is not None
                for token in (self.trusted(partial(decode_token, token_id, owner), some),)
                if int(generation) == token.generation and token.expires > now
            ]

    def admission(self) -> AdmissionRecord:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        mode, kept, revoked = self._redis.ask(
            [
                (0, words)
                for words in (admission.mode_query(self._keys), *admission.reading(self._keys))
            ]
        )
        ended = dict(admission.pairs(revoked))
        names = [name.decode() for name, _ in admission.pairs(kept)]
        used = self._redis.ask([(0, ("HGETALL", self._keys.invitation_uses + n)) for n in names])
        found = [
            self.trusted(partial(_invitation, name, ended.get(name), who), packed)
            for (name, packed), who in zip(admission.pairs(kept), used, strict=True)
        ]
        found.sort(key=lambda invitation: (invitation.created, invitation.digest))
        return AdmissionRecord((mode or b"").decode(), tuple(found))

    def retention(self) -> dict[str, Rule]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        return self.trusted(
            retention.decode_rules, self._redis.ask_one(0, *retention.rules_query(self._keys))
        )

    def network_bans(self) -> dict[str, Restriction]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        return self.trusted(
            network_bans.decode_bans, self._redis.ask_one(0, *network_bans.query(self._keys))
        )

    def reports(self) -> list[Report]:
        """See :class:`~gochat.storage.transfer.contents.Source`."""
        return self.trusted(
            reports.decode_reports, self._redis.ask_one(0, *reports.query(self._keys))
        )

    def participant(self, key: bytes, packed: bytes) -> ParticipantRecord:
        """Return a participant from a key and a row. Raises StoreCorrupt."""
        row = self.trusted(decode_row, packed)
        return ParticipantRecord(
            *(NameKey(key.decode()), row.name, row.role, row.since, row.read, row.level, row.floor),
            row.inviter,
        )

    def trusted(self, decode: Callable[[Any], T], packed: Any) -> T:
        """Return what `decode` returns; raise StoreCorrupt if it can't decode it."""
        try:
            return decode(packed)
        except msgspec.DecodeError as error:
            raise StoreCorrupt(
                f"something in {self._redis.location} is damaged ({error})"
            ) from error

    def _field(self, person: NameKey, kind: str, field: str) -> tuple[int, Arguments]:
        return self._keys.partition(person), ("HGET", self._keys.person(person, kind), field)

    def token_ids(self) -> Iterator[list[tuple[bytes, NameKey]]]:
        """Yield the ids of all tokens and their accounts, also of tokens that are not valid."""
        for keys in self._redis.scan("t:*"):
            ids = [bytes.fromhex(key.rpartition(b":")[2].decode()) for key in dict.fromkeys(keys)]
            ids = [
                token_id for token_id in ids if len(token_id) == TOKEN_ID_SIZE
            ]  # others are from before
            places = map(self._keys.token, ids)
            owners = self._redis.ask([(place, ("GET", key)) for place, key in places])
            yield [
                (token_id, NameKey(owner.decode()))
                for token_id, owner in zip(ids, owners, strict=True)
                if owner is not None
            ]


def _entry(seq: int, record: Record, given: tuple[ReactionRecord, ...]) -> EntryRecord:
    return EntryRecord(
        seq,
        record.ts,
        record.sender,
        record.kind,
        record.text,
        record.ref,
        record.cid,
        record.mentions,
        record.edited if record.kind == "text" else 0,
        bool(record.deleted),
        given,
        record.extra,
        record.pinned,
    )


def _invitation(
    name: bytes, revoked: bytes | None, used: list[bytes], packed: bytes
) -> ServerInvitation:
    return admission.unpacked(name.decode(), packed, revoked, used[::2])


def pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields and values of a hash."""
    return zip(flat[::2], flat[1::2], strict=True)
