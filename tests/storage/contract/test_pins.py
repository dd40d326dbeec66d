"""The Store's contract: pinned messages."""

from __future__ import annotations

import pytest
import trio
from msgspec import structs
from storing import Chat, Clock, Following, draft, follow, key, person

from gochat.chat.facts import Facts
from gochat.chat.log import Appended, Unchanged
from gochat.chat.pins import MAX_PINS
from gochat.chat.retention import Rule, rule_for
from gochat.errors import ChatError

pytestmark = pytest.mark.trio

ROOM = "#garden"


async def pinned(chat: Chat, to: str, who: str = "Mei") -> list[int]:
    """Return the seqs of what is pinned, as listed; pages of the log must say the same."""
    refs = await chat.store.pins(key(to, who))
    marked = {
        entry.seq
        for after in (0, 200)
        for entry in (await chat.page(who, to, after=after)).entries
        if entry.pinned
    }
    assert {ref.seq for ref in refs} == marked
    return [ref.seq for ref in refs]


async def test_pins_are_listed_last_first_with_who_pinned_them_and_when(
    chat: Chat, clock: Clock
) -> None:
    for to, other in (("#lobby", "#lobby"), ("@Bob", "@Mei")):
        for text in ("one", "two", "three"):
            await chat.say("Mei", to, text)
        for seq in (3, 1):
            clock.now += 1000
            await chat.do("Bob", other, "pin", ref=seq)
        assert await pinned(chat, to) == [1, 3]
        refs = await chat.store.pins(key(to, "Mei"))
        assert [(ref.pin, ref.by, ref.ts) for ref in refs] == [
            (5, "Bob", clock.now),
            (4, "Bob", clock.now - 1000),
        ]
        await chat.do("Mei", to, "unpin", ref=1)
        assert await pinned(chat, to) == [3]
    assert await chat.store.pins(key("@Eve", "Mei")) == []


async def test_pin_that_changes_nothing_is_not_appended(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "hello")
    await chat.do("Bob", "#lobby", "pin", ref=1, cid="first")
    again = draft("Mei", "#lobby", "", kind="pin", ref=1, cid="again")
    assert await chat.append(again, again) == [Unchanged()] * 2
    await chat.do("Mei", "#lobby", "unpin", ref=1)
    assert await chat.append(structs.replace(again, kind="unpin")) == [Unchanged()]
    (retry,) = await chat.append(draft("Bob", "#lobby", "", kind="pin", ref=1, cid="first"))
    assert isinstance(retry, Appended)
    assert (retry.dup, retry.entry.seq) == (True, 2)
    assert await pinned(chat, "#lobby") == []


async def test_edited_message_stays_pinned_and_a_deleted_one_does_not(chat: Chat) -> None:
    for text in ("one", "two"):
        await chat.say("Mei", "#lobby", text)
    for seq in (1, 2):
        await chat.do("Mei", "#lobby", "pin", ref=seq)
    await chat.do("Mei", "#lobby", "edit", "new", ref=1)
    await chat.do("Mei", "#lobby", "react", "👍", ref=1)
    await chat.do("Mei", "#lobby", "delete", ref=2)
    assert await pinned(chat, "#lobby") == [1]
    assert await chat.refused("Mei", "#lobby", "unpin", ref=2) == "unknown_message"
    await chat.do("Mei", "#lobby", "delete", ref=1)
    assert await pinned(chat, "#lobby") == []


async def test_message_that_is_no_longer_kept_is_not_pinned(chat: Chat) -> None:
    for text in ("one", "two"):
        await chat.say("Mei", "#lobby", text)
    for seq in (1, 2):
        await chat.do("Mei", "#lobby", "pin", ref=seq)
    store = chat.store
    await store.retention.set_rule("#lobby", Rule(entries=3))
    rules = await store.retention.rules()
    lobby = key("#lobby", "Mei")
    while await store.retention.remove(lobby, rule_for(rules, lobby)):
        pass
    assert await pinned(chat, "#lobby") == [2]
    assert await chat.refused("Mei", "#lobby", "pin", ref=1) == "unknown_message"


async def test_full_conversation_takes_another_pin_once_one_is_gone(chat: Chat) -> None:
    for number in range(MAX_PINS + 1):
        await chat.say("Mei", "#lobby", f"{number}")
    pins = [draft("Mei", "#lobby", "", kind="pin", ref=n) for n in range(1, MAX_PINS + 2)]
    *done, over = await chat.append(*pins)
    assert all(isinstance(one, Appended) for one in done)
    assert isinstance(over, ChatError)
    assert (over.code, over.details) == ("too_many", {"rule": "pins", "max": MAX_PINS})
    await chat.do("Mei", "#lobby", "delete", ref=5)
    await chat.do("Mei", "#lobby", "pin", ref=MAX_PINS + 1)
    assert (await pinned(chat, "#lobby"))[:2] == [MAX_PINS + 1, MAX_PINS]
    await chat.say("Mei", "@Bob", "elsewhere")
    await chat.do("Mei", "@Bob", "pin", ref=1)


async def test_right_to_pin_is_compared_in_the_commit(chat: Chat) -> None:
    await chat.do("Mei", ROOM, "create", "public")
    await chat.do("Bob", ROOM, "join")
    await chat.say("Bob", ROOM, "look")
    operator = Facts(sender=("operator",), is_open=True)
    assert await chat.refused("Bob", ROOM, "pin", ref=3, facts=operator) == "busy"
    await chat.do("Mei", ROOM, "archive", "on")
    assert await chat.refused("Mei", ROOM, "pin", ref=3, facts=operator) == "busy"
    await chat.do("Mei", ROOM, "archive", "off")
    await chat.do("Mei", ROOM, "pin", ref=3, facts=operator)
    await chat.store.set_blocked(person("Bob"), person("Mei"), on=True)
    await chat.say("Mei", "@Bob", "hi")
    facts = Facts(is_open=True)
    assert await chat.refused("Mei", "@Bob", "pin", ref=1, facts=facts) == "busy"


async def test_followers_receive_pins(chat: Chat, nursery: trio.Nursery) -> None:
    following = Following()
    await follow(nursery, chat.store, following)
    await chat.say("Mei", "@Bob", "hello")
    await chat.do("Bob", "@Mei", "pin", ref=1)
    await chat.do("Mei", "@Bob", "unpin", ref=1)
    last = [(one.entry.kind, one.entry.ref, one.entry.text) for one in following.logged[1:]]
    assert last == [("pin", 1, ""), ("unpin", 1, "")]
