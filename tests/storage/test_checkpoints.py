"""The write-ahead log stays short, also where no commit ever waits for a checkpoint's end."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import until

from gochat.errors import StoreCorrupt
from gochat.storage.common.integrity import Integrity
from gochat.storage.sqlite import checkpoints
from gochat.storage.sqlite.checkpoints import Checkpoints
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


@pytest.mark.trio
async def test_log_stays_short_while_commits_never_pause(tmp_path: Path, small: None) -> None:
    path = tmp_path / "chat.db"
    writing = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writing.execute("PRAGMA journal_mode = WAL")
    writing.execute("PRAGMA wal_autocheckpoint = 0")
    writing.execute("CREATE TABLE line (text)")
    checkpointing = sqlite3.connect(path, factory=Interrupted, check_same_thread=False)

    def commit() -> None:
        writing.execute("INSERT INTO line VALUES (?)", ("x" * 5000,))

    checkpointing.commit_beside = commit
    checkpointing.reading = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    pace = Watched(is_apart=False)
    lost: list[StoreCorrupt] = []
    keeper = Checkpoints(checkpointing, pace, Integrity(lost.append))
    longest, rounds = 0, 20
    while pace.began < rounds:
        commit()
        keeper.committed(1)
        await until(lambda: pace.ended == pace.began)
        longest = max(longest, (tmp_path / "chat.db-wal").stat().st_size // 4096)
    keeper.close()
    checkpointing.reading.close()
    assert not lost
    assert longest < 10 * PAGES
    assert writing.execute("SELECT count(*) FROM line").fetchone()[0] > rounds
    writing.close()
