"""The index of texts, where the server has a query engine: its content and its queries.

Redis 8 has an engine, and so does Redis Stack. By itself it finds whole words of some
languages; gochat finds words inside others, and 中文 in a sentence. So the engine gets *pieces*
of the words. It returns where all pieces of a query are, and thus the words *may* be;
:mod:`gochat.storage.common.matching` decides, from the text in the log.

A hash represents not a message but a *block*, :data:`BLOCK` consecutive entries of the log: that
takes a quarter of the memory, and a tenth of the engine's time. The hashes are in the partition of
their conversation; indexer.py writes them, following the log. In a Cluster each partition has its
own index.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from string import ascii_letters, digits
from typing import Any, Final, NamedTuple
from zlib import crc32

from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.storage.common.matching import SearchWords, loose
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand
from gochat.storage.redis.link.topology import Topology
from gochat.storage.redis.link.wire import Reply, fields_of

#: Entries of a block. Measured for English: 608 bytes per message with blocks of 1, 203 with 8, 155
#: with 16, 121 with 32. But the larger the blocks, the more of them have the pieces and not the
#: word. The stored data depends on this and on the pieces: to change them, rename all keys and
#: fields of the index in keys.py.
BLOCK: Final = 16
#: Characters of a piece.
PIECE: Final = 3
#: Pieces of one word that are looked up; so many rarely match anything else.
MAX_PIECES: Final = 12
#: The stamp of a block that is not full, instead of its newest entry's. It is higher than all
#: others; otherwise, as the block grows, it would move from where a search will ask to where it has
#: asked already.
GROWING: Final = 1 << 53
#: Fraction of Redis's memory limit from which on the engine is not used. Out of memory, those of
#: Redis 8.4 and later find nothing, without any error that is visible here.
FULL: Final = 0.99

_ALPHABET: Final = digits + ascii_letters


class IndexBlock(NamedTuple):
    """A block's conversation and number. It has the entries from `low` to `high`."""

    key: ConversationKey
    number: int

    @property
    def low(self) -> int:
        """The seq of the oldest entry."""
        return self.number * BLOCK + 1

    @property
    def high(self) -> int:
        """The seq of the newest entry, which may not exist yet."""
        return (self.number + 1) * BLOCK


def block_of(key: ConversationKey, seq: int) -> IndexBlock:
    """Return the block of an entry."""
    return IndexBlock(key, (seq - 1) // BLOCK)


def pieces(texts: Iterable[str]) -> set[str]:
    """Return the pieces of texts, as the index stores them.

    These are all sequences of three characters in each word. Shorter ones are included only if they
    are not all ASCII: a word of 中文 has one or two characters, while such short English words are
    everywhere.
    """
    found: set[str] = set()
    for word in {word for text in texts for word in loose(text).split()}:
        sizes = (PIECE,) if word.isascii() else range(1, PIECE + 1)
        for size in sizes:
            for start in range(len(word) - size + 1):
                piece = word[start : start + size]
                if size == PIECE or not piece.isascii():
                    found.add(_token(piece))
    return found


def wanted(words: SearchWords) -> list[str]:
    """Return pieces that every text containing `words` has; none if all words are short."""
    found: set[str] = set()
    for word in words.words:
        if len(word) >= PIECE:
            starts = range(len(word) - PIECE + 1)
            found.update(
                _token(word[start : start + PIECE])
                for start in starts[:: -(-len(starts) // MAX_PIECES)]
            )
        elif not word.isascii():
            found.add(_token(word))
    return sorted(found)


@lru_cache(65_536)
def _token(piece: str) -> str:
    # Three digits in base 62. So the engine's list of them stays small whatever people write, and
    # none has a meaning in a query. Two pieces may share one.
    number = crc32(piece.encode()) % len(_ALPHABET) ** 3
    high, low = divmod(number, len(_ALPHABET))
    return _ALPHABET[high // len(_ALPHABET)] + _ALPHABET[high % len(_ALPHABET)] + _ALPHABET[low]


def tag(key: ConversationKey) -> str:
    """Return the name of a conversation in the index. Others may, by chance, have the same."""
    return f"{crc32(key.encode()):08x}"


class Index:
    """Create the commands for the query engine. Used in the Trio thread and that of searches.

    Partitions that are always on one server share an index. It is named after the first of them,
    its *home*: a Cluster finds the server of an index by the slot of its name.
    """

    def __init__(self, keys: Keys, topology: Topology, database: int) -> None:
        self._keys = keys
        # The engine indexes only database 0, and takes keys of the others for its own.
        self._can_be_there = database == 0
        homes: dict[int, int] = {}
        self._homes = [
            homes.setdefault(topology.slot(partition), partition)
            for partition in range(keys.partitions)
        ]
        #: True if, as far as this node knows, there is an engine that it may use.
        self.is_there = False
        #: True if a search found otherwise.
        self.is_doubted = False

    def home(self, key: ConversationKey) -> int:
        """Return the home of the index that contains a conversation."""
        return self._homes[self._keys.partition(key)]

    def prepare(self) -> Operation[bool]:
        """Check whether there is an engine, and create missing indexes; return `is_there`."""
        homes = sorted(set(self._homes)) if self._can_be_there else []
        answers = yield from self._try(homes)
        if missing := [home for home, answer in answers.items() if answer is None]:
            yield [
                RedisCommand(home, self._creation(home), may_be_refused=True) for home in missing
            ]
            answers |= yield from self._try(missing)
        self.is_there = bool(homes) and None not in answers.values()
        self.is_doubted = False
        return self.is_there

    def _try(self, homes: Sequence[int]) -> Operation[dict[int, Reply]]:
        """Query the state of each index, and search in it; a value is None if one is refused."""
        trials = [self.search(home, [], [LOBBY_KEY], (0, 1), 1, 1) for home in homes]
        replies = yield [*map(self._state, homes), *trials]
        states, results = replies[: len(homes)], replies[len(homes) :]
        return {
            home: state if result is not None else None
            for home, state, result in zip(homes, states, results, strict=True)
        }

    def _name(self, home: int) -> str:
        return self._keys.common(home, "texts")

    def _creation(self, home: int) -> list[str | int]:
        prefixes = [
            prefix
            for prefix, other in zip(self._keys.blocks, self._homes, strict=True)
            if other == home
        ]
        words: list[str | int] = ["FT.CREATE", self._name(home), "ON", "HASH"]
        words += ["PREFIX", len(prefixes), *prefixes]
        words += ["SCHEMA", "pieces", "TAG", "SEPARATOR", " ", "CASESENSITIVE"]
        words += ["conversation", "TAG", "CASESENSITIVE"]
        words += ["oldest", "NUMERIC", "newest", "NUMERIC", "SORTABLE"]
        return words

    def _state(self, home: int) -> RedisCommand:
        return RedisCommand(home, ("FT.INFO", self._name(home)), may_be_refused=True)

    def questions(self, home: int) -> tuple[RedisCommand, RedisCommand]:
        """Return the commands whose replies show whether an index can be used."""
        return self._state(home), RedisCommand(home, ("INFO", "memory"))

    def is_ready(self, state: Reply, memory: bytes) -> bool:
        """Return True if, by the replies to :meth:`questions`, the index has all hashes.

        It has not while the engine indexes data older than the index, nor if it has given that up.
        """
        if state is None:
            self.is_doubted = True
            return False
        fields = _fields(state)
        errors = _fields(fields.get(b"Index Errors", ()))
        used = fields_of(memory)
        limit = int(used.get("maxmemory", 0))
        return (
            int(fields[b"indexing"]) == 0
            and int(fields.get(b"hash_indexing_failures", 0)) == 0
            and errors.get(b"background indexing status", b"OK") == b"OK"
            and (not limit or int(used["used_memory"]) < FULL * limit)
        )

    def search(
        self,
        home: int,
        tokens: Iterable[str],
        keys: Iterable[ConversationKey],
        stamps: tuple[int, int],
        before: int,
        limit: int,
    ) -> RedisCommand:
        """Return the command that finds the newest blocks with all of the pieces.

        They are blocks of the conversations `keys`, their newest entry has a stamp in `stamps`,
        whose first value is excluded, and their oldest entry has at most the stamp `before`.
        """
        parts = [f"@pieces:{{{token}}}" for token in tokens]
        parts.append(f"@conversation:{{{'|'.join(map(tag, keys))}}}")
        parts.append(f"@newest:[({stamps[0]} {stamps[1]}] @oldest:[-inf {before}]")
        query = " ".join(parts)
        words: list[str | int] = ["FT.SEARCH", self._name(home), query, "RETURN", 1, "newest"]
        words += ["SORTBY", "newest", "DESC", "LIMIT", 0, limit]
        # No timeout, since partial results look like complete ones; `stamps` limits the work.
        words += ["TIMEOUT", 0, "DIALECT", 2]
        return RedisCommand(home, words, may_be_refused=True)

    def found(self, answer: Reply) -> list[tuple[IndexBlock, int]]:
        """Return the blocks in a reply, with the stamps of their newest entries or GROWING."""
        return [
            (self._block(name.decode()), int(fields[1]))
            for name, fields in zip(answer[1::2], answer[2::2], strict=True)
        ]

    def _block(self, name: str) -> IndexBlock:
        conversation, _, number = name.partition("}:i:")[2].rpartition(":")
        return IndexBlock(ConversationKey(conversation), int(number))


def _fields(pairs: Sequence[Any]) -> dict[bytes, Any]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))
