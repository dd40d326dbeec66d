"""The items in their order, with the height of each: found by key, by neighbour or by offset.

100,000 items must cost no more than a screenful, so no operation walks over all of them. The items
are a linked list, cut into blocks of some hundreds; a block knows the sum of its heights. A new
width makes every height wrong at once: each block then gets a rough sum from the length of its
texts, and its items get theirs when somebody looks there. A Fenwick tree would find offsets faster,
but items come at both ends and leave anywhere, and the sum over a few hundred blocks takes some
microseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from gochat.tui.chat_log.items import LogItem, LogMessage

#: Items per block: with 100,000 items, about as many blocks as items in one.
BLOCK_SIZE: Final = 256

#: The order of the first item. Far from 0, so that those of prepended ones stay above it.
ORDER_ORIGIN: Final = 1 << 62
#: From the order of one item to the next one's: room for as many inserted between them.
ORDER_STEP: Final = 1 << 20


class Run:
    """Consecutive notices of people, which are shown as one line by their first, the leader."""

    __slots__ = ("last", "leader", "verbs")

    def __init__(self, leader: Entry) -> None:
        self.leader = leader
        self.last = leader
        self.verbs: dict[str, dict[str, int]] = {}
        """What happened: to whom, and the order of the first notice that says so."""

    def join(self, entry: Entry, verb: str, who: str) -> None:
        """Take in `entry`, which says that `who` did `verb`."""
        entry.run = self
        people = self.verbs.setdefault(verb, {})
        people[who] = min(entry.order, people.get(who, entry.order))

    def told(self) -> list[tuple[str, list[str]]]:
        """Return who did what, what happened first coming first."""
        verbs = sorted(self.verbs.items(), key=lambda item: min(item[1].values()))
        return [(verb, sorted(people, key=people.__getitem__)) for verb, people in verbs]


class Entry:
    """An item in the log, and what the log knows about it."""

    __slots__ = (
        "block",
        "breaks",
        "cells",
        "exact",
        "frame",
        "height",
        "item",
        "local",
        "next",
        "order",
        "previous",
        "run",
    )

    def __init__(self, item: LogItem, order: int, local: datetime) -> None:
        self.item = item
        self.order = order
        self.local = local
        self.previous: Entry | None = None
        self.next: Entry | None = None
        self.run: Run | None = None
        self.height = 0
        self.exact = False
        self.frame = 0  # the rows of a header and a gap, as far as one can guess
        self.block: Block
        self.weigh()

    @property
    def is_told(self) -> bool:
        """Whether it is shown by itself, not by the leader of its run."""
        return self.run is None or self.run.leader is self

    def guess_frame(self, neighbour: Entry | None) -> None:
        """Guess whether a header stands between this and `neighbour`, on whichever side."""
        if not isinstance(self.item, LogMessage):
            return
        other = neighbour.item if neighbour is not None else None
        if not isinstance(other, LogMessage) or other.sender != self.item.sender:
            self.frame = 2
            self.weigh()

    def weigh(self) -> None:
        """Take from the item what estimates need."""
        text = self.item.text
        self.cells = len(text)
        self.breaks = text.count("\n") + self.frame

    def estimate(self, columns: int) -> int:
        """Guess the rows at so many columns of text, from the length of the text alone."""
        if not self.is_told:
            return 0
        return 1 + self.breaks + self.cells // columns


class Block:
    """Some hundred entries; `settled` says whether their heights are of the columns in use."""

    __slots__ = ("breaks", "cells", "entries", "settled", "total")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.total = 0
        self.cells = 0
        self.breaks = 0
        self.settled = True

    def weigh(self, entry: Entry, sign: int) -> None:
        """Add what `entry` counts for, or take it away if `sign` is -1."""
        self.total += sign * entry.height
        self.cells += sign * entry.cells
        self.breaks += sign * entry.breaks


class ItemIndex:
    """All entries, first to last."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._by_key: dict[str, Entry] = {}
        self._columns = 80
        self.first: Entry | None = None
        self.last: Entry | None = None
        self.total = 0
        """The sum of all heights, in rows."""

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Entry]:
        entry = self.first
        while entry is not None:
            yield entry
            entry = entry.next

    def get(self, key: str) -> Entry | None:
        """Return the entry of `key`, if it is there."""
        return self._by_key.get(key)

    def at_order(self, order: int) -> Entry | None:
        """Return the entry with this order, or the next one that is left."""
        for block in self._blocks:
            if block.entries[-1].order >= order:
                at = bisect_left(block.entries, order, key=lambda entry: entry.order)
                return block.entries[at]
        return None

    def append(self, item: LogItem, local: datetime) -> Entry:
        """Add `item` at the end. Its key must be new."""
        order = ORDER_ORIGIN if self.last is None else self.last.order + ORDER_STEP
        entry = Entry(item, order, local)
        entry.guess_frame(self.last)
        if not self._blocks or len(self._blocks[-1].entries) >= BLOCK_SIZE:
            self._blocks.append(Block())
        entry.previous = self.last
        if self.last is not None:
            self.last.next = entry
        else:
            self.first = entry
        self.last = entry
        self._put(entry, self._blocks[-1], len(self._blocks[-1].entries))
        return entry

    def prepend(self, item: LogItem, local: datetime) -> Entry:
        """Add `item` before all others. Its key must be new."""
        order = ORDER_ORIGIN if self.first is None else self.first.order - ORDER_STEP
        entry = Entry(item, order, local)
        entry.guess_frame(self.first)
        if not self._blocks or len(self._blocks[0].entries) >= BLOCK_SIZE:
            self._blocks.insert(0, Block())
        entry.next = self.first
        if self.first is not None:
            self.first.previous = entry
        else:
            self.last = entry
        self.first = entry
        self._put(entry, self._blocks[0], 0)
        return entry

    def insert_before(self, following: Entry, item: LogItem, local: datetime) -> Entry:
        """Add `item` right before `following`. Its key must be new."""
        previous = following.previous
        if previous is None:
            return self.prepend(item, local)
        if previous.order + 1 == following.order:
            self._spread(following)
        entry = Entry(item, previous.order + 1, local)
        entry.guess_frame(previous)
        entry.previous, entry.next = previous, following
        previous.next = following.previous = entry
        block = following.block
        self._put(entry, block, block.entries.index(following))
        if len(block.entries) > 2 * BLOCK_SIZE:
            self._split(block)
        return entry

    def _spread(self, entry: Entry) -> None:
        """Make room before `entry`. Walks to the end, after a million inserts at one place."""
        current: Entry | None = entry
        while current is not None:
            current.order += ORDER_STEP
            current = current.next

    def _split(self, block: Block) -> None:
        self._settle(block)
        rest = Block()
        rest.entries = block.entries[BLOCK_SIZE:]
        del block.entries[BLOCK_SIZE:]
        for entry in rest.entries:
            entry.block = rest
            rest.weigh(entry, 1)
            block.weigh(entry, -1)
        self._blocks.insert(self._blocks.index(block) + 1, rest)

    def _put(self, entry: Entry, block: Block, at: int) -> None:
        block.entries.insert(at, entry)
        entry.block = block
        entry.height = entry.estimate(self._columns)
        block.weigh(entry, 1)
        self.total += entry.height
        self._by_key[entry.item.key] = entry

    def remove(self, entry: Entry) -> None:
        """Take `entry` out; it keeps its neighbours for whoever walks there just now."""
        self._settle(entry.block)
        block = entry.block
        block.entries.remove(entry)
        block.weigh(entry, -1)
        self.total -= entry.height
        if not block.entries:
            self._blocks.remove(block)
        if entry.previous is not None:
            entry.previous.next = entry.next
        else:
            self.first = entry.next
        if entry.next is not None:
            entry.next.previous = entry.previous
        else:
            self.last = entry.previous
        del self._by_key[entry.item.key]

    def replace(self, entry: Entry, item: LogItem, local: datetime) -> None:
        """Put `item` where `entry` is; its height stays until it is measured again."""
        block = entry.block
        del self._by_key[entry.item.key]
        self._by_key[item.key] = entry
        block.weigh(entry, -1)
        entry.item, entry.local = item, local
        entry.weigh()
        block.weigh(entry, 1)
        entry.exact = False

    def set_columns(self, columns: int) -> None:
        """Forget all heights: text has `columns` cells in a row from now on."""
        self._columns = max(1, columns)
        self.total = 0
        for block in self._blocks:
            block.settled = False
            block.total = len(block.entries) + block.breaks + block.cells // self._columns
            self.total += block.total

    def _settle(self, block: Block) -> None:
        """Give the entries of `block` heights of the columns in use."""
        if block.settled:
            return
        total = 0
        for entry in block.entries:
            entry.exact = False
            entry.height = entry.estimate(self._columns)
            total += entry.height
        self.total += total - block.total
        block.total = total
        block.settled = True

    def is_exact(self, entry: Entry) -> bool:
        """Say whether the height of `entry` was measured, at this width."""
        return entry.exact and entry.block.settled

    def set_height(self, entry: Entry, height: int) -> None:
        """Note that `entry` was measured."""
        self._settle(entry.block)
        entry.block.total += height - entry.height
        self.total += height - entry.height
        entry.height = height
        entry.exact = True

    def offset_of(self, entry: Entry) -> int:
        """Return the sum of the heights above `entry`."""
        self._settle(entry.block)
        offset = 0
        for block in self._blocks:
            if block is entry.block:
                break
            offset += block.total
        for other in entry.block.entries:
            if other is entry:
                break
            offset += other.height
        return offset

    def at_offset(self, offset: int) -> tuple[Entry, int] | None:
        """Return the entry that covers row `offset`, and which of its rows; the nearest if none."""
        if self.first is None or self.last is None:
            return None
        offset = max(0, offset)
        for block in self._blocks:
            if offset >= block.total:
                offset -= block.total
                continue
            before = block.total
            self._settle(block)
            if block.total != before and offset >= block.total:
                offset -= block.total  # rough was too high
                continue
            for entry in block.entries:
                if offset < entry.height:
                    return entry, offset
                offset -= entry.height
        return self.last, max(0, self.last.height - 1)
