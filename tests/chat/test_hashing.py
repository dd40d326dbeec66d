"""The queue for password hashes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from gochat.chat.hashing import MAX_WAITING, NICENESS, HashingQueue
from gochat.errors import ChatError

pytestmark = pytest.mark.trio


async def hold(queue: HashingQueue, served: list[int], number: int) -> None:
    """Queue; record when the slot is granted, and release it after a second."""
    async with queue.slot():
        served.append(number)
        await trio.sleep(1)  # the time that a hash takes


async def test_queue_is_first_come_first_served_and_skips_leavers(
    mock_clock: trio.testing.MockClock,
) -> None:
    queue, served = HashingQueue(slots=1), list[int]()
    leaving = trio.CancelScope()

    async def leave() -> None:
        with leaving:
            await hold(queue, served, 100)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(hold, queue, served, number)
            await trio.testing.wait_all_tasks_blocked()
            if number == 5:
                nursery.start_soon(leave)
                await trio.testing.wait_all_tasks_blocked()
        assert queue.waiting == 11
        leaving.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert queue.waiting == 10
        for _ in range(10):
            mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked()
    assert served == list(range(10))
    assert queue.waiting == 0


async def test_wait_of_a_full_queue_is_estimated_from_finished_hashes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    queue, served, refusals = HashingQueue(20, slots=2), list[int](), list[ChatError]()
    for _ in range(5):
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(hold, queue, served, number)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(ChatError) as caught:
                await hold(queue, served, 100)
            refusals.append(caught.value)
    assert refusals[-1].code == "busy"
    assert refusals[-1].retry_after == pytest.approx(10, rel=0.05)
    assert "again in 10 s" in refusals[-1].text
    assert 100 not in served


@pytest.mark.parametrize(("seconds", "longest"), [(1.0, MAX_WAITING), (0.001, 2000)])
async def test_queue_may_be_long_while_hashing_is_quick(
    seconds: float, longest: int, autojump_clock: trio.testing.MockClock
) -> None:
    queue = HashingQueue(slots=2)
    refused = 0

    async def log_in() -> None:
        nonlocal refused
        try:
            async with queue.slot():
                await trio.sleep(seconds)
        except ChatError:
            refused += 1

    async with trio.open_nursery() as nursery:
        for _ in range(100):  # from which it knows how long one takes
            nursery.start_soon(log_in)
        await trio.testing.wait_all_tasks_blocked()
    async with trio.open_nursery() as nursery:
        for _ in range(2000):
            nursery.start_soon(log_in)
        await trio.testing.wait_all_tasks_blocked()
        assert (queue.waiting, refused) == (longest, 2000 - longest)


async def test_slot_granted_to_a_leaver_is_released() -> None:
    queue = HashingQueue(slots=1)

    async def leave_with_it(turn: Callable[[], Awaitable[None]]) -> None:
        await turn()
        leaving.cancel()
        await trio.lowlevel.checkpoint()

    async def leave() -> None:
        with leaving:
            async with queue.slot(leave_with_it):
                raise AssertionError

    leaving = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        async with queue.slot():
            nursery.start_soon(leave)
            await trio.testing.wait_all_tasks_blocked()
            assert queue.waiting == 2
    assert leaving.cancelled_caught
    async with queue.slot():
        assert queue.waiting == 1


async def test_only_hashing_threads_have_low_priority() -> None:
    def priority() -> tuple[str, int]:
        nice = 0 if sys.platform == "win32" else os.getpriority(os.PRIO_PROCESS, 0)
        return threading.current_thread().name, nice

    _, mine = priority()
    name, theirs = await HashingQueue().run(priority)
    assert name.startswith("hashing")
    assert theirs == (min(19, mine + NICENESS) if sys.platform == "linux" else mine)
    assert (await trio.to_thread.run_sync(priority))[1] == mine


async def test_started_hash_finishes_and_raises_its_error() -> None:
    queue, finished = HashingQueue(), list[str]()
    with trio.move_on_after(0):
        finished.append(await queue.run(str, "hash"))
    assert finished == ["hash"]
    with pytest.raises(ZeroDivisionError):
        await queue.run(lambda: 1 // 0)
