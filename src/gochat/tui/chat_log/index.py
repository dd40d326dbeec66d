"""The items in their order, with the height of each: found by key, by neighbour or by offset.

100,000 items must cost no more than a screenful, so no operation walks over all of them. The items
are a linked list, cut into blocks of some hundreds; a block knows the sum of its heights. A new
width makes every height wrong at once: each block then gets a rough sum from the length of its
texts, and its items get theirs when that part is shown. A Fenwick tree would find offsets faster,
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

    def __init__(self, leader: ItemNode) -> None:
        self.leader = leader
        self.last = leader
        self.verbs: dict[str, dict[str, int]] = {}
        """By verb, whom it is about, and the order of the first such notice."""

    def join(self, node: ItemNode, verb: str, who: str) -> None:
        """Add `node`, a notice that `who` did `verb`."""
        node.run = self
        people = self.verbs.setdefault(verb, {})
        people[who] = min(node.order, people.get(who, node.order))

    def summary(self) -> list[tuple[str, list[str]]]:
        """Return who did what, what happened first coming first."""
        verbs = sorted(self.verbs.items(), key=lambda item: min(item[1].values()))
        return [(verb, sorted(people, key=people.__getitem__)) for verb, people in verbs]


class ItemNode:
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
        self.previous: ItemNode | None = None
        self.next: ItemNode | None = None
        self.run: Run | None = None
        self.height = 0
        self.exact = False
        self.frame = 0  # the rows of a header and a gap, as a guess
        self.block: Block
        self.weigh()

    @property
    def is_rendered(self) -> bool:
        """Whether it has rows of its own, not those of its run's leader."""
        return self.run is None or self.run.leader is self

    def guess_frame(self, neighbour: ItemNode | None) -> None:
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
        if not self.is_rendered:
            return 0
        return 1 + self.breaks + self.cells // columns


class Block:
    """Some hundred nodes; `settled` if their heights are for the columns in use."""

    __slots__ = ("breaks", "cells", "nodes", "settled", "total")

    def __init__(self) -> None:
        self.nodes: list[ItemNode] = []
        self.total = 0
        self.cells = 0
        self.breaks = 0
        self.settled = True

    def weigh(self, node: ItemNode, sign: int) -> None:
        """Add what `node` counts for, or take it away if `sign` is -1."""
        self.total += sign * node.height
        self.cells += sign * node.cells
        self.breaks += sign * node.breaks


class ItemIndex:
    """All nodes, first to last."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._by_key: dict[str, ItemNode] = {}
        self._columns = 80
        self.first: ItemNode | None = None
        self.last: ItemNode | None = None
        self.total = 0
        """The sum of all heights, in rows."""

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[ItemNode]:
        node = self.first
        while node is not None:
            yield node
            node = node.next

    def get(self, key: str) -> ItemNode | None:
        """Return the node of `key`, if it is there."""
        return self._by_key.get(key)

    def at_order(self, order: int) -> ItemNode | None:
        """Return the node with this order, or the next one that is left."""
        for block in self._blocks:
            if block.nodes[-1].order >= order:
                at = bisect_left(block.nodes, order, key=lambda node: node.order)
                return block.nodes[at]
        return None

    def append(self, item: LogItem, local: datetime) -> ItemNode:
        """Add `item` at the end. Its key must be new."""
        order = ORDER_ORIGIN if self.last is None else self.last.order + ORDER_STEP
        node = ItemNode(item, order, local)
        node.guess_frame(self.last)
        if not self._blocks or len(self._blocks[-1].nodes) >= BLOCK_SIZE:
            self._blocks.append(Block())
        node.previous = self.last
        if self.last is not None:
            self.last.next = node
        else:
            self.first = node
        self.last = node
        self._put(node, self._blocks[-1], len(self._blocks[-1].nodes))
        return node

    def prepend(self, item: LogItem, local: datetime) -> ItemNode:
        """Add `item` before all others. Its key must be new."""
        order = ORDER_ORIGIN if self.first is None else self.first.order - ORDER_STEP
        node = ItemNode(item, order, local)
        node.guess_frame(self.first)
        if not self._blocks or len(self._blocks[0].nodes) >= BLOCK_SIZE:
            self._blocks.insert(0, Block())
        node.next = self.first
        if self.first is not None:
            self.first.previous = node
        else:
            self.last = node
        self.first = node
        self._put(node, self._blocks[0], 0)
        return node

    def insert_before(self, following: ItemNode, item: LogItem, local: datetime) -> ItemNode:
        """Add `item` right before `following`. Its key must be new."""
        previous = following.previous
        if previous is None:
            return self.prepend(item, local)
        if previous.order + 1 == following.order:
            self._spread(following)
        node = ItemNode(item, previous.order + 1, local)
        node.guess_frame(previous)
        node.previous, node.next = previous, following
        previous.next = following.previous = node
        block = following.block
        self._put(node, block, block.nodes.index(following))
        if len(block.nodes) > 2 * BLOCK_SIZE:
            self._split(block)
        return node

    def _spread(self, node: ItemNode) -> None:
        """Make room before `node`. Walks to the end, after a million inserts at one place."""
        current: ItemNode | None = node
        while current is not None:
            current.order += ORDER_STEP
            current = current.next

    def _split(self, block: Block) -> None:
        self._settle(block)
        second = Block()
        second.nodes = block.nodes[BLOCK_SIZE:]
        del block.nodes[BLOCK_SIZE:]
        for node in second.nodes:
            node.block = second
            second.weigh(node, 1)
            block.weigh(node, -1)
        self._blocks.insert(self._blocks.index(block) + 1, second)

    def _put(self, node: ItemNode, block: Block, at: int) -> None:
        block.nodes.insert(at, node)
        node.block = block
        node.height = node.estimate(self._columns)
        block.weigh(node, 1)
        self.total += node.height
        self._by_key[node.item.key] = node

    def remove(self, node: ItemNode) -> None:
        """Take `node` out; it keeps its links, for a walk that is under way."""
        self._settle(node.block)
        block = node.block
        block.nodes.remove(node)
        block.weigh(node, -1)
        self.total -= node.height
        if not block.nodes:
            self._blocks.remove(block)
        if node.previous is not None:
            node.previous.next = node.next
        else:
            self.first = node.next
        if node.next is not None:
            node.next.previous = node.previous
        else:
            self.last = node.previous
        del self._by_key[node.item.key]

    def replace(self, node: ItemNode, item: LogItem, local: datetime) -> None:
        """Put `item` where `node` is; its height stays until it is measured again."""
        block = node.block
        del self._by_key[node.item.key]
        self._by_key[item.key] = node
        block.weigh(node, -1)
        node.item, node.local = item, local
        node.weigh()
        block.weigh(node, 1)
        node.exact = False

    def set_columns(self, columns: int) -> None:
        """Forget all heights: text has `columns` cells in a row from now on."""
        self._columns = max(1, columns)
        self.total = 0
        for block in self._blocks:
            block.settled = False
            block.total = len(block.nodes) + block.breaks + block.cells // self._columns
            self.total += block.total

    def _settle(self, block: Block) -> None:
        """Give the nodes of `block` heights of the columns in use."""
        if block.settled:
            return
        total = 0
        for node in block.nodes:
            node.exact = False
            node.height = node.estimate(self._columns)
            total += node.height
        self.total += total - block.total
        block.total = total
        block.settled = True

    def is_exact(self, node: ItemNode) -> bool:
        """Return whether the height of `node` was measured at this width."""
        return node.exact and node.block.settled

    def set_height(self, node: ItemNode, height: int) -> None:
        """Note that `node` was measured."""
        self._settle(node.block)
        node.block.total += height - node.height
        self.total += height - node.height
        node.height = height
        node.exact = True

    def offset_of(self, node: ItemNode) -> int:
        """Return the sum of the heights above `node`."""
        self._settle(node.block)
        offset = 0
        for block in self._blocks:
            if block is node.block:
                break
            offset += block.total
        for other in node.block.nodes:
            if other is node:
                break
            offset += other.height
        return offset

    def at_offset(self, offset: int) -> tuple[ItemNode, int] | None:
        """Return the node that covers row `offset`, and which of its rows; the nearest if none."""
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
            for node in block.nodes:
                if offset < node.height:
                    return node, offset
                offset -= node.height
        return self.last, max(0, self.last.height - 1)
