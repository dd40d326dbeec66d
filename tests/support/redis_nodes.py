"""Nodes of one deployment: stores that share their data in a Redis, and a look behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any
from uuid import uuid4

import redis
import trio
from redis_process import RedisServer
from storing import Chat, Clock, Following, draft

from gochat.chat.store import Appended, Store
from gochat.errors import LogInterrupted, StoreUnavailable
from gochat.storage import open_store


class Nodes:
    """Opens nodes on data of their own in a Redis, which may be shared with other tests."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.prefix = f"t{uuid4().hex}"
        self.clock = Clock()

    def url(self, options: str = "", port: int | None = None) -> str:
        """The URL of a node; `port` is that of a proxy."""
        at = port or self.server.port
        return f"redis://127.0.0.1:{at}?prefix={self.prefix}&timeout=1&{options}"

    def open(self, options: str = "", *, port: int | None = None) -> OpenedStore:
        """Open a node."""
        return open_store(self.url(options, port), clock=self.clock)

    @contextmanager
    def client(self, **arguments: Any) -> Iterator[Any]:
        """A plain client of the same Redis, whose methods have no useful types."""
        client = redis.Redis(port=self.server.port, **arguments)
        try:
            yield client
        finally:
            client.close()

    def keys(self, pattern: str) -> list[str]:
        """The keys of this deployment, without the prefix, that match a pattern."""
        with self.client() as client:
            found = client.scan_iter(f"{self.prefix}:{pattern}", count=1000)
            return [key.decode() for key in found]


OpenedStore = AbstractAsyncContextManager[Store]


async def until(condition: Callable[[], bool], *, within: float = 20.0) -> None:
    """Wait until something has come true."""
    with trio.fail_after(within):
        while not condition():  # noqa: ASYNC110 -- of what has no event to wait for
            await trio.sleep(0.01)


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


async def say_when_possible(chat: Chat, text: str, cid: str, *, within: float) -> Appended:
    """Say something as a client does: again, with the same cid, until it is acknowledged."""
    with trio.fail_after(within):
        while True:
            try:
                (result,) = await chat.append(draft("Mei", "#lobby", text, cid=cid))
            except StoreUnavailable as error:
                await trio.sleep(min(error.retry_after, 0.2))
                continue
            assert isinstance(result, Appended), result
            return result
