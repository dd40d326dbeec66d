"""The embedded store: one SQLite file, one server process.

::

    append, mark_read … ─▶ writer.py: group commits ─▶ log.py: entries and their effects
                                   └─▶ followers, then the callers
    account, room …     ─▶ reader.py, at once where that is fast ┐
    page …              ─▶ reader.py ┐                           ├ connections of their own,
    search              ─▶ finder.py ┴ in threads                ┘ on snapshots
    the search index    ◀─ indexer.py, which follows the log: a thread and a file of its own

In WAL mode, readers and the writer don't block each other. An in-memory database has only one
connection, which they share in turns.
"""

# ruff: noqa: D102 -- the protocol documents the methods, once

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar, cast

import trio

from gochat.chat.account import Account
from gochat.chat.activity import ActivityIndex
from gochat.chat.at_once import UNASKED, WouldWait
from gochat.chat.conversations import ConversationKey, Summary
from gochat.chat.effort import counted
from gochat.chat.health import StoreHealth
from gochat.chat.log import (
    Appended,
    Batch,
    Draft,
    Page,
    Submission,
    Together,
    Unchanged,
    Waiting,
)
from gochat.chat.names import NameKey
from gochat.chat.pins import PinRef
from gochat.chat.restriction import Restriction, held
from gochat.chat.room_state import RoomState
from gochat.chat.saved import SavedRef
from gochat.chat.store import Store
from gochat.chat.token import Token
from gochat.errors import ChatError, StoreCorrupt, StoreUnavailable
from gochat.protocol.messages import (
    Conversation,
    Invitation,
    Level,
    Member,
    Message,
    Room,
    RoomBan,
    Status,
)
from gochat.storage.common.followers import Followers
from gochat.storage.common.integrity import Integrity
from gochat.storage.common.sqlite_url import Location, parse_url
from gochat.storage.common.submitting import report
from gochat.storage.sqlite import (
    accounts,
    activity,
    database,
    files,
    history,
    people,
    pins,
    reserving,
    saved,
    tokens,
)
from gochat.storage.sqlite.administration import SqliteAdministration
from gochat.storage.sqlite.admission import SqliteAdmission
from gochat.storage.sqlite.at_once import AtOnce
from gochat.storage.sqlite.checkpoints import Checkpoints
from gochat.storage.sqlite.connections import ConnectionPool
from gochat.storage.sqlite.entries import last_position
from gochat.storage.sqlite.errors import mapped_errors
from gochat.storage.sqlite.files import FileIdentity
from gochat.storage.sqlite.finder import Finder
from gochat.storage.sqlite.indexer import Indexer, last_change
from gochat.storage.sqlite.indexing_process import IndexingProcess
from gochat.storage.sqlite.log import Log
from gochat.storage.sqlite.network_bans import SqliteNetworkBans
from gochat.storage.sqlite.pace import Pace
from gochat.storage.sqlite.reader import Reader
from gochat.storage.sqlite.reports import SqliteReports
from gochat.storage.sqlite.retention import SqliteRetention
from gochat.storage.sqlite.search_index import SearchIndex
from gochat.storage.sqlite.watch import Watch
from gochat.storage.sqlite.writer import Write, Writer, open_writer

T = TypeVar("T")

#: Concurrent reads. They hold the GIL most of the time, so more would only take turns.
READERS: Final = 2
#: Concurrent searches, on separate connections: a slow search delays searches, but no history.
SEARCHERS: Final = 1
#: Entries of a page that are read in the loop's thread, where that is fast: a change of thread
#: costs more, and beside many messages the thread waits for the interpreter again and again.
FEW_ENTRIES: Final = 64


class SqliteStore:
    """A :class:`~gochat.chat.store.Store` in SQLite. Made by :func:`open_sqlite`."""

    def __init__(
        self,
        writer: Writer,
        log: Log,
        followers: Followers,
        reader: Reader,
        here: AtOnce | None,
        finder: Finder,
        integrity: Integrity,
        clock: Callable[[], int],
        health: StoreHealth,
    ) -> None:
        self.node_bus: Final = None  # a file has one server
        self.health: Final = health
        self._writer = writer
        self._log = log
        self._followers = followers
        self._reader = reader
        self._here = here
        self.at_once: Final = UNASKED if here is None else cast("Store", here)
        self._finder = finder
        self._integrity = integrity
        self._clock = clock
        self._reading = trio.CapacityLimiter(READERS)
        self._searching = trio.CapacityLimiter(SEARCHERS)
        self.administration = SqliteAdministration(writer, log, reader, self._read)
        self.admission = SqliteAdmission(writer, log)
        self.network_bans = SqliteNetworkBans(writer, log, reader, self._read)
        self.reports = SqliteReports(writer, log, reader, self._read)
        self.retention = SqliteRetention(writer, log, reader, self._read, clock)

    @property
    def unindexed(self) -> int:
        return self._log.unindexed

    async def check_writable(self) -> None:
        await self._writer.write(partial(people.check_writable, self._log, self._clock()))

    # -- accounts and tokens --------------------------------------------------------------------

    async def create_account(self, account: Account, invitation: bytes | None = None) -> bool:
        create = partial(people.create_account, self._log, account, invitation)
        return await self._writer.write(create)

    async def account(self, key: NameKey) -> Account | None:
        return await self._look_up(lambda reader: reader.account(key))

    async def display_names(self, keys: Collection[NameKey]) -> dict[NameKey, str]:
        return await self._look_up(lambda reader: reader.display_names(keys))

    async def set_status(self, account: Account, status: Status | None) -> bool:
        return await self._writer.write(partial(accounts.set_status, self._log, account, status))

    async def statuses(self, keys: Collection[NameKey]) -> dict[NameKey, Status]:
        return await self._look_up(
            lambda reader: reader.ask(lambda db: accounts.statuses(db, keys))
        )

    async def change_password(self, proved: Account, password_hash: str) -> bool:
        return await self._writer.write(
            partial(accounts.change_password, self._log, proved, password_hash)
        )

    async def rehash_password(self, proved: Account, password_hash: str) -> bool:
        return await self._writer.write(
            partial(people.rehash_password, self._log, proved, password_hash)
        )

    async def add_token(self, token: Token, address: str | None = None) -> Sequence[bytes] | None:
        return await self._writer.write(
            partial(tokens.add_token, self._log, token, address, self._clock())
        )

    async def last_login(self, account: NameKey, address: str) -> int | None:
        return await self._look_up(lambda reader: reader.last_login(account, address))

    async def token(self, token_id: bytes, now: int) -> Token | None:
        return await self._look_up(lambda reader: reader.token(token_id, now))

    async def void_token(self, token_id: bytes, now: int) -> Token | None:
        return await self._look_up(lambda reader: reader.void_token(token_id, now))

    async def tokens(self, account: NameKey, now: int) -> Sequence[Token]:
        return await self._read(partial(self._reader.tokens, account, now))

    async def renew_token(self, token_id: bytes, expires: int, address: str) -> bool:
        return await self._writer.write(
            partial(tokens.renew_token, self._log, token_id, expires, address, self._clock())
        )

    async def revoke_token(self, account: NameKey, token_id: bytes) -> bool:
        return await self._writer.write(partial(tokens.revoke_token, self._log, account, token_id))

    async def revoke_other_tokens(self, account: NameKey, token_id: bytes) -> Sequence[bytes]:
        return await self._writer.write(
            partial(tokens.revoke_other_tokens, self._log, account, token_id)
        )

    # -- the log --------------------------------------------------------------------------------

    async def append(self, drafts: Sequence[Draft]) -> list[Appended | Unchanged | ChatError]:
        return await self._writer.write(partial(self._log.append, drafts))

    def submit(self, submissions: Sequence[Submission], together: Together) -> None:
        self._writer.submit(
            [
                Write(partial(self._log.append, drafts), partial(report, done))
                for drafts, done in submissions
            ]
        )

    async def follow(
        self,
        deliver: Callable[[Batch], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        await self._followers.follow(deliver, task_status)

    async def page(
        self,
        conversation: ConversationKey,
        *,
        viewer: NameKey,
        before: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> Page:
        def question(reader: Reader) -> Page:
            return reader.page(conversation, viewer, before, after, limit)

        if limit > FEW_ENTRIES:
            return await self._read(partial(question, self._reader))
        return await self._look_up(question, is_page=True)

    async def waiting(
        self,
        conversation: ConversationKey,
        *,
        viewer: NameKey,
        after: int,
        limit: int,
    ) -> Waiting:
        return await self._read(partial(self._reader.waiting, conversation, viewer, after, limit))

    async def message(
        self, conversation: ConversationKey, seq: int, *, viewer: NameKey
    ) -> Message | None:
        return await self._look_up(lambda reader: reader.message(conversation, seq, viewer))

    async def pins(self, conversation: ConversationKey) -> list[PinRef]:
        return await self._read(lambda: self._reader.ask(lambda db: pins.read(db, conversation)))

    async def find_by_cid(self, draft: Draft) -> Appended | ChatError | None:
        found = await self._look_up(lambda reader: reader.find_by_cid(draft))
        if isinstance(found, Appended):
            # A reader sees a commit before the Trio thread learns of it: wait for the writer.
            await self._writer.write(lambda: None)
        return found

    async def search(
        self,
        viewer: NameKey,
        terms: tuple[str, ...],
        *,
        sender: NameKey | None = None,
        conversation: ConversationKey | None = None,
        cursor: str | None = None,
        limit: int,
    ) -> tuple[list[Message], str | None]:
        def question() -> tuple[list[Message], str | None]:
            with counted():
                return self._finder.search(viewer, terms, sender, conversation, cursor, limit)

        return await self._read(question, self._searching)

    # -- a person's conversations ---------------------------------------------------------------

    async def conversation_keys(self, person: NameKey) -> dict[ConversationKey, int]:
        return await self._read(partial(self._reader.conversation_keys, person))

    async def private_markers(self, person: NameKey) -> dict[ConversationKey, tuple[int, int]]:
        return await self._read(partial(self._reader.private_markers, person))

    async def summaries(
        self, person: NameKey, *, after: str, limit: int
    ) -> tuple[list[Summary], bool]:
        return await self._read(partial(self._reader.summaries, person, after, limit))

    async def conversation(
        self, person: NameKey, conversation: ConversationKey
    ) -> Conversation | None:
        return await self._read(partial(self._reader.conversation, person, conversation))

    async def mark_read(self, person: NameKey, conversation: ConversationKey, seq: int) -> bool:
        return await self._writer.write(
            partial(people.mark_read, self._log, person, conversation, seq)
        )

    async def activity(self, person: NameKey) -> ActivityIndex:
        return await self._read(lambda: self._reader.ask(lambda db: activity.read(db, person)))

    async def mark_activity(self, person: NameKey, seen: int) -> bool:
        return await self._writer.write(lambda: activity.mark(self._log.db, person, seen))

    async def set_saved(self, person: NameKey, ref: SavedRef, *, on: bool) -> bool:
        return await self._writer.write(lambda: saved.change(self._log.db, person, ref, on=on))

    async def saved(self, person: NameKey, *, all_of_them: bool = False) -> list[SavedRef]:
        question = partial(saved.read, person=person, all_of_them=all_of_them)
        return await self._read(lambda: self._reader.ask(question))

    async def set_level(self, person: NameKey, conversation: ConversationKey, level: Level) -> bool:
        return await self._writer.write(
            partial(people.set_level, self._log, person, conversation, level)
        )

    # -- blocks ---------------------------------------------------------------------------------

    async def set_blocked(self, person: NameKey, other: NameKey, *, on: bool) -> bool:
        write = partial(people.set_blocked, self._log, person, other, on=on)
        return await self._writer.write(write)

    async def blocked(self, person: NameKey) -> list[str]:
        return await self._look_up(lambda reader: reader.blocked(person))

    async def mute(self, person: NameKey) -> Restriction | None:
        account = await self.account(person)
        return None if account is None else held(account.mute, self._clock())

    async def blockers(self, one: NameKey, other: NameKey) -> Sequence[NameKey]:
        return await self._look_up(lambda reader: reader.blockers(one, other))

    # -- rooms ----------------------------------------------------------------------------------

    async def room(self, key: ConversationKey, person: NameKey) -> RoomState | None:
        return await self._look_up(lambda reader: reader.room(key, person, self._clock()))

    async def rooms(self, person: NameKey, *, after: str, limit: int) -> tuple[list[Room], bool]:
        return await self._read(partial(self._reader.rooms, person, after, limit))

    async def invitations(self, person: NameKey) -> list[Invitation]:
        return await self._read(partial(self._reader.invitations, person))

    async def members(
        self, key: ConversationKey, *, after: str, limit: int
    ) -> tuple[list[Member], int, bool]:
        return await self._read(partial(self._reader.members, key, after, limit))

    async def bans(
        self, key: ConversationKey, *, after: str, limit: int
    ) -> tuple[list[RoomBan], bool]:
        return await self._look_up(lambda reader: reader.bans(key, after, limit, self._clock()))

    async def _look_up(self, question: Callable[[Reader], T], *, is_page: bool = False) -> T:
        """Answer a question about a few rows: in this thread, unless that is slow now."""
        if self._here is not None:
            await trio.lowlevel.checkpoint_if_cancelled()
            with suppress(WouldWait):
                return self._here.ask(question, is_page=is_page)
        return await self._read(partial(question, self._reader))

    async def _read(
        self, question: Callable[[], T], limiter: trio.CapacityLimiter | None = None
    ) -> T:
        self._integrity.require()
        with self._watched():
            return await trio.to_thread.run_sync(question, limiter=limiter or self._reading)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Record whether reading worked."""
        try:
            yield
        except StoreUnavailable as error:
            if isinstance(error, StoreCorrupt):
                self._integrity.lose(error)
            self.health.failed("reader", error)
            raise
        self.health.succeeded("reader")


def _soon(function: Callable[[], None]) -> Callable[[], None]:
    """Return a function that any thread may call, which has the Trio thread call another."""
    token = trio.lowlevel.current_trio_token()

    def call() -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(function)

    return call


class _Parts:
    """What is opened in a worker thread, because opening does file I/O."""

    def __init__(
        self,
        location: Location,
        held: FileIdentity | None,
        clock: Callable[[], int],
        pace: Pace,
        integrity: Integrity,
    ) -> None:
        db, generations = database.open_database(location)
        self.index = SearchIndex(location)
        opened = [db]
        try:
            with mapped_errors(location.path):
                (self.epoch,) = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
                writing = ConnectionPool(db)
                watch = checkpoints = start_process = None
                self.at_once: ConnectionPool | None
                if location.path is None or held is None:
                    self.reading = self.searching = indexing = writing
                    self.at_once = None
                else:
                    path = location.path
                    opened.extend(
                        database.connect(path, "ro") for _ in range(READERS + SEARCHERS + 2)
                    )
                    self.reading = ConnectionPool(*opened[1 : READERS + 1])
                    self.searching = ConnectionPool(*opened[READERS + 1 : -2])
                    indexing = ConnectionPool(opened[-2])
                    opened[-1].execute("PRAGMA busy_timeout = 0")
                    self.at_once = ConnectionPool(opened[-1])
                    watch = Watch(path, held)
                    opened.append(database.connect(path))
                    checkpoints = Checkpoints(opened[-1], self.searching, pace, integrity)
                    files.close_to_others(path)
                    start_process = partial(
                        IndexingProcess, path, held, self.index, generations.now
                    )
                progress = self.index.open(generations.continued, generations.now, last_change(db))
                indexer = Indexer(
                    self.index,
                    progress,
                    last_position(db),
                    indexing,
                    integrity,
                    generations.now,
                    is_shared=indexing is writing,
                    start_process=start_process,
                )
                self.log = Log(writing, self.epoch, clock, indexer, watch, checkpoints)
        except BaseException:
            self.index.close()
            for connection in opened:
                connection.close()
            raise


@asynccontextmanager
async def open_sqlite(url: str, *, clock: Callable[[], int]) -> AsyncIterator[Store]:
    """See :func:`gochat.storage.open_store`."""
    location = parse_url(url)
    held = None
    if location.path is not None:
        location = replace(location, path=files.real(location.path))
    with ExitStack() as stack:
        if location.path is not None:
            held = stack.enter_context(reserving.reserved(location.path))
        followers = Followers()
        integrity, health = Integrity(followers.fail), StoreHealth()
        # In memory all connections are one, which the loop would have to wait for.
        pace = Pace(is_apart=location.path is None or location.synchronous == "full")
        parts = await trio.to_thread.run_sync(_Parts, location, held, clock, pace, integrity)
        if location.path is not None and held is not None:
            stack.callback(history.close, location.path, held)
        async with open_writer(parts.log, followers.deliver, integrity, health, pace) as writer:
            try:
                parts.log.start(_soon(lambda: writer.submit([Write(parts.log.drop_outdated)])))
                here = None
                if parts.at_once is not None:
                    reader = Reader(parts.at_once, parts.epoch)
                    here = AtOnce(reader, integrity, health, clock)
                yield SqliteStore(
                    writer,
                    parts.log,
                    followers,
                    Reader(parts.reading, parts.epoch),
                    here,
                    Finder(parts.searching, parts.index, parts.epoch),
                    integrity,
                    clock,
                    health,
                )
            finally:
                # Before the writer's connection, which is then the last one and removes the WAL.
                if location.path is not None:
                    parts.reading.close()
                    parts.searching.close()
                    if parts.at_once is not None:
                        parts.at_once.close()
