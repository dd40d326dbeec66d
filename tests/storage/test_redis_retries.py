"""Retries while Redis gets another history."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from redis_nodes import Nodes
from redis_process import RedisServer
from storing import Chat, draft

from gochat.errors import StoreUnavailable
from gochat.storage.redis.reading import Reading


@pytest.mark.trio
@pytest.mark.parametrize("is_other_entry_there", [False, True])
async def test_cid_of_another_history_is_not_a_dup(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, is_other_entry_there: bool
) -> None:
    """Redis is emptied between the lookup of the cid and that of its entry."""
    page = Reading.page

    def page_of_another_history(self: Reading, *arguments: Any, **more: Any) -> Any:
        found = yield from page(self, *arguments, **more)
        for key in client.scan_iter(f"{nodes.prefix}:*:k:*"):
            client.delete(key)
        other = [structs.replace(entry, text="another") for entry in found.entries]
        return structs.replace(found, entries=other if is_other_entry_there else [])

    nodes = Nodes(redis_server)
    with nodes.client() as client:
        async with nodes.open() as store:
            chat = Chat(store)
            await chat.register("Mei")
            await chat.say("Mei", "#lobby", "hello", cid="c")
            monkeypatch.setattr(Reading, "page", page_of_another_history)
            with pytest.raises(StoreUnavailable, match="history of the store has changed"):
                await store.find_by_cid(draft("Mei", "#lobby", "hello", cid="c"))
