"""The Store's contract: the heads of a person's conversations, in pages."""

from __future__ import annotations

import pytest
from storing import Chat, Clock, key, person

from gochat.chat.conversations import Summary
from gochat.chat.log import MAX_AHEAD
from gochat.chat.store import Store

pytestmark = pytest.mark.trio


async def summaries(store: Store, name: str, after: str = "", limit: int = 100) -> list[Summary]:
    found, _ = await store.summaries(person(name), after=after, limit=limit)
    return found


async def test_summary_has_the_head_its_time_and_the_persons_marker(
    chat: Chat, clock: Clock
) -> None:
    await chat.say("Mei", "#lobby", "one")
    clock.now += 1000
    said = await chat.say("Mei", "#lobby", "two")
    hi = await chat.say("Mei", "@Bob", "hi")
    await chat.mark_read("Bob", "#lobby", 1)
    await chat.store.set_level(person("Bob"), key("#lobby", "Bob"), "mentions")
    lobby, private = await summaries(chat.store, "Bob")
    assert lobby == Summary(key("#lobby", "Bob"), "#lobby", said.epoch, 2, said.ts, 1, "mentions")
    assert private == Summary(key("@Mei", "Bob"), "@Mei", hi.epoch, 1, hi.ts, 0, "all")


async def test_summary_agrees_with_the_conversation(chat: Chat, clock: Clock) -> None:
    await chat.do("Mei", "#Garden", "create", "public")
    clock.now += 5
    await chat.do("Bob", "#Garden", "join")
    await chat.say("Eve", "@Bob", "hi")
    for name in ("Mei", "Bob", "Eve"):
        found = await summaries(chat.store, name)
        listed = [await chat.seen(name, one.address) for one in found]
        assert [
            (one.address, one.epoch, one.head, one.ts, one.read, one.level) for one in found
        ] == [(one.conv, one.epoch, one.head, one.ts, one.read, one.level) for one in listed]
    assert [one.head for one in await summaries(chat.store, "Bob")] == [2, 0, 1]


async def test_summaries_come_in_pages_by_address(chat: Chat) -> None:
    for name in ("#zoo", "#Attic", "#attic2", "#éa"):
        await chat.do("Mei", name, "create", "public")
    await chat.say("Mei", "@Bob", "hi")
    addresses = ["#Attic", "#attic2", "#lobby", "#zoo", "#éa", "@Bob"]
    assert [one.address for one in await summaries(chat.store, "Mei")] == addresses
    seen, after = [], ""
    while True:
        found, more = await chat.store.summaries(person("Mei"), after=after, limit=2)
        seen += [one.address for one in found]
        if not more:
            break
        after = found[-1].address
    assert seen == addresses


async def test_summaries_are_only_of_the_persons_conversations(chat: Chat) -> None:
    await chat.do("Mei", "#den", "create", "private")
    await chat.do("Mei", "#den", "invite", "Bob", subject="Bob")
    assert [one.address for one in await summaries(chat.store, "Bob")] == ["#lobby"]
    await chat.do("Bob", "#den", "join")
    assert [one.address for one in await summaries(chat.store, "Bob")] == ["#den", "#lobby"]
    await chat.do("Mei", "#den", "kick", "Bob", subject="Bob")
    assert [one.address for one in await summaries(chat.store, "Bob")] == ["#lobby"]


async def test_time_stands_still_for_a_bounded_time(chat: Chat, clock: Clock) -> None:
    """While it does, it doesn't tell an entry from another with its seq."""
    first = await chat.say("Mei", "#lobby", "ahead")
    clock.now -= MAX_AHEAD
    frozen = await chat.say("Mei", "#lobby", "frozen")
    assert frozen.ts == first.ts
    clock.now += MAX_AHEAD + 1
    assert (await chat.say("Mei", "#lobby", "again")).ts == first.ts + 1


async def test_deserted_room_keeps_its_name_and_its_log(chat: Chat) -> None:
    """So within an epoch an address never stands for another log."""
    for kind in ("private", "public"):
        room = f"#{kind}"
        await chat.do("Mei", room, "create", kind)
        await chat.do("Mei", room, "leave")
        assert await chat.refused("Bob", room, "create", kind) == "room_exists"
