"""The order in which a node delivers, and how long an acknowledgement waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from storing import Following
from trio.testing import MockClock, wait_all_tasks_blocked

from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.log import Logged
from gochat.errors import LogInterrupted, StoreUnavailable
from gochat.protocol.messages import Message
from gochat.storage.redis.link.epoch_tracker import Break
from gochat.storage.redis.order import PATIENCE, Order, Placed, Position

pytestmark = pytest.mark.trio


def placed(position: int, epoch: str = "e1") -> Placed:
    entry = Message(to="#lobby", epoch=epoch, seq=position, ts=0, from_="mei", text="x")
    return Placed(0, epoch, position, Logged(LOBBY_KEY, entry))


@pytest.fixture
def order() -> Order:
    """The order of one partition, delivered up to position 4."""
    return Order(["e1"], [4])


@pytest.fixture
async def followed(order: Order, nursery: trio.Nursery) -> AsyncIterator[Following]:
    """A follower of that order."""
    following = Following()

    async def follow() -> None:
        with pytest.raises(LogInterrupted):
            await order.follow(following, trio.TASK_STATUS_IGNORED)

    nursery.start_soon(follow)
    await wait_all_tasks_blocked()
    yield following
    nursery.cancel_scope.cancel()


async def test_acknowledgement_waits_until_its_position_is_delivered(
    order: Order, followed: Following, autojump_clock: MockClock
) -> None:
    order.offer([placed(6)])  # not the next one: the feed brings it
    async with trio.open_nursery() as nursery:
        nursery.start_soon(order.delivered, [Position(0, "e1", 6), Position(0, "e1", 5)], 0)
        await wait_all_tasks_blocked()
        order.offer([placed(5)])
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        order.offer([placed(6)])
    assert followed.seqs("#lobby") == [5, 6]
    assert trio.current_time() < 1.0


async def test_acknowledgement_of_what_is_delivered_does_not_wait(
    order: Order, followed: Following
) -> None:
    await order.delivered([Position(0, "e1", 4)], 0)
    await order.delivered([], 0)


async def test_acknowledgement_waits_for_nobody_if_nobody_follows(order: Order) -> None:
    await order.delivered([Position(0, "e1", 9)], 0)


@pytest.mark.parametrize("epoch", ["e1", "e2"])
async def test_interrupted_log_leaves_it_unknown(
    order: Order, followed: Following, epoch: str
) -> None:
    """Also if the follower has begun anew by then, and if the position is beyond the break."""
    async with trio.open_nursery() as nursery:

        async def acknowledge(position: Position) -> None:
            with pytest.raises(StoreUnavailable):
                await order.delivered([position], 0)

        nursery.start_soon(acknowledge, Position(0, "e1", 5))
        nursery.start_soon(acknowledge, Position(0, epoch, 9))
        await wait_all_tasks_blocked()
        order.skip([Break(0, epoch, 7)])
    with pytest.raises(StoreUnavailable):
        await order.delivered([Position(0, epoch, 5)], 0)
    await order.delivered([Position(0, epoch, 5)], 1)


async def test_node_that_stays_behind_leaves_it_unknown(
    order: Order, followed: Following, autojump_clock: MockClock
) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        await order.delivered([Position(0, "e1", 5)], 0)
    assert trio.current_time() == pytest.approx(PATIENCE)
    assert caught.value.retry_after is not None
