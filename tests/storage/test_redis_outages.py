"""A Redis that is killed, frozen, full, emptied, or returns with older data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
import trio
from gochat_faults.proxy import open_proxy
from patience import PATIENCE, eventually, until
from redis_nodes import REDIS_TIMEOUT, Histories, Nodes, say_when_possible, when_possible
from redis_process import RedisServer
from storing import Chat, Following, account, draft, follow, key, person

from gochat.chat.log import Appended, Draft
from gochat.errors import ChatError, StoreUnavailable
from gochat.storage.redis import append_script
from gochat.storage.redis.link import epoch_tracker

pytestmark = pytest.mark.trio

StartRedis = Callable[..., RedisServer]

#: Keeps everything acknowledged. With `everysec` a slow disk holds back data that a kill then
#: loses.
AOF = ("--appendonly", "yes", "--appendfsync", "always")


# -- down, and back ------------------------------------------------------------------------------


async def test_killed_redis_is_unavailable_at_once_and_recovers(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis(*AOF))
    following = Following()
    async with nodes.open() as store, trio.open_nursery() as nursery:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await follow(nursery, store, following)
        for number in range(50):
            await chat.say("Mei", "#lobby", f"{number}", cid=f"c{number}")
        before = await chat.page("Bob", "#lobby")
        nodes.server.kill()
        for _ in range(3):
            with trio.fail_after(REDIS_TIMEOUT / 2), pytest.raises(StoreUnavailable):
                await chat.say("Mei", "#lobby", "lost?", cid="down")
            with trio.fail_after(REDIS_TIMEOUT / 2), pytest.raises(StoreUnavailable):
                await chat.page("Bob", "#lobby")
        nodes.server.start()
        said = await say_when_possible(chat, "back", "back")
        page = await when_possible(lambda: chat.page("Bob", "#lobby"))
        assert list(page.entries[:50]) == list(before.entries)
        assert page.epoch == before.epoch
        assert said.entry.seq == page.head
        await until(lambda: len(following.logged) == page.head)
        assert following.seqs("#lobby") == list(range(1, page.head + 1))
        nursery.cancel_scope.cancel()


async def test_frozen_redis_is_unavailable_in_bounded_time(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis())
    async with nodes.open("timeout=0.5") as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await chat.say("Mei", "#lobby", "before", cid="c0")
        refused = 0

        async def ask(number: int) -> None:
            nonlocal refused
            if number % 2:
                with pytest.raises(StoreUnavailable):
                    await chat.page("Bob", "#lobby")
            else:
                with pytest.raises(StoreUnavailable):
                    await chat.append(draft("Mei", "#lobby", "frozen", cid=f"f{number}"))
            refused += 1

        nodes.server.freeze()
        ticks = 0
        try:
            with trio.fail_after(PATIENCE):  # all of them, not each
                async with trio.open_nursery() as nursery:
                    for number in range(500):
                        nursery.start_soon(ask, number)
                    while refused < 500:
                        await trio.sleep(0.01)  # what is counted: how often the loop gets round
                        ticks += 1
        finally:
            nodes.server.thaw()
        assert ticks > 3
        # Commands sent before it froze run when it thaws; a retry adds no second message.
        for number in range(0, 500, 2):
            await say_when_possible(chat, "frozen", f"f{number}")
        page = await when_possible(lambda: chat.page("Bob", "#lobby", after=0, limit=1000))
        cids = [entry.cid for entry in page.entries]
        assert len(cids) == len(set(cids)) == 251


async def test_redis_that_is_silent_at_the_start_is_unavailable(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis())
    nodes.server.freeze()
    with pytest.raises(StoreUnavailable, match="did not answer"):
        async with nodes.open("timeout=0.3"):
            pass
    nodes.server.kill()
    with trio.fail_after(REDIS_TIMEOUT / 2), pytest.raises(StoreUnavailable):
        async with nodes.open():
            pass


async def test_redis_out_of_memory_refuses_atomically(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis("--maxmemory-policy", "noeviction"))
    async with nodes.open() as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await chat.say("Mei", "#lobby", "one")
        with nodes.client() as client:
            client.config_set("maxmemory", 1)
            with pytest.raises(StoreUnavailable, match="out of memory"):
                await chat.say("Mei", "#lobby", "two", cid="c2", mentions=["Bob"])
            assert [entry.text for entry in await chat.entries("Bob", "#lobby")] == ["one"]
            assert (await chat.seen("Bob", "#lobby")).mentions == 0
            client.config_set("maxmemory", 0)
        (said,) = await chat.append(draft("Mei", "#lobby", "two", cid="c2"))
        assert isinstance(said, Appended)
        assert (said.dup, said.entry.seq) == (False, 2)


async def test_redis_that_cannot_write_to_its_disk_refuses(start_redis: StartRedis) -> None:
    nodes = Nodes(start_redis("--save", "3600", "1"))
    async with nodes.open() as store:
        chat = Chat(store)
        await chat.register("Mei")
        (nodes.server.directory / "dump.rdb").mkdir()  # nothing can be renamed to that
        with nodes.client() as client:
            client.bgsave()
            await until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        with pytest.raises(StoreUnavailable, match="can't write to its disk"):
            await chat.say("Mei", "#lobby", "hello")
        assert await chat.entries("Mei", "#lobby") == []


async def test_flushed_scripts_are_loaded_again(start_redis: StartRedis) -> None:
    nodes = Nodes(start_redis())
    async with nodes.open() as store:
        chat = Chat(store)
        await chat.register("Mei")
        with nodes.client() as client:
            client.script_flush()
        await say_when_possible(chat, "hello", "c1")


# -- another history -----------------------------------------------------------------------------


async def test_emptied_redis_begins_a_new_history(start_redis: StartRedis) -> None:
    nodes = Nodes(start_redis())
    histories = Histories()
    async with nodes.open() as store, trio.open_nursery() as nursery:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await nursery.start(histories.follow, store)
        said = await chat.say("Mei", "#lobby", "before")
        await chat.say("Mei", "#lobby", "before")
        nodes.server.kill()
        nodes.server.start()
        await until(lambda: histories.interruptions == 1)
        page = await when_possible(lambda: chat.page("Bob", "#lobby"))
        assert (page.head, list(page.entries)) == (0, [])
        assert page.epoch != said.epoch
        assert await store.account(person("Mei")) is None
        await chat.register("Mei", "Bob")
        after = await chat.say("Mei", "#lobby", "after")
        assert (after.seq, after.epoch) == (1, page.epoch)
        await until(lambda: histories.current.seqs("#lobby") == [1])
        assert histories.interruptions == 1
        nursery.cancel_scope.cancel()


async def test_cursor_of_a_search_is_refused_in_a_new_history(start_redis: StartRedis) -> None:
    nodes = Nodes(start_redis())
    async with nodes.open() as store, nodes.open() as other:
        chat, bob = Chat(store), person("Bob")

        async def write() -> None:
            await chat.register("Mei", "Bob")
            await chat.append(*(draft("Mei", "#lobby", f"needle {n}") for n in range(4)))

        async def two_pages() -> tuple[list[str], str | None]:
            """Return the second page, from the other node, and its cursor."""
            _, cursor = await store.search(bob, ("needle",), limit=1)
            hits, _ = await other.search(bob, ("needle",), cursor=cursor, limit=1)
            return [hit.text for hit in hits], cursor

        await write()
        found, before = await two_pages()
        assert found == ["needle 2"]
        nodes.server.kill()
        nodes.server.start()
        await when_possible(lambda: chat.page("Bob", "#lobby"))
        await write()
        with trio.fail_after(PATIENCE):
            while True:  # until both nodes have noticed
                with suppress(ChatError):
                    assert (await two_pages())[0] == ["needle 2"]
                    break
        for node in (store, other):
            with pytest.raises(ChatError) as refused:
                await node.search(bob, ("needle",), cursor=before, limit=1)
            assert (refused.value.code, refused.value.field) == ("bad_cursor", "cursor")


async def test_flush_during_a_live_connection_is_noticed(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis())
    histories = Histories()
    async with nodes.open() as store, trio.open_nursery() as nursery:
        chat = Chat(store)
        await chat.register("Mei")
        await nursery.start(histories.follow, store)
        said = await chat.say("Mei", "#lobby", "before")
        with nodes.client() as client:
            client.flushall()
        await until(lambda: histories.interruptions == 1)  # without any request
        page = await chat.page("Mei", "#lobby")
        assert page.head == 0
        assert page.epoch != said.epoch
        nursery.cancel_scope.cancel()


async def test_nothing_is_appended_to_the_old_history_after_a_flush(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis())
    async with nodes.open() as one, nodes.open() as two:
        chat, other = Chat(one), Chat(two)
        await chat.register("Mei", "Bob")
        before = [await chat.say("Mei", "#lobby", "before"), await other.say("Bob", "#lobby", "x")]
        with nodes.client() as client:
            client.flushall()
        # At once, from both: neither has noticed yet. Their accounts are gone, so they register
        # again.
        await two.create_account(account("Mei"))
        said = await say_when_possible(chat, "after", "c")
        assert said.entry.seq == 1
        assert said.entry.epoch not in {entry.epoch for entry in before}
        assert (await other.page("Bob", "#lobby")).epoch == said.entry.epoch


async def test_flush_is_not_read_as_the_end_of_the_old_history(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis())
    async with nodes.open() as store:
        chat = Chat(store)
        await chat.register("Mei")
        said = await chat.say("Mei", "#lobby", "before")
        with nodes.client() as client:
            client.flushall()
        page = await store.page(key("#lobby", "Mei"), viewer=person("Mei"), limit=10)
        assert (page.head, page.epoch == said.epoch) == (0, False)
        await chat.register("Mei")
        with nodes.client() as client:
            client.flushall()
        state = await store.conversation(person("Mei"), key("#lobby", "Mei"))
        assert state is None or state.epoch not in {said.epoch, page.epoch}


async def test_conversation_restarted_after_a_flush_is_listed_again(
    start_redis: StartRedis,
) -> None:
    """Even if the node remembers that it was listed, and does not know of the flush yet."""
    nodes = Nodes(start_redis())
    async with nodes.open() as one, nodes.open() as two:
        chat = Chat(one)
        await chat.register("Mei", "Bob")
        await chat.say("Mei", "@Bob", "before", cid="c1")
        with nodes.client() as client:
            client.flushall()
        await Chat(two).register("Mei", "Bob")
        again = draft("Mei", "@Bob", "again", cid="c2")
        await eventually(partial(_is_said, chat, again))
        for name in ("Mei", "Bob"):
            assert key("@Bob", "Mei") in await one.conversation_keys(person(name))


async def _is_said(chat: Chat, what: Draft) -> bool:
    try:
        (result,) = await chat.append(what)
    except StoreUnavailable:
        return False
    assert isinstance(result, Appended), result
    return True


async def test_redis_with_older_data_begins_a_new_history(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis("--dbfilename", "dump.rdb"))
    first, second = Histories(), Histories()
    async with nodes.open() as one, nodes.open() as two, trio.open_nursery() as nursery:
        chat, other = Chat(one), Chat(two)
        await chat.register("Mei", "Bob")
        await nursery.start(first.follow, one)
        await nursery.start(second.follow, two)
        for number in range(5):
            await chat.say("Mei", "#lobby", f"kept {number}", cid=f"k{number}")
        with nodes.client() as client:
            client.save()
        lost = [
            await chat.say("Mei", "#lobby", f"lost {number}", cid=f"l{number}")
            for number in range(5)
        ]
        nodes.server.kill()
        nodes.server.start()
        again = await say_when_possible(chat, "lost 0", "l0")
        assert again.entry.seq == 6  # perhaps at a second try, if the first was interrupted
        assert again.entry.epoch != lost[0].epoch
        kept = await say_when_possible(chat, "kept 0", "k0")
        assert (kept.dup, kept.entry.seq) == (True, 1)
        await until(lambda: first.interruptions == second.interruptions == 1)
        pages = [
            await when_possible(partial(one_of.page, "Bob", "#lobby")) for one_of in (chat, other)
        ]
        assert [page.epoch for page in pages] == [again.entry.epoch] * 2
        await other.say("Bob", "#lobby", "hello")
        for histories in (first, second):
            await until(lambda: histories.current.seqs("#lobby")[-1:] == [7])  # noqa: B023 -- at once
        assert first.interruptions == second.interruptions == 1
        nursery.cancel_scope.cancel()


async def test_other_entry_in_a_known_position_is_another_history(
    start_redis: StartRedis,
) -> None:
    """As after the promotion of a replica that another node reached long before this one."""
    nodes = Nodes(start_redis("--dbfilename", "dump.rdb"))
    histories = Histories()
    target = ("127.0.0.1", nodes.server.port)
    async with (
        open_proxy(target) as near,
        open_proxy(target) as far,
        nodes.open(port=near.port) as one,
        nodes.open(port=far.port) as two,
        trio.open_nursery() as nursery,
    ):
        chat, other = Chat(one), Chat(two)
        await chat.register("Mei", "Bob")
        await nursery.start(histories.follow, two)
        with nodes.client() as client:
            client.save()
        near.freeze()  # so the first node sees nothing of the next messages
        seen = await other.say("Bob", "#lobby", "acknowledged by the other", cid="b")
        near.cut()  # nor of those in transit
        far.freeze()  # so the second does not return before the gate is open
        nodes.server.kill()
        nodes.server.start()
        near.heal()
        instead = await say_when_possible(chat, "in its place", "m")
        assert (instead.entry.seq, instead.entry.epoch) == (seen.seq, seen.epoch)
        far.heal()
        await until(lambda: histories.interruptions == 1)
        page = await when_possible(lambda: other.page("Bob", "#lobby"))
        assert page.epoch != seen.epoch
        assert [entry.text for entry in page.entries] == ["in its place"]
        nursery.cancel_scope.cancel()


async def test_nothing_is_appended_until_all_nodes_have_checked(
    start_redis: StartRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (epoch_tracker, append_script):
        monkeypatch.setattr(module, "GATE", 3000)  # longer than any delay before connecting
    nodes = Nodes(start_redis(*AOF))
    async with nodes.open() as one:
        chat = Chat(one)
        await chat.register("Mei")
        said = await chat.say("Mei", "#lobby", "before")
        nodes.server.kill()
        nodes.server.start()
        refusals: list[str] = []
        await eventually(partial(_tries_to_say, chat, "after", refusals))
        assert any("looking whether all is there" in refusal for refusal in refusals)
        after = (await chat.entries("Mei", "#lobby"))[-1]
        assert (after.seq, after.epoch) == (2, said.epoch)


async def _tries_to_say(chat: Chat, text: str, refusals: list[str]) -> bool:
    try:
        await chat.say("Mei", "#lobby", text, cid="c")
    except StoreUnavailable as error:
        refusals.append(str(error))
        return False
    return True


async def test_nodes_started_after_a_restart_begin_a_new_history(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis(*AOF))
    async with nodes.open() as store:
        await Chat(store).register("Mei")
        said = await Chat(store).say("Mei", "#lobby", "before")
    async with nodes.open() as store:
        assert (await Chat(store).page("Mei", "#lobby")).epoch == said.epoch
    nodes.server.stop()
    nodes.server.start()
    async with nodes.open() as one, nodes.open() as two:
        epochs = [(await Chat(store).page("Mei", "#lobby")).epoch for store in (one, two)]
        assert epochs[0] == epochs[1] != said.epoch
        (entry,) = await Chat(two).entries("Mei", "#lobby")
        assert (entry.text, entry.epoch) == ("before", epochs[0])
