"""Write the index of texts (index.py), following the log.

Appending only records that an indexed entry was edited or deleted. Every node indexes its own
appends some seconds later; on start, and periodically, it also indexes what others have left. Until
then a search scans these entries. If two nodes write the same block, the second notices
(``index.lua``), so nodes need no coordination.

Without an engine there must be no index: its hashes would keep deleted texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NoReturn

import msgspec
import structlog
import trio
from msgspec import Struct

from gochat.chat.conversations import ConversationKey
from gochat.errors import StoreUnavailable
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, PipelineWorker, RedisCommand, call
from gochat.storage.redis.log_reading import EntryRange, Extract
from gochat.storage.redis.reading import Reading
from gochat.storage.redis.search import index
from gochat.storage.redis.search.index import BLOCK, GROWING, Index, IndexBlock

log = structlog.stdlib.get_logger()

#: Seconds between two turns. Every search scans the entries appended since: 5,000 entries at 1,000
#: a second.
EVERY: Final = 5.0
#: Seconds between two checks of all conversations, for what a dead node has left.
LOOK_EVERY: Final = 3600.0
#: Conversations checked together, and blocks added to or removed from all of them: some 3 ms of CPU
#: for the pieces, for which a search waits; 200 ms if all messages have the maximum length.
CONVERSATIONS: Final = 64
BLOCKS: Final = 16
#: Changes of one conversation handled together.
CHANGES: Final = 1000
#: Conversations scanned at once when all are checked.
FIND: Final = 500
#: Fraction of the time spent on indexing old data, so that people don't notice.
SHARE: Final = 0.2

_encode = msgspec.msgpack.Encoder().encode


class _Lag(Struct, frozen=True):
    """The part of a conversation that is not indexed yet; see ``lag.lua``."""

    key: ConversationKey
    epoch: str
    seq: int
    base: int
    indexed: int
    first: int
    turn: int
    changed: list[int]

    def missing(self) -> Iterator[IndexBlock]:
        """Yield the blocks to add: those that have changed, then new ones."""
        since = max(self.indexed, self.base)
        last = index.block_of(self.key, self.seq).number
        fresh = index.block_of(self.key, since + 1).number if self.seq > since else last + 1
        changed = {index.block_of(self.key, seq) for seq in self.changed}
        yield from sorted(
            block for block in changed if block.number < fresh and block.high > self.base
        )
        for number in range(fresh, last + 1):
            yield IndexBlock(self.key, number)

    def gone(self) -> Iterator[IndexBlock]:
        """Yield the blocks to remove, because all their entries were dropped."""
        for number in range(self.first, self.base // BLOCK):
            yield IndexBlock(self.key, number)

    def all(self) -> Iterator[IndexBlock]:
        """Yield all blocks that may be in the index, newest first."""
        last = index.block_of(self.key, self.indexed).number
        for number in range(last, self.first - 1, -1):
            yield IndexBlock(self.key, number)


class Indexer:
    """Maintain the index. Use in the Trio thread."""

    def __init__(self, keys: Keys, reading: Reading, engine: Index) -> None:
        self._keys = keys
        self._reading = reading
        self._engine = engine
        self._waiting: dict[ConversationKey, None] = {}

    @property
    def waiting(self) -> int:
        """How many conversations have entries that are not in the index yet."""
        return len(self._waiting)

    def note(self, conversations: Iterable[ConversationKey]) -> None:
        """Record that something was appended."""
        self._waiting.update(dict.fromkeys(conversations))

    async def run(self, worker: PipelineWorker) -> NoReturn:
        """Maintain the index, for ever."""
        was_there: bool | None = None
        look_at = trio.current_time()
        while True:
            try:
                if self._waiting or self._engine.is_doubted or trio.current_time() >= look_at:
                    is_there = await worker.carry_out(self._engine.prepare())
                    if is_there is not was_there:
                        log.info("Redis search ready", query_engine=is_there)
                        was_there, look_at = is_there, trio.current_time()
                    waiting, self._waiting = self._waiting, {}
                    if is_there:
                        await self._work(worker, waiting)
                    if trio.current_time() >= look_at:
                        look_at = trio.current_time() + LOOK_EVERY
                        await self._look_at_all(worker)
            except StoreUnavailable as error:
                look_at = trio.current_time()
                log.debug("index update failed", reason=str(error))
            await trio.sleep(EVERY)

    async def _work(self, worker: PipelineWorker, conversations: Iterable[ConversationKey]) -> None:
        """Index conversations, or remove their index. Entries appended meanwhile can wait."""
        left = dict.fromkeys(conversations)
        alone: list[ConversationKey] = []
        while left or alone:
            keys = [alone.pop()] if alone else list(islice(left, CONVERSATIONS))
            for key in keys:
                left.pop(key, None)
            since = trio.current_time()
            try:
                operation = self._write(keys) if self._engine.is_there else self._drop(keys)
                left |= dict.fromkeys(await worker.carry_out(operation))
            except StoreUnavailable:
                self.note((*keys, *alone, *left))
                raise
            except Exception:
                # A fault of one conversation. Searches work without its index, and so must the
                # server.
                if len(keys) > 1:
                    alone += keys
                else:
                    log.exception("conversation indexing failed")
            await trio.sleep((trio.current_time() - since) * (1 / SHARE - 1))

    # -- all conversations ----------------------------------------------------------------------

    async def _look_at_all(self, worker: PipelineWorker) -> None:
        for partition in await worker.carry_out(self._partitions()):
            cursor = 0
            while True:
                cursor, found = await worker.carry_out(self._find(partition, cursor))
                await self._work(worker, found)
                if not cursor:
                    break
            if not self._engine.is_there:
                await worker.carry_out(self._note_no_index(partition))

    def _partitions(self) -> Operation[list[int]]:
        """Find the partitions that may have an index, or should have one."""
        if self._engine.is_there:
            return list(range(self._keys.partitions))
        replies = yield [
            RedisCommand(partition, ("HGET", state, "index"))
            for partition, state in enumerate(self._keys.states)
        ]
        return [partition for partition, reply in enumerate(replies) if reply is not None]

    def _find(self, partition: int, cursor: int) -> Operation[tuple[int, list[ConversationKey]]]:
        """Find conversations that need work."""
        conversations = self._keys.common(partition, "convs")
        ((position, names),) = yield [
            RedisCommand(partition, ("SSCAN", conversations, cursor, "COUNT", FIND))
        ]
        keys = [ConversationKey(name.decode()) for name in names]
        lags = yield from self._lags(keys)
        if not self._engine.is_there:
            return int(position), [lag.key for lag in lags]
        return int(position), [lag.key for lag in lags if any(lag.missing()) or any(lag.gone())]

    def _note_no_index(self, partition: int) -> Operation[None]:
        yield [RedisCommand(partition, ("HDEL", self._keys.states[partition], "index"))]

    # -- some conversations ---------------------------------------------------------------------

    def _lags(self, keys: Sequence[ConversationKey]) -> Operation[list[_Lag]]:
        replies = yield [
            call(
                self._keys.partition(key),
                scripts.LAG,
                self._keys_of(key),
                int(self._engine.is_there),
                BLOCK,
                CHANGES,
            )
            for key in keys
        ]
        return [
            _Lag(key, epoch.decode(), seq, base, indexed, first, turn, list(map(int, changed)))
            for key, reply in zip(keys, replies, strict=True)
            if reply
            for epoch, seq, base, indexed, first, turn, changed in (reply,)
        ]

    def _write(self, keys: Sequence[ConversationKey]) -> Operation[set[ConversationKey]]:
        """Index what is missing; return the conversations that need more work."""
        lags = yield from self._lags(keys)
        left = set()
        missing: dict[ConversationKey, list[IndexBlock]] = {}
        gone: dict[ConversationKey, list[IndexBlock]] = {}
        room = BLOCKS
        for lag in lags:
            missing[lag.key] = list(islice(lag.missing(), room))
            room -= len(missing[lag.key])
            gone[lag.key] = list(islice(lag.gone(), room))
            room -= len(gone[lag.key])
            if not room or len(lag.changed) == CHANGES:
                left.add(lag.key)
        blocks = [block for lag in lags for block in missing[lag.key]]
        seqs = {lag.key: lag.seq for lag in lags}
        spans = [
            EntryRange(block.key, high - block.low + 1, before=high + 1)
            for block in blocks
            for high in (min(block.high, seqs[block.key]),)
        ]
        extracts = yield from self._reading.extracts(None, spans)
        read = dict(zip(blocks, extracts, strict=True))
        busy = [lag for lag in lags if missing[lag.key] or gone[lag.key] or lag.changed]
        replies = yield [
            self._change(lag, {block: read[block] for block in missing[lag.key]}, gone[lag.key])
            for lag in busy
        ]
        left.update(lag.key for lag, reply in zip(busy, replies, strict=True) if not reply)
        return left

    def _change(
        self, lag: _Lag, read: Mapping[IndexBlock, Extract], gone: Sequence[IndexBlock]
    ) -> RedisCommand:
        written: list[tuple[str, str, str, str]] = []
        hashes: list[str] = []
        emptied: list[IndexBlock] = []
        for block, extract in read.items():
            pieces = index.pieces(
                record.text
                for record in extract.records
                if record.kind == "text" and not record.deleted
            )
            if pieces:
                is_full = block.high <= lag.seq
                newest = extract.records[-1].stamp if is_full else GROWING
                stamps = (str(extract.records[0].stamp), str(newest))
                written.append((" ".join(sorted(pieces)), index.tag(lag.key), *stamps))
                hashes.append(self._keys.block(*block))
            else:
                emptied.append(block)
        settled = [
            seq for seq in lag.changed if seq <= lag.base or index.block_of(lag.key, seq) in read
        ]
        now = max([lag.indexed, *(min(block.high, lag.seq) for block in read)])
        first = gone[-1].number + 1 if gone else lag.first
        hashes += [self._keys.block(*block) for block in (*emptied, *gone)]
        return self._index(lag, now, first, hashes, written, settled)

    def _drop(self, keys: Sequence[ConversationKey]) -> Operation[set[ConversationKey]]:
        """Remove conversations from the index; return those that need more work."""
        lags = yield from self._lags(keys)
        left = set()
        commands = []
        for lag in lags:
            blocks = list(islice(lag.all(), BLOCKS + 1))
            hashes = [self._keys.block(*block) for block in blocks[:BLOCKS]]
            is_all = len(blocks) <= BLOCKS
            # At any time, the index has everything that it is recorded to have.
            now = "" if is_all else blocks[BLOCKS].high
            commands.append(self._index(lag, now, lag.first, hashes, (), ()))
            if not is_all:
                left.add(lag.key)
        yield commands
        return left

    def _index(
        self,
        lag: _Lag,
        now: int | str,
        first: int,
        hashes: Sequence[str],
        written: Sequence[tuple[str, str, str, str]],
        settled: Sequence[int],
    ) -> RedisCommand:
        keys = (*self._keys_of(lag.key), *hashes)
        arguments = (lag.turn, lag.seq, now, first, _encode((written, settled)))
        partition = self._keys.partition(lag.key)
        return RedisCommand(partition, (*keys, *arguments), scripts.INDEX, len(keys), lag.epoch)

    def _keys_of(self, key: ConversationKey) -> tuple[str, ...]:
        state = self._keys.states[self._keys.partition(key)]
        return state, *self._keys.conversation(key, key_kinds.META, key_kinds.CHANGED)
