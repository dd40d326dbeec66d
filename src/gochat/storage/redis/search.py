"""Searching, without an index: looking through the newest messages, conversation by conversation.

Redis of itself has no index of words; one kept in its sets would take several times the memory of
the messages. So a search looks at the texts, newest first over all conversations, and one page of
results looks at no more than :data:`MAX_LOOKED_AT` entries: it may come with fewer hits than were
asked for, or none, and a cursor from which to look on. So nothing is left out; what is far back
takes more pages.
"""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace
from typing import Final, NamedTuple

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.protocol.messages import Message
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.lanes import Steps, call
from gochat.storage.redis.reading import Extract, Reading
from gochat.storage.words import Words

#: Entries looked at for one page of results: some 3 MB from Redis, and a tenth of a second of a
#: core here.
MAX_LOOKED_AT: Final = 20_000
#: Entries read at once from a conversation.
CHUNK: Final = 250


class _Place(NamedTuple):
    """An entry's place in the order in which is searched: the newest first."""

    backwards: int  # the stamp, negated
    conversation: str
    seq: int

    def __str__(self) -> str:
        return f"{-self.backwards}/{self.seq}/{self.conversation}"


class _Past:
    """A conversation, searched backwards. `place` is that of the next entry to look at; of one
    that was not read yet, it may be too new."""

    __slots__ = ("extract", "index", "key", "place")

    def __init__(self, key: ConversationKey, seq: int, stamp: int) -> None:
        self.key: Final = key
        self.place = _Place(-stamp, key, seq)
        self.extract: Extract | None = None
        self.index = -1

    def __lt__(self, other: _Past) -> bool:
        return self.place < other.place

    def go_back(self) -> None:
        """Go on to the entry before."""
        self.index -= 1
        backwards = self.place.backwards
        if self.extract is not None and self.index >= 0:
            backwards = -self.extract.records[self.index].stamp
        self.place = _Place(backwards, self.key, self.place.seq - 1)


class Search:
    """Makes the steps of a search."""

    def __init__(self, keys: Keys, reading: Reading) -> None:
        self._keys = keys
        self._reading = reading

    def search(
        self,
        viewer: NameKey,
        query: str,
        conversation: ConversationKey | None,
        cursor: str | None,
        limit: int,
    ) -> Steps[tuple[list[Message], str | None]]:
        """See :meth:`gochat.chat.store.Store.search`."""
        words = Words(query)
        start = _parse(cursor) if cursor is not None else None
        if not words or limit < 1 or (cursor is not None and start is None):
            return [], None
        keys = yield from self._reading.conversation_keys(viewer)
        if conversation is not None:
            keys &= {conversation}
        heap = yield from self._open(sorted(keys), start)
        hits: list[Message] = []
        place: _Place | None = None
        looked_at = 0
        while heap and len(hits) < limit and looked_at < MAX_LOOKED_AT:
            past = heap[0]
            if past.index < 0:
                yield from self._read(past, viewer)
                (heapreplace(heap, past) if past.index >= 0 else heappop(heap))
                continue
            assert past.extract is not None
            place = past.place
            record = past.extract.records[past.index]
            if record.kind == "text" and not record.deleted and words.match(record.text):
                hits.append(past.extract.message(past.index))
            looked_at += 1
            past.go_back()
            (heapreplace(heap, past) if past.place.seq > 0 else heappop(heap))
        return hits, str(place) if heap and place is not None else None

    def _open(self, keys: list[ConversationKey], start: _Place | None) -> Steps[list[_Past]]:
        replies = yield [
            call(
                self._keys.partition(key),
                scripts.SEEK,
                self._keys.conversation(key, "c", "l"),
                *_bounds(key, start),
            )
            for key in keys
        ]
        heap = [
            _Past(key, seq, stamp)
            for key, (seq, stamp) in zip(keys, replies, strict=True)
            if seq > 0
        ]
        heapify(heap)
        return heap

    def _read(self, past: _Past, viewer: NameKey) -> Steps[None]:
        past.extract = extract = yield from self._reading.extract(
            past.key, viewer, past.place.seq + 1, None, CHUNK, None
        )
        past.index = len(extract.records) - 1
        if extract.records:
            seq = extract.first + past.index
            past.place = _Place(-extract.records[past.index].stamp, past.key, seq)


def _bounds(key: ConversationKey, start: _Place | None) -> tuple[int | str, int, int | str]:
    if start is None:
        return "", 0, ""
    if key == start.conversation:
        return "", 0, start.seq
    return -start.backwards, int(key > start.conversation), ""


def _parse(cursor: str) -> _Place | None:
    try:
        stamp, seq, conversation = cursor.split("/", 2)
        if len(stamp) > 20 or len(seq) > 20:
            return None
        return _Place(-int(stamp), conversation, int(seq))
    except ValueError:
        return None
