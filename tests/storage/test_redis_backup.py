"""Backing up a store in Redis while it is in use: whatever happens meanwhile, a sound store."""

# ruff: noqa: ASYNC240 -- these files are small, and nothing waits for the loop meanwhile

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
import trio
from filled_stores import LATER, Places, everything, fill
from redis_deployments import Watched
from redis_nodes import REDIS_TIMEOUT
from redis_process import RedisServer, free_port
from redis_rights import add_user
from storing import Chat, draft, key, make_token, person

from gochat.chat.administration import AuditEntry
from gochat.chat.retention import Rule
from gochat.chat.store import Store
from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.storage import open_store
from gochat.storage.maintenance import check, states
from gochat.storage.sqlite import database
from gochat.storage.transfer import redis_online
from gochat.storage.transfer.contents import Target
from gochat.storage.transfer.copy import copy
from gochat.storage.transfer.redis_backup import backup
from gochat.storage.transfer.redis_check import check as redis_check
from gochat.storage.transfer.sqlite_backup import SqliteBackup

pytestmark = [pytest.mark.trio, pytest.mark.redis]

Change = Callable[[Chat], Awaitable[object]]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    """Name URLs for stores, by their kind."""
    return Places(request, tmp_path)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "copy.db"


@pytest.fixture(autouse=True)
def _directory(target: Path) -> None:
    target.parent.mkdir()


async def backed_up(url: str, target: Path, **options: Any) -> None:
    await trio.to_thread.run_sync(partial(backup, url, target, **options))


def keys_of(server: RedisServer) -> Any:
    """Return a client whose methods have no useful types."""
    return closing(redis.Redis(port=server.port))


@pytest.mark.parametrize("kind", ["redis_server", "redis_watched", "redis_cluster"])
async def test_backup_and_restore_is_what_people_had(
    place: Places, target: Path, kind: str
) -> None:
    url, again = place(kind), place(kind)
    await fill(url)
    expected = await everything(url)
    async with open_store(url):
        await backed_up(url, target)
    assert [file.name for file in target.parent.iterdir()] == ["copy.db"]
    assert check(target) == []
    assert states(target)[0].startswith("a backup, made 20")
    assert await everything(f"sqlite:///{target}") == expected
    await trio.to_thread.run_sync(copy, f"sqlite:///{target}", again)
    assert await everything(again) == expected


async def test_backup_has_all_that_a_copy_has(
    place: Places, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a store gets to keep next."""
    used: set[str] = set()
    setters = {name for name in vars(Target) if name.startswith("put_")}

    def noted(name: str) -> Callable[..., None]:
        put = getattr(SqliteBackup, name)

        def set_(*args: Any) -> None:
            used.add(name)
            put(*args)

        return set_

    for name in setters:
        monkeypatch.setattr(SqliteBackup, name, noted(name))
    url = place("redis_server")
    await fill(url)
    await backed_up(url, target)
    assert used == setters


async def test_backup_changes_nothing_and_reads_in_small_steps(
    place: Places, target: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = place("redis_server")
    await fill(url, more=2000)
    sizes: list[int] = []
    read: Any = redis_online.OnlineRedis.snapshots

    def noted(self: Any, questions: Any) -> Any:
        answers = read(self, questions)
        sizes.append(max(len(answer.records) for answer in answers))
        return answers

    monkeypatch.setattr(redis_online.OnlineRedis, "snapshots", noted)
    with keys_of(redis_server) as client:
        changes = client.info("persistence")["rdb_changes_since_last_save"]
        client.config_resetstat()
        await backed_up(url, target)
        used = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
        assert client.info("persistence")["rdb_changes_since_last_save"] == changes
    assert not used & {"keys", "smembers"}
    assert max(sizes) == redis_online.STEP
    assert len(sizes) > 2000 / redis_online.STEP


async def test_user_needs_two_rights_more(
    place: Places, target: Path, redis_server: RedisServer
) -> None:
    url = place("redis_server")
    await fill(url)
    prefix = url.rpartition("=")[2]
    userinfo = add_user(redis_server.port, prefix)
    restricted = url.replace("://", f"://{userinfo}@")
    with pytest.raises(ConfigError, match="a backup needs more rights than this Redis user has"):
        await backed_up(restricted, target)
    with keys_of(redis_server) as client:
        client.execute_command("ACL", "SETUSER", userinfo.partition(":")[0], "+scan", "+hscan")
    await backed_up(restricted, target)
    assert check(target) == []


# -- what changes meanwhile ------------------------------------------------------------------------


async def changing(
    url: str,
    target: Path,
    store: Store,
    change: Change,
    monkeypatch: pytest.MonkeyPatch,
    *,
    after: int = 40,
) -> None:
    """Back a store up, and change it once, when so many entries have been read."""
    monkeypatch.setattr(redis_online, "STEP", 10)
    has_changed = False

    def progress(_: str, done: int, total: int) -> None:
        nonlocal has_changed
        if done >= after and not has_changed:
            has_changed = True
            trio.from_thread.run(change, Chat(store))

    await backed_up(url, target, progress=progress)
    assert has_changed
    assert check(target) == []


async def entries(store: Store, address: str, who: str = "Mei") -> list[tuple[Any, ...]]:
    return [
        (*(e.seq, e.kind, e.from_, e.text, e.ref, e.edited, e.deleted), e.reactions, e.mentions)
        for e in await Chat(store).entries(who, address)
    ]


async def a_hundred(chat: Chat) -> None:
    """Make four people, and a room with 104 entries: messages, and some are edited and pinned."""
    await chat.register("Mei", "Bob", "Eve", "Zoe")
    await chat.do("Mei", "#room", "create", "public")
    await chat.do("Bob", "#room", "join")
    await chat.append(*(draft("Mei", "#room", f"text {n}") for n in range(90)))
    for ref in (5, 6, 7, 50):
        await chat.do("Mei", "#room", "edit", f"edit of {ref}", ref=ref)
        await chat.do("Bob", "#room", "react", "👍", ref=ref)
        await chat.do("Mei", "#room", "pin", ref=ref)


async def change_what_was_read(chat: Chat) -> None:
    await chat.do("Mei", "#room", "edit", "again", ref=5)
    await chat.do("Mei", "#room", "delete", ref=6)
    await chat.do("Mei", "#room", "edit", "for the first time @Bob", ref=8, mentions=["Bob"])
    await chat.do("Bob", "#room", "unreact", "👍", ref=7)
    await chat.do("Bob", "#room", "react", "🎉", ref=9)
    await chat.do("Mei", "#room", "unpin", ref=7)
    await chat.do("Mei", "#room", "pin", ref=10)
    # And what was not.
    await chat.do("Mei", "#room", "edit", "later", ref=90)
    await chat.do("Mei", "#room", "delete", ref=50)


async def let_them_go(chat: Chat) -> None:
    """Remove half of the entries, which have been read, and all but the newest of another room."""
    while await chat.store.retention.remove(key("#room", "Mei"), Rule(entries=50)):
        pass


async def erase_the_newest(chat: Chat) -> None:
    """As retention does, when the newest is too old: no entry says so."""
    await chat.store.retention.remove(key("#room", "Mei"), Rule(days=1))


async def come_and_go(chat: Chat) -> None:
    await chat.do("Eve", "#room", "join")
    await chat.do("Mei", "#room", "operator", "Eve", subject="Eve")
    await chat.do("Mei", "#room", "kick", "Bob", subject="Bob")
    await chat.do("Mei", "#room", "leave")
    await chat.do("Eve", "#room", "invite", "Bob", subject="Bob")
    await chat.do("Eve", "#room", "topic", "new")


@pytest.mark.parametrize(
    "change", [change_what_was_read, let_them_go, erase_the_newest, come_and_go]
)
async def test_conversation_is_as_it_was_at_its_end(
    place: Places, target: Path, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    """Changes to what has been read already are in the backup, too."""
    url = place("redis_server")
    async with open_store(url, clock=lambda: 10) as store:
        await a_hundred(Chat(store))
    async with open_store(url) as store:
        await changing(url, target, store, change, monkeypatch)
        assert await seen(url) == await seen(f"sqlite:///{target}")
    with closing(sqlite3.connect(target)) as db:
        texts = {text for (text,) in db.execute("SELECT text FROM entry")}
    assert change is not change_what_was_read or not texts & {"edit of 5", "edit of 6"}


async def seen(url: str) -> dict[str, Any]:
    async with open_store(url) as store:
        chat = Chat(store)
        page = await chat.page("Mei", "#room")
        return {
            "entries": await entries(store, "#room"),
            "base": page.base,
            "pins": await store.pins(key("#room", "Mei")),
            "head": page.head,
            "members": await chat.members("#room"),
            "rooms": [await chat.room(who, "#room") for who in ("Mei", "Bob", "Eve")],
            "invitations": await store.invitations(person("Bob")),
            "found": sorted(await chat.find("Eve", "again") + await chat.find("Mei", "text 8")),
        }


async def test_account_that_is_forgotten_while_its_rows_are_read_is_forgotten_in_the_backup(
    place: Places, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the log says that private conversations are no longer theirs."""
    url = place("redis_server")
    scan = redis_online.OnlineRedis.scan_rows
    async with open_store(url) as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await chat.say("Mei", "@Bob", "hello")

        def scanned(self: Any, key: Any) -> Any:
            rows = list(scan(self, key))
            if key.startswith("@"):
                monkeypatch.setattr(redis_online.OnlineRedis, "scan_rows", scan)
                trio.from_thread.run(store.administration.forget, person("Bob"))
            return iter(rows)

        monkeypatch.setattr(redis_online.OnlineRedis, "scan_rows", scanned)
        await backed_up(url, target)
    assert (await trio.to_thread.run_sync(redis_check, url)).findings == []
    async with open_store(f"sqlite:///{target}") as store:
        assert await Chat(store).addresses("Bob") == ["#lobby"]
        assert await Chat(store).addresses("Mei") == ["#lobby", "@Bob"]


async def test_people_who_come_while_they_are_read_are_as_at_the_end(
    place: Places, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come after the participants were read, before the last entry is."""
    url = place("redis_server")
    scan = redis_online.OnlineRedis.scan_rows
    async with open_store(url) as store:
        chat = Chat(store)
        await a_hundred(chat)

        def scanned(self: Any, key: Any) -> Any:
            rows = list(scan(self, key))
            if key == "#room":
                monkeypatch.setattr(redis_online.OnlineRedis, "scan_rows", scan)
                trio.from_thread.run(come_and_go, chat)
            return iter(rows)

        monkeypatch.setattr(redis_online.OnlineRedis, "scan_rows", scanned)
        await backed_up(url, target)
        assert check(target) == []
        assert await seen(url) == await seen(f"sqlite:///{target}")


async def test_invitations_that_lapse_while_they_are_read_are_not_in_the_backup(
    place: Places, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = place("redis_server")
    scan = redis_online.OnlineRedis.scan_rows
    async with open_store(url) as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await chat.do("Mei", "#room", "create", "private")
        await chat.do("Mei", "#room", "invite", "Bob", subject="Bob")

        def scanned(self: Any, key: Any) -> Any:
            rows = list(scan(self, key))
            if key == "#room":
                monkeypatch.setattr(redis_online.OnlineRedis, "scan_rows", scan)
                trio.from_thread.run(partial(chat.do, "Mei", "#room", "leave"))
            return iter(rows)

        monkeypatch.setattr(redis_online.OnlineRedis, "scan_rows", scanned)
        await backed_up(url, target)
    async with open_store(f"sqlite:///{target}") as store:
        assert await store.invitations(person("Bob")) == []


async def test_what_refers_to_what_comes_meanwhile_is_whole(
    place: Places, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accounts, sessions, blocks, private conversations and markers of new people."""

    async def arrive(chat: Chat) -> None:
        names = [f"new{n}" for n in range(40)]
        await chat.register(*names)
        await chat.store.add_token(make_token("new1", 9, expires=LATER))
        for name in names:
            await chat.store.set_blocked(person("Zoe"), person(name), on=True)
            await chat.store.set_blocked(person(name), person("new1"), on=True)
            await chat.say(name, "#lobby", "hello")
            await chat.say(name, "@Mei", "hello")
        head = (await chat.page("Mei", "#lobby")).head
        await chat.mark_read("Mei", "#lobby", head)
        for number in range(3):
            await chat.store.administration.record(
                AuditEntry(at=number, actor="a", act="b", subject="c", reason="d")
            )

    url = place("redis_server")
    async with open_store(url) as store:
        await a_hundred(Chat(store))
        await Chat(store).say("Zoe", "#lobby", "first")
        await changing(url, target, store, arrive, monkeypatch)
    async with open_store(f"sqlite:///{target}") as store:
        assert (await Chat(store).page("Mei", "#room")).head == 104


async def test_backup_while_people_talk_is_a_prefix_with_all_that_was_acknowledged_before(
    place: Places, target: Path
) -> None:
    url = place("redis_server")
    async with open_store(url) as store, trio.open_nursery() as nursery:
        chat = Chat(store)
        await chat.register("Mei", "Bob")

        async def talk() -> None:
            while True:
                said = await chat.say("Mei", "#lobby", "a")
                await chat.do("Bob", "#lobby", "react", "👍", ref=said.seq)
                await chat.do("Mei", "#lobby", "edit", f"b{said.seq}", ref=said.seq)

        before = (await chat.say("Bob", "#lobby", "before the backup")).seq
        nursery.start_soon(talk)
        await backed_up(url, target)
        nursery.cancel_scope.cancel()
    assert check(target) == []
    async with open_store(f"sqlite:///{target}") as store:
        head = (await Chat(store).page("Mei", "#lobby")).head
        copied = await entries(store, "#lobby")
        assert head >= before
        texts = {
            seq: (text, edited) for seq, kind, _, text, _, edited, *_ in copied if kind == "text"
        }
        for seq, (text, edited) in texts.items():
            if text != "before the backup":
                assert (text == f"b{seq}") == bool(edited)
                assert not edited or edited <= head


# -- what goes wrong -------------------------------------------------------------------------------


async def test_room_whose_keys_vanish_meanwhile_is_damage(
    place: Places, target: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = place("redis_server")
    prefix = url.rpartition("=")[2]

    async def remove(_: Chat) -> None:
        with keys_of(redis_server) as client:
            client.delete(*client.keys(f"{prefix}:*:[clw]:#room"))

    async with open_store(url) as store:
        await a_hundred(Chat(store))
        with pytest.raises(StoreCorrupt, match="#room"):
            await changing(url, target, store, remove, monkeypatch)
    assert list(target.parent.iterdir()) == []


async def test_other_history_in_the_middle_is_no_backup(
    place: Places, target: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover to a replica that lacked something."""
    url = place("redis_server")
    prefix = url.rpartition("=")[2]

    async def fail_over(_: Chat) -> None:
        with keys_of(redis_server) as client:
            client.hset(f"{prefix}:{{3}}:state", "epoch", "another")

    async with open_store(url) as store:
        await a_hundred(Chat(store))
        with pytest.raises(StoreUnavailable, match="history"):
            await changing(url, target, store, fail_over, monkeypatch)
    assert list(target.parent.iterdir()) == []


async def test_redis_that_dies_in_the_middle_is_no_backup(
    start_redis: Callable[..., RedisServer], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_redis()
    async with open_store(f"{server.url}?timeout={REDIS_TIMEOUT}") as store:
        await a_hundred(Chat(store))
    monkeypatch.setattr(redis_online, "STEP", 10)

    def progress(_: str, done: int, total: int) -> None:
        if done >= 40:
            server.kill()

    with pytest.raises(StoreUnavailable):
        await backed_up(server.url, target, progress=progress)
    assert list(target.parent.iterdir()) == []


async def test_failover_in_the_middle_is_no_backup_and_the_next_one_is_whole(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By real sentinels: the old master lives on, as for maintenance; and it is killed."""
    watched = Watched(tmp_path / "redis")
    monkeypatch.setattr(redis_online, "STEP", 10)

    def failing(fail: Callable[[], None]) -> Callable[[str, int, int], None]:
        has_failed = False

        def progress(_: str, done: int, total: int) -> None:
            nonlocal has_failed
            if done >= 40 and not has_failed:
                has_failed = True
                fail()

        return progress

    def kill() -> None:
        watched.master.kill()
        watched.wait_until_promoted()

    try:
        watched.start()
        async with open_store(f"{watched.url}?timeout={REDIS_TIMEOUT}") as store:
            await a_hundred(Chat(store))
        watched.wait_until_replicated()
        for fail in (watched.fail_over, kill):
            with pytest.raises(StoreUnavailable) as caught:
                await backed_up(watched.url, target, progress=failing(fail))
            assert str(caught.value)
            assert list(target.parent.iterdir()) == []
        await backed_up(watched.url, target)
    finally:
        watched.stop()
    async with open_store(f"sqlite:///{target}") as store:
        page = await store.page(key("#room", "Mei"), viewer=person("Mei"), after=0, limit=200)
        assert page.head == len(page.entries) == 104


async def test_server_that_is_a_replica_by_now_gives_no_backup(
    start_redis: Callable[..., RedisServer], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody cuts its clients off, and before a node has found entries missing."""
    server = start_redis()
    async with open_store(f"{server.url}?timeout={REDIS_TIMEOUT}") as store:
        await a_hundred(Chat(store))
    monkeypatch.setattr(redis_online, "STEP", 10)

    def progress(_: str, done: int, total: int) -> None:
        if done >= 40:
            with keys_of(server) as client:
                client.config_set("replica-serve-stale-data", "yes")
                client.replicaof("127.0.0.1", free_port())

    with pytest.raises(StoreUnavailable, match="history"):
        await backed_up(server.url, target, progress=progress)
    assert list(target.parent.iterdir()) == []


async def test_full_disk_leaves_nothing(
    place: Places, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = place("redis_server")
    await fill(url, more=500)
    opened = database.open_copy

    def small(*args: Any) -> sqlite3.Connection:
        db = opened(*args)
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 5}")
        return db

    monkeypatch.setattr(database, "open_copy", small)
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        await backed_up(url, target)
    assert list(target.parent.iterdir()) == []


async def test_backup_overwrites_nothing(place: Places, target: Path, tmp_path: Path) -> None:
    url = place("redis_server")
    await fill(url)
    target.write_text("precious")
    with pytest.raises(ConfigError, match="overwrites nothing"):
        await backed_up(url, target)
    assert target.read_text() == "precious"
    with pytest.raises(ConfigError, match="can't be made"):
        await backed_up(url, tmp_path / "missing" / "copy.db")
    with pytest.raises(ConfigError, match="can't be made"):
        await backed_up(url, target / "copy.db")

    def progress(*_: object) -> None:
        (tmp_path / "late.db").write_text("precious")

    with pytest.raises(ConfigError, match="exists already"):
        await backed_up(url, tmp_path / "late.db", progress=progress)
    assert (tmp_path / "late.db").read_text() == "precious"


async def test_interrupted_backup_leaves_nothing(place: Places, target: Path) -> None:
    url = place("redis_server")
    await fill(url)

    def progress(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(url, target, progress=progress)
    assert list(target.parent.iterdir()) == []


async def test_where_there_is_no_data_nothing_is_made(place: Places, target: Path) -> None:
    with pytest.raises(ConfigError, match="no gochat data found"):
        await backed_up(place("redis_server"), target)
    assert list(target.parent.iterdir()) == []


async def test_audit_log_that_is_trimmed_meanwhile_has_no_gap(
    place: Places, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = place("redis_server")
    prefix = url.rpartition("=")[2]
    async with open_store(url) as store:
        for number in range(20):
            await store.administration.record(
                AuditEntry(at=number, actor="a", act="b", subject="c", reason="d")
            )
    monkeypatch.setattr(redis_online, "MANY", 5)
    ids: list[int] = []
    with redis_online.open_online(url, "a test") as source, keys_of(redis_server) as client:
        for entries in source.audit():
            ids += [entry.id for entry in entries]
            if len(ids) == 10:
                client.ltrim(f"{prefix}:{{0}}:audit", 7, -1)
    assert ids == list(range(1, 21))
