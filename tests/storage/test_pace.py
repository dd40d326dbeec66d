"""Which thread commits and reads: the loop's only while it need not wait for a disk."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from indexed_store import inside
from store_files import opened
from storing import Chat

from gochat.storage.sqlite import FEW_ENTRIES
from gochat.storage.sqlite import pace as pace_module
from gochat.storage.sqlite.pace import (
    ALL_IS_WELL,
    FEWEST,
    FEWEST_READS,
    LIMIT,
    LIMIT_APART,
    MOST,
    MOST_READS,
    READ_LIMIT,
    READS_WELL,
    Pace,
    ReadPace,
)
from gochat.storage.sqlite.reader import Reader


def _opened() -> Pace:
    pace = Pace(is_apart=False)
    _commit_apart(pace)
    return pace


def _commit_apart(pace: Pace, seconds: float = 0.001, times: int = 1) -> None:
    for _ in range(times):
        pace.begin_apart()
        pace.committed_apart(seconds, 1)


def _commits_until_here(pace: Pace) -> int:
    commits = 0
    while not pace.is_here:
        _commit_apart(pace)
        commits += 1
    return commits


def test_loop_never_commits_where_every_commit_waits_for_the_disk() -> None:
    pace = Pace(is_apart=True)
    _commit_apart(pace, times=MOST)
    assert not pace.is_here


def test_first_commit_of_a_new_log_is_the_threads() -> None:
    pace = Pace(is_apart=False)
    assert not pace.is_here
    _commit_apart(pace)
    assert pace.is_here


def test_a_checkpoint_keeps_the_loop_from_committing_until_the_log_is_new() -> None:
    pace = _opened()
    pace.checkpoint_began()
    assert not pace.is_here
    _commit_apart(pace)
    assert not pace.is_here  # the checkpoint may still end, and the log begin anew
    pace.begin_apart()
    pace.checkpoint_ended()
    pace.committed_apart(0.001, 1)
    assert not pace.is_here  # it began before the end, so it went on in the old log
    _commit_apart(pace)
    assert pace.is_here


def test_slow_commit_here_makes_the_thread_commit_until_it_is_fast_again() -> None:
    pace = _opened()
    pace.committed_here(LIMIT + 0.001, 1)
    assert _commits_until_here(pace) == FEWEST


def test_many_writes_may_take_longer() -> None:
    pace = _opened()
    pace.committed_here(LIMIT + 0.001, 100)
    assert pace.is_here


def test_each_further_try_that_is_slow_is_waited_for_twice_as_long() -> None:
    pace, needed = _opened(), FEWEST
    while needed < MOST:
        pace.failed_here()
        assert _commits_until_here(pace) == needed
        needed = min(2 * needed, MOST)
    for _ in range(ALL_IS_WELL):
        pace.committed_here(0.0001, 1)
    pace.failed_here()
    assert _commits_until_here(pace) == FEWEST


def test_slow_commit_in_the_thread_begins_the_count_anew() -> None:
    pace = _opened()
    pace.failed_here()
    _commit_apart(pace, times=FEWEST - 1)
    _commit_apart(pace, LIMIT_APART + 0.001)
    assert _commits_until_here(pace) == FEWEST


def _reads_until_here(pace: ReadPace) -> int:
    return next(number for number in range(2 * MOST_READS) if pace.is_here)


def test_slow_read_sends_the_next_ones_to_threads() -> None:
    pace = ReadPace()
    assert pace.is_here
    pace.took(READ_LIMIT / 2)
    assert pace.is_here
    pace.took(READ_LIMIT * 2)
    assert _reads_until_here(pace) == FEWEST_READS


def test_reads_that_stay_slow_are_tried_more_and_more_rarely() -> None:
    pace = ReadPace()
    waits = []
    for _ in range(12):
        pace.took(READ_LIMIT * 2)
        waits.append(_reads_until_here(pace))
    assert waits[:3] == [FEWEST_READS, 2 * FEWEST_READS, 4 * FEWEST_READS]
    assert waits[-1] == MOST_READS


def test_an_interruption_among_many_fast_reads_costs_few() -> None:
    pace = ReadPace()
    for _ in range(5):
        pace.took(READ_LIMIT * 2)
        assert _reads_until_here(pace) == FEWEST_READS
        for _ in range(READS_WELL):
            pace.took(0.0)


@pytest.mark.trio
async def test_few_entries_are_read_here_until_that_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow page sends pages to threads, and no other reads: those are in memory."""
    threads: list[str] = []
    page = Reader.page

    def noted(reader: Reader, *args: Any) -> Any:
        threads.append("here" if threading.current_thread() is threading.main_thread() else "apart")
        return page(reader, *args)

    async def where(chat: Chat, limit: int) -> str:
        await chat.page("Mei", "#lobby", limit=limit)
        return threads.pop()

    monkeypatch.setattr(Reader, "page", noted)
    monkeypatch.setattr(pace_module, "READ_LIMIT", 1000.0)  # however busy the machine is
    async with opened(tmp_path / "chat.db") as chat:
        await chat.register("Mei")
        assert [await where(chat, limit) for limit in (50, FEW_ENTRIES, 200)] == [
            *("here", "here", "apart")
        ]
        monkeypatch.setattr(pace_module, "READ_LIMIT", -1.0)
        assert await where(chat, 50) == "here"
        monkeypatch.setattr(pace_module, "READ_LIMIT", 1000.0)
        here = inside(chat)._here
        assert here is not None
        assert here.ask(lambda _: True)  # as for the rows that a message needs
        assert [await where(chat, 50) for _ in range(FEWEST_READS + 1)] == [
            *["apart"] * FEWEST_READS,
            "here",
        ]
