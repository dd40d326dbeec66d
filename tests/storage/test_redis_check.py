"""Checking a store in Redis while it is in use: damage is named, and nothing else is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import msgspec
import pytest
import redis
import trio
from filled_stores import Places, fill
from redis_process import RedisServer
from storing import Chat, draft, key

from gochat.chat.retention import Rule
from gochat.chat.skeletons import skeletons
from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.storage import open_store
from gochat.storage.redis import keys
from gochat.storage.redis.keys import Keys
from gochat.storage.transfer import redis_check, redis_online
from gochat.storage.transfer.redis_check import Report, check

pytestmark = [pytest.mark.trio, pytest.mark.redis]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Any) -> Places:
    """Name URLs for stores, by their kind."""
    return Places(request, tmp_path)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_check, "PAUSE", 0)


async def checked(url: str, **options: Any) -> Report:
    return await trio.to_thread.run_sync(partial(check, url, **options))


@pytest.mark.parametrize("kind", ["redis_server", "redis_watched", "redis_cluster"])
async def test_store_in_use_is_sound(place: Places, kind: str) -> None:
    url = place(kind)
    await fill(url)
    async with open_store(url):
        report = await checked(url)
    assert report.findings == []
    assert report.remarks == []
    assert report.states == ["16 partitions; 0 gochat servers use it"]


async def test_store_without_its_oldest_entries_is_sound(place: Places) -> None:
    url = place("redis_server") + "&keep=50"
    await fill(url, more=200)
    assert (await checked(url)).findings == []


async def test_what_changes_while_it_is_read_is_not_damage(place: Places) -> None:
    url = place("redis_server")
    room = key("#room", "Mei")
    async with open_store(url) as store, trio.open_nursery() as nursery:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await chat.do("Mei", "#room", "create", "public")
        await chat.append(*(draft("Mei", "#room", f"{n}") for n in range(300)))

        async def go_on() -> None:
            number = 0
            while True:
                number += 1
                said = await chat.say("Mei", "#room", "@Bob", mentions=["Bob"])
                await chat.do("Bob", "#room", "join")
                await chat.do("Mei", "#room", "edit", "b", ref=said.seq)
                await chat.do("Bob", "#room", "react", "👍", ref=said.seq)
                await chat.mark_read("Bob", "#room", said.seq)
                await chat.do("Mei", "#room", "delete", ref=said.seq)
                await chat.do("Bob", "#room", "leave")
                await chat.do("Mei", "#room", "access", "private" if number % 2 else "public")
                await store.retention.remove(room, Rule(entries=200))
                await chat.register(f"new{number}")
                await chat.say(f"new{number}", "@Mei", "hello")

        nursery.start_soon(go_on)
        for _ in range(5):
            assert (await checked(url)).findings == []
        nursery.cancel_scope.cancel()


class Data:
    """The keys of a store, to damage them."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.client = client
        self.keys = Keys(prefix, 16)

    def of(self, kind: str, conversation: str = "#garden") -> str:
        return self.keys.conversation(key(conversation, "mei"), kind)[0]

    def person(self, kind: str, who: str) -> str:
        return self.keys.person(msgspec.convert(who, str), kind)  # type: ignore[arg-type]

    def record(self, seq: int, change: Callable[[list[Any]], None]) -> None:
        """Change an entry in #garden."""
        log = self.of("l")
        packed = msgspec.msgpack.decode(self.client.lindex(log, seq - 1))
        change(packed)
        self.client.lset(log, seq - 1, msgspec.msgpack.encode(packed))

    def row(self, who: str, **change: Any) -> None:
        """Change a participant of #garden."""
        fields = ("name", "role", "since", "read", "texts", "level", "floor", "inviter")
        row = msgspec.msgpack.decode(self.client.hget(self.of("w"), who))
        for field, value in change.items():
            row[fields.index(field)] = value
        self.client.hset(self.of("w"), who, msgspec.msgpack.encode(row))


def put(place: int, value: Any) -> Callable[[list[Any]], None]:
    def change(record: list[Any]) -> None:
        record[place] = value

    return change


#: What is done, and what is said of it; `{}` is the name of a key.
HARMS: dict[str, tuple[Callable[[Data], object], str]] = {
    "entry lost": (lambda d: d.client.lpop(d.of("l")), ":l:#garden: has 7 entries, but"),
    "log of another type": (
        lambda d: (d.client.delete(d.of("l")), d.client.set(d.of("l"), "x")),
        ":l:#garden: WRONGTYPE",
    ),
    "record damaged": (
        lambda d: d.client.lset(d.of("l"), 2, b"\xc1"),
        ":l:#garden: entry 3 is damaged",
    ),
    "order of entries": (
        lambda d: d.client.lset(d.of("l"), 2, d.client.lindex(d.of("l"), 1)),
        ":l:#garden: entry 3 was stamped before",
    ),
    "count of messages": (lambda d: d.record(8, put(3, 9)), "entry 8 counts 9 messages"),
    "sender unknown": (
        lambda d: d.record(8, put(6, "Nobody")),
        "is about nobody, whose account",
    ),
    "properties": (lambda d: d.client.hset(d.of("c"), "texts", 5), "is not of the last entry"),
    "properties damaged": (lambda d: d.client.hset(d.of("c"), "seq", "x"), ":c:#garden"),
    "keys vanished": (
        lambda d: d.client.delete(*(d.of(kind) for kind in "clw")),
        ":c:#garden: is missing, but",
    ),
    "room unlisted": (
        lambda d: d.client.zrem(d.of("c").removesuffix("c:#garden") + "rooms", "#Garden"),
        "#garden is public, and not listed",
    ),
    "room that is not": (
        lambda d: d.client.zadd("{}:{{0}}:rooms".format(d.of("c").partition(":")[0]), {"#No": 0}),
        ":rooms: lists #No",
    ),
    "row damaged": (
        lambda d: d.client.hset(d.of("w"), "mei", b"\xc1"),
        ":w:#garden: the row of mei is damaged",
    ),
    "read too far": (lambda d: d.row("mei", read=99), "mei has read up to 99"),
    "role unknown": (lambda d: d.row("mei", role="king"), "mei has the role 'king'"),
    "member unlisted": (lambda d: d.client.zrem(d.of("m"), "mei"), ":m:#garden does not list"),
    "member without a row": (
        lambda d: d.client.zadd(d.of("m"), {"eve": 0}),
        ":m:#garden: lists eve, who has no row",
    ),
    "conversation not in a list": (
        lambda d: d.client.srem(d.person("p", "mei"), "#garden"),
        ":p:mei: lacks #garden",
    ),
    "account lost": (
        lambda d: d.client.delete(d.person("a", "bob")),
        ":a:bob: is missing or incomplete",
    ),
    "account damaged": (
        lambda d: d.client.hset(d.person("a", "bob"), "role", "king"),
        ":a:bob: is damaged",
    ),
    "account of another type": (
        lambda d: (d.client.delete(d.person("a", "bob")), d.client.set(d.person("a", "bob"), 1)),
        ":a:bob: WRONGTYPE",
    ),
    "session damaged": (
        lambda d: d.client.hset(d.person("h", "mei"), "00" * 16, b"\xc1"),
        ":h:mei: the session 00",
    ),
    "session of nobody": (
        lambda d: d.client.set(d.keys.token(bytes(16))[1], "nobody"),
        "is a session of nobody",
    ),
    "block of nobody": (
        lambda d: d.client.hset(d.person("z", "mei"), "nobody", 1),
        ":z:mei: blocks nobody",
    ),
    "claim lost": (
        lambda d: d.client.delete(d.keys.skeleton(skeletons("Mei")[0])[1]),
        ": is missing, by which Mei is protected",
    ),
    "reaction damaged": (
        lambda d: d.client.zadd(d.of("r"), {"000000000008:x": 0}),
        ":r:#garden: has an element that gochat does not write",
    ),
    "reaction from nowhere": (
        lambda d: d.client.zadd(d.of("r"), {"000000000008:000000000099:x\0Mei": 0}),
        ":r:#garden: entry 99 would have reacted to entry 8",
    ),
    "pin of nothing": (
        lambda d: d.client.zadd(d.of("j"), {"000000000008:000000000009": 0}),
        ":j:#garden: has 000000000008:000000000009, where nothing is pinned",
    ),
    "unread from nowhere": (
        lambda d: d.client.zadd(d.of("n"), {"Mei\x00000000000099": 0}),
        ":n:#garden: counts entry 99",
    ),
    "deleted and not": (
        lambda d: d.client.zadd(d.of("d"), {"8": 8}),
        "entry 8 is not deleted, unlike",
    ),
    "conversation that nothing lists": (
        lambda d: d.client.srem(d.of("c").removesuffix("c:#garden") + "convs", "#garden"),
        ":c:#garden: belongs to nothing that is listed",
    ),
    "feed damaged": (
        lambda d: d.client.xadd(d.keys.feeds[2], {"e": b"\xc1"}, id="999999-0"),
        ":feed: 999999-0 is damaged",
    ),
    "audit log damaged": (lambda d: d.client.rpush(d.keys.audit, b"x"), ":audit: "),
    "rule damaged": (lambda d: d.client.hset(d.keys.retention, "default", b"\xc1"), ":retention: "),
    "invitation damaged": (
        lambda d: d.client.hset(d.keys.server_invitations, "00", b"\xc1"),
        ":invites: ",
    ),
    "list of people lost": (
        lambda d: d.client.delete(
            d.keys.common(d.keys.partition("bob"), "people"),
        ),
        ":a:bob: belongs to nothing that is listed",
    ),
    "position": (
        lambda d: d.client.hset(d.keys.states[d.keys.partition("#garden")], "pos", 1),
        ":state: its position is 1, but",
    ),
}


@pytest.mark.parametrize("harm", HARMS)
async def test_damage_is_named_with_its_key(
    place: Places, redis_server: RedisServer, harm: str
) -> None:
    url = place("redis_server")
    damage, finding = HARMS[harm]
    async with open_store(url) as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob", "Eve")
        await chat.do("Mei", "#Garden", "create", "public")
        await chat.do("Bob", "#Garden", "join")
        for number in range(6):
            await chat.say("Mei", "#Garden", f"{number}")
    assert (await checked(url)).findings == []
    with closing(redis.Redis(port=redis_server.port)) as client:
        damage(Data(client, url.rpartition("=")[2]))
    findings = (await checked(url)).findings
    assert any(finding in found for found in findings), findings
    assert all(found.startswith(url.rpartition("=")[2]) for found in findings), findings


async def test_what_was_mended_at_the_second_look_is_not_reported(
    place: Places, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As what changes between two commands is."""
    url = place("redis_server")
    await fill(url)
    with closing(redis.Redis(port=redis_server.port)) as client:
        data = Data(client, url.rpartition("=")[2])
        client.srem(data.person("p", "mei"), "#garden")
        looks = []

        def mend(_: float) -> None:
            looks.append(1)
            client.sadd(data.person("p", "mei"), "#garden")

        monkeypatch.setattr(time, "sleep", mend)
        assert (await checked(url)).findings == []
        assert looks == [1]


async def test_keys_that_are_not_gochats_are_remarked_upon(
    place: Places, redis_server: RedisServer
) -> None:
    url = place("redis_server")
    await fill(url)
    prefix = url.rpartition("=")[2]
    foreign = [f"{prefix}:{{3}}:mine", f"{prefix}:{{77}}:c:#room", f"{prefix}:{{2}}:?:x"]
    with closing(redis.Redis(port=redis_server.port)) as client:
        for name in foreign:
            client.set(name, "x")
        client.set(f"{prefix}x:{{1}}:meta", "of another")
        report = await checked(url)
        assert {client.get(name) for name in foreign} == {b"x"}
    assert report.findings == []
    assert sorted(report.remarks) == sorted(
        f"{name}: is not gochat's, and is left as it is" for name in foreign
    )


async def test_wrong_times_and_lookalikes_are_remarks(
    place: Places, redis_server: RedisServer
) -> None:
    url = place("redis_server")
    async with open_store(url, clock=lambda: 2**42) as store:
        await Chat(store).register("Mei", "paul")
        await Chat(store).say("Mei", "#lobby", "early")
    with closing(redis.Redis(port=redis_server.port)) as client:
        data = Data(client, url.rpartition("=")[2])
        client.set(data.keys.skeleton(skeletons("Mei")[0])[1], "somebody")
    report = await checked(url, clock=lambda: 2**41)
    assert report.findings == []
    assert report.remarks == [
        "the clock was ahead: in #lobby, entries from 1 on have times in the future",
        "Mei looks like somebody, which was there first",
    ]


async def test_check_knows_all_kinds_of_keys() -> None:
    """The table in keys.py has them; a key of another kind would be reported as foreign."""
    table = keys.__doc__ or ""
    named = re.findall(r"^``([a-z]+)(:?)[A-Z:]*`` ", table, re.M)
    assert len(named) > 40
    assert {name for name, colon in named if not colon} == redis_check.ALONE
    assert {name for name, colon in named if colon} == redis_check.PROBES.keys()


async def test_thousands_of_findings_are_a_few(place: Places, redis_server: RedisServer) -> None:
    url = place("redis_server")
    await fill(url, more=500)
    with closing(redis.Redis(port=redis_server.port)) as client:
        data = Data(client, url.rpartition("=")[2])
        for index in range(400):
            data.client.lset(data.of("l", "#lobby"), index, b"\xc1")
    found = (await checked(url)).findings
    assert len([text for text in found if "is damaged" in text]) == 20


async def test_history_that_changes_meanwhile_is_not_checked(
    place: Places, redis_server: RedisServer
) -> None:
    url = place("redis_server")
    await fill(url)
    prefix = url.rpartition("=")[2]

    def progress(*_: object) -> None:
        with closing(redis.Redis(port=redis_server.port)) as client:
            client.hset(f"{prefix}:{{3}}:state", "epoch", "another")

    with pytest.raises(StoreUnavailable, match="history"):
        await checked(url, progress=progress)


async def test_what_is_no_store_is_refused(place: Places, redis_server: RedisServer) -> None:
    url = place("redis_server")
    prefix = url.rpartition("=")[2]
    with pytest.raises(ConfigError, match="no gochat data found"):
        await checked(url)
    with closing(redis.Redis(port=redis_server.port)) as client:
        client.hset(
            f"{prefix}:{{0}}:meta", mapping={"version": 1, "partitions": 16, "copy_of": "x"}
        )
        with pytest.raises(StoreUnavailable, match="not finished"):
            await checked(url)
        client.delete(f"{prefix}:{{0}}:meta")
        client.set(f"{prefix}:{{0}}:meta", "x")
        with pytest.raises(StoreCorrupt):
            await checked(url)


async def test_check_reads_in_small_steps(
    place: Places, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = place("redis_server")
    await fill(url, more=1000)
    sizes: list[int] = []
    read: Any = redis_online.OnlineRedis.snapshots

    def noted(self: Any, questions: Any) -> Any:
        answers = read(self, questions)
        sizes.append(max(len(answer.records) for answer in answers))
        return answers

    monkeypatch.setattr(redis_online.OnlineRedis, "snapshots", noted)
    client: Any = redis.Redis(port=redis_server.port)  # whose methods have no useful types
    with closing(client):
        changes = client.info("persistence")["rdb_changes_since_last_save"]
        client.config_resetstat()
        assert (await checked(url)).findings == []
        used = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
        assert client.info("persistence")["rdb_changes_since_last_save"] == changes
    assert max(sizes) == redis_online.STEP
    assert not used & {"keys", "smembers"}
