"""Whatever happens in whatever order: the window is a part of the log, and it doesn't jump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gochat.tui.chat_log.items import LogItem, LogMessage, LogNotice
from gochat.tui.chat_log.model import LogModel

T0 = datetime(2026, 3, 13, 12, 0, tzinfo=UTC)

_TEXTS = st.sampled_from(
    [
        "short",
        "a longer text of several words that wraps in most windows " * 2,
        "a\nb\nc",
        "好" * 50,
    ]
)
_SIZES = st.tuples(st.integers(12, 100), st.integers(1, 12))
_ROWS = st.integers(-60, 60)
_KINDS = st.sampled_from(["mei", "mei", "jonas", "joined", "joined", "left", "topic"])


class LogMachine(RuleBasedStateMachine):
    """Compares the model with a list of items that is laid out whole, again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.model = LogModel(UTC)
        self.items: list[LogItem] = []
        self.first = self.last = 0
        self.made = 0
        self.size = (80, 7)
        self.unread: str | None = None
        self.known: tuple[object, list[tuple[str, tuple[int, int], str]]] = (None, [])

    def item(self, kind: str, text: str, position: int, key: str | None = None) -> LogItem:
        if key is None:
            self.made += 1
            key = str(self.made)
        time = T0 + timedelta(minutes=position * 2)
        match kind:
            case "joined" | "left":
                return LogNotice(key, time, "", kind, f"who{self.made}")
            case "topic":
                return LogNotice(key, time, text)
            case sender:
                return LogMessage(key, sender, text, time)

    @initialize(size=_SIZES, parts=st.lists(st.tuples(_KINDS, _TEXTS), max_size=30), up=_ROWS)
    def start(self, size: tuple[int, int], parts: list[tuple[str, str]], up: int) -> None:
        self.size = size
        self.model.resize(*size)
        self.append(parts)
        self.model.window.scroll(up)

    def tops(self) -> tuple[str, tuple[int, int]] | None:
        rows = self.model.window.rows()
        if not rows or self.model.window.at_end:
            return None
        node, row = rows[0]
        return node.item.key, self.model.layout(node).rows[row].position

    def assert_top(self, before: tuple[str, tuple[int, int]] | None) -> None:
        """The row that was at the top is there, unless the end of the log pushed it down."""
        rows = self.model.window.rows()
        if before is None or self.model.window.at_end:
            return
        node, row = rows[0]
        layout = self.model.layout(node).rows
        key, position = before
        assert node.item.key == key
        # The same position, or what holds it: its row may be gone, or begin further left.
        assert row == max(
            (n for n, other in enumerate(layout) if other.position <= position), default=0
        )

    @rule(parts=st.lists(st.tuples(_KINDS, _TEXTS), min_size=1, max_size=6))
    def append(self, parts: list[tuple[str, str]]) -> None:
        top, sticks = self.tops(), self.model.window.sticks
        new: list[LogItem] = []
        for kind, text in parts:
            self.last += 1
            new.append(self.item(kind, text, self.last))
        self.items += new
        self.model.append(new)
        self.assert_top(top)
        if sticks:
            assert self.model.window.at_end

    @rule(parts=st.lists(st.tuples(_KINDS, _TEXTS), min_size=1, max_size=6))
    def prepend(self, parts: list[tuple[str, str]]) -> None:
        rows = self.model.window.rows()
        before = (rows[0].node, rows[0].row) if rows else None
        position = self.model.position(*before) if before else None
        new = []
        for kind, text in reversed(parts):
            self.first -= 1
            new.append(self.item(kind, text, self.first))
        new.reverse()
        self.items = new + self.items
        self.model.prepend(new)
        if (
            before
            and before[0].is_rendered
            and position is not None
            and not self.model.window.at_end
        ):
            self.assert_top((before[0].item.key, position))

    @precondition(lambda self: self.items)
    @rule(data=st.data(), kind=_KINDS, text=_TEXTS)
    def replace(self, data: st.DataObject, kind: str, text: str) -> None:
        number = data.draw(st.integers(0, len(self.items) - 1))
        old = self.items[number]
        node = self.model.get(old.key)
        assert node is not None
        item = self.item(kind, text, number, old.key if data.draw(st.booleans()) else None)
        if old.key == self.unread and item.key != old.key:
            self.unread = None
            self.model.set_unread_after(None)
        self.items[number] = item
        self.model.replace(node, item)

    @precondition(lambda self: self.items)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        item = self.items.pop(data.draw(st.integers(0, len(self.items) - 1)))
        node = self.model.get(item.key)
        assert node is not None
        self.model.remove(node)

    @precondition(lambda self: self.items)
    @rule(data=st.data(), kind=_KINDS, text=_TEXTS)
    def insert(self, data: st.DataObject, kind: str, text: str) -> None:
        number = data.draw(st.integers(0, len(self.items) - 1))
        following = self.model.get(self.items[number].key)
        assert following is not None
        item = self.item(kind, text, number)
        self.items.insert(number, item)
        self.model.insert_before(following, [item])

    @rule(size=_SIZES)
    def resize(self, size: tuple[int, int]) -> None:
        top, at_end = self.tops(), self.model.window.at_end
        self.size = size
        self.model.resize(*size)
        self.assert_top(top)
        if at_end:
            assert self.model.window.at_end

    @rule(rows=_ROWS)
    def scroll(self, rows: int) -> None:
        everything = self.everything()
        before = self.position(everything)
        self.model.window.scroll(rows)
        after = self.position(everything)
        room = max(0, len(everything) - self.size[1])
        assert after == min(max(before + rows, 0), room)

    @rule(share=st.floats(0, 1))
    def drag(self, share: float) -> None:
        self.model.window.to_offset(round(self.model.total * share))

    @rule()
    def end(self) -> None:
        self.model.window.to_end()
        assert self.model.window.at_end

    @rule(data=st.data())
    def divide(self, data: st.DataObject) -> None:
        keys = [item.key for item in self.items]
        self.unread = data.draw(st.sampled_from([None, *keys]))
        self.model.set_unread_after(self.unread)

    def everything(self) -> list[tuple[str, tuple[int, int], str]]:
        """All rows of all items, by a model that never knew anything else."""
        given = (self.size[0], self.unread, tuple(self.items))
        if self.known[0] == given:  # steps that only move the window ask for the same
            return self.known[1]
        fresh = LogModel(UTC)
        fresh.resize(self.size[0], 100_000)
        fresh.append(self.items)
        fresh.set_unread_after(self.unread)
        self.known = given, self.rows_of(fresh)
        return self.known[1]

    @staticmethod
    def rows_of(model: LogModel) -> list[tuple[str, tuple[int, int], str]]:
        return [
            (
                node.item.key,
                model.layout(node).rows[row].position,
                "".join(piece.text for piece in model.layout(node).rows[row].pieces),
            )
            for node, row in model.window.rows()
        ]

    def position(self, everything: list[tuple[str, tuple[int, int], str]]) -> int:
        visible = self.rows_of(self.model)
        return everything.index(visible[0]) if visible else 0

    @invariant()
    def the_window_is_a_part_of_the_log(self) -> None:
        everything, visible = self.everything(), self.rows_of(self.model)
        assert len(visible) == min(self.size[1], len(everything))
        start = self.position(everything)
        assert everything[start : start + len(visible)] == visible

    @invariant()
    def offsets_fit_the_heights(self) -> None:
        model = self.model
        total = model.total
        offset = 0
        node = model.first
        assert 0 <= model.window.offset <= max(0, total - 1)
        while node is not None:
            found = model.index.at_offset(offset)
            if node.height and found is not None:
                assert found == (node, 0)
                assert model.index.offset_of(node) == offset
            offset += node.height
            node = node.next
        assert offset == model.total


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(
    stateful_step_count=25, max_examples=settings().max_examples // 2
)
