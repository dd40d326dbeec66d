"""Back up a store in Redis into a SQLite file, while servers use it.

Redis has no snapshot that another program could read, so a backup is not one moment of all. It is:

- **Each conversation as it was at one moment** of the backup, after its beginning: all that was
  acknowledged before is there, and nothing beyond a seq. What was edited, deleted or reacted to up
  to that seq is so in the backup, and nothing else. What retention removed before that moment is
  not there, and the properties and people of the conversation are those of it, too.
- **All that it refers to.** Conversations and accounts are never removed, so what refers to others
  is read before them: sessions and invitations, then conversations, then accounts.
- Read markers are at most at the end of their conversation.

If the history of the data changes meanwhile, as by a failover, there is no backup: the parts could
be of two histories. Nor is there one if keys are missing or damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from msgspec import structs

from gochat.chat import names
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.storage.common.clock import wall_clock
from gochat.storage.redis.link.wire import Refused
from gochat.storage.transfer.contents import (
    MANY,
    AccountRecord,
    ConversationRecord,
    EntryRecord,
    ParticipantRecord,
)
from gochat.storage.transfer.redis_online import OnlineRedis, Question, Snapshot, open_online
from gochat.storage.transfer.redis_source import pairs
from gochat.storage.transfer.sqlite_backup import SqliteBackup, open_backup

COPYING: Final = "reading"

#: Kinds of entries that change the participants, and whether it is their sender whom they change,
#: instead of the person whose name is their text.
_ABOUT_SENDER: Final = {
    **dict.fromkeys(("create", "join", "leave", "decline", "hand_over"), True),
    **dict.fromkeys(("kick", "ban", "invite", "operator", "member"), False),
}


def backup(
    url: str,
    target: Path,
    *,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    clock: Callable[[], int] = wall_clock,
) -> None:
    """Copy the data in a Redis into the new SQLite store `target`, readable only by its owner.

    `progress` is called with a word, the numbers of entries and people that are done, and of all
    that there were at the beginning. The file is checked, complete as soon as it has its name, and
    marked as a backup: a server that starts on it begins a new epoch.

    Raises:
        ConfigError: `target` exists, or can't be created; there is no data; or the user lacks a
            permission.
        StoreUnavailable: Redis can't be reached, or its data has got another history meanwhile; or
            the disk is full.
        StoreCorrupt: the data is damaged. `target` is not created in any of these cases.
    """
    if target.exists():
        raise ConfigError(f"{target} exists already; a backup overwrites nothing")
    with ExitStack() as stack:
        source = stack.enter_context(open_online(url, "a backup"))
        copied = stack.enter_context(open_backup(target))
        histories = source.histories()
        _Backup(source, copied, progress).run(clock())
        source.require_same(histories)
        copied.complete()
        copied.publish()


class _Backup:
    """A backup that is being made."""

    def __init__(
        self, source: OnlineRedis, target: SqliteBackup, progress: Callable[[str, int, int], None]
    ) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._done = 0
        self._total = sum(source.sizes())
        self._lobby_head = 0

    def run(self, now: int) -> None:
        """Copy everything, each thing before what it refers to."""
        source, target = self._source, self._target
        target.put_retention(source.retention())
        target.put_network_bans(source.network_bans())
        target.put_reports(source.reports())
        target.put_admission(source.admission())
        for acts in source.audit():
            target.put_audit(acts)
        for tokens in source.tokens(now):
            target.put_tokens(tokens, now)
        self._advance(0)
        for keys in source.all_listed():
            self._carry([_Conversation(source, key) for key in keys])
        for people in source.people():
            self._put_people(people)
            self._advance(len(people))
        # Accounts that were created meanwhile, and blocked by somebody who was read later.
        while missing := target.missing_people():
            for start in range(0, len(missing), MANY):
                self._put_people(source.accounts(missing[start : start + MANY]))

    def _put_people(self, people: Sequence[AccountRecord]) -> None:
        self._target.put_people(
            [structs.replace(who, read=min(who.read, self._lobby_head)) for who in people]
        )

    def _carry(self, conversations: Sequence[_Conversation]) -> None:
        """Copy conversations."""
        self._read(conversations)
        for conversation in conversations:
            conversation.scan_people()
        self._read(conversations)
        for conversation in conversations:
            record, people = conversation.record, conversation.participants()
            if record.key == LOBBY_KEY:
                self._lobby_head = record.head
            self._target.settle(record, conversation.former_base)
            self._target.describe([(record, people)])

    def _read(self, conversations: Sequence[_Conversation]) -> None:
        """Read each conversation to the end of its log."""
        waiting = list(conversations)
        begun = False
        while waiting:
            answers = self._source.snapshots([one.question() for one in waiting])
            pieces = [one.take(answer) for one, answer in zip(waiting, answers, strict=True)]
            if not begun:
                self._target.heads([one.record for one in conversations])
                begun = True
            self._target.extend(
                [(one.record, entries) for one, entries in zip(waiting, pieces, strict=True)]
            )
            self._advance(sum(map(len, pieces)))
            waiting = [one for one in waiting if not one.is_complete]

    def _advance(self, count: int) -> None:
        self._done += count
        self._progress(COPYING, min(self._done, self._total), self._total)


class _Conversation:
    """A conversation as far as it was read.

    `record` is as it was at the last snapshot, and `former_base` the base at the first.
    """

    def __init__(self, source: OnlineRedis, key: ConversationKey) -> None:
        self._source = source
        self._key = key
        self._people: dict[NameKey, ParticipantRecord] | None = None
        self._wanted: dict[NameKey, None] = {}
        self._head: int | None = None
        self.is_complete = False
        self.former_base = 0
        self.record = ConversationRecord(key, "", "", private=False, base=0, head=0)

    def question(self) -> Question:
        """Return what is to be read next."""
        return Question(self._key, self._head or 0, tuple(self._wanted))

    def take(self, answer: Snapshot | Refused) -> list[EntryRecord]:
        """Take in what was read; return entries that are new, or may be different from before."""
        if isinstance(answer, Refused):
            raise StoreCorrupt(
                f"the data of {self._key} in {self._source.redis.location} is damaged: {answer}"
            )
        bans = answer.bans if self._key.startswith("#") else ()
        record = self._source.conversation(self._key, answer.properties[:10], answer.length, bans)
        if record is None:
            raise StoreCorrupt(
                f"keys of {self._key} in {self._source.redis.location} have vanished"
            )
        if self._head is None:
            self.former_base = record.base
        elif record.head < self._head:
            raise StoreUnavailable(
                f"{self._key} in {self._source.redis.location} has lost entries meanwhile: "
                "try again"
            )
        found = self._decoded(answer)
        is_last = answer.last >= record.head
        self.record = structs.replace(record, head=answer.last)
        self._head = answer.last
        has_people = self._take_people(answer, [e for e in found if e.seq >= answer.first])
        self.is_complete = is_last and has_people
        return found

    def _decoded(self, answer: Snapshot) -> list[EntryRecord]:
        found = [
            entry
            for seq, packed, reactions in answer.changed
            for entry in self._source.decoded(self._key, seq - 1, [packed], reactions)
        ]
        return found + self._source.decoded(
            self._key, answer.first - 1, answer.records, answer.reactions
        )

    # -- people ---------------------------------------------------------------------------------

    def scan_people(self) -> None:
        """Read the participants; those that come or go meanwhile are read again later."""
        self.is_complete = False
        self._people = {}
        if self._key != LOBBY_KEY:
            for rows in self._source.scan_rows(self._key):
                for key, row in pairs(rows):
                    who = self._source.participant(key, row)
                    self._people[who.person] = who

    def _take_people(self, answer: Snapshot, new: Sequence[EntryRecord]) -> bool:
        """Take in rows that were read again; return True if all are as they were at this moment."""
        if self._people is None or self._key == LOBBY_KEY:
            return True
        for person, (row, _) in zip(self._wanted, answer.rows, strict=True):
            self._people.pop(person, None)
            if row is not None:
                self._people[person] = self._source.participant(person.encode(), row)
        self._wanted = dict.fromkeys(_changed(new))
        if self._wanted:
            return False
        if len(self._people) != answer.row_count:
            # With the last member of a room the invitations to it go, without an entry for each.
            self.scan_people()
            return False
        return True

    def participants(self) -> list[ParticipantRecord]:
        """Return the participants, as of the same moment as the entries, ordered by key."""
        people = self._people or {}
        return [people[person] for person in sorted(people)]


def _changed(entries: Sequence[EntryRecord]) -> Iterator[NameKey]:
    """Yield the people whose rows entries have changed."""
    for entry in entries:
        about_sender = _ABOUT_SENDER.get(entry.kind)
        if about_sender is not None:
            yield names.known(entry.sender if about_sender else entry.text)
