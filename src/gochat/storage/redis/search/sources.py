"""The sources of entries that a search merges, newest first across all conversations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gochat.chat.conversations import ConversationKey
from gochat.chat.refusals import bad_cursor
from gochat.errors import StoreUnavailable
from gochat.storage.redis.link.pipeline import Operation
from gochat.storage.redis.log_reading import EntryRange, Extract
from gochat.storage.redis.search.index import GROWING, Index, IndexBlock

#: Entries read at once from a conversation.
CHUNK: Final = 250
#: Blocks that the first query asks for; each query doubles that, up to the second number.
FEW_BLOCKS: Final = 16
MANY_BLOCKS: Final = 256
#: Microseconds of the past that the engine's first query covers, and the factor by which that grows
#: if there are not enough blocks. So a word that is everywhere is cheap, and one that is nowhere
#: takes nine queries.
FIRST_WINDOW: Final = 600 * 1_000_000
WINDOW_GROWS: Final = 8


class Cursor(NamedTuple):
    """An entry's position in the order of the search: newest first."""

    backwards: int  # the stamp, negated
    conversation: str
    seq: int

    def __str__(self) -> str:
        return f"{-self.backwards}/{self.seq}/{self.conversation}"


def parse_cursor(cursor: str | None) -> Cursor | None:
    """Return the position that a page ended with; None for the first page.

    Raises:
        ChatError: ``bad_cursor``.
    """
    if cursor is None:
        return None
    stamp, _, place = cursor.partition("/")
    seq, _, conversation = place.partition("/")
    if not all(
        number.isascii() and number.isdigit() and len(number) <= 20 for number in (stamp, seq)
    ):
        raise bad_cursor()
    return Cursor(-int(stamp), conversation, int(seq))


class SearchStart(NamedTuple):
    """Where to begin in a conversation, going backwards, and how much of it is indexed."""

    seq: int
    stamp: int
    indexed: int
    changed: Sequence[int]
    floor: int  # the viewer's


class Source:
    """A source of entries. `cursor` is that of its next entry, or newer."""

    __slots__ = ("cursor",)

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor

    def __lt__(self, other: Source) -> bool:
        return self.cursor < other.cursor


class Stretch(Source):
    """A part of a conversation, down to `low`, scanned backwards."""

    __slots__ = ("extract", "key", "low", "position")

    def __init__(self, key: ConversationKey, low: int, seq: int, stamp: int) -> None:
        self.key: Final = key
        self.low: Final = low
        super().__init__(Cursor(-stamp, key, seq))
        self.extract: Extract | None = None
        self.position = -1

    @property
    def span(self) -> EntryRange:
        """The entries to read next."""
        seq = self.cursor.seq
        return EntryRange(self.key, min(CHUNK, seq - self.low + 1), before=seq + 1)

    def take(self, extract: Extract) -> bool:
        """Take what was read; return False if it was dropped, or the viewer is not in the room."""
        self.extract = extract
        self.position = len(extract.records) - 1 if extract.is_inside else -1
        if self.position >= 0:
            stamp = extract.records[self.position].stamp
            self.cursor = Cursor(-stamp, self.key, extract.first + self.position)
        return self.position >= 0

    def go_back(self) -> bool:
        """Step to the previous entry; return False if there is none."""
        self.position -= 1
        backwards = self.cursor.backwards
        if self.extract is not None and self.position >= 0:
            backwards = -self.extract.records[self.position].stamp
        self.cursor = Cursor(backwards, self.key, self.cursor.seq - 1)
        return self.cursor.seq >= self.low


class BlockFinder(Source):
    """The blocks that the query engine has not been asked for yet."""

    def __init__(
        self,
        engine: Index,
        tokens: Sequence[str],
        ends: Mapping[ConversationKey, SearchStart],
        seen: Iterable[IndexBlock],
    ) -> None:
        self._engine = engine
        self._tokens = tokens
        self._ends = ends
        by_home: dict[int, list[ConversationKey]] = {}
        for key in ends:
            by_home.setdefault(engine.home(key), []).append(key)
        #: Pairs of an index's home and the conversations in it.
        self._parts: Final = list(by_home.items())
        newest = max(end.stamp for end in ends.values())
        self._newest: Final = newest
        # For each part, the stamp down to which all blocks are known.
        self._known = [GROWING] * len(self._parts)
        self._window = FIRST_WINDOW
        self._floor = max(0, newest - self._window)
        self._limit = FEW_BLOCKS
        self._seen = set(seen)
        super().__init__(Cursor(-newest, "", 0))

    @property
    def is_done(self) -> bool:
        """True if there is nothing left to ask for."""
        return not any(self._known)

    def find(self) -> Operation[list[Stretch]]:
        """Ask for more blocks; return the stretches to scan."""
        limit = self._limit
        asked = [number for number, known in enumerate(self._known) if known > self._floor]
        replies = yield [
            self._engine.search(
                self._parts[number][0],
                self._tokens,
                self._parts[number][1],
                (self._floor, self._known[number]),
                self._newest,
                limit,
            )
            for number in asked
        ]
        if None in replies:
            self._engine.is_doubted = True
            raise StoreUnavailable("Redis has lost the index for searching")
        stretches = []
        self._limit = min(2 * limit, MANY_BLOCKS)
        for number, reply in zip(asked, replies, strict=True):
            found = self._engine.found(reply)
            known = found[-1][1] if len(found) == limit else self._floor
            if known == self._known[number]:
                # All blocks found have the same stamp; there may be more of them.
                self._limit = 2 * limit
            self._known[number] = known
            for block, stamp in found:
                if block not in self._seen:
                    self._seen.add(block)
                    stretches += stretches_of(self._ends, block, stamp)
        if max(self._known) == self._floor:
            self._window *= WINDOW_GROWS
            self._floor = max(0, self._floor - self._window)
        self.cursor = Cursor(-max(self._known), "", 0)
        return stretches


def stretches_of(
    ends: Mapping[ConversationKey, SearchStart], block: IndexBlock, stamp: int
) -> list[Stretch]:
    """Return the part of a block to scan; empty if there is none."""
    end = ends.get(block.key)
    if end is None:
        return []
    low, high = max(block.low, end.floor + 1), min(block.high, end.seq, end.indexed)
    return [Stretch(block.key, low, high, min(stamp, end.stamp))] if low <= high else []
