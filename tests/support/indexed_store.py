"""SQLite stores whose search index a test looks at."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from store_files import opened
from storing import Chat, draft

from gochat.storage.sqlite import SqliteStore
from gochat.storage.sqlite.indexer import Indexer


def inside(chat: Chat) -> SqliteStore:
    assert isinstance(chat.store, SqliteStore)
    return chat.store


def indexer_of(chat: Chat) -> Indexer:
    return inside(chat)._log._indexer


def index_file(path: Path) -> Path:
    return path.with_name("chat.db.index")


def outdated(path: Path) -> list[str]:
    """Return the texts that are in the index but no longer in the log."""
    with closing(sqlite3.connect(path)) as db:
        return [text for (text,) in db.execute("SELECT text FROM outdated ORDER BY changed")]


def progress(path: Path) -> tuple[int, int]:
    """Return up to which position and change the index has the log."""
    with (
        suppress(
            sqlite3.DatabaseError
        ),  # it is being made anew: the file of one, the WAL of another
        closing(sqlite3.connect(f"{index_file(path).as_uri()}?mode=ro", uri=True)) as db,
    ):
        for position, changed in db.execute("SELECT position, changed FROM progress"):
            return position, changed
    return -1, -1


async def filled(path: Path) -> None:
    """Make a store with a needle in 300 texts, all of them indexed."""
    async with opened(path) as chat:
        await chat.register("Mei", "Bob")
        await chat.append(*(draft("Mei", "#lobby", f"hay {n}") for n in range(299)))
        await chat.say("Mei", "#lobby", "needle")
    assert progress(path) == (300, 0)


@contextmanager
def tampered(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(index_file(path))) as db, db:
        yield db


def damage_page(path: Path) -> None:
    with tampered(path) as db:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'search_data'"
        (root,) = db.execute(query).fetchone()
    with index_file(path).open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)
