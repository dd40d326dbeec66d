"""A person with very many private conversations costs the others nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from math import log2
from typing import Any

import pytest
import trio
from storing import Chat, draft, person

from gochat.chat.store import Store
from gochat.storage.redis.link import pipeline
from gochat.storage.sqlite import connections

#: Conversations of that person at the second measurement; 10,000 take 10 s longer.
MANY = int(os.environ.get("GOCHAT_TEST_CONVERSATIONS", "1500"))
#: At the first measurement: enough for the index to be in use.
FEW = 300
#: Accounts and messages that are created together.
TOGETHER = 300


class Work:
    """Counts a store's work for reads: steps of SQLite's virtual machine, or commands to Redis and
    the size of their replies."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = 0
        snapshot = connections.ConnectionPool.snapshot
        execute = pipeline.WorkerConnections.execute

        @contextmanager
        def counted(lent: connections.ConnectionPool) -> Iterator[sqlite3.Connection]:
            with snapshot(lent) as db:
                db.set_progress_handler(self._step, 1)
                try:
                    yield db
                finally:
                    db.set_progress_handler(None, 0)

        def counted_execute(
            lent: pipeline.WorkerConnections, commands: Sequence[pipeline.RedisCommand]
        ) -> list[Any]:
            replies = execute(lent, commands)
            self.steps += sum(1 + _items(reply) for reply in replies)
            return replies

        monkeypatch.setattr(connections.ConnectionPool, "snapshot", counted)
        monkeypatch.setattr(pipeline.WorkerConnections, "execute", counted_execute)

    def _step(self) -> None:
        self.steps += 1

    async def of(self, ask: Callable[[], Awaitable[object]]) -> int:
        """Return the work of a read, once all names have been looked up."""
        await ask()
        self.steps = 0
        await ask()
        return self.steps


def _items(reply: object) -> int:
    return sum(map(_items, reply)) if isinstance(reply, list) else 1


@pytest.mark.trio
@pytest.mark.parametrize(
    "url",
    ["memory", pytest.param("redis_server", marks=pytest.mark.redis)],
    ids=["sqlite", "redis"],
    indirect=True,
)
async def test_many_conversations_of_a_person_slow_down_nobody_else(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = Chat(store)
    await chat.register("Mei", "Bob", "Mallory")
    await chat.say("Mei", "#lobby", "hello")
    await chat.say("Mei", "@Bob", "hello")
    await chat.say("Mallory", "@Bob", "hello")
    bob = person("Bob")
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "list": lambda: store.summaries(bob, after="", limit=32),
        "keys": lambda: store.conversation_keys(bob),
        "rooms": lambda: store.rooms(bob, after="", limit=32),
        "search": lambda: store.search(bob, ("hello",), limit=20),
        "search in one": lambda: chat.find("Bob", "hello", to="@Mallory"),
    }
    work = Work(monkeypatch)
    await begin_conversations(chat, range(FEW))
    before = {name: await work.of(ask) for name, ask in questions.items()}
    assert all(before.values())
    await begin_conversations(chat, range(FEW, MANY))
    assert len(await store.conversation_keys(person("Mallory"))) == MANY + 2
    after = {name: await work.of(ask) for name, ask in questions.items()}
    # SQLite's index has a new segment for each doubling of the log, and each is searched.
    growth = log2(2 * MANY / FEW)
    for name, steps in after.items():
        assert steps <= (growth if name.startswith("search") else 1) * before[name] + 20, name
    # For that person all of them are searched.
    assert await work.of(lambda: store.conversation_keys(person("Mallory"))) > MANY


async def begin_conversations(chat: Chat, numbers: range) -> None:
    for first in numbers[::TOGETHER]:
        names = [f"p{number}" for number in range(first, min(first + TOGETHER, numbers.stop))]
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(chat.register, name)
        await chat.append(*[draft("Mallory", f"@{name}", "hello") for name in names])
