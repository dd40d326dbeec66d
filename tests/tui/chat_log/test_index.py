"""The order of items, and the sums of their heights, hold at any size."""

from __future__ import annotations

from datetime import UTC, datetime

from gochat.tui.chat_log.index import BLOCK_SIZE, ItemIndex
from gochat.tui.chat_log.items import LogMessage

T0 = datetime(2026, 3, 13, 12, 0, tzinfo=UTC)


def message(number: int, text: str = "text") -> LogMessage:
    return LogMessage(str(number), "mei", text, T0)


def filled(count: int) -> ItemIndex:
    index = ItemIndex()
    for number in range(count):
        index.append(message(number), T0)
    return index


def keys(index: ItemIndex) -> list[str]:
    return [node.item.key for node in index]


def assert_sums_hold(index: ItemIndex) -> None:
    offset = 0
    previous = None
    for node in index:
        assert index.offset_of(node) == offset
        assert index.at_offset(offset) == (node, 0)
        assert index.at_order(node.order) is node
        assert previous is None or previous.order < node.order
        assert node.previous is previous
        offset += node.height
        previous = node
    assert offset == index.total
    assert index.last is previous


def test_items_come_at_both_ends() -> None:
    index = filled(3 * BLOCK_SIZE)
    for number in range(1, 2 * BLOCK_SIZE):
        index.prepend(message(-number), T0)
    assert keys(index) == [str(number) for number in range(1 - 2 * BLOCK_SIZE, 3 * BLOCK_SIZE)]
    assert_sums_hold(index)


def test_many_items_come_before_one() -> None:
    index = filled(BLOCK_SIZE)
    last = index.last
    assert last is not None
    for number in range(3 * BLOCK_SIZE):
        index.insert_before(last, message(1000 + number), T0)
    assert keys(index)[-2:] == [str(999 + 3 * BLOCK_SIZE), str(BLOCK_SIZE - 1)]
    assert_sums_hold(index)
    index.set_columns(10)
    assert_sums_hold(index)


def test_there_is_always_room_between_two() -> None:
    index = filled(3)
    first, middle, last = index
    middle.order = first.order + 1
    inserted = index.insert_before(middle, message(9), T0)
    assert first.order < inserted.order < middle.order < last.order
    assert_sums_hold(index)


def test_heights_are_those_that_were_measured() -> None:
    index = filled(1000)
    node = index.get("500")
    assert node is not None
    index.set_height(node, 7)
    assert index.is_exact(node)
    assert_sums_hold(index)
    index.set_columns(40)
    assert not index.is_exact(node)
    assert_sums_hold(index)


def test_an_item_that_leaves_is_not_found() -> None:
    index = filled(10)
    node = index.get("5")
    assert node is not None
    order = node.order
    index.remove(node)
    found = index.at_order(order)
    assert found is not None
    assert found.item.key == "6"
    assert index.get("5") is None
    assert_sums_hold(index)
    last = index.last
    assert last is not None
    assert index.at_order(last.order + 1) is None


def test_an_empty_index_has_no_rows() -> None:
    index = filled(1)
    node = index.first
    assert node is not None
    index.remove(node)
    assert index.at_offset(0) is None
    assert (len(index), index.total, index.first, index.last) == (0, 0, None, None)


def test_estimates_are_near_the_truth_for_the_whole() -> None:
    index = ItemIndex()
    for number in range(10_000):
        index.append(message(number, "word " * (number % 60)), T0)
    index.set_columns(40)
    exact = sum(1 + (number % 60) * 5 // 40 for number in range(10_000))
    assert abs(index.total - exact) < exact / 10
