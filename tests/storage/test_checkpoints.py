"""The write-ahead log stays short, also where no commit ever waits for a checkpoint's end."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from patience import PATIENCE, until

from gochat.errors import StoreCorrupt
from gochat.storage.common.integrity import Integrity
from gochat.storage.sqlite import checkpoints
from gochat.storage.sqlite.checkpoints import Checkpoints
from gochat.storage.sqlite.connections import ConnectionPool
from gochat.storage.sqlite.pace import Pace

PAGES = 20


class Interrupted(sqlite3.Connection):
    """What is committed while a passive checkpoint runs is not in it: here, because of a reader."""

    commit_beside: Callable[[], None]
    reading: sqlite3.Connection

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if "PASSIVE" not in sql:
            return super().execute(sql, *args)
        self.reading.execute("BEGIN")
        self.reading.execute("SELECT count(*) FROM line").fetchone()
        self.commit_beside()
        result = super().execute(sql, *args)
        self.reading.execute("COMMIT")
        return result


class Watched(Pace):
    """Counts the checkpoints."""

    began = ended = 0

    def checkpoint_began(self) -> None:
        super().checkpoint_began()
        self.began += 1

    def checkpoint_ended(self) -> None:
        super().checkpoint_ended()
        self.ended += 1


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "PAGES", PAGES)
    monkeypatch.setattr(checkpoints, "MOST_PAGES", 4 * PAGES)


def connected(path: Path, factory: type[sqlite3.Connection] = sqlite3.Connection) -> Any:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=factory)


def logged(path: Path) -> sqlite3.Connection:
    """Make a database with a write-ahead log that only checkpoints on demand shorten."""
    db: sqlite3.Connection = connected(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("CREATE TABLE line (text)")
    return db


def commit(db: sqlite3.Connection) -> None:
    """Commit some three pages."""
    db.execute("INSERT INTO line VALUES (?)", ("x" * 5000,))


def pages(path: Path) -> int:
    return path.stat().st_size // 4096


def log_pages(path: Path) -> int:
    return pages(path.with_name("chat.db-wal"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the test's database."""
    return tmp_path / "chat.db"


@pytest.mark.trio
async def test_log_stays_short_while_commits_never_pause(path: Path, small: None) -> None:
    writing = logged(path)
    checkpointing = connected(path, Interrupted)
    checkpointing.commit_beside = lambda: commit(writing)
    checkpointing.reading = connected(path)
    pace = Watched(is_apart=False)
    lost: list[StoreCorrupt] = []
    searching = ConnectionPool(connected(path))
    keeper = Checkpoints(checkpointing, searching, pace, Integrity(lost.append))
    longest, rounds = 0, 20
    while pace.began < rounds:
        commit(writing)
        keeper.committed(1)
        await until(lambda: pace.ended == pace.began)
        longest = max(longest, log_pages(path))
    keeper.close()
    searching.close()
    checkpointing.reading.close()
    assert not lost
    assert longest < 10 * PAGES
    assert writing.execute("SELECT count(*) FROM line").fetchone()[0] > rounds
    writing.close()


@pytest.mark.trio
async def test_log_stays_short_while_search_follows_search(path: Path, small: None) -> None:
    """Each reads for longer than a checkpoint waits, and the next one is there when it ends."""
    writing = logged(path)
    searching = ConnectionPool(connected(path))
    pace = Watched(is_apart=False)
    lost: list[StoreCorrupt] = []
    keeper = Checkpoints(connected(path), searching, pace, Integrity(lost.append))
    commits, is_over = 0, threading.Event()

    def search() -> None:
        while not is_over.is_set():
            with searching.snapshot() as db:
                db.execute("SELECT count(*) FROM line").fetchone()
                last = commits + PAGES
                while commits < last and not is_over.is_set():
                    is_over.wait(0.001)

    longest = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, search)
        while commits < 50 * PAGES:
            commit(writing)
            commits += 1
            keeper.committed(1)
            longest = max(longest, log_pages(path))
            await trio.sleep(0.001)
        is_over.set()
    keeper.close()
    searching.close()
    assert not lost
    assert longest < 50 * PAGES  # of 150
    writing.close()


class ReadAtEnd(Interrupted):
    """Somebody begins to read the end of the log just before commits have to wait."""

    at_end: sqlite3.Connection

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if "wal_checkpoint" in sql and "PASSIVE" not in sql:
            self.at_end.execute("BEGIN")
            self.at_end.execute("SELECT count(*) FROM line").fetchone()
            threading.Timer(0.2, self.at_end.execute, ("COMMIT",)).start()
        return super().execute(sql, *args)


@pytest.mark.trio
async def test_log_begins_anew_although_its_end_is_read(
    path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of history is soon read; but the next commit would come sooner."""
    monkeypatch.setattr(checkpoints, "PATIENCE", PATIENCE)
    writing = logged(path)
    checkpointing = connected(path, ReadAtEnd)
    checkpointing.commit_beside = lambda: commit(writing)
    checkpointing.reading, checkpointing.at_end = connected(path), connected(path)
    searching = ConnectionPool(connected(path))
    pace = Watched(is_apart=False)
    lost: list[StoreCorrupt] = []
    for _ in range(4 * PAGES):
        commit(writing)
    longest = log_pages(path)
    keeper = Checkpoints(checkpointing, searching, pace, Integrity(lost.append))
    keeper.committed(4 * PAGES)
    await until(lambda: pace.ended == 1)
    for _ in range(2 * PAGES):
        commit(writing)
    assert log_pages(path) <= longest + PAGES
    keeper.close()
    searching.close()
    checkpointing.reading.close()
    checkpointing.at_end.close()
    assert not lost
    writing.close()


@pytest.mark.trio
async def test_commit_stands_where_no_thread_can_be_started(
    path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller would take an error for the commit's. The next one tries again."""
    writing = logged(path)
    searching = ConnectionPool(connected(path))
    pace = Watched(is_apart=False)
    lost: list[StoreCorrupt] = []
    keeper = Checkpoints(connected(path), searching, pace, Integrity(lost.append))

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        for _ in range(PAGES):
            commit(writing)
            keeper.committed(1)
        assert pace.began == pace.ended > 0
    size = pages(path)
    commit(writing)
    keeper.committed(1)
    keeper.close()
    assert pages(path) > size
    assert pace.began == pace.ended
    assert not lost
    searching.close()
    writing.close()
