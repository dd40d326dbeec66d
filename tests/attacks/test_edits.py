"""A message that was edited often costs no more to delete than one that was edited once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis_nodes import Nodes
from redis_process import RedisServer
from storing import Chat, draft

from gochat.chat.log import Appended
from gochat.storage import open_store
from gochat.storage.sqlite import SqliteStore

pytestmark = pytest.mark.trio

#: The attack had 20,000 and took 0.3 s; the counts here show it with these.
EDITS = 1000


async def edit_often(chat: Chat) -> None:
    """Mei writes two messages, and edits the first one once, the other one often."""
    await chat.register("Mei", "Bob")
    await chat.say("Mei", "#lobby", "one")
    await chat.say("Mei", "#lobby", "two")
    edits = [draft("Mei", "#lobby", f"edit {n}", kind="edit", ref=2) for n in range(EDITS)]
    await chat.append(draft("Mei", "#lobby", "edit", kind="edit", ref=1), *edits)


async def assert_gone(chat: Chat) -> None:
    page = await chat.page("Bob", "#lobby", limit=2 * EDITS)
    assert len(page.entries) == EDITS + 5
    assert not any(entry.text for entry in page.entries)


async def test_delete_changes_as_many_rows_in_sqlite() -> None:
    async with open_store("sqlite:///:memory:") as store:
        assert isinstance(store, SqliteStore)
        chat, log, write = Chat(store), store._log, store._writer.write
        await edit_often(chat)

        def delete(ref: int) -> Callable[[], int]:
            def count() -> int:
                before = log.db.total_changes
                (result,) = log.append([draft("Mei", "#lobby", kind="delete", ref=ref)])
                assert isinstance(result, Appended)
                return log.db.total_changes - before

            return count

        assert await write(delete(1)) == await write(delete(2)) < 10
        await assert_gone(chat)


@pytest.mark.redis
async def test_delete_writes_as_many_entries_in_redis(redis_server: RedisServer) -> None:
    nodes = Nodes(redis_server)
    async with nodes.open() as store:
        chat = Chat(store)
        await edit_often(chat)

        def written(client: Any) -> int:
            return int(client.info("commandstats")["cmdstat_lset"]["calls"])

        with nodes.client() as client:
            counts = [written(client)]
            for ref in (1, 2):
                await chat.do("Mei", "#lobby", "delete", ref=ref)
                counts.append(written(client))
        assert counts[1] - counts[0] == counts[2] - counts[1] == 2
        await assert_gone(chat)
