"""Nodes of one deployment: stores that share their data in a Redis, and access to that data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Final, TypeVar
from uuid import uuid4

import pytest
import redis
import trio
from patience import PATIENCE
from redis_process import RedisServer
from storing import Chat, Clock, Following, draft

from gochat.chat.log import Appended
from gochat.chat.store import Store
from gochat.errors import LogInterrupted, StoreUnavailable
from gochat.storage import open_store
from gochat.storage.redis.nodes.bus import BEATS, RedisNodeBus

T = TypeVar("T")

#: The beats of a node within which it misses a silent one: those of one lease. Twice that, for a
#: machine so busy that all nodes are late and doubt what they see.
MISSED_WITHIN: Final = 2 * BEATS

#: Seconds that nodes of tests wait for a Redis, the maximum: on a busy machine it answers late.
#: Tests in which Redis does not answer at all set fewer.
REDIS_TIMEOUT: Final = 60


class Nodes:
    """Opens nodes with their own data in a Redis that other tests may share."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.prefix = f"t{uuid4().hex}"
        self.clock = Clock()

    def url(self, options: str = "", port: int | None = None) -> str:
        """Return the URL of a node; `port` is that of a proxy."""
        at = port or self.server.port
        return f"redis://127.0.0.1:{at}?prefix={self.prefix}&timeout={REDIS_TIMEOUT}&{options}"

    def open(self, options: str = "", *, port: int | None = None) -> OpenedStore:
        """Open a node."""
        return open_store(self.url(options, port), clock=self.clock)

    @contextmanager
    def client(self, **arguments: Any) -> Iterator[Any]:
        """Return a plain client of the same Redis, whose methods have no useful types."""
        client = redis.Redis(port=self.server.port, **arguments)
        try:
            yield client
        finally:
            client.close()

    def keys(self, pattern: str) -> list[str]:
        """Return the keys of this deployment, without the prefix, that match a pattern."""
        with self.client() as client:
            found = client.scan_iter(f"{self.prefix}:{pattern}", count=1000)
            return [key.decode() for key in found]


OpenedStore = AbstractAsyncContextManager[Store]


def counted_beats(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count how often nodes here renew their leases, and record who else has one."""
    beats = 0
    beat = RedisNodeBus._beat

    async def counted(self: RedisNodeBus) -> None:
        nonlocal beats
        await beat(self)
        beats += 1

    monkeypatch.setattr(RedisNodeBus, "_beat", counted)
    return lambda: beats


class Histories:
    """Follows a store's log from one history to the next, as a server does."""

    def __init__(self) -> None:
        self.current = Following()
        self.interruptions = 0

    async def follow(
        self, store: Store, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        task_status.started()
        while True:
            self.current = Following()
            try:
                await store.follow(self.current)
            except LogInterrupted:
                self.interruptions += 1


async def when_possible(ask: Callable[[], Awaitable[T]]) -> T:
    """Repeat a request to a store until it is available, as a client does."""
    with trio.fail_after(PATIENCE):
        while True:
            try:
                return await ask()
            except StoreUnavailable as error:
                await trio.sleep(min(error.retry_after, 0.2))


async def say_when_possible(chat: Chat, text: str, cid: str) -> Appended:
    """Send a message as a client does: again, with the same cid, until it is acknowledged."""
    message = draft("Mei", "#lobby", text, cid=cid)
    (result,) = await when_possible(lambda: chat.append(message))
    assert isinstance(result, Appended), result
    return result
