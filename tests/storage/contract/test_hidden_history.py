"""The Store's contract: entries from before a person joined, in rooms that hide them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from patience import until
from storing import Chat, Clock, Following, draft, follow, key, person

from gochat.chat.facts import INSIDE, Facts
from gochat.chat.log import Appended
from gochat.protocol.messages import EntryKind, Message

pytestmark = pytest.mark.trio

DEN = "#den"
#: The seq of the last entry that is hidden from Bob in :func:`den`.
FLOOR = 5


async def den(chat: Chat, setting: str = "hidden") -> None:
    """Mei's private room, which Bob has joined after she wrote there."""
    await chat.do("Mei", DEN, "create", "private")
    await chat.say("Mei", DEN, "needle one")
    await chat.do("Mei", DEN, "history", setting)
    await chat.say("Mei", DEN, "needle two @Bob", mentions=["Bob"])
    await chat.do("Mei", DEN, "invite", "Bob", subject="Bob")
    await chat.do("Bob", DEN, "join")


async def join(chat: Chat, who: str) -> int:
    """Invite a person, who joins; return their floor."""
    await chat.do("Mei", DEN, "invite", who, subject=who)
    await chat.do(who, DEN, "join")
    return await floor(chat, who)


async def floor(chat: Chat, who: str) -> int:
    """Return a person's floor, on which all methods must agree."""
    page = await chat.page(who, DEN)
    found = (await chat.store.conversation_keys(person(who)))[key(DEN, who)]
    assert page.floor == found == (await chat.seen(who, DEN)).floor
    assert page.entries[0].seq == found + 1
    return found


async def test_pages_begin_at_the_join(chat: Chat) -> None:
    await den(chat)
    await chat.say("Mei", DEN, "hello")
    for bounds in ({}, {"after": 0}, {"after": 3}, {"before": 99}, {"after": FLOOR, "limit": 1}):
        page = await chat.page("Bob", DEN, **bounds)
        assert page.entries[0].seq == FLOOR + 1, bounds
        assert (page.floor, page.head) == (FLOOR, 7)
    for bounds in ({"before": FLOOR + 1}, {"before": 3}, {"before": 1}):
        assert (await chat.page("Bob", DEN, **bounds)).entries == []
    assert len((await chat.page("Bob", DEN, after=0, limit=2)).entries) == 2
    assert [entry.seq for entry in await chat.entries("Mei", DEN)] == [1, 2, 3, 4, 5, 6, 7]


async def test_shown_history_is_readable_entirely(chat: Chat) -> None:
    await den(chat, "shown")
    assert await floor(chat, "Bob") == 0
    assert await chat.find("Bob", "needle") == ["needle two @Bob", "needle one"]
    assert (await chat.room("Bob", DEN)).history == "shown"
    assert (await chat.seen("Bob", DEN)).history == "shown"


async def test_setting_belongs_to_the_room(chat: Chat) -> None:
    await den(chat)
    for who in ("Mei", "Bob", "Eve"):
        assert (await chat.room(who, DEN)).history == "hidden"
    assert (await chat.seen("Bob", DEN)).history == "hidden"
    assert (await chat.room("Mei", "#lobby")).history == "shown"


async def test_hidden_message_is_not_found(chat: Chat) -> None:
    await den(chat)
    said = await chat.say("Mei", DEN, "hello")
    for seq in (2, 4):
        assert await chat.store.message(key(DEN, "Bob"), seq, viewer=person("Bob")) is None
        assert await chat.store.message(key(DEN, "Mei"), seq, viewer=person("Mei")) is not None
    found = await chat.store.message(key(DEN, "Bob"), said.seq, viewer=person("Bob"))
    assert found is not None
    assert found.text == "hello"


async def test_waiting_messages_begin_at_the_join(chat: Chat) -> None:
    await den(chat)
    for number in range(3):
        await chat.say("Mei", DEN, f"hello {number}")
    waiting = await chat.store.waiting(key(DEN, "Bob"), viewer=person("Bob"), after=0, limit=2)
    assert [message.text for message in waiting.messages] == ["hello 0", "hello 1"]
    assert (waiting.head, waiting.read_to) == (9, 8)
    await chat.do("Mei", DEN, "kick", "Bob", subject="Bob")
    await join(chat, "Bob")
    waiting = await chat.store.waiting(key(DEN, "Bob"), viewer=person("Bob"), after=0, limit=2)
    assert (waiting.messages, waiting.read_to) == ([], 12)


async def test_search_finds_no_hidden_message(
    chat: Chat, let_index: Callable[[], Awaitable[None]]
) -> None:
    await den(chat)
    assert await chat.find("Bob", "needle") == []
    await let_index()
    for query in ("needle", "two", "e"):
        assert await chat.find("Bob", query) == [], query
        assert await chat.find("Bob", query, to=DEN) == []
    await chat.say("Mei", DEN, "needle three")
    await let_index()
    await chat.do("Mei", DEN, "edit", "needle changed", ref=2)
    assert await chat.find("Bob", "needle") == ["needle three"]
    assert await chat.find("Bob", "changed") == []
    assert len(await chat.find("Mei", "needle")) == 3


async def test_cursor_of_another_person_finds_no_hidden_message(chat: Chat) -> None:
    await den(chat)
    await chat.say("Mei", DEN, "needle three")
    hits, cursor = await chat.store.search(person("Mei"), ("needle",), limit=1)
    assert [hit.text for hit in hits] == ["needle three"]
    assert cursor is not None
    hits, _ = await chat.store.search(person("Bob"), ("needle",), cursor=cursor, limit=10)
    assert hits == []
    hits, _ = await chat.store.search(person("Mei"), ("needle",), cursor=cursor, limit=10)
    assert len(hits) == 2


async def test_hidden_messages_are_not_unread(chat: Chat) -> None:
    await den(chat)
    seen = await chat.seen("Bob", DEN)
    assert (seen.read, seen.unread, seen.mentions) == (FLOOR + 1, 0, 0)
    await chat.do("Mei", DEN, "edit", "@Bob again", ref=4, mentions=["Bob"])
    assert not await chat.mark_read("Bob", DEN, 3)
    seen = await chat.seen("Bob", DEN)
    assert (seen.unread, seen.mentions) == (0, 0)
    await chat.say("Mei", DEN, "hello @Bob", mentions=["Bob"])
    seen = await chat.seen("Bob", DEN)
    assert (seen.unread, seen.mentions) == (1, 1)


CHANGES: dict[EntryKind, str] = {"edit": "psst, @Bob", "react": "🌹", "unreact": "🌹", "delete": ""}


async def test_changes_of_hidden_messages_have_no_text(chat: Chat) -> None:
    await den(chat)
    for kind, text in CHANGES.items():
        mentions = ["Bob"] if kind == "edit" else []
        await chat.do("Mei", DEN, kind, text, ref=4, mentions=mentions)
    reply = await chat.say("Mei", DEN, "as I said", ref=2)
    *changes, last = (await chat.page("Bob", DEN, after=FLOOR + 1)).entries
    assert [entry.kind for entry in changes] == list(CHANGES)
    assert [entry.seq for entry in changes] == [7, 8, 9, 10]
    for entry in changes:
        assert (entry.text, entry.mentions, entry.ref) == ("", (), 4)
        assert entry.deleted or entry.kind == "delete"
    assert last.text == reply.text
    assert (await chat.entries("Mei", DEN))[7].text == "🌹"


async def test_changes_of_readable_messages_have_their_text(chat: Chat) -> None:
    await den(chat)
    said = await chat.say("Mei", DEN, "helo")
    await chat.do("Mei", DEN, "edit", "hello", ref=said.seq)
    await chat.do("Mei", DEN, "react", "🌹", ref=said.seq)
    message, edit, react = (await chat.page("Bob", DEN, after=FLOOR + 1)).entries
    assert [entry.text for entry in (message, edit, react)] == ["hello", "hello", "🌹"]
    assert not edit.deleted
    assert [reaction.emoji for reaction in message.reactions] == ["🌹"]


@pytest.mark.parametrize("kind", ["text", "edit", "delete", "react", "unreact", "pin"])
async def test_changes_of_messages_hidden_from_their_sender_are_refused(
    chat: Chat, kind: EntryKind
) -> None:
    await den(chat)
    await chat.do("Mei", DEN, "operator", "Bob", subject="Bob")
    before = await chat.page("Mei", DEN)
    facts = Facts(sender=INSIDE)
    assert await chat.refused("Bob", DEN, kind, "🌹", ref=4, facts=facts) == "busy"
    assert await chat.page("Mei", DEN) == before
    await chat.do("Mei", DEN, kind if kind != "unreact" else "react", "🌹", ref=4, facts=facts)


async def test_setting_is_a_fact(chat: Chat) -> None:
    await den(chat)
    shown, hidden = Facts(history="shown"), Facts(history="hidden")
    assert await chat.refused("Mei", DEN, "topic", "x", facts=shown) == "busy"
    await chat.do("Mei", DEN, "topic", "x", facts=hidden)
    await chat.do("Mei", DEN, "history", "shown")
    assert await chat.refused("Mei", DEN, "topic", "y", facts=hidden) == "busy"
    await chat.do("Mei", DEN, "topic", "y", facts=shown)


async def test_rejoining_person_reads_from_there(chat: Chat, clock: Clock) -> None:
    await den(chat)
    first = await chat.say("Bob", DEN, "mine", cid="mine")
    assert first.seq == 7
    await chat.do("Bob", DEN, "leave")
    await chat.say("Mei", DEN, "while Bob is away")
    assert await join(chat, "Bob") == 10
    await chat.do("Mei", DEN, "kick", "Bob", subject="Bob")
    assert await join(chat, "Bob") == 13
    # A retry gets the result of the first try, whoever may read it now.
    clock.now += 1000
    assert await chat.refused("Bob", DEN, "text", "not mine", cid="mine") == "cid_conflict"
    for again in (
        *(await chat.append(draft("Bob", DEN, "mine", cid="mine"))),
        await chat.store.find_by_cid(draft("Bob", DEN, "mine", cid="mine")),
    ):
        assert isinstance(again, Appended)
        assert (again.dup, again.entry.seq, again.entry.ts) == (True, 7, first.ts)


async def test_showing_history_again_applies_to_new_entries_and_joins(chat: Chat) -> None:
    await den(chat)
    shown = await chat.do("Mei", DEN, "history", "shown")
    assert await floor(chat, "Bob") == FLOOR
    assert await join(chat, "Eve") == shown.seq - 1
    # Repeating it moves nothing.
    await chat.do("Mei", DEN, "history", "shown")
    await chat.do("Eve", DEN, "leave")
    assert await join(chat, "Eve") == shown.seq - 1


async def test_hiding_history_takes_nothing_from_members(chat: Chat) -> None:
    await den(chat, "shown")
    await chat.do("Mei", DEN, "history", "hidden")
    assert await floor(chat, "Bob") == 0
    head = (await chat.page("Mei", DEN)).head
    assert await join(chat, "Eve") == head + 1  # plus the invitation


async def test_room_that_becomes_public_shows_history_from_there_on(chat: Chat) -> None:
    await den(chat)
    public = await chat.do("Mei", DEN, "access", "public")
    assert (await chat.room("Eve", DEN)).history == "shown"
    await chat.say("Mei", DEN, "welcome")
    await chat.do("Eve", DEN, "join")
    assert await floor(chat, "Eve") == public.seq - 1
    assert await floor(chat, "Bob") == FLOOR


async def test_public_room_without_hidden_entries_shows_all(chat: Chat) -> None:
    await den(chat, "shown")
    await chat.do("Mei", DEN, "access", "public")
    await chat.do("Eve", DEN, "join")
    assert await floor(chat, "Eve") == 0


async def test_followers_get_the_floor_of_a_join(chat: Chat) -> None:
    async with trio.open_nursery() as nursery:
        following = Following()
        await follow(nursery, chat.store, following)
        await den(chat)
        await chat.do("Mei", DEN, "history", "shown")
        await join(chat, "Eve")
        await until(lambda: len(following.logged) >= 9)
        nursery.cancel_scope.cancel()
    found = [(one.entry.kind, one.floor) for one in following.logged]
    assert found[5] == ("join", FLOOR)
    assert found[8] == ("join", 6)
    assert all(not floor for kind, floor in found if kind != "join")


async def test_entry_of_shown_history_has_no_floor(chat: Chat) -> None:
    said: Message = await chat.say("Mei", "@Bob", "hi")
    page = await chat.page("Bob", "@Mei")
    assert (page.floor, page.entries) == (0, [said])
