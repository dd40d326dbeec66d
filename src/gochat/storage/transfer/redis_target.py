"""A Redis that another store is copied into.

Meanwhile ``meta`` marks it as an unfinished copy, and servers refuse it. The epoch is not set: the
first server names it, as for all new data. Positions in the feeds are 0, before all later entries.
One thing is not copied: that a cid of the last hour can't be used in another conversation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from gochat.chat import conversations, names
from gochat.chat.administration import AuditEntry
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.reports import Report
from gochat.chat.restriction import Restriction
from gochat.chat.retention import Rule
from gochat.chat.token import Token
from gochat.errors import ConfigError, StoreUnavailable
from gochat.storage.common.clock import wall_clock
from gochat.storage.redis import admission, network_bans, retention, saved, scripts
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import reports as in_redis
from gochat.storage.redis.audit import decode_audit, encode_audit
from gochat.storage.redis.keys import COPY_OF, DEFAULT_PARTITIONS, VERSION
from gochat.storage.redis.link.deployment import Deployment
from gochat.storage.redis.link.url import parse_url
from gochat.storage.redis.link.wire import Arguments
from gochat.storage.redis.migration import claim_existing
from gochat.storage.redis.people import encode_account
from gochat.storage.redis.records import BanRow, ParticipantRow, decode_record
from gochat.storage.redis.tokens import encode_token, lifetime
from gochat.storage.transfer.contents import (
    AccountRecord,
    AdmissionRecord,
    ConversationRecord,
    EntryRecord,
    ParticipantRecord,
    Source,
    Target,
)
from gochat.storage.transfer.redis_activity import listing
from gochat.storage.transfer.redis_rehearsal import rehearse_reading, rehearse_writing
from gochat.storage.transfer.redis_rows import Tail, counted, forget_read, record_of
from gochat.storage.transfer.redis_source import RedisSource, find_partitions

_encode = msgspec.msgpack.Encoder().encode


@contextmanager
def open_target(url: str, fingerprint: str, *, restart: bool) -> Iterator[Target]:
    """Open the data that will be in a Redis, to begin a copy or to continue it.

    Raises:
        ConfigError: there is data already, or the unfinished copy is of another source; or the user
            lacks a permission that a copy needs.
        StoreUnavailable: Redis can't be reached, or a server uses it.
        StoreCorrupt: the data is a newer gochat's.
    """
    location = parse_url(url)
    partitions, copy_of = find_partitions(location)
    if partitions is None:
        partitions = location.options.partitions or DEFAULT_PARTITIONS
    deployment = Deployment(location, partitions)
    try:
        rehearse_reading(deployment)
        rehearse_writing(deployment)
        if copy_of and restart:
            _drop(deployment)
        elif copy_of and copy_of != fingerprint:
            raise ConfigError(
                f"the copy that was begun in {location} is of another source, or of this one "
                "before it changed: start over with --restart"
            )
        if not copy_of:
            _require_room(deployment)
        if not copy_of or restart:
            _begin(deployment, fingerprint)
        yield RedisTarget(deployment)
    finally:
        deployment.close()


def _require_room(deployment: Deployment) -> None:
    location, keys = deployment.location, deployment.keys
    there = deployment.ask(
        [
            (partition, ("EXISTS", *(keys.common(partition, what) for what in ("people", "convs"))))
            for partition in range(keys.partitions)
        ]
    )
    if any(there):
        raise ConfigError(
            f"there is data of gochat in {location} already, under the prefix "
            f"{location.options.prefix!r}: a copy overwrites nothing. Take an empty Redis, or "
            "another database or prefix"
        )
    if deployment.live_nodes():
        raise StoreUnavailable(f"{location} is in use by a gochat server: stop it first")


def _begin(deployment: Deployment, fingerprint: str) -> None:
    keys = deployment.keys
    deployment.ask_one(
        0,
        *("HSET", keys.meta, COPY_OF, fingerprint),
        *("version", VERSION, "partitions", keys.partitions),
    )
    # A server that found no data has named an epoch, which ends now.
    deployment.ask(
        [
            (partition, ("DEL", keys.states[partition], keys.feeds[partition]))
            for partition in range(keys.partitions)
        ]
    )


def _drop(deployment: Deployment) -> None:
    """Delete everything except the mark of a copy, which must survive an interruption."""
    keys = deployment.keys
    for found in deployment.scan("*"):
        deployment.ask(
            [
                (int(key.rpartition(b"{")[2].partition(b"}")[0]), ("UNLINK", key))
                for key in found
                if key.decode() != keys.meta
            ]
        )


class RedisTarget:
    """A :class:`~gochat.storage.transfer.contents.Target`."""

    def __init__(self, deployment: Deployment) -> None:
        self._redis = deployment
        self._keys = deployment.keys
        self._tails: dict[ConversationKey, Tail] = {}
        self._read = RedisSource(deployment)
        self.contents: Source = self._read

    def heads(self, records: Sequence[ConversationRecord]) -> list[int]:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        replies = self._redis.ask(
            [
                (
                    self._keys.partition(record.key),
                    (
                        "HMGET",
                        self._keys.conversation(record.key, key_kinds.META)[0],
                        *("seq", "texts", "stamp"),
                    ),
                )
                for record in records
            ]
        )
        self._tails = {
            record.key: Tail(
                record.base if seq is None else int(seq), int(texts or 0), int(stamp or 0)
            )
            for record, (seq, texts, stamp) in zip(records, replies, strict=True)
        }
        return [self._tails[record.key].seq for record in records]

    def extend(self, pieces: Sequence[tuple[ConversationRecord, Sequence[EntryRecord]]]) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        now = wall_clock()
        # Repeatable commands first, so that their data exists if the entries do.
        commands: list[tuple[int, Arguments]] = []
        scripted: list[tuple[int, Arguments]] = []
        for record, entries in pieces:
            partition = self._keys.partition(record.key)
            commands += [(partition, words) for words in self._around(record.key, entries)]
            scripted.append((partition, self._extension(record, entries, now)))
        commands += listing(self._redis, pieces)
        replies = self._redis.ask([*commands, *scripted])
        if 0 in replies[len(commands) :]:
            raise StoreUnavailable("another copy into the same place goes on")

    def _around(self, key: ConversationKey, entries: Sequence[EntryRecord]) -> Iterator[Arguments]:
        """Yield the commands for the data beside the log."""
        reactions, deleted, mentions, own, pins = self._keys.conversation(
            *(key, key_kinds.REACTIONS, key_kinds.DELETED, key_kinds.MENTIONS, key_kinds.UNREAD),
            key_kinds.PINS,
        )
        given: list[str] = []
        gone: list[int] = []
        mentioned: list[str] = []
        said_by: list[str] = []
        pinned: list[str] = []
        for entry in entries:
            for reaction in entry.reactions:
                given += (
                    "0",
                    f"{entry.seq:012d}:{reaction.seq:012d}:{reaction.emoji}\0{reaction.name}",
                )
            if entry.pinned:
                pinned += ("0", f"{entry.seq:012d}:{entry.pinned:012d}")
            if entry.kind == "text":
                if entry.deleted:
                    gone += (entry.seq, entry.seq)
                else:
                    said_by += ("0", f"{entry.sender}\0{entry.seq:012d}")
                for name in counted(entry):
                    mentioned += ("0", f"{name}\0{entry.seq:012d}")
            if entry.cid:
                said = self._keys.by_cid(key, names.known(entry.sender), entry.cid)
                yield ("HSET", *said, entry.seq)
        if given:
            yield ("ZADD", reactions, *given)
        if gone:
            yield ("ZADD", deleted, *gone)
        if mentioned:
            yield ("ZADD", mentions, *mentioned)
        if said_by:
            yield ("ZADD", own, *said_by)
        if pinned:
            yield ("ZADD", pins, *pinned)

    def _extension(
        self, record: ConversationRecord, entries: Sequence[EntryRecord], now: int
    ) -> Arguments:
        tail = self._tails[record.key]
        before = tail.seq
        records = []
        for entry in entries:
            tail.texts += entry.kind == "text"
            # Stamps order entries across conversations, and rise within one. A time ahead of the
            # clock would stop them until that time.
            tail.stamp = max(min(entry.ts, now) * 1000, tail.stamp + 1)
            records.append(_encode(record_of(entry, tail)))
        tail.seq = entries[-1].seq
        about, log = self._keys.conversation(record.key, key_kinds.META, key_kinds.LOG)
        convs = self._keys.common(self._keys.partition(record.key), "convs")
        return (
            *("EVALSHA", scripts.EXTEND.sha, 3, about, log, convs),
            *(record.key, before, record.base),
            *(tail.seq, entries[-1].ts, tail.texts, tail.stamp),
            *records,
        )

    def describe(
        self, described: Sequence[tuple[ConversationRecord, Sequence[ParticipantRecord]]]
    ) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        commands: list[tuple[int, Arguments]] = []
        markers = self._texts_up_to(
            [(record, {who.read for who in participants}) for record, participants in described]
        )
        for (record, participants), texts in zip(described, markers, strict=True):
            commands += self._description(record)
            rows, members, *unread = self._keys.conversation(
                record.key,
                key_kinds.PARTICIPANTS,
                key_kinds.MEMBERS,
                key_kinds.MENTIONS,
                key_kinds.UNREAD,
            )
            partition = self._keys.partition(record.key)
            for who in participants:
                row = ParticipantRow(
                    *(who.name, who.role, who.since, who.read, texts[who.read], who.level),
                    who.floor,
                    who.inviter,
                )
                commands.append((partition, ("HSET", rows, who.person, _encode(row))))
                if who.role in ("member", "operator"):
                    commands.append((partition, ("ZADD", members, 0, who.person)))
                commands += [(partition, forget_read(key, who.name, who.read)) for key in unread]
                listed = self._keys.person(who.person, key_kinds.CONVERSATIONS)
                commands.append((self._keys.partition(who.person), ("SADD", listed, record.key)))
        self._redis.ask(commands)

    def _description(self, record: ConversationRecord) -> Iterator[tuple[int, Arguments]]:
        partition = self._keys.partition(record.key)
        (about,) = self._keys.conversation(record.key, key_kinds.META)
        if conversations.is_private(record.key):
            return
        if record.key != LOBBY_KEY:
            fields = ("name", record.name, "private", int(record.private))
            since = ("history", record.history, "floor", record.floor)
            modes = ("slow", record.modes.slow, "announcements", int(record.modes.announcements))
            archived = ("archived", int(record.modes.archived))
            yield partition, ("HSET", about, *fields, *since, *modes, *archived)
            if not record.private:
                rooms = self._keys.common(partition, "rooms")
                yield partition, ("ZADD", rooms, 0, record.name)
        (bans,) = self._keys.conversation(record.key, key_kinds.BANS)
        for ban in record.bans:
            row = BanRow(ban.name, ban.by, ban.since, ban.until, ban.reason)
            yield partition, ("HSET", bans, ban.person, _encode(row))
        if record.topic:
            yield partition, ("HSET", about, "topic", record.topic)

    def _texts_up_to(
        self, markers: Sequence[tuple[ConversationRecord, Collection[int]]]
    ) -> list[dict[int, int]]:
        """Return the number of messages up to each of these markers, for each conversation."""
        commands: list[tuple[int, Arguments]] = []
        asked: list[tuple[dict[int, int], int]] = []
        found: list[dict[int, int]] = []
        for record, seqs in markers:
            (log,) = self._keys.conversation(record.key, key_kinds.LOG)
            texts = dict.fromkeys(seqs, 0)
            found.append(texts)
            for seq in seqs:
                if record.base < seq <= record.head:
                    asked.append((texts, seq))
                    partition = self._keys.partition(record.key)
                    commands.append((partition, ("LINDEX", log, seq - 1 - record.base)))
        for (texts, seq), packed in zip(asked, self._redis.ask(commands), strict=True):
            texts[seq] = decode_record(packed).texts
        return found

    def put_people(self, people: Sequence[AccountRecord]) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        (lobby,) = self.contents.find([LOBBY_KEY])
        assert lobby is not None
        (texts,) = self._texts_up_to([(lobby, {who.read for who in people})])
        there = self._keys.partition(LOBBY_KEY)
        rows, *unread = self._keys.conversation(
            LOBBY_KEY, key_kinds.PARTICIPANTS, key_kinds.MENTIONS, key_kinds.UNREAD
        )
        commands: list[tuple[int, Arguments]] = []
        for who in people:
            key, name = who.account.key, who.account.name
            partition = self._keys.partition(key)
            row = ParticipantRow(name, "", 0, who.read, texts[who.read], who.level)
            commands += [
                (
                    partition,
                    (
                        *("HSET", self._keys.person(key, key_kinds.ACCOUNT)),
                        *encode_account(who.account),
                        *("read", who.read, "texts", texts[who.read]),
                        *("activity", who.activity_seen),
                    ),
                ),
                (partition, ("ZADD", self._keys.common(partition, "people"), 0, key)),
                *self._standing(who),
                (there, ("HSET", rows, key, _encode(row))),
                *((there, forget_read(conversation, name, who.read)) for conversation in unread),
            ]
            if who.saved:
                commands.append((partition, saved.insertion(self._keys, key, who.saved)))
            if who.account.is_deleted:
                commands.append((0, ("SADD", self._keys.deleted, key)))
        self._redis.ask([*commands, *(command for who in people for command in self._blocks(who))])

    def _standing(self, who: AccountRecord) -> Iterator[tuple[int, Arguments]]:
        """Yield what lists and enforces the role, ban and mute of somebody."""
        key, mute = who.account.key, who.account.mute
        if who.account.role != "member":
            for partition in range(self._keys.partitions):
                roles = self._keys.common(partition, "roles")
                yield partition, ("HSET", roles, key, who.account.role)
        if who.account.ban is not None or mute is not None:
            partition = self._keys.partition(key)
            yield partition, ("ZADD", self._keys.common(partition, "restricted"), 0, key)
        if mute is not None:
            for partition in range(self._keys.partitions):
                mutes = self._keys.common(partition, "mutes")
                yield partition, ("HSET", mutes, key, mute.until)

    def _blocks(self, who: AccountRecord) -> Iterator[tuple[int, Arguments]]:
        """Yield what sets whom a person blocks."""
        for other in who.blocked:
            pair = conversations.private(who.account.key, other)
            (holding,) = self._keys.conversation(pair, key_kinds.BANS)
            listed = self._keys.person(who.account.key, key_kinds.BLOCKED)
            yield self._keys.partition(who.account.key), ("HSET", listed, other, 1)
            yield self._keys.partition(pair), ("HSET", holding, who.account.key, 1)

    def put_audit(self, entries: Sequence[AuditEntry]) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        newest = self._redis.ask_one(0, "LINDEX", self._keys.audit, -1)
        last = 0 if newest is None else decode_audit(newest).id
        new = [encode_audit(entry) for entry in entries if entry.id > last]
        if new:
            self._redis.ask_one(0, "RPUSH", self._keys.audit, *new)

    def forget_tokens(self) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        for found in self._read.token_ids():
            for token_id, owner in found:
                place, pointer = self._keys.token(token_id)
                kept = self._keys.person(owner, key_kinds.TOKENS)
                commands = [(self._keys.partition(owner), ("UNLINK", kept))]
                self._redis.ask([*commands, (place, ("UNLINK", pointer))])

    def put_tokens(self, tokens: Sequence[Token], now: int) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        commands: list[tuple[int, Arguments]] = []
        for token in tokens:
            place, pointer = self._keys.token(token.id)
            partition = self._keys.partition(token.account)
            kept = self._keys.person(token.account, key_kinds.TOKENS)
            commands += [
                (place, ("SET", pointer, token.account, "PX", lifetime(token.expires, now))),
                (partition, ("HSET", kept, token.id.hex(), encode_token(token))),
            ]
        self._redis.ask(commands)

    def put_admission(self, record: AdmissionRecord) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        commands = [admission.mode_command(self._keys, record.mode or None)]
        for invitation in record.invitations:
            commands += admission.insertion(self._keys, invitation, wall_clock())
        self._redis.ask([(0, words) for words in commands])

    def put_retention(self, rules: Mapping[str, Rule]) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        commands = [retention.rule_command(self._keys, *rule) for rule in rules.items()]
        words: list[Arguments] = [("UNLINK", self._keys.retention), *commands]
        self._redis.ask([(0, one) for one in words])

    def put_network_bans(self, bans: Mapping[str, Restriction]) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        self._redis.ask([(0, one) for one in network_bans.insertions(self._keys, bans)])

    def put_reports(self, reports: Sequence[Report]) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        self._redis.ask([(0, one) for one in in_redis.insertions(self._keys, reports)])

    def complete(self) -> int:
        """See :class:`~gochat.storage.transfer.contents.Target`. Only the claims are missing."""
        claim_existing(self._redis)
        return 0

    def publish(self) -> None:
        """See :class:`~gochat.storage.transfer.contents.Target`."""
        self._redis.ask_one(0, "HDEL", self._keys.meta, COPY_OF)
