"""Data in Redis that gochat did not write: the store ends, and writes nothing more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from patience import PATIENCE, until
from redis_nodes import Nodes
from redis_process import RedisServer
from storing import Chat, Following, account, draft, make_token, person

from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.node_bus import Left
from gochat.chat.store import Store
from gochat.errors import StoreCorrupt
from gochat.storage.redis import feed

pytestmark = pytest.mark.trio

Use = Callable[[Chat], Awaitable[object]]
TOKEN = make_token("Mei", expires=2**50)


@pytest.fixture
def nodes(redis_server: RedisServer) -> Nodes:
    """A node with its own data, in one partition."""
    return Nodes(redis_server)


async def nothing(chat: Chat) -> None:
    """Do nothing: the damage is found all the same."""
    with trio.fail_after(PATIENCE):
        await trio.sleep_forever()


async def publish_events(chat: Chat) -> None:
    """Take part in the bus between the nodes."""
    node_bus = chat.store.node_bus
    assert node_bus is not None
    async with trio.open_nursery() as nursery:
        await nursery.start(node_bus.run, lambda *_: None)
        node_bus.publish(Left(person("Mei")))
        await nothing(chat)


def read(chat: Chat) -> Awaitable[object]:
    return chat.page("Mei", "#lobby")


def find(chat: Chat) -> Awaitable[object]:
    return chat.find("Mei", "needle")


def say(chat: Chat) -> Awaitable[object]:
    return chat.say("Mei", "#lobby", "hello", mentions=["Bob"])


def look(chat: Chat) -> Awaitable[object]:
    return chat.store.conversation(person("Mei"), LOBBY_KEY)


#: What is written where (after `{0}:`), and which operation finds it.
DAMAGE: dict[str, tuple[tuple[Any, ...], Use]] = {
    "entry read": (("LSET", "l:#lobby", 0, "garbage"), read),
    "entry searched": (("LSET", "l:#lobby", 0, "garbage"), find),
    "entry of another shape": (("LSET", "l:#lobby", 0, b"\x91\x01"), read),
    "entry changed": (
        ("LSET", "l:#lobby", 0, "garbage"),
        lambda chat: chat.do("Mei", "#lobby", "edit", "x", ref=1),
    ),
    "key of another type": (("SET", "c:#lobby", "garbage"), say),
    "log of another type": (("SET", "l:#lobby", "garbage"), read),
    "row of a person": (("HSET", "w:#lobby", "mei", "\xc1"), look),
    "position": (("HSET", "state", "pos", "garbage"), say),
    "token": (("HSET", "h:mei", TOKEN.id.hex(), "garbage"), lambda c: c.store.token(TOKEN.id, 0)),
    "feed": (("XADD", "feed", "1000-0", "e", "garbage"), nothing),
    "feed of another type": (("SET", "feed", "garbage"), nothing),
    "entry by which a node knows the history": (("LSET", "l:#lobby", 1, "garbage"), nothing),
    "notices": (("XADD", "notices", "*", "n", "other", "e", "garbage"), publish_events),
}


@pytest.mark.parametrize("what", DAMAGE)
async def test_damage_ends_the_store_for_everyone(
    nodes: Nodes, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LOOK_EVERY", 0)
    monkeypatch.setattr(feed, "BLOCK", 0.1)
    (command, key, *arguments), use = DAMAGE[what]
    async with nodes.open("partitions=1") as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await chat.say("Mei", "#lobby", "needle")
        await chat.say("Mei", "#lobby", "the last one, by which nodes know the history")
        await store.add_token(TOKEN)
        reasons: list[str] = []

        async def follow(*, task_status: trio.TaskStatus[object]) -> None:
            with pytest.raises(StoreCorrupt, match="the data in Redis") as caught:
                await store.follow(Following(), task_status=task_status)
            reasons.append(str(caught.value))
            nursery.cancel_scope.cancel()

        async def meet() -> None:
            if key == "feed" and command == "XADD":
                arguments[0] = "3-0"  # the next one
            if key == "notices":
                nursery.start_soon(once_it_takes_part, store, harm)
            else:
                harm()
            await use(chat)

        def harm() -> None:
            with nodes.client() as client:
                client.execute_command(command, f"{nodes.prefix}:{{0}}:{key}", *arguments)

        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                await nursery.start(follow)
                try:
                    await meet()
                except StoreCorrupt:
                    await trio.sleep_forever()  # until the follower gets it, too
        assert len(reasons) == 1
        for refused in (
            partial(chat.append, draft("Mei", "@Mei", "not any more")),
            partial(chat.page, "Mei", "@Mei"),
            partial(store.account, account("Mei").key),
            partial(store.follow, Following()),
        ):
            with pytest.raises(StoreCorrupt) as again:
                await refused()
            assert str(again.value) == reasons[0]
        assert not nodes.keys("*:l:@mei")


async def once_it_takes_part(store: Store, harm: Callable[[], None]) -> None:
    node_bus = store.node_bus
    assert node_bus is not None
    await until(lambda: node_bus.has_lease)
    harm()
