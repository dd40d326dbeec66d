"""The SQLite store on a failing machine: kills, full disks, locks, damage."""

# ruff: noqa: ASYNC240 -- these files are small, and nothing waits for the loop meanwhile

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import structlog
import trio
from damage import overwrite
from patience import PATIENCE
from store_files import run_python
from storing import NOON, Chat, Following, account, draft, follow, make_token, person

from gochat.chat.drafts import new_cid
from gochat.chat.facts import INSIDE, Facts
from gochat.chat.log import Appended
from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.storage import open_store
from gochat.storage.common import worker
from gochat.storage.maintenance import check, states
from gochat.storage.sqlite import SqliteStore, database
from gochat.storage.sqlite.indexer import Indexer
from gochat.storage.sqlite.transaction import Transaction

pytestmark = pytest.mark.trio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the test's database."""
    return tmp_path / "chat.db"


@asynccontextmanager
async def opened(path: Path, options: str = "") -> AsyncIterator[Chat]:
    """Open the store at `path`, as a chat."""
    async with open_store(f"sqlite:///{path}{options}") as store:
        yield Chat(store)


def inside(chat: Chat) -> SqliteStore:
    assert isinstance(chat.store, SqliteStore)
    return chat.store


@contextmanager
def writer_held_up(chat: Chat) -> Iterator[Callable[[], None]]:
    """Keep the writer's thread busy; writes wait meanwhile. Yields what releases it."""
    is_held, may_go_on = threading.Event(), threading.Event()
    held = _Held(is_held, may_go_on)
    inside(chat)._writer._queue.put(held)  # type: ignore[arg-type]  # a write's double
    inside(chat)._writer.waiting += 1
    # Before that, it would take the next write into the same transaction.
    assert is_held.wait(PATIENCE)
    try:
        yield may_go_on.set
    finally:
        may_go_on.set()


class _Held:
    """A write that nobody waits for."""

    requests = 1

    def __init__(self, is_held: threading.Event, may_go_on: threading.Event) -> None:
        self.is_held = is_held
        self.may_go_on = may_go_on
        self.result = self.error = None

    def finished(self) -> None:
        """Nobody waits."""

    def function(self) -> None:
        self.is_held.set()
        self.may_go_on.wait()


# -- kill -----------------------------------------------------------------------------------------

_APPEND_FOR_EVER = """
import sys, trio
from gochat.chat.account import Account
from gochat.chat.store import Draft
from gochat.server.logs import configure_logs
from gochat.storage import open_store

configure_logs("json", "info")

async def append(store, who):
    number = 0
    while True:
        draft = Draft(conversation="#lobby", to="#lobby", sender_key=who, sender=who,
                      text=f"{who} {number}", cid=f"{number}")
        (result,) = await store.append([draft])
        print(result.entry.seq, result.entry.text, flush=True)
        number += 1

async def main():
    async with open_store(f"sqlite:///{sys.argv[1]}") as store, trio.open_nursery() as nursery:
        for number in range(5):
            who = f"p{number}"
            await store.create_account(Account(key=who, name=who, password_hash="", created=0))
            nursery.start_soon(append, store, who)

trio.run(main)
"""


async def test_everything_acknowledged_survives_a_kill(path: Path) -> None:
    acknowledged: dict[int, str] = {}
    for _ in range(3):
        with run_python(_APPEND_FOR_EVER, path) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(300)]
            process.kill()
            # Lines printed before it died were acknowledged, too; the last one may be incomplete.
            lines += process.stdout.read().splitlines(keepends=True)
        assert process.returncode != 0
        for line in lines:
            if line.endswith("\n"):
                seq, text = line.rstrip().split(" ", 1)
                assert acknowledged.setdefault(int(seq), text) == text
        assert check(path) == []
        async with opened(path) as chat:
            kept: dict[int, str] = {}
            head = 1
            while len(kept) < head:
                page = await chat.page("p0", "#lobby", after=len(kept), limit=1000)
                head = page.head
                kept |= {entry.seq: entry.text for entry in page.entries}
            assert kept.items() >= acknowledged.items()
            assert list(kept) == list(range(1, head + 1))
            needle = max(kept.values(), key=len)
            assert needle in await chat.find("p0", needle)


async def test_retry_after_a_kill_is_a_dup(path: Path) -> None:
    with run_python(_APPEND_FOR_EVER, path) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.kill()
    async with opened(path) as chat:
        (result,) = await chat.append(draft("p0", "#lobby", "p0 0", cid="0"))
        assert isinstance(result, Appended)
        assert result.dup


# -- the disk -------------------------------------------------------------------------------------


async def test_full_disk_refuses_writes_loses_nothing_and_recovers(path: Path) -> None:
    async with opened(path) as chat:
        await chat.register("Mei", "Bob")
        db = inside(chat)._log.db
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 8}")
        following = Following()
        async with trio.open_nursery() as nursery:
            await follow(nursery, chat.store, following)
            said = []
            refusal = None
            while refusal is None:
                try:
                    said.append(await chat.say("Mei", "#lobby", "x" * 4000))
                except StoreUnavailable as error:
                    refusal = error
            assert "disk is full" in str(refusal)
            assert said
            for _ in range(3):
                with pytest.raises(StoreUnavailable, match="disk is full"):
                    await chat.append(
                        draft("Mei", "@Bob", "fits"), draft("Mei", "#lobby", "x" * 20_000)
                    )
            assert list(await chat.entries("Bob", "#lobby")) == said
            assert await chat.addresses("Bob") == ["#lobby"]
            assert await chat.find("Bob", "xxx") == [entry.text for entry in reversed(said)]
            db.execute("PRAGMA max_page_count = 1000000")
            after = await chat.say("Mei", "#lobby", "there is room again")
            assert after.seq == len(said) + 1
            assert [one.entry for one in following.logged] == [*said, after]
            # Including what is written later: the index, which contains nothing that was rolled
            # back.
            await chat.append(*(draft("Mei", "#lobby", f"hay {n}") for n in range(300)))
            assert await chat.find("Bob", "room again") == ["there is room again"]
            nursery.cancel_scope.cancel()
    assert check(path) == []


_LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""


async def test_lock_of_another_process_is_waited_for_in_bounded_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.1)
    async with opened(path) as chat:
        await chat.register("Mei")
        with run_python(_LOCK, path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            with trio.fail_after(PATIENCE):
                await _is_refused(chat)
            process.communicate("go\n")
        assert (await chat.say("Mei", "#lobby", "after")).seq == 1


async def test_history_continues_while_another_process_has_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", PATIENCE)
    said: list[int] = []

    async def say(chat: Chat) -> None:
        said.append((await chat.say("Mei", "#lobby", "waits")).seq)

    async with opened(path) as chat:
        await chat.register("Mei")
        await chat.say("Mei", "#lobby", "before")
        with run_python(_LOCK, path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(say, chat)
                await trio.testing.wait_all_tasks_blocked()
                assert [e.text for e in await chat.entries("Mei", "#lobby")] == ["before"]
                assert said == []
                process.communicate("go\n")
        assert said == [2]


async def test_all_writers_wait_for_a_locked_database_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.3)
    monkeypatch.setattr(worker, "MAX_GROUP", 1)
    waits = 0
    begin = Transaction.begin

    def counted(self: Transaction, *, may_wait: bool = True) -> None:
        nonlocal waits
        waits += may_wait
        begin(self, may_wait=may_wait)

    async with opened(path) as chat:
        await chat.register("Mei")
        with run_python(_LOCK, path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            monkeypatch.setattr(Transaction, "begin", counted)
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(_is_refused, chat)
            assert waits < 10  # one, or two, if not all arrive in time
            process.communicate("go\n")
        assert (await chat.say("Mei", "#lobby", "after")).seq == 1


async def _is_refused(chat: Chat) -> None:
    with pytest.raises(StoreUnavailable, match="locked by another process"):
        await chat.say("Mei", "#lobby", "meanwhile")


async def test_short_lock_is_waited_for(path: Path) -> None:
    async with opened(path) as chat:
        await chat.register("Mei")
        with run_python(_LOCK, path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(chat.say, "Mei", "#lobby", "waits")
                await trio.testing.wait_all_tasks_blocked()
                process.communicate("go\n")


@pytest.fixture
def no_quick_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the file as so large that the check at the start skips part of it.

    Nor does a new search index read it: the test does.
    """
    monkeypatch.setattr(database, "QUICK_CHECK_TIMEOUT", -1.0)
    monkeypatch.setattr(database, "QUICK_CHECK_STEPS", 1)
    monkeypatch.setattr(Indexer, "run", lambda _: None)


async def filled(path: Path) -> None:
    """Create a store with something of everything that can be damaged."""
    async with opened(path) as chat:
        await chat.register("Mei", "Bob")
        await chat.say("Mei", "#lobby", "hello")
        await chat.say("Mei", "#lobby", "needle")
        await chat.append(*(draft("Mei", "#lobby", f"page {n:03} " * 300) for n in range(100)))
        await chat.do("Mei", "#lobby", "edit", "changed", ref=1)
        await chat.do("Mei", "#lobby", "react", "👍", ref=1)
        await chat.say("Mei", "@Bob", "hi")


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a page": overwrite,
    "a page of reactions": lambda path: _damage(path, "reaction"),
    "a text": lambda path: execute(path, "UPDATE entry SET text = CAST(x'ff41' AS TEXT)"),
    "an account": lambda path: execute(path, "DELETE FROM account WHERE key = 'bob'"),
}


async def read_all(chat: Chat) -> None:
    await chat.page("Mei", "#lobby", limit=1000)
    await chat.page("Mei", "@Bob")
    await chat.find("Mei", "needle")


async def edit(chat: Chat) -> None:
    await chat.say("Mei", "@Bob", "hi")
    await chat.do("Mei", "#lobby", "edit", "again", ref=1)
    await chat.do("Mei", "#lobby", "edit", "again", ref=53)


@pytest.mark.usefixtures("no_quick_check")
@pytest.mark.parametrize(
    ("what", "use"),
    [(what, read_all) for what in DAMAGE] + [(what, edit) for what in ("a page", "an account")],
)
async def test_damage_ends_the_store_for_everyone(
    path: Path, what: str, use: Callable[[Chat], Awaitable[None]]
) -> None:
    """For the operation that finds it, and for followers; nothing is written any more."""
    await filled(path)
    DAMAGE[what](path)
    following = Following()
    async with opened(path) as chat, trio.open_nursery() as nursery:
        reasons: list[str] = []

        async def follow_to_the_end(*, task_status: trio.TaskStatus[object]) -> None:
            with pytest.raises(StoreCorrupt) as caught:
                await chat.store.follow(following, task_status=task_status)
            reasons.append(str(caught.value))

        await nursery.start(follow_to_the_end)
        with pytest.raises(StoreCorrupt, match="the database is damaged") as caught:
            await use(chat)
        entries = len(following.logged)
        for refused in (
            partial(chat.say, "Mei", "#lobby", "not any more"),
            partial(chat.page, "Mei", "@Mei"),
            partial(chat.find, "Mei", "other"),
            partial(chat.store.account, account("Mei").key),
            partial(chat.store.follow, following),
        ):
            with pytest.raises(StoreCorrupt) as again:
                await refused()
            assert str(again.value) == str(caught.value)
    assert reasons == [str(caught.value)]
    assert len(following.logged) == entries


@pytest.mark.usefixtures("no_quick_check")
async def test_writes_waiting_when_damage_is_found_are_refused(path: Path) -> None:
    """Those of the same commit, and those after it."""
    await filled(path)
    DAMAGE["a page"](path)
    async with opened(path) as chat:
        outcomes: list[str] = []

        async def write(number: int) -> None:
            try:
                await chat.store.rehash_password(account("Mei"), f"hash {number}")
                outcomes.append("done")
            except StoreCorrupt:
                outcomes.append("refused")

        async def meet() -> None:
            with pytest.raises(StoreCorrupt):
                await chat.do("Mei", "#lobby", "edit", "again", ref=53)

        with writer_held_up(chat) as let_go:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, 0)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(meet)
                await trio.testing.wait_all_tasks_blocked()
                for number in range(1, 2 * worker.MAX_GROUP):
                    nursery.start_soon(write, number)
                await trio.testing.wait_all_tasks_blocked()
                let_go()
        assert set(outcomes) == {"refused"}
    async with opened(path) as chat:
        assert await chat.store.account(account("Mei").key) == account("Mei")


def _damage(path: Path, table: str) -> None:
    """Overwrite the pages of a table, starting at its root."""
    query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    with closing(sqlite3.connect(path)) as db:
        (root,) = db.execute(query, (table,)).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xa5" * size)


# -- foreign or damaged files ---------------------------------------------------------------------


async def _text(path: Path) -> None:
    path.write_text("not a database " * 100)


async def _empty(path: Path) -> None:
    path.touch()


async def _beginning(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


async def _other_programs(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (x)")


async def _newer(path: Path) -> None:
    await _good(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 999")


async def _damaged(path: Path) -> None:
    await _good(path)
    _damage(path, "account")


async def _cut(path: Path) -> None:
    await _good(path)
    os.truncate(path, path.stat().st_size // 2)


async def _good(path: Path) -> None:
    async with opened(path) as chat:
        await chat.register("Mei")
    for suffix in (".lock", ".generation"):
        path.with_name(path.name + suffix).unlink()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_text, "not a database"),
        (_beginning, "not a database"),
        (_empty, "is empty"),
        (_other_programs, "another program's"),
        (_newer, r"newer gochat \(schema 999"),
        (_damaged, "damaged"),
        (_cut, "damaged"),
    ],
)
async def test_unusable_file_is_unchanged(
    path: Path, make: Callable[[Path], Awaitable[None]], says: str
) -> None:
    await make(path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match=says):
            async with opened(path):
                pass
    after = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    after.pop("chat.db.lock", None)
    assert after == before


async def test_large_file_opens_without_being_read_through(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _good(path)
    _damage(path, "token")
    monkeypatch.setattr(database, "QUICK_CHECK_TIMEOUT", -1.0)
    monkeypatch.setattr(database, "QUICK_CHECK_STEPS", 1)
    async with opened(path) as chat:
        await chat.say("Mei", "#lobby", "what is not damaged works")


async def test_directory_that_cannot_be_created_is_a_configuration_error(path: Path) -> None:
    path.write_text("a file")
    with pytest.raises(ConfigError, match="can't be made"):
        async with opened(path / "chat.db"):
            pass


async def test_directory_and_files_are_accessible_only_to_their_owner(tmp_path: Path) -> None:
    path = tmp_path / "new" / "place" / "chat.db"
    before = os.umask(0)
    try:
        async with opened(path) as chat:
            await chat.register("Mei")
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    file_mode, directory_mode = (0o600, 0o700) if os.name == "posix" else (0o666, 0o777)
    files = ["chat.db", "chat.db-wal", "chat.db-shm", "chat.db.lock", "chat.db.generation"]
    files += ["chat.db.index", "chat.db.index-wal", "chat.db.index-shm"]
    assert modes == dict.fromkeys(files, file_mode)
    for directory in (path.parent, path.parent.parent):
        assert directory.stat().st_mode & 0o777 == directory_mode


async def test_message_of_a_member_who_has_written_before_is_one_statement(path: Path) -> None:
    statements: list[str] = []
    async with opened(path) as chat:
        await chat.register("Mei")
        await chat.do("Mei", "#garden", "create", "public")
        for number in range(2):
            inside(chat)._log.db.set_trace_callback(statements.append if number else None)
            said = draft("Mei", "#garden", "hello", facts=Facts(sender=INSIDE, is_open=True))
            (appended,) = await chat.append(said)
            assert isinstance(appended, Appended)
        inside(chat)._log.db.set_trace_callback(None)
    assert [statement.split()[0] for statement in statements] == ["BEGIN", "INSERT", "COMMIT"]


async def test_messages_of_many_people_change_a_few_pages(path: Path) -> None:
    """Not one of the index of cids for each of them."""
    people = [f"p{number}" for number in range(150)]
    async with opened(path) as chat:
        await chat.register(*people)
        for _ in range(40):
            await chat.append(*(draft(who, "#lobby", "hi", cid=new_cid()) for who in people))
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            await chat.append(*(draft(who, "#lobby", "hi", cid=new_cid()) for who in people))
            _, pages, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert 0 < pages < 25


# -- migrations -----------------------------------------------------------------------------------


async def test_older_schema_is_migrated_with_its_data(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as chat:
        await chat.register("Mei")
        said = await chat.say("Mei", "#lobby", "hello")
    scripts = database.migrations()
    newer = "ALTER TABLE account ADD COLUMN colour TEXT; CREATE TABLE extra (x);"
    monkeypatch.setattr(database, "migrations", lambda: [*scripts, newer])
    assert check(path) == []  # a backup from before an update is valid
    assert any("of an older gochat" in state for state in states(path))
    with structlog.testing.capture_logs() as logs:
        async with opened(path):
            pass
    assert [(e["schema"], e["before"]) for e in logs if e["event"] == "store upgraded"] == [
        (len(scripts) + 1, len(scripts))
    ]
    async with opened(path) as chat:
        assert list(await chat.entries("Mei", "#lobby")) == [said]
        assert database.user_version(inside(chat)._log.db) == len(scripts) + 1
        assert (await chat.say("Mei", "#lobby", "again")).epoch == said.epoch
    # Also in the file itself, which an older program reads first.
    assert int.from_bytes(path.read_bytes()[60:64], "big") == len(scripts) + 1
    monkeypatch.undo()
    with pytest.raises(StoreCorrupt, match="newer gochat"):
        async with opened(path):
            pass


async def test_passwords_of_a_schema_without_generations_stay_valid_and_tokens_do_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        before = database.migrations()[:2]
        patch.setattr(database, "migrations", lambda: before)
        database.create(path)
    mei = account("Mei")
    with closing(sqlite3.connect(path)) as db, db:
        row = (mei.key, mei.name, mei.password_hash, mei.created)
        db.execute("INSERT INTO account VALUES (?, ?, ?, ?)", row)
        db.execute("INSERT INTO token VALUES (?, ?, ?)", (b"d" * 32, mei.key, NOON + 1000))
    token = make_token("Mei")
    async with opened(path) as chat:
        assert await chat.store.account(mei.key) == mei
        assert list(await chat.store.tokens(mei.key, NOON)) == []
        await chat.store.add_token(token)
        assert await chat.store.token(token.id, NOON) == token
        assert await chat.store.change_password(mei, "another")
        assert await chat.store.token(token.id, NOON) is None


async def test_edits_that_kept_their_texts_are_erased_except_the_last(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        before = database.migrations()[:4]
        patch.setattr(database, "migrations", lambda: before)
        database.create(path)
    entries = [
        ("text", "current one", None, 4),
        ("edit", "secret one", 1, None),
        ("text", "current three", None, 5),
        ("edit", "current one", 1, 2),
        ("edit", "current three", 3, None),
        ("text", "another", None, None),
    ]
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO account VALUES ('mei', 'Mei', '', 0, 0)")
        db.executemany(
            "INSERT INTO entry (id, position, ts, sender, kind, text, ref, edited, mentions)"
            " VALUES ((1 << 32) + ?1, ?1, 0, 'mei', ?2, ?3, ?4, ?5, 'Mei')",
            [(seq, *entry) for seq, entry in enumerate(entries, start=1)],
        )
    async with opened(path) as chat:
        found = await chat.entries("Mei", "#lobby")
        assert [(e.text, e.deleted, e.mentions, e.edited) for e in found] == [
            ("current one", False, ("Mei",), 4),
            ("", True, (), None),
            ("current three", False, ("Mei",), 5),
            ("current one", False, ("Mei",), None),
            ("current three", False, ("Mei",), None),
            ("another", False, ("Mei",), None),
        ]
        await chat.do("Mei", "#lobby", "delete", ref=1)
    assert check(path) == []
    data = path.read_bytes()
    assert (b"secret" in data, b"current one" in data, b"current three" in data) == (
        *(False, False),
        True,
    )


async def test_members_of_a_schema_without_floors_read_as_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        before = database.migrations()[:6]
        patch.setattr(database, "migrations", lambda: before)
        database.create(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.executemany(
            "INSERT INTO account VALUES (?, ?, '', 0, 0)",
            [("mei", "Mei"), ("bob", "Bob"), ("eve", "Eve")],
        )
        db.execute(
            "INSERT INTO conversation (id, key, name, private, members)"
            " VALUES (2, '#den', '#den', 1, 2)"
        )
        db.executemany(
            "INSERT INTO participant (person, conversation, role, since, read)"
            " VALUES (?, 2, ?, 0, ?)",
            [("mei", "operator", 1), ("bob", "member", 3), ("eve", "invited", 0)],
        )
        db.executemany(
            "INSERT INTO entry (id, position, ts, sender, kind, text)"
            " VALUES ((2 << 32) + ?1, ?1, 0, 'mei', ?2, ?3)",
            [(1, "create", "private"), (2, "text", "hello"), (3, "join", "")],
        )
    async with opened(path) as chat:
        for who in ("Mei", "Bob"):
            page = await chat.page(who, "#den")
            assert (page.floor, [entry.seq for entry in page.entries]) == (0, [1, 2, 3])
            assert await chat.find(who, "hello") == ["hello"]
            seen = await chat.seen(who, "#den")
            assert (seen.history, seen.floor) == ("shown", 0)
        # Who invited her was not kept.
        (invitation,) = await chat.store.invitations(person("Eve"))
        assert (invitation.room, invitation.from_, invitation.ts) == ("#den", "", 0)
        await chat.do("Eve", "#den", "join")
        assert (await chat.page("Eve", "#den")).floor == 0
        await chat.do("Eve", "#den", "leave")
        await chat.do("Mei", "#den", "history", "hidden")
        await chat.do("Mei", "#den", "invite", "Eve", subject="Eve")
        await chat.do("Eve", "#den", "join")
        assert (await chat.page("Eve", "#den")).floor == 7
        assert (await chat.page("Bob", "#den")).floor == 0
    assert check(path) == []


async def test_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as chat:
        await chat.register("Mei")
    scripts = database.migrations()
    newer = "CREATE TABLE extra (x); INSERT INTO nowhere VALUES (1);"
    monkeypatch.setattr(database, "migrations", lambda: [*scripts, newer])
    with pytest.raises(StoreUnavailable, match="nowhere"):
        async with opened(path):
            pass
    monkeypatch.undo()
    async with opened(path) as chat:
        await chat.say("Mei", "#lobby", "hello")
    assert check(path) == []


# -- one server -----------------------------------------------------------------------------------

_OPEN = """
import sys, trio
from gochat.server.logs import configure_logs
from gochat.storage import open_store

configure_logs("json", "info")

async def main():
    async with open_store(f"sqlite:///{sys.argv[1]}"):
        print("open", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)

trio.run(main)
"""


async def test_error_of_a_second_server_names_the_first(path: Path) -> None:
    with run_python(_OPEN, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(StoreUnavailable, match=f"in use by another .* {process.pid}"):
            async with opened(path):
                pass
        process.kill()
    async with opened(path) as chat:  # the lock ended with the process
        with pytest.raises(StoreUnavailable, match=f"in use by another .* {os.getpid()}"):
            async with opened(path):
                pass
        await chat.register("Mei")


async def test_history_keeps_its_epoch(path: Path) -> None:
    epochs = set()
    for number in range(3):
        async with opened(path) as chat:
            await chat.register(f"p{number}")
            epochs.add((await chat.say(f"p{number}", "#lobby", "x")).epoch)
    (epoch,) = epochs
    assert len(epoch) == 8
    async with opened(path.with_name("other.db")) as chat:
        assert (await chat.page("Mei", "#lobby")).epoch != epoch


@pytest.mark.parametrize(
    ("synchronous", "machine_went_down", "is_new"),
    [("normal", True, True), ("normal", False, False), ("full", True, False)],
)
async def test_crashed_machine_begins_a_new_epoch_if_data_may_be_lost(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    synchronous: str,
    machine_went_down: bool,
    is_new: bool,
) -> None:
    url = path.with_name(f"{path.name}?synchronous={synchronous}")
    with run_python(_APPEND_FOR_EVER, url) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    with closing(sqlite3.connect(path)) as db:
        (before,) = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    if machine_went_down:
        monkeypatch.setattr(database, "boot_id", lambda: "another start")
    async with opened(path) as chat:
        assert ((await chat.page("p0", "#lobby")).epoch != before) == is_new
    monkeypatch.setattr(database, "boot_id", lambda: "the next start")
    async with opened(path) as chat:  # it was closed properly, so nothing can be missing
        after = (await chat.page("p0", "#lobby")).epoch
    async with opened(path) as chat:
        assert (await chat.page("p0", "#lobby")).epoch == after
        assert (after != before) == is_new


# -- the writer -----------------------------------------------------------------------------------


async def test_waiting_writes_share_one_commit(path: Path) -> None:
    following = Following()
    async with opened(path) as chat, trio.open_nursery() as nursery:
        await chat.register("Mei")
        await follow(nursery, chat.store, following)
        async with trio.open_nursery() as senders:
            with writer_held_up(chat):
                for number in range(50):
                    senders.start_soon(chat.say, "Mei", "#lobby", str(number))
                await trio.testing.wait_all_tasks_blocked()
        assert len(following.batches) == 1
        assert following.seqs("#lobby") == list(range(1, 51))
        nursery.cancel_scope.cancel()


async def test_failure_of_one_write_does_not_affect_others(path: Path) -> None:
    async with opened(path) as chat, trio.open_nursery() as background:
        await chat.register("Mei")
        following = Following()
        await follow(background, chat.store, following)
        async with trio.open_nursery() as nursery:
            with writer_held_up(chat):
                nursery.start_soon(chat.say, "Mei", "#lobby", "one")
                nursery.start_soon(
                    _is_raised, UnicodeEncodeError, chat.say, "Mei", "#lobby", "half a pair: \ud800"
                )
                nursery.start_soon(chat.say, "Mei", "#lobby", "two")
                await trio.testing.wait_all_tasks_blocked()
        entries = await chat.entries("Mei", "#lobby")
        assert [entry.seq for entry in entries] == [1, 2]
        assert {entry.text for entry in entries} == {"one", "two"}
        assert [one.entry for one in following.logged] == entries
        background.cancel_scope.cancel()


async def test_too_many_waiting_writes_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MAX_WAITING", 3)
    async with opened(path) as chat:
        await chat.register("Mei")
        async with trio.open_nursery() as nursery:
            with writer_held_up(chat):
                nursery.start_soon(chat.say, "Mei", "#lobby", "one")
                nursery.start_soon(chat.say, "Mei", "#lobby", "two")
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises(StoreUnavailable, match="too many"):
                    await chat.say("Mei", "#lobby", "three")
        assert (await chat.say("Mei", "#lobby", "four")).seq == 3


async def test_write_of_a_cancelled_caller_is_done_before_the_store_closes(path: Path) -> None:
    async with opened(path) as chat:
        await chat.register("Mei")
        with writer_held_up(chat):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(chat.say, "Mei", "#lobby", "on its way")
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
    with pytest.raises(StoreUnavailable, match="closed"):
        await chat.say("Mei", "#lobby", "too late")
    async with opened(path) as chat:
        assert [entry.text for entry in await chat.entries("Mei", "#lobby")] == ["on its way"]


async def _is_raised(
    kind: type[Exception], function: Callable[..., Awaitable[object]], *arguments: object
) -> None:
    with pytest.raises(kind):
        await function(*arguments)


async def test_failure_of_a_follower_does_not_affect_others(path: Path) -> None:
    async with opened(path) as chat:
        await chat.register("Mei")
        following = Following()

        def fail(_: object) -> None:
            raise ZeroDivisionError

        async with trio.open_nursery() as nursery:
            await follow(nursery, chat.store, following)
            nursery.start_soon(_is_raised, ZeroDivisionError, chat.store.follow, fail)
            await trio.testing.wait_all_tasks_blocked()
            await chat.say("Mei", "#lobby", "one")
            await chat.say("Mei", "#lobby", "two")
            nursery.cancel_scope.cancel()
        assert following.seqs("#lobby") == [1, 2]


async def test_closed_store_leaves_no_temporary_files(path: Path) -> None:
    async with opened(path) as chat:
        await chat.register("Mei")
        await chat.entries("Mei", "#lobby")
        await chat.find("Mei", "x")
    names = {file.name for file in path.parent.iterdir()}
    assert names == {"chat.db", "chat.db.lock", "chat.db.generation", "chat.db.index"}


async def test_deleted_text_is_not_in_the_file(path: Path) -> None:
    async with opened(path) as chat:
        await chat.register("Mei")
        await chat.say("Mei", "#lobby", "a very secret text")
        await chat.do("Mei", "#lobby", "edit", "another secret text", ref=1)
        await chat.do("Mei", "#lobby", "delete", ref=1)
    assert b"secret" not in path.read_bytes()


# -- URLs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "level"),
    [("", 1), ("?synchronous=normal", 1), ("?synchronous=full", 2), ("?synchronous=off", 0)],
)
async def test_synchronous_is_chosen_in_the_url(path: Path, options: str, level: int) -> None:
    async with opened(path, options) as chat:
        db = inside(chat)._log.db
        assert db.execute("PRAGMA synchronous").fetchone() == (level,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgres://host/db", "sqlite:///PATH"),
        ("chat.db", "sqlite:///PATH"),
        ("sqlite://chat.db", "sqlite:///chat.db"),
        ("sqlite:///chat.db?synchronous=never", "off, normal, full"),
        ("sqlite:///chat.db?cache=shared", "unknown option 'cache'"),
        ("sqlite://", "no path"),
        ("sqlite:///", "sqlite:///:memory:"),
        ("sqlite:///?synchronous=full", "a variable is not set"),
        ("sqlite:///$UNSET", "UNSET is not expanded"),
        ("sqlite:////srv/${NAME}.db", "NAME} is not expanded"),
        ("sqlite:///~/chat.db", "~ is not expanded"),
        ("sqlite:////srv/", "ends with a slash"),
        ("sqlite:///chat.db ", "spaces around it"),
        ("sqlite:///chat\0.db", "control characters"),
        ("sqlite:///chat.db\n", "control characters"),
        ("sqlite:////", "ends with a slash"),
        ("sqlite:///.", "a directory"),
        ("sqlite:///..", "a directory"),
        ("sqlite:chat.db", "sqlite:///PATH"),
        ("sqlite:///" + "x" * 300, "name too long"),
    ],
)
async def test_error_of_an_unusable_url_says_what_is_supported(
    url: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"(?i){says}"):
        async with open_store(url):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_path_may_have_any_characters(tmp_path: Path) -> None:
    path = tmp_path / "聊天 100% #1.db"
    async with opened(path) as chat:
        await chat.register("Mei")
    assert path.is_file()
    assert check(path) == []


async def test_relative_path_is_relative_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_store("sqlite:///sub/chat.db"):
        assert (tmp_path / "sub" / "chat.db").is_file()


async def test_stores_in_memory_are_separate() -> None:
    async with open_store("sqlite:///:memory:") as one, open_store("sqlite:///:memory:") as other:
        assert await one.create_account(account("Mei"))
        assert await other.create_account(account("Mei"))
