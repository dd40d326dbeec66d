"""Backing up and checking a database, at rest and while it is written."""

# ruff: noqa: ASYNC240 -- these files are small, and nothing waits for the loop meanwhile

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from store_files import opened
from storing import Chat, account, draft, person

from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.retention import Rule
from gochat.errors import ChatError, ConfigError, StoreCorrupt
from gochat.storage import open_store
from gochat.storage.common.clock import wall_clock
from gochat.storage.maintenance import backup, check, lookalikes, wrong_times
from gochat.storage.sqlite import database
from gochat.storage.sqlite.retention import STEP

pytestmark = pytest.mark.trio

#: The files of a closed store.
STORE = {"chat.db", "chat.db.lock", "chat.db.generation", "chat.db.index"}


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A database with something of everything."""
    path = tmp_path / "chat.db"
    async with open_store(f"sqlite:///{path}") as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await chat.do("Mei", "#garden", "create", "public")
        await chat.do("Bob", "#garden", "join")
        await chat.append(
            *(draft("Mei", "#lobby", f"hello 中文 {n} @Bob", mentions=["Bob"]) for n in range(300))
        )
        await chat.say("Bob", "@Mei", "hi")
        await chat.do("Mei", "#lobby", "edit", "hello again", ref=1)
        await chat.do("Mei", "#lobby", "delete", ref=2)
        await chat.do("Bob", "#lobby", "react", "👍", ref=3)
    return path


async def test_backup_has_everything_and_a_new_epoch(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    backup(path, copy)
    assert check(copy) == []
    assert {file.name for file in tmp_path.iterdir()} == {*STORE, "copy.db"}
    pages = []
    for file in (path, copy):
        async with open_store(f"sqlite:///{file}") as store:
            pages.append(await Chat(store).page("Bob", "#lobby"))
    original, copied = pages
    assert original.epoch != copied.epoch
    assert [(e.seq, e.text) for e in original.entries] == [(e.seq, e.text) for e in copied.entries]


async def test_backup_is_readable_only_by_its_owner(path: Path, tmp_path: Path) -> None:
    backup(path, tmp_path / "copy.db")
    mode = 0o600 if os.name == "posix" else 0o666
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == mode


async def test_backup_of_a_live_database_is_a_consistent_snapshot(
    path: Path, tmp_path: Path
) -> None:
    async with open_store(f"sqlite:///{path}") as store, trio.open_nursery() as nursery:
        chat = Chat(store)
        acknowledged = 0

        async def talk() -> None:
            nonlocal acknowledged
            while True:
                acknowledged = (await chat.say("Mei", "#lobby", "and on")).seq

        nursery.start_soon(talk)
        for number in range(3):
            copy = tmp_path / f"copy{number}.db"
            before = (await chat.say("Bob", "#lobby", "before the backup")).seq
            await trio.to_thread.run_sync(backup, path, copy)
            assert check(copy) == []
            with closing(sqlite3.connect(copy)) as db:
                (head,) = db.execute(
                    "SELECT max(id) & 4294967295 FROM entry WHERE id < 2 << 32"
                ).fetchone()
            assert before <= head <= acknowledged
        assert await trio.to_thread.run_sync(check, path) == []
        nursery.cancel_scope.cancel()


async def test_backup_does_not_overwrite_a_file(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    with pytest.raises(ConfigError, match="overwrites nothing"):
        backup(path, copy)
    assert copy.read_text() == "precious"
    (tmp_path / "other.db.partial").write_text("precious")
    with pytest.raises(ConfigError, match="interrupted"):
        backup(path, tmp_path / "other.db")
    assert (tmp_path / "other.db.partial").read_text() == "precious"


@pytest.mark.parametrize("use", [check, partial(backup, target=Path("copy.db"))])
async def test_missing_file_is_not_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: partial[None]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no such database"):
        use(Path("missing.db"))
    assert list(tmp_path.iterdir()) == []


async def test_backup_into_a_missing_directory_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be made"):
        backup(path, tmp_path / "missing" / "copy.db")


async def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a database " * 100)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE t (x)")
    for file in (text, other):
        for use in (check, partial(backup, target=tmp_path / "copy.db")):
            with pytest.raises(StoreCorrupt):
                use(file)
    assert {file.name for file in tmp_path.iterdir()} == {"text", "other.db"}


@contextmanager
def tampered(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as db, db:
        yield db


@pytest.mark.parametrize(
    ("harm", "finding"),
    [
        ("DELETE FROM entry WHERE id = (1 << 32) + 7", "the log of #lobby has gaps"),
        (
            "UPDATE entry SET id = id + (9 << 32) WHERE id = (1 << 32) + 303",
            "the log of ? has gaps",
        ),
        (
            "UPDATE entry SET position = 1000 WHERE id = (1 << 32) + 7",
            "#lobby entry 8 was committed before the one in front of it",
        ),
        ("UPDATE entry SET position = 20 WHERE id = (1 << 32) + 7", "the position 20 is that of 2"),
        ("UPDATE conversation SET base = 3 WHERE key = '#lobby'", "the log of #lobby has gaps"),
        ("INSERT INTO conversation (key, base) VALUES ('@a', 3)", "there are no others"),
        ("INSERT INTO mention VALUES ('bob', 99)", "which is not there"),
        (
            "UPDATE entry SET pinned = 9 WHERE id = (1 << 32) + 7",
            "the entry 7 of #lobby would have been pinned by the entry 9",
        ),
        ("UPDATE conversation SET members = 5 WHERE key = '#garden'", "#garden says it has 5"),
        ("UPDATE participant SET read = 999 WHERE person = 'bob'", "bob has read #lobby up to 999"),
        ("DELETE FROM account WHERE key = 'bob'", "refers to a row of account that is missing"),
        ("UPDATE entry SET text = 'x' WHERE id = (1 << 32) + 7", "search index does not match"),
    ],
)
async def test_check_finds_inconsistencies(path: Path, harm: str, finding: str) -> None:
    assert check(path) == []
    with tampered(path) as db:
        db.execute(harm)
    assert any(finding in found for found in check(path)), check(path)


async def test_store_without_its_oldest_entries_is_sound_at_every_moment(path: Path) -> None:
    """Also while the search index still has their texts, and after a restart then."""
    async with opened(path) as chat:
        for number in range(400):
            await chat.say("Mei", "#lobby", f"secret {number} @Mei", mentions=["Mei"])
        base = 0
        while await chat.store.retention.remove(LOBBY_KEY, Rule(entries=10)):
            before, base = base, (await chat.page("Mei", "#lobby")).base
            assert base - before <= STEP  # others can write in between
            assert check(path) == []
        assert base == 693
    assert check(path) == []
    with closing(sqlite3.connect(path)) as db:
        texts = db.execute("SELECT text FROM entry UNION ALL SELECT text FROM outdated").fetchall()
        assert len([text for (text,) in texts if "secret" in text]) == 10
        assert db.execute("SELECT count(*) FROM dropped_cid").fetchone() == (0,)
    async with opened(path) as chat:
        assert len(await chat.find("Mei", "secret")) == 10
        assert (await chat.say("Mei", "#lobby", "on")).seq == 704


async def test_wrong_times_are_reported_but_are_not_damage(path: Path) -> None:
    assert wrong_times(path, wall_clock()) == []
    with tampered(path) as db:
        db.execute("UPDATE entry SET ts = 1700000000000")
        db.execute("UPDATE entry SET ts = ts + 3600000 WHERE id = (1 << 32) + 7")
        db.execute("UPDATE entry SET ts = 2015360000000 WHERE id >= (1 << 32) + 302")
    assert check(path) == []
    found = wrong_times(path, 1_700_000_000_000 + 3_600_000)
    assert (
        "the clock was ahead: 2 entries of #lobby bear times up to 2033-11-11 22:13:20 UTC" in found
    )
    (back,) = (remark for remark in found if "goes back" in remark)
    assert back == (
        "the clock was wrong: in #lobby the time goes back from 2023-11-14 23:13:20 UTC to "
        "2023-11-14 22:13:20 UTC at entry 8"
    )


async def test_check_finds_damage_and_backup_is_refused(path: Path, tmp_path: Path) -> None:
    with tampered(path) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'mention'").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)
    assert any(f"{path} is damaged" in finding for finding in check(path))
    with pytest.raises(StoreCorrupt, match="no backup was made"):
        backup(path, tmp_path / "copy.db")
    assert {file.name for file in tmp_path.iterdir()} == STORE


async def test_text_that_is_not_utf8_is_damage(path: Path, tmp_path: Path) -> None:
    with tampered(path) as db:
        db.execute("UPDATE entry SET text = CAST(x'ff41' AS TEXT) WHERE id = (1 << 32) + 7")
    assert any("damaged" in finding and "UTF-8" in finding for finding in check(path))
    with pytest.raises(StoreCorrupt, match="UTF-8"):
        backup(path, tmp_path / "copy.db")
    assert {file.name for file in tmp_path.iterdir()} == STORE


async def test_check_changes_nothing(path: Path) -> None:
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    check(path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def _of_schema(path: Path, version: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a store as an older gochat did, with an account of Mei."""
    with monkeypatch.context() as patch:
        before = database.migrations()[:version]
        patch.setattr(database, "migrations", lambda: before)
        database.create(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "INSERT INTO account (key, name, password_hash, created) VALUES ('mei', 'Mei', '', 0)"
        )
    return path


async def test_older_lookalikes_still_work_and_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the migration, the older one keeps the claim."""
    path = _of_schema(tmp_path / "old.db", 3, monkeypatch)
    with closing(sqlite3.connect(path)) as db, db:
        add = "INSERT INTO account (key, name, password_hash, created) VALUES (?, ?, '', ?)"
        db.executemany(add, [("pɑul", "Pɑul", 2), ("paul", "Paul", 1), ("zoe", "zoe", 1)])
        db.execute("INSERT INTO conversation (key, name) VALUES ('#iobby', '#Iobby')")
    async with open_store(f"sqlite:///{path}") as store:
        for taken in ("pauI", "ᴢoe", "Meі".replace("і", "ı")):
            with pytest.raises(ChatError, match="looks like"):
                await store.create_account(account(taken))
        found = await store.display_names([person("Paul"), person("Pɑul")])
        assert set(found.values()) == {"Paul", "Pɑul"}
    assert set(lookalikes(path)) == {
        "#Iobby looks like #lobby, which was there first",
        "Pɑul looks like Paul, which was there first",
    }
    with closing(sqlite3.connect(path)) as db:
        claims = dict(db.execute("SELECT skeleton, key FROM skeleton"))
    assert claims["paul"] == "paul"
    assert claims["#lobby"] == "#lobby"
    assert claims["#iobby"] == "#iobby"


async def test_older_names_are_claimed_in_capitals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _of_schema(tmp_path / "old.db", 5, monkeypatch)
    with closing(sqlite3.connect(path)) as db, db:
        add = "INSERT INTO account (key, name, password_hash, created) VALUES (?, ?, '', ?)"
        db.executemany(add, [("allce", "ALlCE", 2), ("alice", "alice", 1), ("zil", "zil", 1)])
        db.executemany(
            "INSERT INTO skeleton VALUES (?, ?)", [("alice", "alice"), ("allce", "allce")]
        )
    async with open_store(f"sqlite:///{path}") as store:
        with pytest.raises(ChatError, match="looks like"):
            await store.create_account(account("ZlL"))
    assert "ALlCE looks like alice, which was there first" in set(lookalikes(path))
