"""Write the log: turn drafts into entries, and apply the changes that entries make.

All of this runs in the writer's thread, inside its transactions (see writer.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from gochat.chat import conversations, names
from gochat.chat.conversations import ConversationKey
from gochat.chat.extras import extended
from gochat.chat.log import MAX_AHEAD, OF_MESSAGES, Appended, Batch, Draft, Logged, Unchanged
from gochat.chat.names import NameKey
from gochat.chat.refusals import room_exists, too_many_pins, unknown_message
from gochat.errors import ChatError, FactsChanged
from gochat.protocol.messages import EntryKind, Message
from gochat.storage.common.log_time import ClockWarnings
from gochat.storage.sqlite import activity, facts, modes, pins, rooms, skeletons
from gochat.storage.sqlite.blocks import without_blocked_mentions
from gochat.storage.sqlite.checkpoints import Checkpoints
from gochat.storage.sqlite.connections import ConnectionPool
from gochat.storage.sqlite.directory import ConversationCache, KnownConversation
from gochat.storage.sqlite.entries import (
    MAX_SEQ,
    find_by_cid,
    first_id,
    has_dropped_cids,
    last_position,
)
from gochat.storage.sqlite.indexer import Indexer
from gochat.storage.sqlite.standing import Blocks, Mutes
from gochat.storage.sqlite.transaction import Transaction
from gochat.storage.sqlite.watch import Watch


class OldEntry(NamedTuple):
    """A row of an entry that is taken back or removed."""

    id: int
    position: int
    ts: int
    sender: NameKey
    kind: EntryKind
    text: str
    cid: str | None
    mentions: str | None
    edited: int | None
    deleted: int


class Log:
    """Append entries, and keep everything derived from them consistent."""

    def __init__(
        self,
        connections: ConnectionPool,
        epoch: str,
        clock: Callable[[], int],
        indexer: Indexer,
        watch: Watch | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._transaction = Transaction(connections, watch, checkpoints)
        self._directory = ConversationCache(self._transaction, epoch)
        self._indexer = indexer
        self._epoch = epoch
        self._clock = clock
        self._clock_warnings = ClockWarnings()
        self._now = 0
        #: Who is muted.
        self.mutes = Mutes()
        #: Who blocks whom.
        self.blocks = Blocks()
        #: The position of the last entry, in the order of all conversations together.
        self.position = self._position_before = last_position(self.db)
        self._appended: list[Logged] = []
        self._dropped = 0
        #: Whether entries were removed that had a cid. May be true although that was rolled back.
        self.has_dropped_cids = has_dropped_cids(self.db)

    @property
    def db(self) -> sqlite3.Connection:
        """The connection of the transaction."""
        return self._transaction.db

    # -- transactions ---------------------------------------------------------------------------

    def begin(self, *, may_wait: bool = True) -> None:
        """Begin a transaction; see :meth:`.Transaction.begin`."""
        self._directory.shorten()
        self._position_before = self.position
        self._transaction.begin(may_wait=may_wait)
        self._now = self._clock()

    def commit(self) -> Batch | None:
        """Commit, and return the appended entries; None if there are none."""
        self._transaction.commit(len(self._appended))
        self._indexer.committed(self.position)
        if not self._appended:
            return None
        batch = Batch(self._appended)
        self._appended = []
        return batch

    def roll_back(self) -> None:
        """Undo everything since `begin`."""
        self._transaction.roll_back()
        self._directory.forget()
        self.mutes.forget()
        self.blocks.forget()
        self._indexer.roll_back()
        self.position = self._position_before
        self._appended = []

    def start(self, drop: Callable[[], None]) -> None:
        """Start to index; `drop` is called, in any thread, when `drop_outdated` has work to do."""
        self._indexer.start(drop)

    def drop_outdated(self) -> None:
        """Remove what texts were before they changed, once the index has lost it. A write."""
        lost = self._indexer.lost
        self.db.execute("DELETE FROM outdated WHERE changed <= ?", (lost,))
        self._dropped = lost

    def close(self) -> None:
        """Close the database; bring the index up to date first, unless very much is missing."""
        try:
            self._indexer.stop()
            if self._dropped < self._indexer.lost:
                self.begin()
                self.drop_outdated()
                self.commit()
        except BaseException:  # also StoreCorrupt, where the file was moved
            self.roll_back()
            raise
        finally:
            self._transaction.close()

    def abandon(self) -> None:
        """Close the database, which is damaged, and change nothing."""
        self._indexer.stop(finish=False)
        self._transaction.abandon()

    @property
    def unindexed(self) -> int:
        """How many texts wait for the search index. Any thread may ask."""
        return self._indexer.unindexed

    @property
    def outdated(self) -> int:
        """How many texts wait to leave the search index, or to be indexed anew."""
        return self._indexer.outdated

    def head(self, key: ConversationKey) -> int:
        """Return the newest seq of a conversation, or 0. Use inside a transaction."""
        conversation = self._directory.conversation(key)
        return 0 if conversation is None else conversation.seq

    # -- appending ------------------------------------------------------------------------------

    def append(self, drafts: Sequence[Draft]) -> list[Appended | Unchanged | ChatError]:
        """Append each draft, or return the error that refuses it; stop where one fails for now."""
        outcomes: list[Appended | Unchanged | ChatError] = []
        for draft in drafts:
            outcomes.append(self._append(draft))
            if isinstance(outcomes[-1], FactsChanged):
                break
        return outcomes

    def _append(self, draft: Draft) -> Appended | Unchanged | ChatError:
        # Everything that can be refused is refused before anything is written, so no savepoint is
        # needed.
        try:
            conversation = self._directory.conversation(draft.conversation)
            # Most messages change nothing but the log, which itself refuses a `cid` that it has.
            is_plain = (
                draft.kind == "text"
                and not self.has_dropped_cids
                and conversation is not None
                and (conversation.has_people or not conversations.is_private(conversation.key))
            )
            if not is_plain and (earlier := self._earlier(draft, conversation)) is not None:
                return earlier
            if draft.facts is not None and not facts.hold(
                self.db, draft.facts, draft, conversation, self._now, self.mutes, self.blocks
            ):
                earlier = self._earlier(draft, conversation) if is_plain else None
                return FactsChanged() if earlier is None else earlier
            for person in (draft.sender_key, draft.subject, *draft.mentioned):
                if person is not None:
                    self._directory.name(person)
            match draft.kind:
                case "text":
                    return self._append_text(draft, conversation)
                case kind if kind in OF_MESSAGES:
                    return self._append_change(draft, conversation)
                case "create":
                    return self._append_create(draft, conversation)
                case _:
                    return self._append_to_room(draft, conversation)
        except ChatError as error:
            return error

    def _earlier(self, draft: Draft, conversation: KnownConversation | None) -> Appended | None:
        """Return the entry that its sender has appended with this `cid` before.

        Raises:
            ChatError: ``cid_conflict``: that is another one.
        """
        if draft.cid is None:
            return None
        id_, shape = (None, None) if conversation is None else (conversation.id, conversation.shape)
        return find_by_cid(self.db, draft, id_, shape, has_dropped=self.has_dropped_cids)

    def _append_text(self, draft: Draft, conversation: KnownConversation | None) -> Appended:
        if conversation is None:
            if not conversations.is_private(draft.conversation):
                raise conversations.unknown(draft.to)
            conversation = self._directory.create_private(draft.conversation)
        if conversations.is_private(conversation.key) and not conversation.has_people:
            self.db.executemany(
                "INSERT INTO participant (person, conversation, peer, since) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                [
                    (
                        person,
                        conversation.id,
                        conversations.peer(conversation.key, person),
                        self._now,
                    )
                    for person in conversations.participants(conversation.key)
                ],
            )
            conversation.has_people = True
        draft = without_blocked_mentions(self.db, draft)
        appended = self._insert(draft, conversation)
        if appended.dup:
            return appended
        entry = first_id(conversation.id) + conversation.seq
        self._indexer.append(self.position, entry, len(draft.text))
        if conversation.modes.slow:
            modes.begin_wait(self.db, conversation, draft.sender_key, self._now)
        self._mention(entry, draft)
        self._list(draft, conversation, entry)
        if draft.ref is not None and not conversations.is_private(conversation.key):
            answered = self.db.execute(
                "SELECT sender FROM entry WHERE id = ?", (first_id(conversation.id) + draft.ref,)
            ).fetchone()
            if answered is not None:
                self._concern(NameKey(answered[0]), draft, conversation)
        return appended

    def _append_change(
        self, draft: Draft, conversation: KnownConversation | None
    ) -> Appended | Unchanged:
        target = None
        if conversation is not None and draft.ref is not None and 0 < draft.ref <= conversation.seq:
            target = self.db.execute(
                "SELECT id, position, ts, sender, kind, text, cid, mentions, edited, deleted"
                " FROM entry WHERE id = ? AND kind = 'text' AND NOT deleted",
                (first_id(conversation.id) + draft.ref,),
            ).fetchone()
        if conversation is None or target is None:
            raise unknown_message(draft.ref, draft.to)
        old = OldEntry._make(target)
        if draft.kind in ("react", "unreact"):
            return self._append_reaction(draft, conversation, old)
        if draft.kind in ("pin", "unpin"):
            return self._append_pin(draft, conversation, old)
        draft = without_blocked_mentions(self.db, draft)
        appended = self._insert(draft, conversation)
        if draft.kind == "edit":
            self._outdate(old)
            self.db.execute(
                "UPDATE entry SET text = ?, mentions = ?, edited = ? WHERE id = ?",
                (draft.text, ",".join(draft.mentions) or None, conversation.seq, old.id),
            )
            self._mention(old.id, draft)
            self._list(draft, conversation, old.id, known=old.mentions or "")
        else:
            self.take_back(old)
        return appended

    def take_back(self, old: OldEntry) -> None:
        """Erase a message, or an edit: its text, and what was derived from it."""
        if old.kind == "text":
            self._outdate(old)
        self._erase(old.id)
        self.db.execute("DELETE FROM reaction WHERE entry = ?", (old.id,))

    def _outdate(self, old: OldEntry) -> None:
        """Prepare a message for another text, or none."""
        self._indexer.change(self.db, old.id, old.position, old.text)
        self._unmention(old.id, old.mentions)
        if old.edited is not None:
            # Only the last edit of a message has a text: each edit erases the one before. So what
            # a deletion has to erase doesn't grow with the number of edits.
            self._erase((old.id & ~MAX_SEQ) + old.edited)

    def _append_reaction(
        self, draft: Draft, conversation: KnownConversation, target: OldEntry
    ) -> Appended | Unchanged:
        # A reaction exists once, and only an existing one can be removed: clients count them.
        key = (target.id, draft.text, draft.sender_key)
        given = self.db.execute(
            "SELECT seq FROM reaction WHERE entry = ? AND emoji = ? AND person = ?", key
        ).fetchone()
        if (given is not None) == (draft.kind == "react"):
            return Unchanged()
        appended = self._insert(draft, conversation)
        if draft.kind == "react":
            self.db.execute(
                "INSERT INTO reaction (entry, emoji, person, seq) VALUES (?, ?, ?, ?)",
                (*key, conversation.seq),
            )
            self._concern(target.sender, draft, conversation)
        else:
            assert given is not None
            activity.remove(self.db, target.sender, first_id(conversation.id) + given[0])
            self._concern(target.sender, draft, conversation)
            self.db.execute(
                "DELETE FROM reaction WHERE entry = ? AND emoji = ? AND person = ?", key
            )
        return appended

    def _append_pin(
        self, draft: Draft, conversation: KnownConversation, target: OldEntry
    ) -> Appended | Unchanged:
        is_on = draft.kind == "pin"
        if pins.is_pinned(self.db, target.id) == is_on:
            return Unchanged()
        if is_on and pins.is_full(self.db, conversation.id):
            raise too_many_pins(draft.to)
        appended = self._insert(draft, conversation)
        pins.set_pin(self.db, target.id, conversation.seq if is_on else None)
        return appended

    def _erase(self, entry: int) -> None:
        self.db.execute(
            "UPDATE entry SET text = '', mentions = NULL, extra = NULL, deleted = 1, pinned = NULL"
            " WHERE id = ?",
            (entry,),
        )

    def _append_create(self, draft: Draft, conversation: KnownConversation | None) -> Appended:
        if conversation is not None:
            raise room_exists(draft.to)
        skeletons.claim(self.db, draft.conversation, draft.to)
        room = self._directory.create_room(
            draft.conversation, draft.to, is_private=draft.text == "private"
        )
        appended = self._insert(draft, room)
        rooms.apply(self.db, draft, room, self._now)
        return appended

    def _append_to_room(self, draft: Draft, conversation: KnownConversation | None) -> Appended:
        if conversation is None:
            raise conversations.unknown(draft.to)
        appended = self._insert(draft, conversation)
        conversation.standings.clear()
        effect = rooms.apply(self.db, draft, conversation, self._now)
        if effect != rooms.NO_EFFECT:
            self._appended[-1] = replace(self._appended[-1], **effect._asdict())
        return appended

    # -- parts ----------------------------------------------------------------------------------

    def _insert(self, draft: Draft, conversation: KnownConversation) -> Appended:
        """Insert an entry; or return the one with the same `cid`, if that was not looked for."""
        ahead = conversation.ts - self._now
        if ahead > MAX_AHEAD:
            self._clock_warnings.note(ahead)
        if not 0 <= ahead <= MAX_AHEAD:
            conversation.ts = self._now
        mentions = draft.mentions if draft.kind in ("text", "edit") else ()
        inserted = self.db.execute(
            "INSERT INTO entry (id, position, ts, sender, kind, text, ref, cid, mentions,"
            " extra) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (sender, cid) WHERE cid IS NOT NULL DO NOTHING",
            (
                first_id(conversation.id) + conversation.seq + 1,
                self.position + 1,
                conversation.ts,
                draft.sender_key,
                draft.kind,
                draft.text,
                draft.ref,
                draft.cid,
                ",".join(mentions) or None,
                draft.extra or None,
            ),
        )
        if not inserted.rowcount:
            earlier = self._earlier(draft, conversation)
            assert earlier is not None
            return earlier
        conversation.seq += 1
        self.position += 1
        entry = Message(
            to=conversation.shape.to(draft.sender_key),
            epoch=self._epoch,
            seq=conversation.seq,
            ts=conversation.ts,
            from_=self._directory.name(draft.sender_key),
            kind=draft.kind,
            text=draft.text,
            ref=draft.ref,
            cid=draft.cid,
            mentions=mentions,
        )
        entry = extended(entry, draft.extra)
        self._appended.append(Logged(conversation.key, entry, draft.subject))
        return Appended(entry)

    def _concern(self, person: NameKey, draft: Draft, conversation: KnownConversation) -> None:
        """Record that the last entry is about what a person wrote, and list what can be read."""
        if person != draft.sender_key:
            if draft.kind != "unreact":
                newest = first_id(conversation.id) + conversation.seq
                activity.add(self.db, (person,), newest, conversation.ts)
            self._appended[-1] = replace(self._appended[-1], author=person)

    def _list(
        self, draft: Draft, conversation: KnownConversation, entry: int, known: str = ""
    ) -> None:
        """List a message for those whom it mentions, unless it did as its mentions are `known`."""
        if draft.mentioned:
            before = known.split(",")
            people = [
                person
                for person, name in zip(draft.mentioned, draft.mentions, strict=True)
                if person != draft.sender_key and name not in before
            ]
            activity.add(self.db, people, entry, conversation.ts)

    def _mention(self, entry: int, draft: Draft) -> None:
        if draft.mentioned:
            self.db.executemany(
                "INSERT INTO mention (person, entry) VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(person, entry) for person in draft.mentioned if person != draft.sender_key],
            )

    def _unmention(self, entry: int, mentions: str | None) -> None:
        if mentions:
            self.db.executemany(
                "DELETE FROM mention WHERE person = ? AND entry = ?",
                [(names.known(name), entry) for name in mentions.split(",")],
            )
