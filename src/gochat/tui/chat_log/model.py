"""The log without a screen: items, their rows at the present width, and the window on them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from gochat.tui.chat_log.index import ItemIndex, ItemNode, Run
from gochat.tui.chat_log.items import Clock, LogItem, LogMessage, LogNotice
from gochat.tui.chat_log.row import Row
from gochat.tui.chat_log.rows import Context, Geometry, layout_message, layout_notice
from gochat.tui.chat_log.window import RowPosition, Window
from gochat.tui.language import N_, _, ngettext, pgettext
from gochat.tui.text.blocks import parse
from gochat.tui.text.document import Document, plain_document
from gochat.tui.text.names import listed
from gochat.tui.text.sanitise import sanitise, sanitise_line

#: Messages of one person within this time of each other stand under one header.
GROUPED_WITHIN: Final = timedelta(minutes=5)
#: The most people whom a line names; of more it shows the number.
NAMED: Final = 3
#: Layouts that are kept: so many screenfuls, if each item had one row.
_KEPT: Final = 5

DELETED: Final = N_("message deleted")


class TextPoint(NamedTuple):
    """A position in the log's text: the order of the item, and the character in it."""

    order: int
    at: int


class Layout(NamedTuple):
    """An item laid out at the present width."""

    document: Document
    rows: Sequence[Row]


class LogModel:
    """Items, rows and window; the zone is that of the reader, the machine's if none is given."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self.index = ItemIndex()
        self._geometry = Geometry(80)
        self._clock: Clock = "24h"
        self._layouts: OrderedDict[ItemNode, Layout] = OrderedDict()
        self._unread_after: str | None = None
        self._unseen: deque[ItemNode] = deque()
        self.window = Window(self.index, self)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def geometry(self) -> Geometry:
        """The columns in use."""
        return self._geometry

    @property
    def first(self) -> ItemNode | None:
        """The oldest item."""
        return self.index.first

    @property
    def total(self) -> int:
        """The number of rows, as far as it is known."""
        self.window.rows()
        return self.index.total

    @property
    def unseen(self) -> int:
        """How many messages of others came below the window and weren't seen yet."""
        rows = self.window.rows()
        if not rows or self.window.at_end:
            self._unseen.clear()
        else:
            bottom = rows[-1].node.order
            while self._unseen and self._unseen[0].order <= bottom:
                self._unseen.popleft()
        return len(self._unseen)

    def get(self, key: str) -> ItemNode | None:
        """Return the node of `key`, if it is there."""
        return self.index.get(key)

    # Changing

    def append(self, items: Iterable[LogItem]) -> None:
        """Add `items` at the end; one whose key is there already replaces it in its place."""
        sticks = self.window.sticks
        for item in items:
            if (known := self.index.get(item.key)) is not None:
                self.replace(known, item)
                continue
            last = self.index.last
            node = self.index.append(item, self._local(item.time))
            if last is not None and self._belongs(last, node):
                run = last.run or self._new_run(last)
                self._join(run, node)
                run.last = node
                self._invalidate(run.leader)
            if not sticks and isinstance(item, LogMessage) and not item.own:
                self._unseen.append(node)
        self.window.changed()

    def prepend(self, items: Sequence[LogItem]) -> None:
        """Add `items`, oldest first, before all others."""
        for item in reversed(items):
            if (known := self.index.get(item.key)) is not None:
                self.replace(known, item)
                continue
            first = self.index.first
            node = self.index.prepend(item, self._local(item.time))
            if first is None:
                continue
            if self._belongs(node, first):
                run = first.run or self._new_run(first)
                self._join(run, node)
                run.leader = node
            self._invalidate(first)
        self.window.changed()

    def insert_before(self, following: ItemNode, items: Iterable[LogItem]) -> None:
        """Add `items` right before `following`."""
        for item in items:
            if (known := self.index.get(item.key)) is not None:
                self.replace(known, item)
                continue
            node = self.index.insert_before(following, item, self._local(item.time))
            self._regroup_around(node.previous, node, node.next)
            if isinstance(item, LogMessage) and not item.own and not self.window.sticks:
                self._unseen.append(node)
        self.window.changed()

    def replace(self, node: ItemNode, item: LogItem) -> None:
        """Put `item` where `node` is; another node that had its key goes."""
        other = self.index.get(item.key)
        if other is not None and other is not node:
            self.remove(other)
        self.index.replace(node, item, self._local(item.time))
        self._regroup_around(node.previous, node, node.next)
        self.window.changed()

    def remove(self, node: ItemNode) -> None:
        """Remove `node`; what was above it and below it may now be one run or group."""
        previous, following = node.previous, node.next
        self.window.removed(node)
        if node in self._unseen:
            self._unseen.remove(node)
        self.index.remove(node)
        self._layouts.pop(node, None)
        self._regroup_around(previous, following)
        self.window.changed()

    def reset(self, items: Iterable[LogItem]) -> None:
        """Begin again with `items`, at the end."""
        self.index = ItemIndex()
        self.index.set_columns(self._geometry.text)
        self._layouts.clear()
        self._unseen.clear()
        live, height = self.window.live, self.window.height
        self.window = Window(self.index, self)
        self.window.live, self.window.height = live, height
        self.append(items)
        self._unseen.clear()

    def set_unread_after(self, key: str | None) -> None:
        """Put the divider after the item `key`."""
        before, self._unread_after = self._unread_after, key
        for marked in {before, key} - {None}:
            node = self.index.get(marked) if marked is not None else None
            if node is not None:
                self._regroup_around(node, node.next)
        self.window.changed()

    def resize(self, width: int, height: int) -> None:
        """Lay out for a window of this size; the row at its top stays there, or that at the end."""
        self.window.height = max(1, height)
        if width != self._geometry.width:
            self.window.rows()
            self._geometry = Geometry(width)
            self._layouts.clear()
            self.index.set_columns(self._geometry.text)
            self.window.changed()

    def set_clock(self, clock: Clock) -> None:
        """Change the format of times."""
        if clock != self._clock:
            self._clock = clock
            self._layouts.clear()
            self.window.changed()

    def renew(self, items: Iterable[LogItem]) -> None:
        """Put items in the places of those with their keys, and lay everything out again."""
        for item in items:
            if (node := self.index.get(item.key)) is not None:
                self.index.replace(node, item, self._local(item.time))
        current = self.index.first
        while current is not None:
            self._regroup(current)
            current = (current if current.run is None else current.run.last).next
        self.window.changed()

    # Reading

    def at_order(self, order: int) -> ItemNode | None:
        """Return the node with this order, or the next one that is left."""
        return self.index.at_order(order)

    def text(self, node: ItemNode) -> str:
        """Return the text of `node` as it can be selected: empty if another node shows it."""
        return self.layout(node).document.plain

    # Laying out

    def height(self, node: ItemNode) -> int:
        """Return the number of rows of `node`; 0 if another node shows it."""
        return len(self.layout(node).rows)

    def position(self, node: ItemNode, row: int) -> RowPosition:
        """Return where a row is, whatever the width."""
        return self.layout(node).rows[row].position

    def row_at(self, node: ItemNode, position: RowPosition) -> int:
        """Return the row that holds `position`: the last that doesn't begin after it."""
        found = 0
        for number, row in enumerate(self.layout(node).rows):
            if row.position > position:
                break
            found = number
        return found

    def layout(self, node: ItemNode) -> Layout:
        """Return the document and the rows of `node`."""
        layout = self._layouts.get(node)
        if layout is not None and node.exact:
            self._layouts.move_to_end(node)
            return layout
        layout = self._lay_out(node)
        self._layouts[node] = layout
        if len(self._layouts) > _KEPT * self.window.height:
            self._layouts.popitem(last=False)
        return layout

    def _lay_out(self, node: ItemNode) -> Layout:
        item = node.item
        if isinstance(item, LogMessage):
            document = (
                plain_document(_(DELETED))
                if item.deleted
                else parse(sanitise(item.text), item.mentions)
            )
            return Layout(
                document, layout_message(item, document, self._context(node), self._geometry)
            )
        if not node.is_rendered:
            return Layout(plain_document(""), ())
        document = plain_document(
            _summary(node.run) if node.run is not None else sanitise(item.text)
        )
        return Layout(document, layout_notice(item, document, self._context(node), self._geometry))

    def _context(self, node: ItemNode) -> Context:
        previous = node.previous
        clock = self._time(node.local)
        if previous is None:
            return Context(clock, day=node.local.date(), first=True)
        day = node.local.date() if previous.local.date() != node.local.date() else None
        unread = previous.item.key == self._unread_after
        grouped = day is None and not unread and _goes_on(previous, node)
        return Context(
            clock,
            day=day,
            unread=unread,
            grouped=grouped,
            shows_time=clock != self._time(previous.local),
            gap=not grouped
            and not (isinstance(node.item, LogNotice) and isinstance(previous.item, LogNotice)),
        )

    def _time(self, local: datetime) -> str:
        match self._clock:
            case "24h":
                return f"{local:%H:%M}"
            case "12h":  # as short as fits beside the text
                return f"{local.hour % 12 or 12}:{local:%M}{'a' if local.hour < 12 else 'p'}"
            case "off":
                return ""

    def _local(self, time: datetime) -> datetime:
        return time.astimezone(self._zone)

    def _invalidate(self, node: ItemNode) -> None:
        """Lay `node` out again when it is next shown."""
        node.exact = False

    # Runs of notices

    def _belongs(self, previous: ItemNode, node: ItemNode) -> bool:
        """Return whether `node` is shown in one line with `previous`."""
        return (
            isinstance(previous.item, LogNotice)
            and isinstance(node.item, LogNotice)
            and previous.item.group is not None
            and node.item.group is not None
            and previous.item.key != self._unread_after
            and previous.local.date() == node.local.date()
        )

    def _new_run(self, leader: ItemNode) -> Run:
        run = Run(leader)
        self._join(run, leader)
        return run

    def _join(self, run: Run, node: ItemNode) -> None:
        assert isinstance(node.item, LogNotice)
        run.join(node, node.item.group or "", node.item.who)
        self._invalidate(node)

    def _regroup_around(self, *nodes: ItemNode | None) -> None:
        for node in nodes:
            if node is not None:
                self._regroup(node)

    def _regroup(self, node: ItemNode) -> None:
        """Find the run of `node` again, and invalidate it and its neighbours."""
        first = last = node
        while first.previous is not None and self._belongs(first.previous, first):
            first = first.previous
        while last.next is not None and self._belongs(last, last.next):
            last = last.next
        run = self._new_run(first) if first is not last else None
        current: ItemNode | None = first
        while current is not None:
            current.run = run
            if run is not None:
                self._join(run, current)
            self._invalidate(current)
            if current is last:
                break
            current = current.next
        if run is not None:
            run.last = last
        for neighbour in (first.previous, last.next):
            if neighbour is not None:
                self._invalidate(neighbour)


def _goes_on(previous: ItemNode, node: ItemNode) -> bool:
    """Return whether `node` needs no header: `previous` has the same sender and is recent."""
    one, other = previous.item, node.item
    return (
        isinstance(one, LogMessage)
        and isinstance(other, LogMessage)
        and one.sender == other.sender
        and other.reply is None
        and abs(other.time - one.time) < GROUPED_WITHIN
    )


def _summary(run: Run) -> str:
    parts = []
    for verb, people in run.summary():
        if len(people) > NAMED:
            who = ngettext("{n} person", "{n} people", len(people))
        else:
            who = listed([sanitise_line(name) for name in people])
        parts.append(_("{who} {did}", who=who, did=sanitise_line(_(verb))))
    return pgettext("between clauses", ", ").join(parts)


class Items(Mapping[str, LogItem]):
    """The items of a model by key, in their order."""

    def __init__(self, model: LogModel) -> None:
        self._model = model

    def __getitem__(self, key: str) -> LogItem:
        node = self._model.get(key)
        if node is None:
            raise KeyError(key)
        return node.item

    def __iter__(self) -> Iterator[str]:
        return (node.item.key for node in self._model.index)

    def __len__(self) -> int:
        return len(self._model)
