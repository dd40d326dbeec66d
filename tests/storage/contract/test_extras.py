"""What entries have besides their texts: form, metadata, reason."""

from __future__ import annotations

import msgspec
import pytest
import trio
from patience import until
from storing import Chat, Following, draft, follow, person

from gochat.chat import extras
from gochat.chat.log import Appended
from gochat.protocol.codec import encode

pytestmark = pytest.mark.trio

ROOM = "#garden"
BUILD = {"ci.example/build": "7", "ci.example/state": "grün"}


async def test_form_and_metadata_are_kept_and_delivered(chat: Chat) -> None:
    extra = extras.of_message("notice", BUILD)
    following = Following()
    async with trio.open_nursery() as nursery:
        await follow(nursery, chat.store, following)
        said = await chat.say("Mei", "@Bob", "built", extra=extra, cid="c")
        await chat.say("Mei", "@Bob", "plain")
        await until(lambda: len(following.logged) >= 2)
        nursery.cancel_scope.cancel()
    assert (said.form, said.meta) == ("notice", BUILD)
    assert next(one.entry for one in following.logged) == said
    first, second = await chat.entries("Bob", "@Mei")
    assert first == said
    assert (second.form, second.meta) == ("text", {})
    (hit,), _ = await chat.store.search(person("Bob"), ("built",), limit=5)
    assert hit == said
    (again,) = await chat.append(draft("Mei", "@Bob", "built", extra=extra, cid="c"))
    assert isinstance(again, Appended)
    assert (again.dup, again.entry) == (True, said)


async def test_edit_keeps_form_and_metadata_and_deletion_erases_them(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "waves", extra=extras.of_message("action", BUILD))
    await chat.do("Mei", "#lobby", "edit", "waves twice", ref=1)
    (edited, edit) = await chat.entries("Bob", "#lobby")
    assert (edited.text, edited.form, edited.meta) == ("waves twice", "action", BUILD)
    assert (edit.form, edit.meta) == ("text", {})
    await chat.do("Mei", "#lobby", "delete", ref=1, extra=extras.of_reason("a slip"))
    (deleted, _, delete) = await chat.entries("Bob", "#lobby")
    assert (deleted.text, deleted.form, deleted.meta) == ("", "text", {})
    assert delete.reason == "a slip"


async def test_reason_of_a_removal_is_kept(chat: Chat) -> None:
    await chat.do("Mei", ROOM, "create", "public")
    await chat.do("Bob", ROOM, "join")
    await chat.do("Mei", ROOM, "kick", "Bob", subject="Bob", extra=extras.of_reason("be kind"))
    assert [entry.reason for entry in await chat.entries("Mei", ROOM)] == ["", "", "be kind"]


async def test_defaults_are_not_sent(chat: Chat) -> None:
    """They are compared by identity, and a store reads texts that are only equal."""
    await chat.say("Mei", "#lobby", "hi")
    (entry,) = await chat.entries("Bob", "#lobby")
    assert b"kind" not in encode(entry)
    seen = msgspec.json.encode(await chat.seen("Bob", "#lobby"))
    assert b"level" not in seen
    assert b"history" not in seen
