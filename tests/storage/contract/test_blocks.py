"""The Store's contract: whom people block, and what that keeps from being written."""

from __future__ import annotations

import pytest
from storing import Chat, draft, key, person

from gochat.chat.facts import Facts
from gochat.chat.log import Appended
from gochat.protocol.messages import EntryKind
from gochat.protocol.text import EVERYBODY

pytestmark = pytest.mark.trio

OPEN = Facts(is_open=True)


async def block(chat: Chat, who: str, other: str, *, on: bool = True) -> bool:
    return await chat.store.set_blocked(person(who), person(other), on=on)


async def test_blocks_are_listed_and_lifted(chat: Chat) -> None:
    await chat.register("Straße")
    for other in ("Straße", "Eve", "Bob"):
        assert await block(chat, "Mei", other)
        assert not await block(chat, "Mei", other)
    assert await chat.store.blocked(person("Mei")) == ["Bob", "Eve", "Straße"]
    assert await chat.store.blocked(person("Bob")) == []
    for one, other in (("Mei", "Bob"), ("Bob", "Mei")):
        found = await chat.store.blockers(person(one), person(other))
        assert list(found) == [person("Mei")]
    await block(chat, "Bob", "Mei")
    found = await chat.store.blockers(person("Mei"), person("Bob"))
    assert set(found) == {person("Mei"), person("Bob")}
    assert await block(chat, "Mei", "Eve", on=False)
    assert not await block(chat, "Mei", "Eve", on=False)
    assert await chat.store.blocked(person("Mei")) == ["Bob", "Straße"]
    assert list(await chat.store.blockers(person("Mei"), person("Eve"))) == []


@pytest.mark.parametrize("blocker", ["Mei", "Bob"])
async def test_nobody_writes_in_the_private_conversation_of_a_block(
    chat: Chat, blocker: str
) -> None:
    await chat.say("Bob", "@Mei", "hi", facts=OPEN)
    await chat.do("Mei", "@Bob", "react", "👍", ref=1, facts=OPEN)
    await block(chat, blocker, "Bob" if blocker == "Mei" else "Mei")
    kinds: list[tuple[EntryKind, str, int | None]] = [
        ("text", "hello?", None),
        ("edit", "hello?", 1),
        ("react", "🎉", 1),
    ]
    for kind, text, ref in kinds:
        for who, to in (("Bob", "@Mei"), ("Mei", "@Bob")):
            assert await chat.refused(who, to, kind, text, ref=ref, facts=OPEN) == "busy"
    await chat.do("Bob", "@Mei", "delete", ref=1)
    await block(chat, blocker, "Bob" if blocker == "Mei" else "Mei", on=False)
    await chat.say("Bob", "@Mei", "hello again", facts=OPEN)


async def test_block_of_somebody_who_never_wrote_keeps_them_from_beginning(chat: Chat) -> None:
    await block(chat, "Mei", "Bob")
    assert await chat.store.conversation(person("Bob"), key("@Mei", "Bob")) is None
    assert await chat.refused("Bob", "@Mei", "text", "hi", facts=OPEN) == "busy"
    assert await chat.addresses("Mei") == ["#lobby"]
    await chat.say("Eve", "@Mei", "hi", facts=OPEN)
    await chat.say("Bob", "@Eve", "hi", facts=OPEN)


async def test_blocked_person_mentions_nobody_who_blocks_them(chat: Chat) -> None:
    await block(chat, "Mei", "Bob")
    said = await chat.say("Bob", "#lobby", "@Mei and @Eve", mentions=["Mei", "Eve"])
    assert said.mentions == ("Eve",)
    assert (await chat.entries("Eve", "#lobby"))[-1].mentions == ("Eve",)
    assert (await chat.seen("Mei", "#lobby")).mentions == 0
    assert (await chat.seen("Eve", "#lobby")).mentions == 1
    edit = await chat.do("Bob", "#lobby", "edit", "@Mei!", ref=said.seq, mentions=["Mei"])
    assert edit.mentions == ()
    assert (await chat.seen("Mei", "#lobby")).mentions == 0
    # The other way round it counts.
    await chat.say("Mei", "#lobby", "@Bob", mentions=["Bob"])
    assert (await chat.seen("Bob", "#lobby")).mentions == 1
    await block(chat, "Mei", "Bob", on=False)
    await chat.say("Bob", "#lobby", "@Mei", mentions=["Mei"])
    assert (await chat.seen("Mei", "#lobby")).mentions == 1


async def test_retry_of_a_message_from_before_the_block_is_known(chat: Chat) -> None:
    first = await chat.say("Bob", "@Mei", "hi", facts=OPEN, cid="c")
    await block(chat, "Mei", "Bob")
    (again,) = await chat.append(draft("Bob", "@Mei", "hi", facts=OPEN, cid="c"))
    assert isinstance(again, Appended)
    assert (again.dup, again.entry.seq) == (True, first.seq)


async def test_mention_of_everybody_beside_one_of_who_blocks_the_sender(chat: Chat) -> None:
    await block(chat, "Mei", "Bob")
    one, other = await chat.append(
        draft("Bob", "#lobby", "@room, @Mei", mentions=[EVERYBODY, "Mei"]),
        draft("Bob", "#lobby", "@Mei", mentions=["Mei"]),
    )
    assert isinstance(one, Appended)
    assert one.entry.mentions == (EVERYBODY, "Mei")
    assert isinstance(other, Appended)
    assert other.entry.mentions == ()
    assert (await chat.seen("Mei", "#lobby")).mentions == 1
