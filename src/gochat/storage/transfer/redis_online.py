"""The data in a Redis that servers use, read without disturbing them: for a backup, and a check.

Each conversation is read by a script (snapshot.lua), some entries at a time, each time with what
has changed in those that were read before. Whoever goes on until nothing is left has the
conversation as it was at the moment of the last call. No command takes longer than those of
gochat's servers, and there is one connection to each Redis server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from msgspec import Struct

from gochat.chat.administration import AuditEntry
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.errors import ConfigError, StoreUnavailable
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.audit import decode_audit
from gochat.storage.redis.link.deployment import Deployment
from gochat.storage.redis.link.url import parse_url
from gochat.storage.redis.link.wire import Arguments, Refused, Reply
from gochat.storage.transfer.contents import MANY
from gochat.storage.transfer.redis_rehearsal import rehearse_reading_online
from gochat.storage.transfer.redis_source import RedisSource, find_partitions

#: Entries read by one call of the script, for which all others of that server wait: some 2 ms.
STEP: Final = 100
#: Entries read by one pipeline of such calls.
TOGETHER: Final = 1000
#: Rows of participants read by one command.
ROWS: Final = 500

#: The keys that the script takes, before the last one, which lists the rooms.
_READ: Final = (
    key_kinds.META,
    key_kinds.LOG,
    key_kinds.REACTIONS,
    key_kinds.DELETED,
    key_kinds.PARTICIPANTS,
    key_kinds.MEMBERS,
    key_kinds.BANS,
    key_kinds.PINS,
)


class History(NamedTuple):
    """The epoch of a partition; and what its server is in replication, master or replica, and of
    which history.

    The epoch is changed by the first node that finds that entries are missing. A server that is no
    longer the master may go on answering before that.
    """

    epoch: bytes | None
    role: bytes
    replication: bytes


class Question(Struct, frozen=True):
    """What to read of a conversation: entries after a seq, if any, and the rows of people."""

    key: ConversationKey
    after: int
    people: Sequence[NameKey] = ()
    with_entries: bool = True


class Snapshot(Struct, frozen=True):
    """The reply to a question, of one moment, as it is stored.

    `properties` are as :meth:`RedisSource.conversation` takes them, then `ts`, `texts` and `stamp`
    of the last entry and `indexed`. The log has entries from seq `base` + 1 to `head`, and those
    from `first` on are in `records`. The elements of `changed` are the seq, the record and the
    reactions of earlier entries; those of `rows` are the row of a person, None without one, and 1
    if they are listed as a member. If `length` is not `head` - `base`, entries have vanished, and
    nothing was read.
    """

    properties: Sequence[bytes | None]
    length: int
    first: int = 0
    records: Sequence[bytes] = ()
    reactions: Sequence[bytes] = ()
    deleted: Sequence[bytes] = ()
    changed: Sequence[tuple[int, bytes, Sequence[bytes]]] = ()
    rows: Sequence[tuple[bytes | None, int]] = ()
    row_count: int = 0
    bans: Sequence[bytes] = ()
    is_listed: int = 0
    pins: Sequence[bytes] = ()

    @property
    def head(self) -> int:
        """The seq of the newest entry."""
        return int(self.properties[0] or 0)

    @property
    def base(self) -> int:
        """The number of the oldest entries that are not kept."""
        return int(self.properties[1] or 0)

    @property
    def last(self) -> int:
        """The seq of the last entry read, and of the one before the first if none was."""
        return self.first + len(self.records) - 1


class OnlineRedis(RedisSource):
    """A Redis that servers may use meanwhile."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment)
        self.redis: Final = deployment
        self.keys: Final = deployment.keys

    def histories(self) -> list[History]:
        """Return what says of each partition which history its data is of."""
        replies = self.redis.ask(
            [
                (partition, words)
                for partition, state in enumerate(self.keys.states)
                for words in (("HGET", state, "epoch"), ("INFO", "replication"))
            ]
        )
        return [
            History(epoch, *(_stated(about, name) for name in (b"role", b"master_replid")))
            for epoch, about in zip(replies[::2], replies[1::2], strict=True)
        ]

    def require_same(self, histories: Sequence[History]) -> None:
        """Raise :exc:`~gochat.errors.StoreUnavailable` unless the data is still of these."""
        if self.histories() != histories:
            raise StoreUnavailable(
                f"the history of the data in {self.redis.location} has changed while it was read, "
                "as after a failover or a loss: try again"
            )

    def sizes(self) -> tuple[int, int]:
        """Return about how many entries and people there are now."""
        entries = 0
        for some in self.all_listed():
            metas = [self.keys.conversation(key, key_kinds.META)[0] for key in some]
            found = self.redis.try_to_ask(
                [
                    (self.keys.partition(key), ("HMGET", meta, "seq", "base"))
                    for key, meta in zip(some, metas, strict=True)
                ]
            )
            entries += sum(
                _count(seq) - _count(base)
                for seq, base in (reply for reply in found if not isinstance(reply, Refused))
            )
        listed = [
            (partition, ("ZCARD", self.keys.common(partition, "people")))
            for partition in range(self.keys.partitions)
        ]
        return entries, sum(self.redis.ask(listed))

    def audit(self) -> Iterator[Sequence[AuditEntry]]:
        """See :class:`~gochat.storage.transfer.contents.Source`. The oldest may go meanwhile."""
        start = last = 0
        while some := self.redis.ask_one(0, "LRANGE", self.keys.audit, start, start + MANY - 1):
            found = [self.trusted(decode_audit, element) for element in some]
            gone = found[0].id - last - 1 if last else 0
            if gone > 0 and start:
                start = max(0, start - gone)
                continue
            yield found
            start, last = start + len(found), found[-1].id

    def all_listed(self) -> Iterator[Sequence[ConversationKey]]:
        """Yield the keys of all conversations, the lobby first."""
        yield [LOBBY_KEY]
        yield from self.listed()

    def snapshots(self, questions: Sequence[Question]) -> list[Snapshot | Refused]:
        """Answer questions about different conversations, each by a snapshot.

        Where keys of a conversation have what gochat did not write, the answer is the error.
        """
        limit = min(STEP, max(1, TOGETHER // max(1, len(questions))))
        replies = self.redis.try_to_ask([self._command(asked, limit) for asked in questions])
        return [reply if isinstance(reply, Refused) else _snapshot(reply) for reply in replies]

    def _command(self, asked: Question, limit: int) -> tuple[int, Arguments]:
        partition = self.keys.partition(asked.key)
        keys = (*self.keys.conversation(asked.key, *_READ), self.keys.common(partition, "rooms"))
        most = limit if asked.with_entries else 0
        words: Arguments = ("EVALSHA", scripts.SNAPSHOT.sha, len(keys), *keys)
        return partition, (*words, asked.after, most, *asked.people)

    def scan_rows(self, key: ConversationKey) -> Iterator[list[bytes]]:
        """Yield the participants' keys and rows, in turns, some at a time.

        One that comes or goes meanwhile may be missing, and some may occur twice.
        """
        (who,) = self.keys.conversation(key, key_kinds.PARTICIPANTS)
        cursor: bytes = b"0"
        while True:
            cursor, found = self.redis.ask_one(
                self.keys.partition(key), "HSCAN", who, cursor, "COUNT", ROWS
            )
            yield found
            if cursor == b"0":
                break


@contextmanager
def open_online(url: str, what: str) -> Iterator[OnlineRedis]:
    """Open the data in a Redis to read it while servers use it; `what` says for what, for people.

    Raises:
        ConfigError: there is no data; or the user lacks a permission that reading needs.
        StoreUnavailable: Redis can't be reached, or the data is an unfinished copy.
        StoreCorrupt: the data is a newer gochat's.
    """
    location = parse_url(url)
    partitions, copy_of = find_partitions(location)
    if partitions is None:
        raise ConfigError(
            f"no gochat data found in {location} under the prefix {location.options.prefix!r}"
        )
    if copy_of:
        raise StoreUnavailable(
            f"the data in {location} is a copy that is not finished: give the same "
            "`gochat db copy` again"
        )
    deployment = Deployment(location, partitions)
    try:
        rehearse_reading_online(deployment, what)
        yield OnlineRedis(deployment)
    finally:
        deployment.close()


def _stated(about: bytes, name: bytes) -> bytes:
    """Return what a reply to INFO says of a name."""
    found = re.search(rb"^%s:(\S*)" % name, about, re.M)
    return found[1] if found else b""


def _count(number: bytes | None) -> int:
    """Return a number that is only shown to people, 0 if there is none."""
    return int(number) if number is not None and number.isdigit() else 0


def _snapshot(reply: Reply) -> Snapshot:
    properties, length, *remaining = reply
    if not remaining:
        return Snapshot(properties, length)
    return Snapshot(properties, length, *remaining)
