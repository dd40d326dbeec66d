"""The store for several nodes: Redis, standalone, with Sentinel, or as a Cluster.

::

    append ─▶ log.py ──┐                   ┌─▶ append.lua: entry, derived data, feed
    mark_read ─▶ people.py, ─▶ pipeline.py: threads, all waiting operations in one pipeline
    token ─▶ tokens.py ┤
    page, room … ─▶ reading.py ┘           └─▶ page.lua, standing.lua …
                                                            │
    follow ◀─ order.py: one order ◀─ feed.py: XREAD ◀───────┘   of all nodes

keys.py defines the keys, epoch_tracker.py detects when the data has another history than before,
topology.py knows which server has which part of it, and append_script.py what append.lua takes and
returns.
"""

# ruff: noqa: D102 -- the protocol documents the methods, once

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import trio

from gochat.chat.account import Account
from gochat.chat.activity import ActivityIndex
from gochat.chat.at_once import UNASKED
from gochat.chat.conversations import ConversationKey, Summary
from gochat.chat.effort import spent
from gochat.chat.health import StoreHealth
from gochat.chat.log import (
    Appended,
    Batch,
    Done,
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
from gochat.errors import ChatError, StoreUnavailable
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
from gochat.storage.common.clock import wall_clock
from gochat.storage.common.integrity import Integrity
from gochat.storage.common.submitting import report
from gochat.storage.redis import trim
from gochat.storage.redis.activity import Activity
from gochat.storage.redis.administration import AdministrationOperations, RedisAdministration
from gochat.storage.redis.admission import RedisAdmission
from gochat.storage.redis.bans import Bans
from gochat.storage.redis.blocks import Blocks
from gochat.storage.redis.feed import Feed
from gochat.storage.redis.invitations import Invitations
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import (
    PipelineWorker,
    open_pipeline_worker,
)
from gochat.storage.redis.link.url import parse_url
from gochat.storage.redis.link.wire import Broken, Refused
from gochat.storage.redis.log import Log, Pending
from gochat.storage.redis.names import Names
from gochat.storage.redis.network_bans import RedisNetworkBans
from gochat.storage.redis.nodes.bus import RedisNodeBus
from gochat.storage.redis.order import Order
from gochat.storage.redis.parts import connect
from gochat.storage.redis.people import PeopleOperations
from gochat.storage.redis.reading import Reading
from gochat.storage.redis.reports import RedisReports
from gochat.storage.redis.retention import RedisRetention
from gochat.storage.redis.saved import Saved
from gochat.storage.redis.search.finder import PER_ENTRY, Searcher
from gochat.storage.redis.search.indexer import Indexer
from gochat.storage.redis.summaries import Summaries
from gochat.storage.redis.tokens import TokenOperations

#: Workers for reading. They share the GIL, so more would only take turns.
READERS: Final = 2


class RedisStore:
    """A :class:`~gochat.chat.store.Store` in Redis. Made by :func:`open_redis`."""

    def __init__(
        self,
        *,
        keys: Keys,
        names: Names,
        writer: PipelineWorker,
        readers: Sequence[PipelineWorker],
        searcher: PipelineWorker,
        log: Log,
        reading: Reading,
        people: PeopleOperations,
        tokens: TokenOperations,
        search: Searcher,
        order: Order,
        node_bus: RedisNodeBus,
        clock: Callable[[], int] | None,
        health: StoreHealth,
        indexer: Indexer,
        nursery: trio.Nursery,
    ) -> None:
        self.node_bus: Final = node_bus
        self.at_once: Final = UNASKED
        self.health: Final = health
        self._keys = keys
        self._writer = writer
        self._readers = readers
        self._searcher = searcher
        self._log = log
        self._reading = reading
        self._summaries = Summaries(keys, reading)
        self._activity = Activity(keys, names, reading)
        self._saved = Saved(keys, reading)
        self._invitations = Invitations(keys, reading)
        self._bans = Bans(keys)
        self._blocks = Blocks(keys, names)
        self._people = people
        self._tokens = tokens
        self._search = search
        self._order = order
        self._indexer = indexer
        self._clock = clock or wall_clock
        self._nursery = nursery
        self.administration = RedisAdministration(
            AdministrationOperations(keys, people, tokens), people, writer, lambda: self._reader
        )
        self.admission = RedisAdmission(keys, writer)
        self.network_bans = RedisNetworkBans(keys, writer, lambda: self._reader)
        self.reports = RedisReports(keys, writer, lambda: self._reader)
        self.retention = RedisRetention(keys, writer, lambda: self._reader, indexer, clock)

    @property
    def unindexed(self) -> int:
        return self._indexer.waiting

    async def check_writable(self) -> None:
        await self._writer.carry_out(self._people.check_writable(self._clock()))

    # -- accounts and tokens --------------------------------------------------------------------

    async def create_account(self, account: Account, invitation: bytes | None = None) -> bool:
        return await self._writer.carry_out(self._people.create_account(account, invitation))

    async def account(self, key: NameKey) -> Account | None:
        return await self._reader.carry_out(self._people.account(key))

    async def display_names(self, keys: Collection[NameKey]) -> dict[NameKey, str]:
        return await self._reader.carry_out(self._people.display_names(keys))

    async def set_status(self, account: Account, status: Status | None) -> bool:
        return await self._writer.carry_out(self._people.set_status(account, status))

    async def statuses(self, keys: Collection[NameKey]) -> dict[NameKey, Status]:
        return await self._reader.carry_out(self._people.statuses(keys))

    async def change_password(self, proved: Account, password_hash: str) -> bool:
        return await self._writer.carry_out(self._people.change_password(proved, password_hash))

    async def rehash_password(self, proved: Account, password_hash: str) -> bool:
        return await self._writer.carry_out(self._people.rehash_password(proved, password_hash))

    async def add_token(self, token: Token, address: str | None = None) -> Collection[bytes] | None:
        return await self._writer.carry_out(self._tokens.add_token(token, address, self._clock()))

    async def last_login(self, account: NameKey, address: str) -> int | None:
        return await self._reader.carry_out(self._tokens.last_login(account, address))

    async def token(self, token_id: bytes, now: int) -> Token | None:
        return await self._reader.carry_out(self._tokens.token(token_id, now))

    async def void_token(self, token_id: bytes, now: int) -> Token | None:
        return await self._reader.carry_out(self._tokens.void_token(token_id, now))

    async def tokens(self, account: NameKey, now: int) -> Sequence[Token]:
        return await self._reader.carry_out(self._tokens.tokens(account, now))

    async def renew_token(self, token_id: bytes, expires: int, address: str) -> bool:
        return await self._writer.carry_out(
            self._tokens.renew_token(token_id, expires, address, self._clock())
        )

    async def revoke_token(self, account: NameKey, token_id: bytes) -> bool:
        return await self._writer.carry_out(self._tokens.revoke_token(account, token_id))

    async def revoke_other_tokens(self, account: NameKey, token_id: bytes) -> Sequence[bytes]:
        return await self._writer.carry_out(self._tokens.revoke_other_tokens(account, token_id))

    # -- the log --------------------------------------------------------------------------------

    async def append(self, drafts: Sequence[Draft]) -> list[Appended | Unchanged | ChatError]:
        histories = self._order.histories
        done = await self._writer.carry_out(self._log.append(drafts))
        await self._order.delivered((item.at for item in done if item.at is not None), histories)
        outcomes = self._outcomes(done)
        if isinstance(outcomes, StoreUnavailable):
            raise outcomes
        return outcomes

    def submit(self, submissions: Sequence[Submission], together: Together) -> None:
        shared: dict[int, list[Submission]] = {}
        histories = self._order.histories
        for submission in submissions:
            drafts, done = submission
            if (slot := self._log.shared_slot(drafts)) is not None:
                shared.setdefault(slot, []).append(submission)
                continue
            appended = partial(self._appended, histories, done)
            self._writer.submit(self._log.append(drafts), appended, 1, together)
        for those in shared.values():
            self._writer.submit(
                self._log.append([draft for ((draft,), _) in those], in_order=False),
                partial(self._all_appended, histories, those),
                len(those),
                together,
            )

    def _outcomes(
        self, pending: Iterable[Pending]
    ) -> list[Appended | Unchanged | ChatError] | StoreUnavailable:
        """Return the outcomes of one caller's drafts, or the error that it gets."""
        outcomes: list[Appended | Unchanged | ChatError] = []
        for item in pending:
            if isinstance(item.outcome, StoreUnavailable):  # the operation has not failed as such
                self.health.failed(self._writer.name, item.outcome)
                return item.outcome
            if item.outcome is not None:
                outcomes.append(item.outcome)
        return outcomes

    def _all_appended(
        self,
        histories: int,
        submissions: Sequence[Submission],
        pending: Sequence[Pending] | None,
        error: Exception | None,
    ) -> None:
        if pending is None or error is not None:
            for _, done in submissions:
                report(done, None, error)
            return
        for (_, done), item in zip(submissions, pending, strict=True):
            self._appended(histories, done, (item,), None)

    def _appended(
        self,
        histories: int,
        done: Done,
        pending: Sequence[Pending] | None,
        error: Exception | None,
    ) -> None:
        if pending is None or error is not None:
            report(done, None, error)
            return
        outcomes = self._outcomes(pending)
        if isinstance(outcomes, StoreUnavailable):
            done(outcomes)
            return
        positions = [item.at for item in pending if item.at is not None]
        if self._order.are_delivered(positions, histories):
            done(outcomes)
            return

        async def wait() -> None:
            try:
                await self._order.delivered(positions, histories)
            except StoreUnavailable as unavailable:
                done(unavailable)
            else:
                done(outcomes)

        self._nursery.start_soon(wait)

    async def follow(
        self,
        deliver: Callable[[Batch], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        await self._order.follow(deliver, task_status)

    async def page(
        self,
        conversation: ConversationKey,
        *,
        viewer: NameKey,
        before: int | None = None,
        after: int | None = None,
        limit: int,
    ) -> Page:
        operation = self._reading.page(conversation, viewer, before, after, limit)
        return await self._reader.carry_out(operation)

    async def waiting(
        self,
        conversation: ConversationKey,
        *,
        viewer: NameKey,
        after: int,
        limit: int,
    ) -> Waiting:
        operation = self._reading.waiting(conversation, viewer, after, limit)
        return await self._reader.carry_out(operation)

    async def message(
        self, conversation: ConversationKey, seq: int, *, viewer: NameKey
    ) -> Message | None:
        return await self._reader.carry_out(self._reading.message(conversation, seq, viewer))

    async def pins(self, conversation: ConversationKey) -> list[PinRef]:
        return await self._reader.carry_out(self._reading.pins(conversation))

    async def find_by_cid(self, draft: Draft) -> Appended | ChatError | None:
        histories = self._order.histories
        found, at = await self._reader.carry_out(self._log.find_by_cid(draft))
        await self._order.delivered(() if at is None else (at,), histories)
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
        operation = self._search.search(viewer, terms, sender, conversation, cursor, limit)
        hits, more, looked_through = await self._searcher.carry_out(operation)
        spent(looked_through * PER_ENTRY)
        return hits, more

    # -- a person's conversations ---------------------------------------------------------------

    async def conversation_keys(self, person: NameKey) -> dict[ConversationKey, int]:
        return await self._reader.carry_out(self._reading.conversation_keys(person))

    async def private_markers(self, person: NameKey) -> dict[ConversationKey, tuple[int, int]]:
        return await self._reader.carry_out(self._reading.private_markers(person))

    async def summaries(
        self, person: NameKey, *, after: str, limit: int
    ) -> tuple[list[Summary], bool]:
        return await self._reader.carry_out(self._summaries.summaries(person, after, limit))

    async def conversation(
        self, person: NameKey, conversation: ConversationKey
    ) -> Conversation | None:
        return await self._reader.carry_out(self._reading.conversation(person, conversation))

    async def mark_read(self, person: NameKey, conversation: ConversationKey, seq: int) -> bool:
        return await self._writer.carry_out(self._people.mark_read(person, conversation, seq))

    async def activity(self, person: NameKey) -> ActivityIndex:
        return await self._reader.carry_out(self._activity.read(person))

    async def mark_activity(self, person: NameKey, seen: int) -> bool:
        return await self._writer.carry_out(self._activity.mark(person, seen))

    async def set_saved(self, person: NameKey, ref: SavedRef, *, on: bool) -> bool:
        return await self._writer.carry_out(self._saved.change(person, ref, on=on))

    async def saved(self, person: NameKey, *, all_of_them: bool = False) -> list[SavedRef]:
        return await self._reader.carry_out(self._saved.read(person, all_of_them=all_of_them))

    async def set_level(self, person: NameKey, conversation: ConversationKey, level: Level) -> bool:
        return await self._writer.carry_out(self._people.set_level(person, conversation, level))

    # -- blocks ---------------------------------------------------------------------------------

    async def set_blocked(self, person: NameKey, other: NameKey, *, on: bool) -> bool:
        return await self._writer.carry_out(self._blocks.set(person, other, on=on))

    async def blocked(self, person: NameKey) -> list[str]:
        return await self._reader.carry_out(self._blocks.listed(person))

    async def mute(self, person: NameKey) -> Restriction | None:
        account = await self.account(person)
        return None if account is None else held(account.mute, self._clock())

    async def blockers(self, one: NameKey, other: NameKey) -> Collection[NameKey]:
        return await self._reader.carry_out(self._blocks.between(one, other))

    # -- rooms ----------------------------------------------------------------------------------

    async def room(self, key: ConversationKey, person: NameKey) -> RoomState | None:
        return await self._reader.carry_out(self._reading.room(key, person))

    async def rooms(self, person: NameKey, *, after: str, limit: int) -> tuple[list[Room], bool]:
        return await self._reader.carry_out(self._reading.rooms(person, after, limit))

    async def invitations(self, person: NameKey) -> list[Invitation]:
        return await self._reader.carry_out(self._invitations.pending(person))

    async def members(
        self, key: ConversationKey, *, after: str, limit: int
    ) -> tuple[list[Member], int, bool]:
        return await self._reader.carry_out(self._reading.members(key, after, limit))

    async def bans(
        self, key: ConversationKey, *, after: str, limit: int
    ) -> tuple[list[RoomBan], bool]:
        operation = self._bans.page(key, after, limit, self._clock())
        return await self._reader.carry_out(operation)

    @property
    def _reader(self) -> PipelineWorker:
        return min(self._readers, key=lambda worker: worker.waiting)


@asynccontextmanager
async def open_redis(url: str, *, clock: Callable[[], int] | None) -> AsyncIterator[Store]:
    """See :func:`gochat.storage.open_store`."""
    location = parse_url(url)
    try:
        parts = await trio.to_thread.run_sync(connect, location, clock)
    except (Broken, Refused) as error:
        raise StoreUnavailable(str(error)) from error
    partitions = range(parts.keys.partitions)
    order = Order(
        [parts.epoch_tracker.epoch(partition) for partition in partitions],
        [parts.epoch_tracker.position(partition) for partition in partitions],
    )
    integrity = Integrity(order.fail)
    feed = Feed(
        parts.keys,
        parts.topology,
        parts.epoch_tracker,
        order,
        integrity,
        lambda: parts.log.is_under_way,
        location.options.timeout,
    )
    parts.feed = feed
    health = StoreHealth()
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        writer = await stack.enter_async_context(
            open_pipeline_worker("writer", parts.connections(), integrity, health, parts.settled)
        )
        readers = [
            await stack.enter_async_context(
                open_pipeline_worker("reader", parts.connections(), integrity, health)
            )
            for _ in range(READERS)
        ]
        talker, searcher = [
            await stack.enter_async_context(
                open_pipeline_worker(name, parts.connections(), integrity, health)
            )
            for name in ("exchange", "searcher")
        ]
        nursery.start_soon(feed.run)
        nursery.start_soon(parts.indexer.run, searcher)
        nursery.start_soon(
            trim.shorten_feeds, searcher, parts.keys, location.options.feed_time, order.positions
        )
        yield RedisStore(
            keys=parts.keys,
            names=parts.names,
            writer=writer,
            readers=readers,
            searcher=searcher,
            log=parts.log,
            reading=parts.reading,
            people=PeopleOperations(parts.keys, parts.reading),
            tokens=TokenOperations(parts.keys),
            search=Searcher(parts.keys, parts.engine, parts.reading, parts.epoch_tracker),
            order=order,
            node_bus=RedisNodeBus(
                parts.keys,
                parts.topology,
                talker,
                integrity,
                lease=location.options.lease,
                timeout=location.options.timeout,
            ),
            clock=clock,
            health=health,
            indexer=parts.indexer,
            nursery=nursery,
        )
        nursery.cancel_scope.cancel()
