"""The search index of SQLite, a file of its own: what it has at any time, and what harms it."""

# ruff: noqa: ASYNC240 -- these files are small, and nothing waits for the loop meanwhile

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio
from damage import overwrite
from indexed_store import (
    damage_page,
    filled,
    index_file,
    indexer_of,
    inside,
    outdated,
    progress,
    tampered,
)
from patience import PATIENCE, until
from store_files import opened
from storing import Chat, Following, draft

from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.log import Appended
from gochat.chat.retention import Rule
from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage.indexing import turns
from gochat.storage.indexing.turns import Replaced
from gochat.storage.maintenance import check
from gochat.storage.sqlite import SqliteStore, database, indexer, search_index
from gochat.storage.sqlite.indexer import Indexer
from gochat.storage.sqlite.log import Log
from gochat.storage.sqlite.waiting_texts import texts_between

pytestmark = pytest.mark.trio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the test's database."""
    return tmp_path / "chat.db"


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Index nothing in the background, and nothing at the end."""
    monkeypatch.setattr(Indexer, "run", lambda _: None)


def costly(number: int) -> str:
    """Return the longest text, nearly all of whose tokens are new to the index."""
    return "".join(chr(0x4E00 + (number * 1009 + n * n) % 20_000) for n in range(4000))


class Turns:
    """What each turn of the indexer does, in characters; it can be held up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[tuple[str, list[int]]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        add, replace = turns.add, turns.replace

        def adding(db: sqlite3.Connection, texts: list[tuple[int, str]]) -> None:
            assert self.may_go_on.wait(PATIENCE)
            add(db, texts)
            self.done.append(("new", [len(text) for _, text in texts]))

        def replacing(db: sqlite3.Connection, texts: list[Replaced]) -> None:
            assert self.may_go_on.wait(PATIENCE)
            replace(db, texts)
            self.done.append(("changed", [len(new) - len(old) for _, old, new in texts]))

        monkeypatch.setattr(turns, "add", adding)
        monkeypatch.setattr(turns, "replace", replacing)


async def test_nobody_waits_for_the_index(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither who writes, nor who searches, whatever it is doing."""
    seen = Turns(monkeypatch)
    seen.may_go_on.clear()
    async with opened(path) as chat:
        await chat.register("Mei", "Bob")
        try:
            for number in range(12):
                await chat.say("Mei", "#lobby", costly(number))
            await chat.do("Mei", "#lobby", "edit", costly(20), ref=3)
            await chat.do("Mei", "#lobby", "delete", ref=4)
            assert not seen.done
            assert await chat.find("Bob", costly(11)[:20]) == [costly(11)]
            assert await chat.find("Bob", costly(20)[:20]) == [costly(20)]
            assert await chat.find("Bob", costly(2)[:20]) == []
            assert await chat.find("Bob", costly(3)[:20]) == []
        finally:
            seen.may_go_on.set()
        await until(lambda: not outdated(path))
        assert await chat.find("Bob", costly(11)[:20]) == [costly(11)]
        assert await chat.find("Bob", costly(20)[:20]) == [costly(20)]
        assert await chat.find("Bob", costly(2)[:20]) == []
        assert await chat.find("Bob", costly(3)[:20]) == []
    assert all(sum(map(abs, sizes)) <= turns.TURN for _, sizes in seen.done)
    assert check(path) == []


async def test_changes_and_new_texts_are_indexed_in_turn(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither waits for the other to finish, however much there is."""
    monkeypatch.setattr(indexer, "BATCH", 4)
    monkeypatch.setattr(turns, "BATCH", 4)
    monkeypatch.setattr(indexer, "DUE", 4)
    async with opened(path) as chat:
        await chat.register("Mei", "Bob")
        await chat.append(*(draft("Mei", "#lobby", f"one {n}") for n in range(12)))
    seen = Turns(monkeypatch)
    async with opened(path) as chat:
        seen.may_go_on.clear()
        await chat.append(
            *(draft("Mei", "#lobby", f"two {n}", kind="edit", ref=n + 1) for n in range(12)),
            *(draft("Mei", "#lobby", f"three {n}") for n in range(12)),
        )
        seen.may_go_on.set()
        await until(lambda: len(seen.done) >= 6)
    assert [kind for kind, _ in seen.done[:6]] in (["changed", "new"] * 3, ["new", "changed"] * 3)
    assert check(path) == []


async def test_a_text_that_changes_often_is_replaced_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as chat:
        await chat.register("Mei", "Bob")
        await chat.append(*(draft("Mei", "#lobby", "first") for _ in range(3)))
    seen = Turns(monkeypatch)
    async with opened(path) as chat:
        log = inside(chat)._log
        changes = [
            *(draft("Mei", "#lobby", f"edit {n}", kind="edit", ref=1) for n in range(5)),
            draft("Mei", "#lobby", "there and back", kind="edit", ref=2),
            draft("Mei", "#lobby", "first", kind="edit", ref=2),
        ]

        def change() -> None:
            assert all(isinstance(result, Appended) for result in log.append(changes))

        await inside(chat)._writer.write(change)
        await until(lambda: not outdated(path))
        # What was noted while a turn read it leads to one more, which finds it done.
        replaced = [turn for turn in seen.done if turn[1]]
        assert replaced == [("changed", [len("edit 4") - len("first")])]
        assert await chat.find("Bob", "edit") == ["edit 4"]
    assert check(path) == []


@pytest.mark.usefixtures("by_hand")
async def test_what_a_stop_left_is_indexed_after_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as chat:
        await chat.register("Mei", "Bob", "Eve")
        await chat.append(*(draft("Mei", "#lobby", costly(n)) for n in range(4)))
        await chat.say("Mei", "@Bob", "hay")
        indexer_of(chat)._extend()
        await chat.do("Mei", "#lobby", "edit", costly(5), ref=1)
        await chat.do("Mei", "#lobby", "edit", "needle", ref=1)
        await chat.do("Mei", "#lobby", "delete", ref=2)
        await chat.do("Mei", "@Bob", "edit", "needle in the hay", ref=1)
        await chat.say("Bob", "@Eve", "a needle, not indexed")
        with pytest.raises(ZeroDivisionError):
            await inside(chat)._writer.write(lambda: _edit_and_fail(inside(chat)))
        assert await chat.find("Bob", "needle", to="#lobby") == ["needle"]
    assert outdated(path) == [costly(0), costly(5), costly(1), "hay"]
    assert progress(path) == (5, 0)
    assert check(path) == []
    expected = ["a needle, not indexed", "needle in the hay", "needle"]
    async with opened(path) as chat:
        assert await chat.find("Bob", "needle") == expected
        for gone in (0, 1, 5):
            assert await chat.find("Bob", costly(gone)[:20]) == []
    monkeypatch.undo()
    async with opened(path) as chat:  # without any writes
        await until(lambda: not outdated(path))
        assert await chat.find("Bob", "needle") == expected
    assert progress(path) == (10, 4)
    assert check(path) == []


def _edit_and_fail(store: SqliteStore) -> None:
    store._log.append([draft("Mei", "#lobby", "never", kind="edit", ref=3)])
    raise ZeroDivisionError


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize("seed", range(6))
async def test_index_is_exact_after_any_turns_and_kills(
    path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whichever of the two files is behind, and whatever else happened meanwhile."""
    monkeypatch.setattr(indexer, "BATCH", 3)
    monkeypatch.setattr(turns, "BATCH", 3)
    monkeypatch.setattr(Log, "close", Log.abandon)  # which leaves them as a kill does
    chance = random.Random(seed)
    words = ["hay", "needle", "straw", "grass"]

    def text() -> str:
        return " ".join(chance.choices(words, k=3))

    for run in range(3):
        async with opened(path) as chat:
            if run == 0:
                await chat.register("Mei", "Bob")
            indexer_of(chat)._find_waiting()
            for _ in range(40):
                head, base = await _range(chat)
                ref = chance.randint(base + 1, max(head, base + 1))
                match chance.choice(
                    ["say", "say", "edit", "delete", "turn", "turn", "drop", "old"]
                ):
                    case "say":
                        await chat.say("Mei", chance.choice(["#lobby", "@Bob"]), text())
                    case "edit":
                        await chat.append(draft("Mei", "#lobby", text(), kind="edit", ref=ref))
                    case "delete":
                        await chat.append(draft("Mei", "#lobby", kind="delete", ref=ref))
                    case "turn":
                        indexer_of(chat)._turn()
                    case "drop":
                        await inside(chat)._writer.write(inside(chat)._log.drop_outdated)
                    case _:
                        await chat.store.retention.remove(LOBBY_KEY, Rule(entries=20))
                if chance.random() < 0.2:
                    await _require_all_found(chat, words)
            assert check(path) == []
    async with opened(path) as chat:
        assert progress(path)[0] > 0  # it goes on with the same one
        await _require_all_found(chat, words)
    assert check(path) == []


async def _range(chat: Chat) -> tuple[int, int]:
    page = await chat.page("Mei", "#lobby", limit=1)
    return page.head, page.base


async def _require_all_found(chat: Chat, words: list[str]) -> None:
    """Compare searches with what the log says."""
    for word in words:
        for to in ("#lobby", "@Bob"):
            entries = await chat.entries("Mei", to)
            there = [entry.text for entry in entries if entry.kind == "text"]
            expected = [text for text in reversed(there) if word in text]
            assert sorted(await chat.find("Mei", word, to=to)) == sorted(expected)


async def test_finding_what_the_index_lacks_costs_a_step_an_entry(path: Path) -> None:
    """Also in a large log, and a few steps where the index lacks the last ones only."""
    async with opened(path) as chat:
        await chat.register("Mei", "Bob")
        for to in ("#lobby", "@Bob", "@Mei"):
            for _ in range(4):
                await chat.append(*(draft("Mei", to, "hay") for _ in range(500)))
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with closing(sqlite3.connect(path)) as db:
        db.set_progress_handler(count, 10)
        assert len(texts_between(db, 0, 6000)) == 6000
        assert steps < 10_000  # 10 operations of SQLite each
        steps = 0
        assert len(texts_between(db, 5990, 6000)) == 10
        assert steps < 100


# -- harm -----------------------------------------------------------------------------------------


def _segments(path: Path) -> None:
    with tampered(path) as db:
        db.execute("DELETE FROM search_data WHERE id > 10")


def _no_text(path: Path) -> None:
    with tampered(path) as db:
        for number, block in db.execute("SELECT id, block FROM search_data").fetchall():
            db.execute(
                "UPDATE search_data SET block = ? WHERE id = ?",
                (block.replace(b"hay", b"\xff" * 3), number),
            )


def _truncated(path: Path) -> None:
    with index_file(path).open("r+b") as file:
        file.truncate(5000)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a page": damage_page,
    "segments": _segments,
    "truncated": _truncated,
}


@pytest.mark.parametrize("what", DAMAGE)
async def test_damage_costs_no_message_and_no_search(
    path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is made anew from the log, while people write and search."""
    monkeypatch.setattr(indexer, "RETRY", 0.01)
    monkeypatch.setattr(indexer, "DUE", 4)
    await filled(path)
    DAMAGE[what](path)
    assert any("search index" in finding for finding in check(path))
    async with opened(path) as chat:
        for _ in range(3):
            assert await chat.find("Bob", "needle") == ["needle"]
            await chat.say("Mei", "#lobby", "more hay")
        await until(lambda: progress(path)[0] >= 300)
        assert await chat.find("Bob", "needle") == ["needle"]
    assert check(path) == []


async def test_damage_that_only_writing_finds_costs_no_message(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "RETRY", 0.01)
    monkeypatch.setattr(indexer, "DUE", 4)
    await filled(path)
    damage_page(path)
    async with opened(path) as chat:
        for number in range(12):
            await chat.say("Mei", "#lobby", f"more {number}")
        await until(lambda: progress(path)[0] >= 300)
        assert await chat.find("Bob", "more 11") == ["more 11"]
    assert check(path) == []


async def test_closing_ends_although_the_database_was_moved_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the index has lost can't be dropped there any more."""
    await filled(path)
    monkeypatch.setattr(Log, "start", lambda log, drop: log._indexer.start(lambda: None))
    with trio.move_on_after(PATIENCE) as scope:
        async with opened(path) as chat:
            await chat.do("Mei", "#lobby", "edit", "another needle", ref=1)
            await until(lambda: progress(path)[1] == 1)
            path.rename(path.with_name("moved.db"))
    assert not scope.cancelled_caught
    path.with_name("moved.db").rename(path)  # with all that was acknowledged
    async with opened(path) as chat:
        assert await chat.find("Bob", "needle") == ["needle", "another needle"]


async def test_damage_of_the_log_that_the_index_meets_ends_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlike its own: what else is wrong there, nobody knows."""
    monkeypatch.setattr(database, "QUICK_CHECK_TIMEOUT", -1.0)
    monkeypatch.setattr(database, "QUICK_CHECK_STEPS", 1)
    await filled(path)
    index_file(path).unlink()
    overwrite(path, b"hay 150")
    async with opened(path) as chat:
        with trio.fail_after(PATIENCE), pytest.raises(StoreCorrupt):
            await chat.store.follow(Following())


async def test_check_finds_tokens_that_are_not_utf8(path: Path) -> None:
    await filled(path)
    _no_text(path)
    assert any("search index" in finding for finding in check(path))


def _nothing(_: Path) -> None:
    pass


def _removed(path: Path) -> None:
    index_file(path).unlink()


def _of_another_version(path: Path) -> None:
    with tampered(path) as db:
        db.execute("PRAGMA user_version = 999")


def _unfinished(path: Path) -> None:
    with tampered(path) as db:
        db.execute("DROP TABLE progress")


def _empty(path: Path) -> None:
    index_file(path).write_bytes(b"")


def _of_others(path: Path) -> None:
    index_file(path).write_text("my notes")


@pytest.mark.parametrize(
    "harm", [_nothing, _removed, _of_another_version, _unfinished, _empty, _of_others]
)
async def test_index_that_can_not_be_used_is_made_anew(
    path: Path, harm: Callable[[Path], None]
) -> None:
    await filled(path)
    harm(path)
    assert (check(path) == []) == (harm is not _of_others)
    async with opened(path) as chat:
        assert await chat.find("Bob", "needle") == ["needle"]
        await until(lambda: progress(path)[0] == 300)
        assert await chat.find("Bob", "needle") == ["needle"]
    assert check(path) == []
    aside = path.with_name("chat.db.index.set-aside")
    assert aside.exists() == (harm is _of_others)
    if aside.exists():
        assert aside.read_text() == "my notes"


async def test_index_of_an_earlier_run_is_not_used(path: Path) -> None:
    """Somebody puts back an old one: it lacks what was changed since, and nothing says so."""
    await filled(path)
    old = index_file(path).read_bytes()
    async with opened(path) as chat:
        await chat.do("Mei", "#lobby", "edit", "a new needle", ref=1)
        await until(lambda: not outdated(path))
    index_file(path).write_bytes(old)
    assert check(path) == []  # it is not that of this store
    async with opened(path) as chat:
        assert await chat.find("Bob", "needle") == ["needle", "a new needle"]
        await until(lambda: progress(path)[0] == 301)
        assert await chat.find("Bob", "needle") == ["needle", "a new needle"]
    assert check(path) == []


async def test_copy_of_the_database_alone_gets_its_own_index(path: Path, tmp_path: Path) -> None:
    await filled(path)
    copy = tmp_path / "elsewhere" / "chat.db"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    async with opened(copy) as chat:
        assert await chat.find("Bob", "needle") == ["needle"]
        await until(lambda: progress(copy)[0] == 300)
    assert check(copy) == []


async def test_directory_where_the_index_goes_is_an_error_that_says_so(path: Path) -> None:
    index_file(path).mkdir()
    with pytest.raises(StoreUnavailable, match=r"chat\.db\.index"):
        async with opened(path):
            pass


async def test_full_disk_delays_the_index_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "RETRY", 0.01)
    monkeypatch.setattr(indexer, "DUE", 4)
    await filled(path)
    async with opened(path) as chat:
        db = inside(chat)._finder._index._writing
        assert db is not None
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")
        for number in range(8):
            await chat.say("Mei", "#lobby", f"{number} {costly(number)[:900]}")
        await until(lambda: indexer_of(chat)._is_failing)
        assert await chat.find("Bob", costly(7)[:20]) == [f"7 {costly(7)[:900]}"]
        assert inside(chat).unindexed == 8
        db.execute("PRAGMA max_page_count = 1000000")
        await until(lambda: inside(chat).unindexed == 0)
        assert await chat.find("Bob", costly(7)[:20]) == [f"7 {costly(7)[:900]}"]
    assert check(path) == []


async def test_log_of_the_index_stays_short_while_search_follows_search(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search is in it at any time, and SQLite can begin it anew only where none is."""
    most = 200 * 1024
    monkeypatch.setattr(search_index, "MOST_LOG", most)
    monkeypatch.setattr(indexer, "DUE", 4)
    index_log, longest = path.with_name("chat.db.index-wal"), 0
    async with opened(path) as chat, trio.open_nursery() as nursery:
        await chat.register("Mei", "Bob")
        indexing, is_over = indexer_of(chat), threading.Event()

        def search() -> None:
            while not is_over.wait(0.001):
                with indexing._index.read() as reader:
                    position = reader.progress.position
                    for _ in range(50):
                        if indexing._progress.position > position or is_over.wait(0.001):
                            break

        nursery.start_soon(trio.to_thread.run_sync, search)
        for number in range(40):
            await chat.append(*(draft("Mei", "#lobby", costly(number)[n::9]) for n in range(9)))
            await until(lambda: inside(chat).unindexed < 4)
            longest = max(longest, index_log.stat().st_size)
        is_over.set()
    assert longest < 20 * most  # of 76
    assert check(path) == []


async def test_check_beside_a_server_that_indexes_finds_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "DUE", 2)
    async with opened(path) as chat, trio.open_nursery() as nursery:
        await chat.register("Mei")

        async def talk() -> None:
            while True:
                entry = await chat.say("Mei", "#lobby", "one two three")
                await chat.do("Mei", "#lobby", "edit", f"four {entry.seq}", ref=entry.seq)

        nursery.start_soon(talk)
        for _ in range(5):
            assert await trio.to_thread.run_sync(check, path) == []
        nursery.cancel_scope.cancel()
