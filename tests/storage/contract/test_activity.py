"""The Store's contract: what may concern people, and up to when they have seen it."""

from __future__ import annotations

import pytest
import trio
from storing import NOON, Chat, Clock, Following, follow, key, person

from gochat.chat.activity import MAX_LISTED, PER_CONVERSATION
from gochat.protocol.text import EVERYBODY

pytestmark = pytest.mark.trio

ROOM = "#garden"


async def listed(chat: Chat, who: str) -> list[tuple[str, int]]:
    """Return conversation and seq of what is listed for somebody, the newest first."""
    return [(ref.conversation, ref.seq) for ref in (await chat.store.activity(person(who))).refs]


async def in_room(chat: Chat) -> None:
    """Mei creates a room, and Bob joins: it has two entries."""
    await chat.do("Mei", ROOM, "create", "public")
    await chat.do("Bob", ROOM, "join")


async def test_mentions_replies_and_reactions_are_listed(chat: Chat, clock: Clock) -> None:
    await in_room(chat)
    await chat.say("Mei", ROOM, "who has seeds?")
    steps = [
        ("text", "I do", {"ref": 3}),
        ("text", "@Mei look", {"mentions": ("Mei",)}),
        ("text", "@Mei again", {"mentions": ("Mei",), "ref": 3}),
        ("react", "🌱", {"ref": 3}),
    ]
    for kind, text, fields in steps:
        clock.now += 1000
        await chat.do("Bob", ROOM, kind, text, **fields)  # type: ignore[arg-type]
    await chat.say("Bob", ROOM, "nobody is meant")
    await chat.do("Mei", ROOM, "react", "🌱", ref=3)
    await chat.say("Mei", ROOM, "I answer myself, @Mei", ref=3, mentions=("Mei",))
    assert await listed(chat, "Mei") == [(ROOM, 7), (ROOM, 6), (ROOM, 5), (ROOM, 4)]
    refs = (await chat.store.activity(person("Mei"))).refs
    assert [ref.ts - NOON for ref in refs] == [4000, 3000, 2000, 1000]
    assert await listed(chat, "Bob") == []


async def test_only_reactions_are_listed_of_private_conversations(chat: Chat) -> None:
    await chat.say("Mei", "@Bob", "hi")
    await chat.say("Bob", "@Mei", "hello", ref=1)
    await chat.do("Bob", "@Mei", "react", "👍", ref=1)
    assert await listed(chat, "Mei") == [(key("@Bob", "Mei"), 3)]


async def test_reaction_taken_back_is_not_listed(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "hi")
    await chat.do("Bob", "#lobby", "react", "👍", ref=1)
    await chat.do("Bob", "#lobby", "react", "🎉", ref=1)
    await chat.do("Bob", "#lobby", "unreact", "👍", ref=1)
    assert await listed(chat, "Mei") == [("#lobby", 3)]


async def test_edit_lists_a_new_mention_since_then_and_once(chat: Chat, clock: Clock) -> None:
    await chat.say("Bob", "#lobby", "look")
    await chat.say("Bob", "#lobby", "@Mei first", mentions=("Mei",))
    clock.now += 5000
    for ref, text in ((2, "@Mei second"), (1, "@Mei look"), (1, "@Mei look!")):
        await chat.do("Bob", "#lobby", "edit", text, ref=ref, mentions=("Mei",))
        clock.now += 1000
    assert await listed(chat, "Mei") == [("#lobby", 1), ("#lobby", 2)]
    refs = (await chat.store.activity(person("Mei"))).refs
    assert [ref.ts - NOON for ref in refs] == [6000, 0]


async def test_mention_of_everybody_is_listed_for_who_was_there(chat: Chat, clock: Clock) -> None:
    await in_room(chat)
    clock.now += 1000
    await chat.say("Mei", ROOM, "@room hi", mentions=(EVERYBODY,))
    await chat.say("Mei", ROOM, "@room and @Bob", mentions=(EVERYBODY, "Bob"))
    await chat.register("Ann")
    clock.now += 1000
    await chat.do("Ann", ROOM, "join")
    assert await listed(chat, "Bob") == [(ROOM, 4), (ROOM, 3)]
    assert await listed(chat, "Ann") == []


async def test_only_own_conversations_after_the_floor_are_listed(chat: Chat) -> None:
    await in_room(chat)
    await chat.say("Mei", ROOM, "@Bob hi", mentions=("Bob",))
    assert await listed(chat, "Bob") == [(ROOM, 3)]
    await chat.do("Mei", ROOM, "history", "hidden")
    await chat.do("Mei", ROOM, "kick", "Bob", subject="Bob")
    await chat.say("Mei", ROOM, "@room hi", mentions=(EVERYBODY,))
    assert await listed(chat, "Bob") == []
    await chat.do("Mei", ROOM, "invite", "Bob", subject="Bob")
    assert await listed(chat, "Bob") == []
    await chat.do("Bob", ROOM, "join")
    assert await listed(chat, "Bob") == []
    await chat.say("Mei", ROOM, "@Bob welcome", mentions=("Bob",))
    assert await listed(chat, "Bob") == [(ROOM, 9)]


async def test_the_newest_of_each_conversation_are_kept(chat: Chat) -> None:
    await in_room(chat)
    more = PER_CONVERSATION + 20
    for number in range(more):
        for mentions in (("Mei",), (EVERYBODY,)):
            await chat.say("Bob", ROOM, f"{number}", mentions=mentions)
    found = await listed(chat, "Mei")
    assert len(found) == 2 * PER_CONVERSATION
    assert found == sorted(found, reverse=True)
    assert found[-1] == (ROOM, 2 + 2 * 20 + 1)
    assert len(found) <= MAX_LISTED


async def test_seen_only_moves_forward(chat: Chat) -> None:
    store, mei = chat.store, person("Mei")
    assert (await store.activity(mei)).seen == 0
    moves = [await store.mark_activity(mei, seen) for seen in (5, 5, 3, 7)]
    assert moves == [True, False, False, True]
    assert (await store.activity(mei)).seen == 7
    assert (await store.activity(person("Bob"))).seen == 0
    assert not await store.mark_activity(person("nobody"), 5)
    assert list((await store.activity(person("nobody"))).refs) == []


async def test_followers_learn_who_wrote_what_an_entry_is_about(
    chat: Chat, nursery: trio.Nursery
) -> None:
    following = Following()
    await follow(nursery, chat.store, following)
    await chat.say("Mei", "#lobby", "hi")
    await chat.say("Bob", "#lobby", "hello", ref=1)
    await chat.do("Bob", "#lobby", "react", "👍", ref=1)
    await chat.do("Bob", "#lobby", "unreact", "👍", ref=1)
    await chat.say("Mei", "#lobby", "to myself", ref=1)
    await chat.say("Bob", "#lobby", "@Mei", mentions=("Mei",))
    mei = person("Mei")
    assert [one.author for one in following.logged] == [None, mei, mei, mei, None, None]


async def test_forgotten_person_has_no_activity(chat: Chat) -> None:
    await chat.say("Bob", "#lobby", "@Mei hi", mentions=("Mei",))
    await chat.store.mark_activity(person("Mei"), 5)
    await chat.store.administration.forget(person("Mei"))
    assert (await chat.store.activity(person("Mei"))).seen == 0
