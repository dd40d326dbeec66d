"""Searching with the query engine: that it is used, and how the index is maintained."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from uuid import uuid4

import pytest
import redis
import trio
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE, until
from redis_deployments import ClusterOf3
from redis_index import hashes, lag, until_indexed
from redis_nodes import REDIS_TIMEOUT
from redis_process import RedisServer
from redis_rights import add_user
from storing import Chat, Clock, Following, account, draft, person

from gochat.chat.conversations import ConversationKey
from gochat.chat.store import Store
from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage import open_store
from gochat.storage.common.matching import SearchWords, fold
from gochat.storage.redis import scripts
from gochat.storage.redis.link.pipeline import Operation
from gochat.storage.redis.search import finder, index, indexer, sources
from gochat.storage.transfer.copy import copy

T = TypeVar("T")

#: Words with common parts, short and long, of several scripts.
WORDS = ["ab", "abc", "bcd", "abcd", "x", "中", "中文", "文中", "a中文b", "приве", "привет", "c++"]


class Place:
    """Data of its own, in Redis with the engine."""

    def __init__(self, url: str, servers: list[RedisServer]) -> None:
        self.prefix = f"t{uuid4().hex}"
        self.servers = servers
        self.url = f"{url}?prefix={self.prefix}&timeout={REDIS_TIMEOUT}"
        self.clock = Clock()

    def open(self, options: str = "") -> AbstractAsyncContextManager[Store]:
        """Open a node."""
        return open_store(f"{self.url}&{options}", clock=self.clock)

    def open_without_engine(self) -> AbstractAsyncContextManager[Store]:
        """Open a node that may not use the engine."""
        (server,) = self.servers
        user = add_user(server.port, self.prefix)
        return open_store(self.url.replace("://", f"://{user}@"), clock=self.clock)

    def lag(self) -> int:
        return lag(self.servers, self.prefix)

    def hashes(self) -> dict[str, set[str]]:
        return hashes(self.servers, self.prefix)

    async def until_indexed(self) -> None:
        await until_indexed(self.servers, self.prefix)


@pytest.fixture
def place(redis_engine: RedisServer) -> Place:
    """Data of the test's own."""
    return Place(redis_engine.url, [redis_engine])


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the index follow the log at once."""
    monkeypatch.setattr(indexer, "EVERY", 0.02)


@pytest.fixture
def look_at_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a page of results read so few entries that nothing is found without the index."""
    monkeypatch.setattr(finder, "MAX_LOOKED_AT", 100)


def write_nothing(
    self: indexer.Indexer, keys: Sequence[ConversationKey]
) -> Operation[set[ConversationKey]]:
    """Replaces the writing of the index."""
    del self, keys
    yield []
    return set()


def beside_it(place: Place) -> AbstractAsyncContextManager[Store]:
    """Open other data with the same prefix, in another database of the same Redis."""
    return open_store(place.url.replace("?", "/1?"), clock=place.clock)


async def find_all(store: Store, who: str, query: str, limit: int = 50) -> list[str]:
    """Return the texts that a person finds, page by page."""
    found: list[str] = []
    cursor = None
    for _ in range(10_000):
        hits, cursor = await store.search(
            person(who), tuple(query.split()), cursor=cursor, limit=limit
        )
        found += [hit.text for hit in hits]
        if cursor is None:
            return found
    raise AssertionError("searching does not end")


async def say(chat: Chat, texts: list[str], to: str = "#lobby") -> None:
    """Make Mei send all these messages."""
    for start in range(0, len(texts), 200):
        await chat.append(*(draft("Mei", to, text) for text in texts[start : start + 200]))


async def eventually(ask: Callable[[], Awaitable[T]], answer: T) -> None:
    """Wait until a store that failed answers."""
    with trio.fail_after(PATIENCE):
        while True:
            with suppress(StoreUnavailable):
                if await ask() == answer:
                    return
            await trio.sleep(0.05)


async def first_page(store: Store, query: str) -> list[str]:
    """Return what Mei finds on the first page."""
    hits, _ = await store.search(person("Mei"), tuple(query.split()), limit=50)
    return [hit.text for hit in hits]


def command(server: RedisServer, *words: str | int) -> Any:
    """Run a command as an administrator."""
    client: Any = redis.Redis(port=server.port)  # whose methods have no useful types
    try:
        return client.execute_command(*words)
    finally:
        client.close()


# -- what is indexed ------------------------------------------------------------------------------


@given(st.text(max_size=40), st.data())
def test_text_has_all_terms_that_are_searched_for(text: str, data: st.DataObject) -> None:
    folded = fold(text)
    start = data.draw(st.integers(0, len(folded)))
    words = SearchWords((folded[start : data.draw(st.integers(start, len(folded)))],))
    if words.match(text):
        assert set(index.wanted(words)) <= index.pieces([text])


def test_terms_are_few_and_have_no_meaning_in_a_query() -> None:
    found = index.pieces(["".join(map(chr, range(33, 0x3000)))])
    assert all(len(piece) == 3 and piece.isascii() and piece.isalnum() for piece in found)
    assert not index.pieces(["a bc d"]), "what is everywhere helps nobody"
    assert len(index.wanted(SearchWords(("abcdefghijklmnopqrstuvw" * 50,)))) <= 2 * index.MAX_PIECES


# -- that it is used ------------------------------------------------------------------------------


@pytest.mark.trio
@pytest.mark.usefixtures("at_once", "look_at_few")
@pytest.mark.parametrize("word", ["needle", "中文", "针"])
async def test_old_message_is_found_on_the_first_page(place: Place, word: str) -> None:
    async with place.open() as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await say(chat, ["hay", f"a{word}b", *(f"hay {n}" for n in range(2000))])
        await place.until_indexed()
        assert await chat.find("Bob", word) == [f"a{word}b"]
        assert await chat.find("Bob", word * 2) == []


@pytest.mark.trio
@pytest.mark.usefixtures("at_once", "look_at_few")
async def test_node_without_the_engine_reads_through_the_messages(place: Place) -> None:
    async with place.open_without_engine() as store:
        chat = Chat(store)
        await chat.register("Mei")
        await say(chat, ["needle", *(f"hay {n}" for n in range(300))])
        hits, cursor = await store.search(person("Mei"), ("needle",), limit=9)
        assert (hits, cursor is None) == ([], False)
        assert await find_all(store, "Mei", "needle") == ["needle"]
    assert place.hashes() == {}


@pytest.mark.trio
@pytest.mark.usefixtures("at_once")
async def test_engine_is_not_used_in_an_unsupported_database(place: Place) -> None:
    # It would confuse the keys of the two databases.
    async with place.open() as store, beside_it(place) as beside:
        for one, word in (store, "needle"), (beside, "hay"):
            await Chat(one).register("Mei")
            await say(Chat(one), [f"{word} {n}" for n in range(40)])
        await place.until_indexed()
        before = place.hashes()
        for _ in range(2):  # a turn of the indexer begins after the one before has ended
            await until(lambda: not beside.unindexed)
            await say(Chat(beside), ["more hay"])
        assert place.hashes() == before
        assert len(await find_all(store, "Mei", "needle")) == 40
        assert len(await find_all(beside, "Mei", "hay")) == 42


@pytest.mark.trio
@pytest.mark.usefixtures("at_once", "look_at_few")
async def test_engine_is_not_used_while_redis_is_out_of_memory(
    start_engine: Callable[..., RedisServer],
) -> None:
    server = start_engine()
    place = Place(server.url, [server])
    async with place.open() as store:
        await Chat(store).register("Mei")
        await say(Chat(store), ["needle", *(f"hay {n}" for n in range(300))])
        await place.until_indexed()
        assert await first_page(store, "needle") == ["needle"]
        command(server, "CONFIG", "SET", "maxmemory", 1)
        assert await first_page(store, "needle") == []
        assert await find_all(store, "Mei", "needle") == ["needle"]
        command(server, "CONFIG", "SET", "maxmemory", 0)
        assert await first_page(store, "needle") == ["needle"]


@pytest.mark.trio
@pytest.mark.usefixtures("at_once")
async def test_damage_found_while_indexing_ends_the_store(place: Place) -> None:
    async with place.open_without_engine() as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await say(chat, ["hay", "needle"])
    command(place.servers[0], "LSET", f"{place.prefix}:{{1}}:l:#lobby", 0, "damaged")
    async with place.open() as store:
        with trio.fail_after(PATIENCE), pytest.raises(StoreCorrupt, match="is damaged"):
            await store.follow(Following())


@pytest.mark.trio
@pytest.mark.usefixtures("at_once")
async def test_index_is_written_in_turns_however_many_messages(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "EVERY", 0.5)
    async with place.open() as store:
        chat = Chat(store)
        await chat.register("Mei")
        began = trio.current_time()
        for _ in range(500):
            await chat.say("Mei", "#lobby", "hay")
        await place.until_indexed()
        intervals = (trio.current_time() - began) / indexer.EVERY
    turns = int(command(place.servers[0], "HGET", f"{place.prefix}:{{1}}:c:#lobby", "turn"))
    said = int(command(place.servers[0], "HGET", f"{place.prefix}:{{1}}:c:#lobby", "seq"))
    # A turn takes as many steps as there are blocks.
    assert turns <= said / index.BLOCK / indexer.BLOCKS + 2 * intervals + 20


@pytest.mark.trio
@pytest.mark.usefixtures("at_once")
async def test_message_not_indexed_yet_is_found(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.open() as store:
        chat = Chat(store)
        await chat.register("Mei")
        await say(chat, ["one needle"])
        await place.until_indexed()
        monkeypatch.setattr(indexer.Indexer, "_write", write_nothing)
        await say(chat, ["another needle"])
        assert place.lag() > 0
        assert await chat.find("Mei", "needle") == ["another needle", "one needle"]


@pytest.mark.trio
@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("server", "seed"), [("redis_engine", 0), ("redis_engine", 1), ("redis_engine_cluster", 2)]
)
async def test_any_messages_and_changes_are_found_page_by_page(
    seed: int, server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that there are many blocks, windows and queries.
    monkeypatch.setattr(sources, "FIRST_WINDOW", 20_000)
    monkeypatch.setattr(sources, "FEW_BLOCKS", 1)
    monkeypatch.setattr(sources, "MANY_BLOCKS", 4)
    monkeypatch.setattr(sources, "CHUNK", 7)
    deployment: RedisServer | ClusterOf3 = request.getfixturevalue(server)
    servers = deployment.servers if isinstance(deployment, ClusterOf3) else [deployment]
    place = Place(deployment.url, servers)
    random = Random(seed)
    people = ["Mei", "Bob", "Eve", "Ada"]
    said: list[tuple[str, int, str]] = []  # in the order of sending: conversation, seq, text

    def expected(who: str, words: list[str]) -> list[str]:
        return [
            text
            for to, _, text in reversed(said)
            if (to == "#lobby" or who in to.split("/"))
            and all(fold(word) in fold(text) for word in words)
        ]

    async with place.open() as one, place.open() as two:
        await Chat(one).register(*people)
        for turn in range(240):
            chat = Chat(random.choice([one, two]))
            text = " ".join(random.choices(WORDS, k=random.randint(1, 4)))
            what = random.random()
            mine = [n for n, (to, *_) in enumerate(said) if to.startswith(("#", "Mei/"))]
            if what < 0.75 or not mine:
                who, to = ("Mei", "#lobby") if what < 0.4 else random.sample(people, 2)
                entry = await chat.say(who, to if to[0] == "#" else f"@{to}", text)
                said.append((to if to[0] == "#" else f"{who}/{to}", entry.seq, text))
            else:
                number = random.choice(mine)
                to, seq, _ = said[number]
                where = to if to == "#lobby" else "@" + to.split("/")[1]
                if what < 0.9:
                    await chat.do("Mei", where, "edit", text, ref=seq)
                    said[number] = (to, seq, text)
                else:
                    await chat.do("Mei", where, "delete", ref=seq)
                    del said[number]
            if turn % 20 == 19:
                if turn % 40 == 39:
                    await place.until_indexed()
                for _ in range(3):
                    words = random.sample(WORDS, random.randint(1, 2))
                    who = random.choice(people)
                    found = await find_all(one, who, " ".join(words), random.choice([1, 3, 50]))
                    assert found == expected(who, words)


# -- what changes ---------------------------------------------------------------------------------


@pytest.mark.trio
@pytest.mark.usefixtures("at_once")
async def test_edited_message_is_found_at_once_on_every_page(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.open() as store:
        chat = Chat(store)
        await chat.register("Mei")
        await say(chat, [f"hay {n}" for n in range(200)])
        await place.until_indexed()
        monkeypatch.setattr(indexer.Indexer, "_write", write_nothing)
        for seq in (3, 90, 91, 199):
            await chat.do("Mei", "#lobby", "edit", f"needle {seq}", ref=seq)
        assert place.lag() > 0
        for limit in (1, 2, 50):
            found = await find_all(store, "Mei", "needle", limit)
            assert found == ["needle 199", "needle 91", "needle 90", "needle 3"]
        assert await find_all(store, "Mei", "hay 89") == ["hay 189"]


@pytest.mark.trio
@pytest.mark.usefixtures("at_once")
async def test_node_with_an_outdated_read_does_not_undo_an_edit(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_at_once = indexer.Indexer._write
    token = trio.lowlevel.current_trio_token()
    is_late: list[indexer.Indexer] = []

    async def overtake() -> None:
        await Chat(two).do("Mei", "#lobby", "edit", "needle", ref=1)
        await until(lambda: place.hashes()["#lobby:0"] == index.pieces(["needle"]))

    def write(
        self: indexer.Indexer, keys: list[ConversationKey]
    ) -> Operation[set[ConversationKey]]:
        operation = write_at_once(self, keys)
        wanted = next(operation)
        while True:
            if wanted and wanted[0].script is scripts.INDEX and not is_late:
                is_late.append(self)
                trio.from_thread.run(overtake, trio_token=token)
            try:
                wanted = operation.send((yield wanted))
            except StopIteration as stop:
                found: set[ConversationKey] = stop.value
                return found

    async with place.open() as one, place.open() as two:
        await Chat(one).register("Mei")
        await say(Chat(one), ["hay", *(f"{n}" for n in range(20))])
        await place.until_indexed()
        monkeypatch.setattr(indexer, "BLOCKS", 1)
        monkeypatch.setattr(indexer.Indexer, "_write", write)
        await Chat(one).do("Mei", "#lobby", "edit", "straw", ref=1)
        await until(lambda: bool(is_late))
        await place.until_indexed()
        assert place.hashes()["#lobby:0"] == index.pieces(["needle"])


@pytest.mark.trio
@pytest.mark.usefixtures("at_once")
async def test_deleted_message_leaves_the_index(place: Place) -> None:
    secret = index.pieces(["zeppelin", "submarine"])
    async with place.open() as store:
        chat = Chat(store)
        await chat.register("Mei")
        await say(chat, ["hay", "a zeppelin", *(f"hay {n}" for n in range(40))])
        await place.until_indexed()
        assert secret & place.hashes()["#lobby:0"]
        await chat.do("Mei", "#lobby", "edit", "a submarine", ref=2)
        await place.until_indexed()
        assert secret & place.hashes()["#lobby:0"]
        await chat.do("Mei", "#lobby", "delete", ref=2)
        await place.until_indexed()
        assert place.hashes()["#lobby:0"] == index.pieces(["hay"])
        assert not any(secret & pieces for pieces in place.hashes().values())
        for seq in range(1, 17):
            if seq != 2:
                await chat.do("Mei", "#lobby", "delete", ref=seq)
        await place.until_indexed()
        assert "#lobby:0" not in place.hashes()


@pytest.mark.trio
@pytest.mark.usefixtures("at_once")
async def test_trimmed_messages_leave_the_index(place: Place) -> None:
    async with place.open("keep=100") as store:
        chat = Chat(store)
        await chat.register("Mei")
        await say(chat, [f"needle {n}" for n in range(1000)])
        await place.until_indexed()
        await until(lambda: len(place.hashes()) <= 8)
        found = await find_all(store, "Mei", "needle")
        assert 100 <= len(found) <= 120
        assert found == [f"needle {n}" for n in reversed(range(1000 - len(found), 1000))]


# -- data that comes and goes ---------------------------------------------------------------------


@pytest.mark.trio
@pytest.mark.usefixtures("at_once", "look_at_few")
async def test_older_data_is_indexed_and_removed_again(place: Place) -> None:
    texts = ["needle", *(f"hay {n}" for n in range(1000))]
    async with place.open_without_engine() as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await say(chat, texts)
        await say(chat, ["needle for bob"], "@Bob")
    async with place.open() as store:
        await place.until_indexed()
        assert await Chat(store).find("Mei", "needle") == ["needle for bob", "needle"]
        assert len(place.hashes()) == 64
    async with place.open_without_engine() as store:
        await until(lambda: not place.hashes())
        assert await find_all(store, "Mei", "needle") == ["needle for bob", "needle"]
        await Chat(store).do("Mei", "#lobby", "edit", "a pin", ref=1)
    async with place.open() as store:
        await place.until_indexed()
        await until(lambda: len(place.hashes()) == 64)
        assert await Chat(store).find("Mei", "needle") == ["needle for bob"]
        assert await Chat(store).find("Mei", "pin") == ["a pin"]


@pytest.mark.trio
@pytest.mark.usefixtures("at_once")
async def test_index_survives_a_restart_and_is_rebuilt_after_data_loss(
    start_engine: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_engine("--appendonly", "yes", "--appendfsync", "always")
    place = Place(server.url, [server])
    hay = [f"hay {n}" for n in range(150)]  # more than are looked at without the index
    async with place.open() as store:
        chat = Chat(store)
        await chat.register("Mei")
        await say(chat, ["needle", *hay])
        await place.until_indexed()
        server.kill()
        server.start()
        monkeypatch.setattr(finder, "MAX_LOOKED_AT", 100)

        await eventually(lambda: find_all(store, "Mei", "needle"), ["needle"])
        await eventually(lambda: first_page(store, "needle"), ["needle"])
        command(server, "FLUSHALL")
        await eventually(lambda: store.create_account(account("Mei")), True)
        await eventually(lambda: say(chat, ["another needle"]), None)
        # The follower may notice the loss only now, and interrupt what waits for it.
        await eventually(lambda: say(chat, hay), None)
        await place.until_indexed()
        await eventually(lambda: first_page(store, "needle"), ["another needle"])


@pytest.mark.trio
@pytest.mark.usefixtures("at_once")
async def test_copied_messages_of_the_same_time_are_all_found(place: Place, tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path / 'chat.db'}"
    people = [f"p{number:02}" for number in range(60)]
    async with open_store(source, clock=place.clock) as store:  # its clock stands still
        chat = Chat(store)
        await chat.register("Mei", *people)
        for who in people:
            await chat.append(*(draft(who, "@Mei", f"needle {who} {n}") for n in range(20)))
    await trio.to_thread.run_sync(copy, source, place.url)
    async with place.open() as store:
        before = await find_all(store, "Mei", "needle")
        await place.until_indexed()
        after = await find_all(store, "Mei", "needle", 7)
        assert after == before
        assert len(set(after)) == len(after) == 60 * 20
