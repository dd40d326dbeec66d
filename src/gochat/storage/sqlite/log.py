"""The log, as it is written: drafts become entries, and entries change what they are about.

Everything here happens in the writer's thread, inside its transactions.
"""

# ruff: noqa: S608 -- what goes into statements is this package's own lists of columns

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from gochat.chat import conversations, names
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.store import Appended, Batch, Draft, Logged
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Message
from gochat.storage.sqlite import search
from gochat.storage.sqlite.entries import (
    COLUMNS,
    FROM,
    MAX_SEQ,
    SEQ_BITS,
    Row,
    Shape,
    first_id,
    last_id,
    with_reactions,
)
from gochat.storage.sqlite.reader import Connections

#: Conversations and people remembered; when there are more, it begins anew. A few megabytes.
MAX_REMEMBERED: Final = 20_000
#: Texts that are indexed together. One by one they would cost five times as much; more would make
#: the next write wait for longer than the 5 ms that this takes. A search looks through those that
#: wait by itself.
INDEX_BATCH: Final = 256
#: Pages of the index that are merged after each batch. A batch adds 6 pages, each of which is
#: merged about six times until it is one of a million messages. FTS5 left to itself merges more
#: at once, and everybody waits for 50 ms.
MERGED_PAGES: Final = 48
#: Pages of WAL (estimated) after which it is written to the database. That takes some 20 ms, so it
#: is done between commits and not, as SQLite would, inside one; and not too often, for many
#: commits change the same pages.
CHECKPOINT_PAGES: Final = 4000
#: Pages that a commit changes, and that an entry adds to it: measured, and rounded up.
_PAGES_PER_COMMIT: Final = 6
_ENTRIES_PER_PAGE: Final = 4


class _Conversation:
    """What the writer remembers of a conversation: `seq` and `ts` are those of its last entry."""

    __slots__ = ("has_people", "id", "key", "seq", "shape", "ts")

    def __init__(self, key: ConversationKey, id_: int, seq: int, ts: int, shape: Shape) -> None:
        self.key: Final = key
        self.id: Final = id_
        self.shape: Final = shape
        self.seq = seq
        self.ts = ts
        #: Of a private one: both are known to have it among theirs.
        self.has_people = False


class Log:
    """Appends, and keeps all that follows from an entry in step with it."""

    def __init__(self, connections: Connections, epoch: str, clock: Callable[[], int]) -> None:
        self._connections = connections
        self.db = connections.take()
        self._holds_db = True
        self._epoch = epoch
        self._clock = clock
        self._conversations: dict[ConversationKey, _Conversation] = {}
        self._names: dict[NameKey, str] = {}
        self._appended: list[Logged] = []
        self._markers: dict[tuple[NameKey, int], int] = {}
        self._now = 0
        self._wal_pages = 0
        self._indexed, self.position, self._unindexed = self._resume_indexing()
        self._before = (self.position, len(self._unindexed))
        self._give_back()

    # -- transactions (see writer.py) -----------------------------------------------------------

    def begin(self) -> None:
        """Open a transaction."""
        if max(len(self._conversations), len(self._names)) > MAX_REMEMBERED:
            self._forget()
        self._open()
        self._now = self._clock()

    def commit(self) -> Batch | None:
        """Commit, and return what was appended."""
        if self._markers:
            self.db.executemany(
                "UPDATE participant SET read = ?3 WHERE person = ?1 AND conversation = ?2"
                " AND read < ?3",
                [(person, id_, seq) for (person, id_), seq in self._markers.items()],
            )
            self._markers.clear()
        self._commit()
        self._wal_pages += _PAGES_PER_COMMIT + len(self._appended) // _ENTRIES_PER_PAGE
        if not self._appended:
            return None
        batch = Batch(self._appended, self.position)
        self._appended = []
        return batch

    def roll_back(self) -> None:
        """Undo what was done since `begin`."""
        with suppress(sqlite3.Error):  # then SQLite has rolled back by itself
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
        self._appended = []
        self._markers.clear()
        self.position, unindexed = self._before
        del self._unindexed[unindexed:]
        self._forget()
        self._give_back()

    def rest(self) -> None:
        """Do what could wait for the commit: index, and write back the WAL, if it is time to."""
        if len(self._unindexed) >= INDEX_BATCH:
            self._try_to_index()
        if self._wal_pages >= CHECKPOINT_PAGES:
            self._wal_pages = 0
            with suppress(sqlite3.Error):  # the WAL is as safe a place
                self.db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Release the database, with its index up to date."""
        if self._unindexed:
            self._try_to_index()
        self._connections.close()

    def _open(self) -> None:
        self._before = (self.position, len(self._unindexed))
        self.db = self._connections.take()
        self._holds_db = True
        self.db.execute("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        self.db.execute("COMMIT")
        self._give_back()

    def _give_back(self) -> None:
        if self._holds_db:
            self._holds_db = False
            self._connections.give_back(self.db)

    def _try_to_index(self) -> None:
        try:
            self._index()
        except sqlite3.Error:
            self.roll_back()  # it can wait longer

    def _index(self) -> None:
        self._open()
        texts = []
        for entry in self._unindexed:
            (text,) = self.db.execute("SELECT text FROM entry WHERE id = ?", (entry,)).fetchone()
            texts.append((entry, text))
        search.add(self.db, texts)
        search.merge(self.db, MERGED_PAGES)
        self.db.execute("UPDATE meta SET value = ? WHERE key = 'indexed'", (self.position,))
        self._commit()
        self._indexed = self.position
        self._unindexed.clear()

    def head(self, key: ConversationKey) -> int:
        """Return the newest seq of a conversation, inside a transaction."""
        conversation = self._conversation(key)
        return 0 if conversation is None else conversation.seq

    def _forget(self) -> None:
        self._conversations.clear()
        self._names.clear()

    def _resume_indexing(self) -> tuple[int, int, list[int]]:
        """Find the last position, and the texts that are not yet in the index."""
        (indexed,) = self.db.execute("SELECT value FROM meta WHERE key = 'indexed'").fetchone()
        position, unindexed = indexed, []
        heads = self.db.execute(
            "SELECT c.id, (SELECT e.position FROM entry e WHERE e.id BETWEEN c.id << ?1"
            " AND (c.id << ?1) + ?2 ORDER BY e.id DESC LIMIT 1) AS head"
            " FROM conversation c WHERE head > ?3",
            (SEQ_BITS, MAX_SEQ, indexed),
        ).fetchall()
        for id_, head in heads:
            position = max(position, head)
            rows = self.db.execute(
                "SELECT id, position, kind FROM entry WHERE id BETWEEN ? AND ? ORDER BY id DESC",
                (first_id(id_), last_id(id_)),
            )
            for entry, at, kind in rows:
                if at <= indexed:
                    break
                if kind == "text":
                    unindexed.append(entry)
        return indexed, position, unindexed

    # -- appending ------------------------------------------------------------------------------

    def append(self, drafts: Sequence[Draft]) -> list[Appended | ChatError]:
        """Append each draft, or say why not."""
        return [self._append(draft) for draft in drafts]

    def _append(self, draft: Draft) -> Appended | ChatError:
        try:
            conversation = self._conversation(draft.conversation)
            if draft.cid is not None:
                row = self.db.execute(
                    f"SELECT {COLUMNS} FROM {FROM} WHERE e.sender = ? AND e.cid = ?",
                    (draft.sender_key, draft.cid),
                ).fetchone()
                if row is not None:
                    return Appended(self._said_before(draft, conversation, row), dup=True)
            for person in (draft.sender_key, draft.subject, *draft.mentioned):
                if person is not None:
                    self._name(person)
            match draft.kind:
                case "text":
                    return self._append_text(draft, conversation)
                case "edit" | "delete" | "react" | "unreact":
                    return self._append_change(draft, conversation)
                case "create":
                    return self._append_create(draft, conversation)
                case _:
                    return self._append_to_room(draft, conversation)
        except ChatError as error:
            return error

    def _append_text(self, draft: Draft, conversation: _Conversation | None) -> Appended:
        if conversation is None:
            conversation = self._create_private(draft)
        if conversations.is_private(draft.conversation) and not conversation.has_people:
            self.db.executemany(
                "INSERT INTO participant (person, conversation, peer, since) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                [
                    (person, conversation.id, conversations.peer(conversation.key, person), 0)
                    for person in conversations.participants(conversation.key)
                ],
            )
            conversation.has_people = True
        appended = self._insert(draft, conversation)
        entry = first_id(conversation.id) + conversation.seq
        self._unindexed.append(entry)
        self._markers[draft.sender_key, conversation.id] = conversation.seq
        if draft.mentioned:
            self._mention(entry, draft.mentioned)
        return appended

    def _append_change(self, draft: Draft, conversation: _Conversation | None) -> Appended:
        target = None
        if conversation is not None and draft.ref is not None and 0 < draft.ref <= conversation.seq:
            id_ = first_id(conversation.id) + draft.ref
            target = self.db.execute(
                "SELECT id, position, text, mentions, edited FROM entry"
                " WHERE id = ? AND kind = 'text' AND NOT deleted",
                (id_,),
            ).fetchone()
        if conversation is None or target is None:
            raise ChatError(
                ErrorCode.UNKNOWN_MESSAGE,
                f"there is no message {draft.ref} in {draft.to}",
                field="seq",
            )
        entry, position, text, mentions, edited = target
        appended = self._insert(draft, conversation, edited if draft.kind == "edit" else None)
        if draft.kind == "react":
            self.db.execute(
                "INSERT INTO reaction (entry, emoji, person, seq) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (entry, draft.text, draft.sender_key, conversation.seq),
            )
        elif draft.kind == "unreact":
            self.db.execute(
                "DELETE FROM reaction WHERE entry = ? AND emoji = ? AND person = ?",
                (entry, draft.text, draft.sender_key),
            )
        else:
            if mentions:
                self.db.executemany(
                    "DELETE FROM mention WHERE person = ? AND entry = ?",
                    [(names.fold(name), entry) for name in mentions.split(",")],
                )
            if position <= self._indexed:
                search.remove(self.db, entry, text)
            if draft.kind == "edit":
                self._edit(draft, conversation, entry)
                if position <= self._indexed:
                    search.add(self.db, [(entry, draft.text)])
            else:
                self._delete(conversation, entry, edited)
        return appended

    def _edit(self, draft: Draft, conversation: _Conversation, entry: int) -> None:
        self.db.execute(
            "UPDATE entry SET text = ?, mentions = ?, edited = ? WHERE id = ?",
            (draft.text, ",".join(draft.mentions) or None, conversation.seq, entry),
        )
        if draft.mentioned:
            self._mention(entry, draft.mentioned)

    def _delete(self, conversation: _Conversation, entry: int, edited: int | None) -> None:
        self.db.execute("DELETE FROM reaction WHERE entry = ?", (entry,))
        blank = "UPDATE entry SET text = '', mentions = NULL, deleted = 1 WHERE id = ?"
        self.db.execute(blank, (entry,))
        while edited is not None:
            entry = first_id(conversation.id) + edited
            self.db.execute(blank, (entry,))
            (edited,) = self.db.execute(
                "SELECT edited FROM entry WHERE id = ?", (entry,)
            ).fetchone()

    def _append_create(self, draft: Draft, conversation: _Conversation | None) -> Appended:
        if conversation is not None:
            raise ChatError(
                ErrorCode.ROOM_EXISTS, f"there is a room {draft.to} already", field="room"
            )
        cursor = self.db.execute(
            "INSERT INTO conversation (key, name, private, members) VALUES (?, ?, ?, 1)",
            (draft.conversation, draft.to, draft.text == "private"),
        )
        conversation = self._remember(draft.conversation, cursor.lastrowid, draft.to)
        appended = self._insert(draft, conversation)
        self.db.execute(
            "INSERT INTO participant (person, conversation, role, since, read)"
            " VALUES (?, ?, 'operator', ?, ?)",
            (draft.sender_key, conversation.id, conversation.ts, conversation.seq),
        )
        return appended

    def _append_to_room(self, draft: Draft, conversation: _Conversation | None) -> Appended:
        if conversation is None:
            raise conversations.unknown(draft.to)
        appended = self._insert(draft, conversation)
        id_, subject = conversation.id, draft.subject
        match draft.kind:
            case "topic":
                self.db.execute("UPDATE conversation SET topic = ? WHERE id = ?", (draft.text, id_))
            case "access":
                self.db.execute(
                    "UPDATE conversation SET private = ? WHERE id = ?",
                    (draft.text == "private", id_),
                )
            case _ if conversation.key == LOBBY_KEY:
                pass  # everybody is in it, always
            case "join":
                self._join(conversation, draft.sender_key)
            case "leave":
                self._remove(conversation, draft.sender_key)
            case "kick" if subject is not None:
                self._remove(conversation, subject)
            case "invite" if subject is not None:
                self.db.execute(
                    "INSERT INTO participant (person, conversation, role, since)"
                    " VALUES (?, ?, 'invited', ?) ON CONFLICT DO NOTHING",
                    (subject, id_, conversation.ts),
                )
            case "operator" | "member" if subject is not None:
                self.db.execute(
                    "UPDATE participant SET role = ? WHERE person = ? AND conversation = ?"
                    " AND role IN ('member', 'operator')",
                    (draft.kind, subject, id_),
                )
        return appended

    def _join(self, conversation: _Conversation, person: NameKey) -> None:
        joined = self.db.execute(
            "INSERT INTO participant (person, conversation, role, since, read)"
            " VALUES (?1, ?2, (SELECT CASE members WHEN 0 THEN 'operator' ELSE 'member' END"
            " FROM conversation WHERE id = ?2), ?3, ?4)"
            " ON CONFLICT DO UPDATE SET role = excluded.role, since = excluded.since,"
            " read = excluded.read WHERE role = 'invited'",
            (person, conversation.id, conversation.ts, conversation.seq),
        ).rowcount
        self._count_members(conversation, joined)

    def _remove(self, conversation: _Conversation, person: NameKey) -> None:
        one = (person, conversation.id)
        left = self.db.execute(
            "DELETE FROM participant WHERE person = ? AND conversation = ?"
            " AND role IN ('member', 'operator')",
            one,
        ).rowcount
        if not left:
            self.db.execute("DELETE FROM participant WHERE person = ? AND conversation = ?", one)
        self._count_members(conversation, -left)

    def _count_members(self, conversation: _Conversation, change: int) -> None:
        self.db.execute(
            "UPDATE conversation SET members = members + ? WHERE id = ?", (change, conversation.id)
        )

    # -- parts ----------------------------------------------------------------------------------

    def _insert(
        self, draft: Draft, conversation: _Conversation, edited: int | None = None
    ) -> Appended:
        conversation.seq += 1
        conversation.ts = max(conversation.ts, self._now)
        self.position += 1
        mentions = draft.mentions if draft.kind in ("text", "edit") else ()
        self.db.execute(
            "INSERT INTO entry (id, position, ts, sender, kind, text, ref, cid, mentions, edited)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                first_id(conversation.id) + conversation.seq,
                self.position,
                conversation.ts,
                draft.sender_key,
                draft.kind,
                draft.text,
                draft.ref,
                draft.cid,
                ",".join(mentions) or None,
                edited,
            ),
        )
        entry = Message(
            to=conversation.shape.to(draft.sender_key),
            epoch=self._epoch,
            seq=conversation.seq,
            ts=conversation.ts,
            from_=self._name(draft.sender_key),
            kind=draft.kind,
            text=draft.text,
            ref=draft.ref,
            cid=draft.cid,
            mentions=mentions,
        )
        self._appended.append(Logged(conversation.key, entry, draft.subject))
        return Appended(entry)

    def _said_before(self, draft: Draft, conversation: _Conversation | None, row: Row) -> Message:
        """Return what this sender said with this `cid`, if it is the same."""
        if conversation is not None and row[0] >> SEQ_BITS == conversation.id:
            said = conversation.shape.message(row)
            has_changed = said.deleted or said.edited is not None
            if (said.kind, said.ref) == (draft.kind, draft.ref) and (
                said.text == draft.text or has_changed
            ):
                return with_reactions(self.db, conversation.id, [said], draft.sender_key)[0]
        raise ChatError(
            ErrorCode.CID_CONFLICT, "something else was said with this cid", field="cid"
        )

    def _mention(self, entry: int, people: Sequence[NameKey]) -> None:
        self.db.executemany(
            "INSERT INTO mention (person, entry) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(person, entry) for person in people],
        )

    def _create_private(self, draft: Draft) -> _Conversation:
        if not conversations.is_private(draft.conversation):
            raise conversations.unknown(draft.to)
        for person in conversations.participants(draft.conversation):
            self._name(person)
        cursor = self.db.execute("INSERT INTO conversation (key) VALUES (?)", (draft.conversation,))
        return self._remember(draft.conversation, cursor.lastrowid, None)

    def _conversation(self, key: ConversationKey) -> _Conversation | None:
        conversation = self._conversations.get(key)
        if conversation is not None:
            return conversation
        row = self.db.execute("SELECT id, name FROM conversation WHERE key = ?", (key,)).fetchone()
        return None if row is None else self._remember(key, *row)

    def _remember(self, key: ConversationKey, id_: int | None, name: str | None) -> _Conversation:
        assert id_ is not None
        head = self.db.execute(
            "SELECT id, ts FROM entry WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
            (first_id(id_), last_id(id_)),
        ).fetchone()
        seq, ts = (head[0] & MAX_SEQ, head[1]) if head is not None else (0, 0)
        shape = Shape(self.db, key, name, self._epoch)
        conversation = self._conversations[key] = _Conversation(key, id_, seq, ts, shape)
        return conversation

    def _name(self, person: NameKey) -> str:
        """Return the shown name of an account."""
        name = self._names.get(person)
        if name is None:
            row = self.db.execute("SELECT name FROM account WHERE key = ?", (person,)).fetchone()
            if row is None:
                raise ChatError(ErrorCode.UNKNOWN_PERSON, f"there is nobody called {person!r}")
            name = self._names[person] = row[0]
        return name
