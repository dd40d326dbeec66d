"""Copying a store into another one: everything arrives once, whatever happens in between."""

# ruff: noqa: ASYNC240 -- these files are small, and nothing waits for the loop meanwhile

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
import trio
from filled_stores import TODAY, Places, everything, fill
from processes import GOCHAT
from redis_deployments import wait_for
from redis_process import RedisServer
from redis_rights import add_user, rules
from storing import Chat, Clock, account, draft, person

from gochat.chat.log import Appended
from gochat.errors import ChatError, ConfigError, StoreCorrupt, StoreUnavailable
from gochat.storage import open_store
from gochat.storage.common.clock import wall_clock
from gochat.storage.maintenance import check
from gochat.storage.transfer import copy as copying
from gochat.storage.transfer.copy import COMPARING, Report, copy

pytestmark = [pytest.mark.trio, pytest.mark.redis]


async def copied(source: str, target: str, **options: Any) -> Report:
    return await trio.to_thread.run_sync(partial(copy, source, target, **options))


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    """Name URLs for stores, by their kind."""
    return Places(request, tmp_path)


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


async def epoch_of(url: str) -> str:
    async with open_store(url, clock=Clock()) as store:
        return (await Chat(store).page("Mei", "#lobby")).epoch


# -- completeness --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kinds",
    [
        ("sqlite", "redis_server", "sqlite"),
        ("sqlite", "redis_cluster", "redis_server", "redis_watched"),
        ("redis_watched", "sqlite", "sqlite", "redis_cluster"),
    ],
    ids="-".join,
)
async def test_copy_of_a_copy_is_what_people_had(kinds: tuple[str, ...], place: Places) -> None:
    first = place(kinds[0])
    await fill(first)
    url, expected, reports = first, await everything(first), []
    epochs = {await epoch_of(first)}
    for kind in kinds[1:]:
        target = place(kind)
        reports.append(await copied(url, target))
        if target.startswith("sqlite"):
            assert check(path_of(target)) == []
        assert await everything(target) == expected
        epochs.add(await epoch_of(target))
        url = target
    assert len(epochs) == len(kinds), "clients must not take one history for another"
    assert all(report.parts == reports[0].parts for report in reports)
    counts = {part.what: part.count for part in reports[0].parts}
    assert (counts["accounts"], counts["sessions"], counts["acts"]) == (5, 3, 2)
    assert reports[0].kinds["edit"] == 3


async def test_people_can_continue_in_a_copy(place: Places) -> None:
    source, middle, target = place("sqlite"), place("redis_server"), place("sqlite")
    await fill(source)
    await copied(source, middle)
    await go_on(middle)
    await copied(middle, target)
    assert await everything(target) == await everything(middle)
    async with open_store(target, clock=Clock()) as store:
        assert await Chat(store).find("Bob", "gone") == ["gone on"]
    assert check(path_of(target)) == []


async def test_activity_is_made_anew_in_a_copy(place: Places) -> None:
    source, middle, target = place("sqlite"), place("redis_server"), place("sqlite")
    async with open_store(source, clock=Clock()) as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        for to, other in (("#lobby", "#lobby"), ("@Bob", "@Mei")):
            await chat.say("Mei", to, "hello")
            await chat.say("Bob", other, "hi", ref=1)
            await chat.do("Bob", other, "react", "👍", ref=1)
            await chat.do("Bob", other, "react", "🎉", ref=1)
            await chat.do("Bob", other, "unreact", "👍", ref=1)
            await chat.say("Mei", to, "to myself", ref=1)
        await chat.say("Bob", "#lobby", "@Mei", mentions=("Mei",))
        await store.mark_activity(person("Mei"), 5)
        listed = await store.activity(person("Mei"))
        assert [ref.seq for ref in listed.refs] == [4, 7, 4, 2]
    for before, after in ((source, middle), (middle, target)):
        await copied(before, after)
        async with open_store(after, clock=Clock()) as store:
            copy = await store.activity(person("Mei"))
            assert (copy.seen, list(copy.refs)) == (5, list(listed.refs))
            assert list((await store.activity(person("Bob"))).refs) == []


async def go_on(url: str) -> None:
    async with open_store(url, clock=wall_clock) as store:
        chat = Chat(store)
        head = (await chat.page("Mei", "#lobby")).head
        assert (await chat.say("Mei", "#lobby", "gone on")).seq == head + 1
        (again,) = await chat.append(draft("Mei", "#lobby", "hello @Bob", cid="hello"))
        assert isinstance(again, Appended)
        assert again.dup
        await chat.do("Mei", "#lobby", "edit", "later", ref=3 if head < 3 else 1)
        await chat.do("Mei", "#lobby", "delete", ref=1)
        await chat.do("Eve", "#Cellar", "kick", subject="Bob")
        await chat.do("Mei", "#Cellar", "join")
        for room, floor in (("#Attic", 5), ("#Vault", 6)):  # 5: when it became public
            await chat.do("Eve", room, "invite", subject="Straße")
            joined = await chat.do("Straße", room, "join")
            page = await chat.page("Straße", room)
            assert (page.floor, page.entries[0].seq) == (floor, floor + 1)
            assert joined.seq == (9 if room == "#Attic" else 7)
            assert await chat.find("Straße", "hidden") == []
        assert await chat.refused("Bob", "#Gɑrden", "create", "public") == "room_exists"
        with pytest.raises(ChatError, match="looks like"):
            await store.create_account(account("b0b"))


@pytest.mark.parametrize("kind", ["sqlite", "redis_server"])
async def test_times_of_a_wrong_clock_are_copied_and_search_keeps_the_order(
    place: Places, kind: str
) -> None:
    """An entry that is ahead of the clock is not found before later ones."""
    source, target = place("sqlite"), place(kind)
    clock = Clock()
    async with open_store(source, clock=clock) as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        clock.now = TODAY + 10 * 365 * 24 * 3600 * 1000
        await chat.say("Mei", "#lobby", "word 1")
        clock.now = TODAY
        await chat.say("Mei", "#lobby", "word 2")
        clock.now += 1000
        await chat.say("Mei", "@Bob", "word 3")
        clock.now += 1000
        await chat.say("Mei", "#lobby", "word 4")
        times = [entry.ts for entry in await chat.entries("Bob", "#lobby")]
    await copied(source, target)
    async with open_store(target) as store:
        chat = Chat(store)
        assert [entry.ts for entry in await chat.entries("Bob", "#lobby")] == times
        await chat.say("Mei", "@Bob", "word 5")
        found = await chat.find("Bob", "word")
    if kind == "sqlite":
        assert found == [f"word {n}" for n in (5, 4, 3, 2, 1)]
        assert check(path_of(target)) == []
    else:  # reads the log once, and can't know later entries
        assert found[0] == "word 5"


async def test_source_is_not_changed(place: Places, redis_server: RedisServer) -> None:
    file, there = place("sqlite"), place("redis_server")
    await fill(file)
    before = path_of(file).read_bytes()
    files = sorted(path_of(file).parent.iterdir())
    await copied(file, there)
    assert path_of(file).read_bytes() == before
    assert sorted(path_of(file).parent.iterdir()) == files
    async with open_store(there):
        pass  # so that it gets its epoch
    held = contents(redis_server, there)
    await copied(there, place("redis_server"))
    assert contents(redis_server, there) == held


def contents(server: RedisServer, url: str) -> dict[bytes, object]:
    """Return all keys of a store, with their values."""
    with closing(redis.Redis(port=server.port)) as client:
        keys: list[bytes] = client.keys(url.partition("=")[2] + ":*")  # type: ignore[assignment]  # not awaitable: this client is synchronous
        return {name: client.dump(name) for name in keys}


async def test_copy_of_a_trimmed_log_begins_at_the_same_entry(place: Places) -> None:
    source = place("redis_server") + "&keep=50"
    await fill(source, more=200)
    expected = await everything(source)
    url = source
    for kind in ("sqlite", "sqlite", "redis_server"):
        target = place(kind)
        await copied(url, target)
        found = await everything(target)
        assert found == expected
        url = target
        if kind == "sqlite":
            assert check(path_of(target)) == []
    lobby = expected["Bob: #lobby"]
    assert lobby[0][1] > 100
    async with open_store(url) as store:
        page = await Chat(store).page("Bob", "#lobby", before=lobby[2][1])
        assert [entry.seq for entry in page.entries] == [one[1] for one in lobby[:2]]


async def test_search_pages_through_a_trimmed_log(
    place: Places,
) -> None:
    source, target = place("redis_server") + "&keep=50", place("sqlite")
    await fill(source, more=200)
    await copied(source, target)
    async with open_store(target) as store:
        texts: list[str] = []
        cursor = None
        while True:
            hits, cursor = await store.search(person("Bob"), ("19",), cursor=cursor, limit=3)
            texts += [hit.text for hit in hits]
            if cursor is None:
                break
    assert texts == [str(n) for n in range(199, 189, -1)]


async def test_copy_has_the_schema_of_a_new_database(place: Places) -> None:
    source, target = place("sqlite"), place("sqlite")
    await fill(source)
    await copied(source, target)
    assert schema(target) == schema(source)


def schema(url: str) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(path_of(url))) as db:
        return set(db.execute("SELECT name, sql FROM sqlite_schema"))


async def test_cid_used_twice_stays_with_the_newest_entry(place: Places) -> None:
    source, target = place("redis_server"), place("sqlite")
    async with open_store(source) as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await chat.say("Mei", "#lobby", "first", cid="1")
        forget_cids(source)  # as after some time
        await chat.say("Mei", "@Bob", "second", cid="1")
        await chat.say("Mei", "@Bob", "third", cid="2")
    report = await copied(source, target)
    assert report.reused_cids == 1
    async with open_store(target) as store:
        chat = Chat(store)
        assert [e.cid for e in await chat.entries("Mei", "#lobby")] == [None]
        assert [e.cid for e in await chat.entries("Mei", "@Bob")] == ["1", "2"]
    assert check(path_of(target)) == []


def forget_cids(url: str) -> None:
    address, _, query = url.partition("?")
    prefix = query.rpartition("=")[2]
    with closing(redis.Redis.from_url(address)) as client:
        for kind in "kq":
            for name in client.scan_iter(f"{prefix}:*:{kind}:*"):
                client.delete(name)


# -- rights --------------------------------------------------------------------------------------

#: The documented permissions of the user who copies, except those that every connection needs.
RIGHTS = sorted(
    set(re.findall(r"\+([a-z]+)(?= )", " ".join([*rules("x"), "+scan +unlink "]))) - {"info"}
)


async def test_missing_right_is_found_before_anything_is_copied(
    place: Places, redis_server: RedisServer
) -> None:
    """For each of the permissions, at the source and at the target."""
    file, full = place("sqlite"), place("redis_server")
    await fill(file)
    await copied(file, full)
    found: set[str] = set()
    with closing(redis.Redis(port=redis_server.port)) as connection:
        client: Any = connection  # whose methods have no useful types
        for right in RIGHTS:
            empty = place("redis_server")
            for url in (full, empty):
                prefix = url.rpartition("=")[2]
                user = add_user(redis_server.port, prefix)
                name = user.partition(":")[0]
                some = ("+scan", "+unlink", f"-{right}")
                client.execute_command("ACL", "SETUSER", name, *some)
                as_user = url.replace("redis://", f"redis://{user}@")
                source, target = (as_user, place("sqlite")) if url is full else (file, as_user)
                began, refusal = await refused_copy(source, target)
                client.acl_deluser(name)
                if refusal:
                    found.add(right)
                    assert "more rights" in refusal or "NOPERM" in refusal
                    assert not began, refusal
                    assert not list(client.scan_iter(f"{prefix}:*:rehearsal:*", count=1000))
    assert {"scan", "unlink", "smembers", "evalsha", "zremrangebylex", "rpush"} <= found


async def refused_copy(source: str, target: str) -> tuple[bool, str]:
    """Copy; return whether it began, and why it was refused, if it was."""
    began: list[str] = []
    try:
        await copied(source, target, progress=lambda what, *_: began.append(what))
    except ConfigError as error:
        return bool(began), str(error)
    return True, ""


# -- interruptions -------------------------------------------------------------------------------


class Interruption(Exception):
    """Stands for anything that ends a copy."""


def interrupted_after(steps: int) -> Callable[[str, int, int], None]:
    """Return progress that ends the copy after this many calls."""

    def progress(*_: object) -> None:
        nonlocal steps
        steps -= 1
        if steps < 0:
            raise Interruption

    return progress


@pytest.mark.parametrize("kinds", [("sqlite", "redis_server"), ("redis_cluster", "sqlite")])
async def test_copy_interrupted_many_times_is_complete_in_the_end(
    kinds: tuple[str, str], place: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "BATCH", 20)
    source, target = map(place, kinds)
    await fill(source, more=100)
    interruptions, found, steps = 0, 0, 1
    while True:
        try:
            found = (await copied(source, target, progress=interrupted_after(steps))).found
            break
        except Interruption:
            interruptions += 1
            steps += 2  # so that it gets further each time
    assert interruptions > 5
    assert found > 100
    assert await everything(target) == await everything(source)
    if kinds[1] == "sqlite":
        assert check(path_of(target)) == []
        suffixes = {path.suffix for path in path_of(target).parent.iterdir()}
        assert suffixes <= {".db", ".lock", ".generation", ".index"}


@pytest.mark.parametrize("kind", ["sqlite", "redis_server"])
async def test_killed_command_resumes(kind: str, place: Places) -> None:
    source, target = place("sqlite"), place(kind)
    await fill(source, more=5_000)
    await trio.to_thread.run_sync(kill_command, source, target)
    report = await copied(source, target)
    assert 0 < report.found < 5_000
    assert await everything(target) == await everything(source)


def kill_command(source: str, target: str) -> None:
    """Kill the command when it has copied something. It can't finish before, because nobody reads
    its output."""
    read_end, write_end = os.pipe()
    try:
        os.set_blocking(write_end, False)
        with suppress(BlockingIOError):
            while os.write(write_end, bytes(4096)):
                pass
        os.set_blocking(write_end, True)
        command = [*GOCHAT, "db", "copy", source, target]
        with subprocess.Popen(command, stderr=write_end) as process:
            wait_for(lambda: has_entries(target))
            assert process.poll() is None
            process.kill()
    finally:
        os.close(read_end)
        os.close(write_end)


def has_entries(target: str) -> bool:
    """Return whether an unfinished copy has entries."""
    if not target.startswith("sqlite"):
        address, _, query = target.partition("?")
        prefix = query.rpartition("=")[2]
        with closing(redis.Redis.from_url(address)) as client:
            return any(client.scan_iter(f"{prefix}:*:l:#lobby", count=10_000))
    path = path_of(target)
    assert not path.exists()
    try:
        with closing(sqlite3.connect(path.with_name(path.name + ".copying"))) as db:
            return bool(db.execute("SELECT 1 FROM entry LIMIT 1").fetchone())
    except sqlite3.OperationalError:
        return False  # not made yet


async def test_server_refuses_a_redis_with_an_unfinished_copy(place: Places) -> None:
    source, target = place("sqlite"), place("redis_server")
    await fill(source)
    with pytest.raises(Interruption):
        await copied(source, target, progress=interrupted_after(2))
    with pytest.raises(StoreUnavailable, match="copy that is not finished"):
        async with open_store(target):
            pass
    with pytest.raises(ConfigError, match="itself a copy that is not finished"):
        await copied(target, place("sqlite"))


@pytest.mark.parametrize("kind", ["sqlite", "redis_server"])
async def test_changed_source_is_copied_anew_only_on_request(kind: str, place: Places) -> None:
    source, target = place("sqlite"), place(kind)
    await fill(source)
    with pytest.raises(Interruption):
        await copied(source, target, progress=interrupted_after(3))
    async with open_store(source) as store:
        await Chat(store).do("Mei", "#lobby", "delete", ref=1)
    with pytest.raises(ConfigError, match="--restart"):
        await copied(source, target)
    assert (await copied(source, target, restart=True)).found == 0
    assert await everything(target) == await everything(source)


async def test_concurrent_copies_into_one_target_duplicate_nothing(
    place: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "BATCH", 20)
    source, target = place("redis_server"), place("redis_server")
    await fill(source, more=100)

    def overtaken(what: str, done: int, total: int) -> None:
        del what, total
        if 0 < done < 40:
            copy(source, target)

    with pytest.raises(StoreUnavailable, match="another copy into the same place goes on"):
        await copied(source, target, progress=overtaken)
    assert await everything(target) == await everything(source)


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "redis_server"])
@pytest.mark.parametrize("restart", [False, True])
async def test_target_with_data_is_refused_and_unchanged(
    kind: str, restart: bool, place: Places
) -> None:
    source, target = place("sqlite"), place(kind)
    await fill(source)
    async with open_store(target) as store:
        assert await store.create_account(account("Zoe"))
    with pytest.raises(ConfigError, match="overwrites nothing"):
        await copied(source, target, restart=restart)
    async with open_store(target) as store:
        assert await store.display_names([person("Zoe"), person("Mei")]) == {person("Zoe"): "Zoe"}


async def test_redis_that_a_server_has_only_opened_is_accepted(place: Places) -> None:
    source, target = place("sqlite"), place("redis_server")
    await fill(source)
    async with open_store(target):
        pass
    await copied(source, target)
    assert await everything(target) == await everything(source)


@pytest.mark.parametrize("kind", ["sqlite", "redis_server"])
async def test_source_in_use_by_a_server_is_refused(kind: str, place: Places) -> None:
    source = place(kind)
    await fill(source)
    async with open_store(source) as store, trio.open_nursery() as nursery:
        if store.node_bus is not None:
            await nursery.start(store.node_bus.run, lambda *_: None)
        with pytest.raises(StoreUnavailable, match=r"in use by .* gochat server"):
            await copied(source, place("sqlite"))
        nursery.cancel_scope.cancel()
    await copied(source, place("sqlite"))


async def test_copy_of_a_source_written_meanwhile_is_not_finished(place: Places) -> None:
    source, target = place("redis_server"), place("sqlite")
    await fill(source)

    async def say() -> None:
        async with open_store(source) as store:  # a program that holds no lease
            await Chat(store).say("Mei", "#lobby", "meanwhile")

    def progress(what: str, done: int, total: int) -> None:
        if (what, done) == (COMPARING, total):
            trio.from_thread.run(say)

    with pytest.raises(StoreUnavailable, match="written to the source meanwhile"):
        await copied(source, target, progress=progress)
    assert not path_of(target).exists()


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        ("sqlite:///missing.db", ConfigError, "no such database"),
        ("sqlite:///:memory:", ConfigError, "in memory"),
        ("mysql://localhost/secret", ConfigError, "unsupported store URL scheme"),
    ],
)
async def test_source_that_is_not_a_store_is_refused(
    source: str, error: type[Exception], text: str, place: Places
) -> None:
    with pytest.raises(error, match=text) as caught:
        await copied(source, place("sqlite"))
    assert "secret" not in str(caught.value)


async def test_redis_without_data_is_not_a_source(place: Places, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no gochat data found"):
        await copied(place("redis_server"), place("sqlite"))
    assert list(tmp_path.iterdir()) == []


async def test_newer_source_is_refused(place: Places, redis_server: RedisServer) -> None:
    file, there = place("sqlite"), place("redis_server")
    await fill(file)
    await fill(there)
    with closing(sqlite3.connect(path_of(file))) as db:
        db.execute("PRAGMA user_version = 999")
    prefix = there.rpartition("=")[2]
    with closing(redis.Redis(port=redis_server.port)) as client:
        client.hset(f"{prefix}:{{0}}:meta", "version", 999)
    for source in (file, there):
        with pytest.raises(StoreCorrupt, match="newer gochat"):
            await copied(source, place("sqlite"))


async def test_damaged_source_is_refused(place: Places, redis_server: RedisServer) -> None:
    file, there = place("sqlite"), place("redis_server")
    await fill(file, more=500)
    await fill(there)
    raw = bytearray(path_of(file).read_bytes())
    raw[12_288:20_480] = os.urandom(8192)
    path_of(file).write_bytes(raw)
    prefix = there.rpartition("=")[2]
    with closing(redis.Redis(port=redis_server.port)) as client:
        (log,) = client.scan_iter(f"{prefix}:*:l:#garden", count=10_000)
        client.lset(log, 0, "no record")
    for source in (file, there):
        with pytest.raises(StoreCorrupt, match="damaged"):
            await copied(source, place("sqlite"))


@pytest.mark.parametrize(
    "row", [b"no row", msgspec.msgpack.encode(["Bob", "king", 0, 0, 0, "all"])]
)
async def test_impossible_row_is_refused(
    row: bytes, place: Places, redis_server: RedisServer
) -> None:
    source, target = place("redis_server"), place("sqlite")
    await fill(source)
    with closing(redis.Redis(port=redis_server.port)) as client:
        prefix = source.rpartition("=")[2]
        (rows,) = client.scan_iter(f"{prefix}:*:w:#garden", count=10_000)
        client.hset(rows, "bob", row)
    with pytest.raises(StoreCorrupt, match="damaged"):
        await copied(source, target)
    assert not path_of(target).exists()


async def test_copy_whose_redis_fails_is_not_finished_and_resumes(
    place: Places, start_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "BATCH", 20)
    server = start_redis("--appendonly", "yes", "--appendfsync", "always")
    source = place("sqlite")
    await fill(source, more=100)

    def progress(what: str, done: int, total: int) -> None:
        del what, total
        if done > 50:
            server.kill()

    with pytest.raises(StoreUnavailable, match="Redis at"):
        await copied(source, server.url, progress=progress)
    await trio.to_thread.run_sync(server.start)
    assert (await copied(source, server.url)).found > 20
    assert await everything(server.url) == await everything(source)


async def test_entry_missing_in_the_source_is_detected(place: Places) -> None:
    source = place("sqlite")
    await fill(source)
    with closing(sqlite3.connect(path_of(source))) as db, db:
        db.execute("DELETE FROM entry WHERE id & 0xffffffff = 4 AND id >> 32 = 1")
    with pytest.raises(StoreCorrupt, match="not all entries of #lobby: there is a gap after 3"):
        await copied(source, place("redis_server"))


# -- comparing -----------------------------------------------------------------------------------

PLANTED = {
    "a text": ("UPDATE entry SET text = 'x' WHERE id & 255 = 3", "the entries of #lobby"),
    "a time": ("UPDATE entry SET ts = ts + 1 WHERE id & 255 = 3", "the entries of #lobby"),
    "an entry": ("DELETE FROM entry WHERE id & 255 = 3 AND id >> 32 = 1", "the copy has not all"),
    "a reaction": ("DELETE FROM reaction", "the entries of #lobby"),
    "a pin": ("UPDATE entry SET pinned = NULL", "the entries of "),
    "a topic": ("UPDATE conversation SET topic = 'x' WHERE topic <> ''", "#garden, as a whole"),
    "a role": ("UPDATE participant SET role = 'member' WHERE role = 'operator'", "the people of"),
    "a marker": (
        "UPDATE participant SET read = read + 1 WHERE peer IS NOT NULL",
        "the people of @",
    ),
    "a floor": ("UPDATE participant SET floor = 0", "the people of #"),
    "the floor of a room": ("UPDATE conversation SET floor = 0", "#attic, as a whole"),
    "a setting": ("UPDATE conversation SET history = 'shown'", "#vault, as a whole"),
    "a password": ("UPDATE account SET password_hash = '' WHERE key = 'bob'", "the accounts"),
    "a status": ("UPDATE account SET status = NULL", "the accounts"),
    "what somebody saved": ("DELETE FROM saved WHERE person = 'eve'", "the accounts"),
    "a session": ("UPDATE token SET expires = expires + 1", "the sessions"),
    "an invitation": ("UPDATE server_invitation SET uses = uses + 1", "the invitations"),
    "a use of one": ("DELETE FROM server_invitation_use", "the invitations"),
    "a ban of a network": ("DELETE FROM network_ban WHERE network LIKE '203%'", "the networks"),
    "a report": ("DELETE FROM report WHERE id = 2", "the reports"),
    "a rule of retention": ("UPDATE retention SET days = days + 1", "the rules"),
    "the mode": ("DELETE FROM meta WHERE key = 'registration'", "the invitations"),
    "a room": ("INSERT INTO conversation (key, name) VALUES ('#x', '#x')", "there are 10"),
}


@pytest.mark.parametrize("what", PLANTED)
async def test_planted_difference_is_detected_and_the_copy_not_published(
    what: str, place: Places
) -> None:
    source, target = place("sqlite"), place("sqlite")
    await fill(source)
    change, text = PLANTED[what]

    def plant(phase: str, done: int, total: int) -> None:
        del total
        if (phase, done) == (COMPARING, 0):
            partial_copy = path_of(target).with_name(path_of(target).name + ".copying")
            with closing(sqlite3.connect(partial_copy)) as db, db:
                db.execute(change)

    with pytest.raises(StoreCorrupt, match=text):
        await copied(source, target, progress=plant)
    assert not path_of(target).exists()


async def test_entry_changed_in_redis_is_detected(place: Places, redis_server: RedisServer) -> None:
    source, target = place("sqlite"), place("redis_server")
    await fill(source)

    def plant(phase: str, done: int, total: int) -> None:
        del total
        if (phase, done) == (COMPARING, 0):
            with closing(redis.Redis(port=redis_server.port)) as client:
                prefix = target.rpartition("=")[2]
                (log,) = client.scan_iter(f"{prefix}:*:l:#garden", count=10_000)
                client.lset(log, 0, client.lindex(log, 1))  # type: ignore[arg-type]  # not awaitable: this client is synchronous

    with pytest.raises(StoreCorrupt, match="the entries of #garden"):
        await copied(source, target, progress=plant)
    with pytest.raises(StoreUnavailable, match="not finished"):
        async with open_store(target):
            pass
