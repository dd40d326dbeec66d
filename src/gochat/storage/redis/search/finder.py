"""Search: scan messages, newest first across all conversations.

With a query engine (index.py), only the blocks that may contain the words are scanned, and entries
that are not indexed yet. Without an engine, or for words too short for it, everything is: Redis
itself has no index of words, and one kept in its sets would take several times the memory of the
messages.

Either way, one page of results scans at most :data:`MAX_LOOKED_AT` entries: it may have fewer hits
than requested, or none, and a cursor from which to continue. So nothing is left out; older messages
take more pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush, heapreplace, nsmallest
from typing import Final, NamedTuple

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey, known
from gochat.chat.refusals import bad_cursor
from gochat.protocol.messages import Message
from gochat.storage.common.exact_first import in_history, joined, room, split_cursor
from gochat.storage.common.matching import SearchWords
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.epoch_tracker import EpochTracker
from gochat.storage.redis.link.pipeline import Operation, call
from gochat.storage.redis.reading import Reading
from gochat.storage.redis.records import Record
from gochat.storage.redis.search import index, sources
from gochat.storage.redis.search.index import GROWING, Index
from gochat.storage.redis.search.sources import (
    BlockFinder,
    Cursor,
    SearchStart,
    Stretch,
    parse_cursor,
    stretches_of,
)

#: Entries scanned for one page of results: some 3 MB from Redis, and a tenth of a second of CPU
#: here.
MAX_LOOKED_AT: Final = 20_000
#: Seconds of CPU per scanned entry: 5 µs here, and 2 µs in Redis.
PER_ENTRY: Final = 7e-6


class _Wanted(NamedTuple):
    """What a message must have: the words, and the sender, if one is given."""

    words: SearchWords
    sender: NameKey | None

    def match(self, record: Record) -> bool:
        """Return True if an entry is such a message."""
        if (
            record.kind != "text"
            or record.deleted
            or self.sender not in (None, known(record.sender))
        ):
            return False
        return self.words.match(record.text)


class Searcher:
    """Create the operation of a search."""

    def __init__(
        self, keys: Keys, engine: Index, reading: Reading, epoch_tracker: EpochTracker
    ) -> None:
        self._keys = keys
        self._engine = engine
        self._reading = reading
        self._epoch_tracker = epoch_tracker

    def search(
        self,
        viewer: NameKey,
        terms: tuple[str, ...],
        sender: NameKey | None,
        conversation: ConversationKey | None,
        cursor: str | None,
        limit: int,
    ) -> Operation[tuple[list[Message], str | None, int]]:
        """See :meth:`gochat.chat.store.Store.search`.

        The third result is the cost: the number of entries, conversations and blocks queried.
        """
        history = self._epoch_tracker.history()
        is_other, inner = split_cursor(cursor, history)
        start = parse_cursor(inner)
        hits, more, cost = yield from self._turns(
            viewer, terms, sender, conversation, start, limit, is_other=is_other
        )
        if cursor is not None and history != self._epoch_tracker.history():
            raise bad_cursor()  # it was of a history that reading has shown to be gone
        return hits, in_history(more, history), cost

    def _turns(
        self,
        viewer: NameKey,
        terms: tuple[str, ...],
        sender: NameKey | None,
        conversation: ConversationKey | None,
        start: Cursor | None,
        limit: int,
        *,
        is_other: bool,
    ) -> Operation[tuple[list[Message], str | None, int]]:
        """Search in both turns, or only in the second one if `is_other`."""
        wanted = _Wanted(SearchWords(terms), sender)
        if not (wanted.words or sender) or limit < 1:
            return [], None, 0
        hits: list[Message] = []
        cost = 0
        if not is_other:
            found = yield from self._search(viewer, wanted, conversation, start, limit)
            hits, more, cost = found
            if more is not None or not wanted.words.has_others:
                return found
            start = None
        others = _Wanted(SearchWords(terms, other=True), sender)
        limit_of_others = room(hits, limit)
        found = yield from self._search(viewer, others, conversation, start, limit_of_others)
        return *joined(hits, found[0], found[1], limit), cost + found[2]

    def _search(
        self,
        viewer: NameKey,
        wanted: _Wanted,
        conversation: ConversationKey | None,
        start: Cursor | None,
        limit: int,
    ) -> Operation[tuple[list[Message], str | None, int]]:
        """Search in one turn."""
        floors = yield from self._reading.conversation_keys(viewer)
        if conversation is not None:
            floors = {key: floor for key, floor in floors.items() if key == conversation}
        heap = yield from self._open(floors, start, wanted.words)
        hits: list[Message] = []
        last: Cursor | None = None
        looked_at, asked_for = 0, len(floors)
        while heap and len(hits) < limit and looked_at < MAX_LOOKED_AT:
            first = heap[0]
            if isinstance(first, BlockFinder):
                found = yield from first.find()
                asked_for += len(found)
                (heappop(heap) if first.is_done else heapreplace(heap, first))
                for stretch in found:
                    heappush(heap, stretch)
                continue
            if first.extract is None or first.position < 0:
                asked_for += yield from self._read(heap, viewer)
                continue
            last = first.cursor
            record = first.extract.records[first.position]
            if wanted.match(record):
                hits.append(first.extract.message(first.position))
            looked_at += 1
            (heapreplace(heap, first) if first.go_back() else heappop(heap))
        return hits, str(last) if heap and last is not None else None, asked_for

    def _open(
        self, floors: Mapping[ConversationKey, int], start: Cursor | None, words: SearchWords
    ) -> Operation[list[Stretch | BlockFinder]]:
        """Return the sources to scan, as a heap."""
        keys = sorted(floors)
        tokens = index.wanted(words) if self._engine.is_there else []
        homes = sorted({self._engine.home(key) for key in keys}) if tokens else []
        replies = yield [
            *(question for home in homes for question in self._engine.questions(home)),
            *(
                call(
                    self._keys.partition(key),
                    scripts.SEEK,
                    self._keys.conversation(key, key_kinds.META, key_kinds.LOG, key_kinds.CHANGED),
                    *_bounds(key, start),
                )
                for key in keys
            ),
        ]
        answers, seeks = replies[: 2 * len(homes)], replies[2 * len(homes) :]
        is_used = bool(homes) and all(map(self._engine.is_ready, answers[::2], answers[1::2]))
        ends = {
            key: SearchStart(
                seq, stamp, indexed if is_used else 0, list(map(int, changed)), floors[key]
            )
            for key, (seq, stamp, indexed, changed) in zip(keys, seeks, strict=True)
            if seq > floors[key]
        }
        heap: list[Stretch | BlockFinder] = [
            Stretch(key, max(end.indexed, end.floor) + 1, end.seq, end.stamp)
            for key, end in ends.items()
            if end.seq > end.indexed
        ]
        indexed = {key: end for key, end in ends.items() if end.indexed}
        if indexed:
            changed = {
                index.block_of(key, seq) for key, end in indexed.items() for seq in end.changed
            }
            for block in changed:
                heap += stretches_of(indexed, block, GROWING)
            heap.append(BlockFinder(self._engine, tokens, indexed, changed))
        heapify(heap)
        return heap

    def _read(self, heap: list[Stretch | BlockFinder], viewer: NameKey) -> Operation[int]:
        """Read ahead in the first stretch, and in the next ones while they are short.

        Returns the number of entries read.
        """
        first = nsmallest(sources.FEW_BLOCKS, heap)
        stretches: list[Stretch] = []
        for source in first:
            if isinstance(source, BlockFinder):
                break
            if source.position < 0:
                stretches.append(source)
            if sum(stretch.span.limit for stretch in stretches) >= sources.CHUNK:
                break
        spans = [stretch.span for stretch in stretches]
        extracts = yield from self._reading.extracts(viewer, spans)
        gone = {
            stretch
            for stretch, extract in zip(stretches, extracts, strict=True)
            if not stretch.take(extract)
        }
        heap[:] = [source for source in heap if source not in gone]
        heapify(heap)
        return sum(len(extract.records) for extract in extracts)


def _bounds(key: ConversationKey, start: Cursor | None) -> tuple[int | str, int, int | str]:
    if start is None:
        return "", 0, ""
    if key == start.conversation:
        return "", 0, start.seq
    return -start.backwards, int(key > start.conversation), ""
