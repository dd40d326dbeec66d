"""Edits in Redis by an older gochat: each kept its text, and referred to the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import trio
from msgspec.structs import replace
from redis_nodes import Nodes
from redis_process import RedisServer
from storing import Chat, draft

from gochat.protocol.messages import Message
from gochat.storage import open_store
from gochat.storage.maintenance import check
from gochat.storage.redis.link.pipeline import RedisCommand
from gochat.storage.redis.log import Log, Pending
from gochat.storage.redis.records import decode_record
from gochat.storage.transfer import copy

pytestmark = [pytest.mark.trio, pytest.mark.redis]

#: More than the script erases in one step.
EDITS = 1200


@pytest.fixture
def nodes(redis_server: RedisServer) -> Nodes:
    return Nodes(redis_server)


async def edited(nodes: Nodes, edits: int = EDITS) -> None:
    """Mei has written `current` and `another`, and edited the first one, with an older gochat."""
    async with nodes.open() as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await chat.say("Mei", "#lobby", "said")
        await chat.append(
            *(draft("Mei", "#lobby", "current", kind="edit", ref=1) for _ in range(edits))
        )
        await chat.say("Mei", "#lobby", "another")
    (key,) = nodes.keys("{*}:l:#lobby")
    with nodes.client() as client:
        records = client.lrange(key, 0, -1)
        for place, packed in enumerate(records[1:-2], start=1):
            old = replace(
                decode_record(packed),
                deleted=0,
                text="secret",
                mentions="Bob",
                edited=place if place > 1 else 0,
            )
            records[place] = msgspec.msgpack.encode(old)
        last = replace(decode_record(records[-2]), edited=edits)
        records[-2] = msgspec.msgpack.encode(last)
        client.delete(key)
        client.rpush(key, *records)


async def entries(chat: Chat) -> Sequence[Message]:
    return (await chat.page("Mei", "#lobby", limit=2 * EDITS)).entries


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many drafts each round trip to the script carried."""
    found: list[int] = []
    command = Log._command

    def counted(self: Log, together: Sequence[Pending]) -> RedisCommand:
        found.append(len(together))
        return command(self, together)

    monkeypatch.setattr(Log, "_command", counted)
    return found


async def test_deletion_erases_older_edits_in_steps(nodes: Nodes, rounds: list[int]) -> None:
    await edited(nodes)
    rounds.clear()
    async with nodes.open() as store:
        chat = Chat(store)
        assert {e.text for e in await entries(chat)} == {"current", "secret", "another"}
        await chat.do("Mei", "#lobby", "delete", ref=1, cid="c1")
        assert rounds == [1, 1, 1]
        found = await entries(chat)
        assert [(e.kind, e.text, e.deleted) for e in found] == [
            ("text", "", True),
            *[("edit", "", True)] * EDITS,
            ("text", "another", False),
            ("delete", "", False),
        ]
        assert not any(e.mentions for e in found)
        assert found[-1].cid == "c1"


async def test_edit_erases_older_edits_in_steps(nodes: Nodes) -> None:
    await edited(nodes)
    async with nodes.open() as store:
        chat = Chat(store)
        await chat.do("Mei", "#lobby", "edit", "newest", ref=1)
        await chat.do("Mei", "#lobby", "edit", "newest of all", ref=1)
        found = await entries(chat)
        assert [(e.kind, e.text, e.deleted) for e in found] == [
            ("text", "newest of all", False),
            *[("edit", "", True)] * EDITS,
            ("text", "another", False),
            ("edit", "", True),
            ("edit", "newest of all", False),
        ]


async def test_copy_omits_older_edits(nodes: Nodes, tmp_path: Path) -> None:
    await edited(nodes, 5)
    path = tmp_path / "copy.db"
    await trio.to_thread.run_sync(copy.copy, nodes.url(), f"sqlite:///{path}")
    assert check(path) == []
    assert b"secret" not in path.read_bytes()
    async with open_store(f"sqlite:///{path}") as store:
        chat = Chat(store)
        assert [(e.text, e.deleted) for e in await entries(chat)] == [
            ("current", False),
            *[("", True)] * 4,
            ("current", False),
            ("another", False),
        ]
