"""The Store's contract: a person's conversations, read markers, counts, levels."""

from __future__ import annotations

import pytest
from storing import Chat, account, draft, key, person

from gochat.chat.store import MAX_COUNTED
from gochat.protocol.messages import Conversation
from gochat.protocol.text import EVERYBODY
from gochat.storage.redis import log_reading as redis_reading
from gochat.storage.sqlite import reader as sqlite_reader

pytestmark = pytest.mark.trio


async def test_lobby_is_everyones_and_older_entries_are_read(chat: Chat) -> None:
    said = await chat.say("Mei", "#lobby", "hello @Bob", mentions=["Bob"])
    await chat.store.create_account(account("New"))
    assert await chat.store.conversation_keys(person("New")) == {"#lobby": 0}
    assert await chat.seen("New", "#lobby") == Conversation(
        conv="#lobby", epoch=said.epoch, head=1, ts=said.ts, read=1
    )
    assert await chat.seen("Bob", "#lobby") == Conversation(
        conv="#lobby", epoch=said.epoch, head=1, ts=said.ts, read=0, unread=1, mentions=1
    )


async def test_private_conversation_is_both_peoples_from_the_first_message(chat: Chat) -> None:
    assert await chat.store.conversation(person("Bob"), key("@Mei", "Bob")) is None
    await chat.say("Mei", "@Bob", "hi")
    assert await chat.addresses("Mei") == ["#lobby", "@Bob"]
    assert await chat.addresses("Bob") == ["#lobby", "@Mei"]
    assert await chat.addresses("Eve") == ["#lobby"]
    keys = {key("#lobby", "Bob"): 0, key("@Mei", "Bob"): 0}
    assert await chat.store.conversation_keys(person("Bob")) == keys
    bob = await chat.seen("Bob", "@Mei")
    assert (bob.conv, bob.head, bob.read, bob.unread) == ("@Mei", 1, 0, 1)
    mei = await chat.seen("Mei", "@Bob")
    assert (mei.conv, mei.head, mei.read, mei.unread) == ("@Bob", 1, 0, 0)
    assert await chat.store.conversation(person("Eve"), key("@Mei", "Bob")) is None


async def test_notes_are_a_conversation_with_the_own_name(chat: Chat) -> None:
    await chat.say("Mei", "@Mei", "buy milk")
    assert await chat.addresses("Mei") == ["#lobby", "@Mei"]
    assert (await chat.seen("Mei", "@Mei")).unread == 0


async def test_rooms_are_conversations_only_of_their_members(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "private")
    await chat.do("Mei", "#garden", "invite", "Bob", subject="Bob")
    assert await chat.addresses("Mei") == ["#garden", "#lobby"]
    assert await chat.addresses("Bob") == ["#lobby"]
    assert await chat.store.conversation(person("Bob"), key("#garden", "Bob")) is None
    await chat.do("Bob", "#garden", "join")
    assert await chat.store.conversation_keys(person("Bob")) == {"#garden": 0, "#lobby": 0}
    await chat.do("Mei", "#garden", "kick", "Bob", subject="Bob")
    assert await chat.store.conversation_keys(person("Bob")) == {"#lobby": 0}


async def test_room_has_its_topic_access_and_operators(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "private")
    await chat.do("Mei", "#garden", "topic", "roses")
    await chat.do("Bob", "#garden", "join")
    mei, bob = await chat.seen("Mei", "#garden"), await chat.seen("Bob", "#garden")
    assert (mei.topic, mei.private, mei.operator) == ("roses", True, True)
    assert (bob.topic, bob.private, bob.operator) == ("roses", True, False)


async def test_older_entries_are_read_at_a_join(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    await chat.say("Mei", "#garden", "before")
    await chat.do("Bob", "#garden", "join")
    bob = await chat.seen("Bob", "#garden")
    assert (bob.head, bob.unread) == (3, 0)
    await chat.say("Mei", "#garden", "after")
    assert (await chat.seen("Bob", "#garden")).unread == 1
    await chat.do("Bob", "#garden", "leave")
    await chat.do("Bob", "#garden", "join")
    assert (await chat.seen("Bob", "#garden")).unread == 0


async def test_only_existing_messages_of_others_are_unread(chat: Chat) -> None:
    await chat.say("Bob", "#lobby", "own")
    await chat.say("Mei", "#lobby", "one @Bob", mentions=["Bob"])
    await chat.say("Eve", "#lobby", "two @Bob", mentions=["Bob"])
    await chat.do("Eve", "#lobby", "edit", "TWO", ref=3)
    await chat.do("Mei", "#lobby", "react", "👍", ref=1)
    bob = await chat.seen("Bob", "#lobby")
    assert (bob.read, bob.unread, bob.mentions) == (0, 2, 1)
    await chat.do("Mei", "#lobby", "delete", ref=2)
    bob = await chat.seen("Bob", "#lobby")
    assert (bob.head, bob.unread, bob.mentions) == (6, 1, 0)


async def test_edit_can_add_a_mention(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "hello")
    await chat.do("Mei", "#lobby", "edit", "hello @Bob", ref=1, mentions=["Bob"])
    assert (await chat.seen("Bob", "#lobby")).mentions == 1


async def test_mention_of_everybody_counts_once_for_each_but_its_sender(chat: Chat) -> None:
    async def mentions() -> list[int]:
        return [(await chat.seen(name, "#lobby")).mentions for name in ("Mei", "Bob", "Eve")]

    await chat.say("Mei", "#lobby", "@room, and @Bob", mentions=[EVERYBODY, "Bob"])
    await chat.say("Eve", "#lobby", "@Bob", mentions=["Bob"])
    assert await mentions() == [0, 2, 1]
    await chat.do("Mei", "#lobby", "edit", "@Eve", ref=1, mentions=["Eve"])
    assert await mentions() == [0, 1, 1]
    await chat.do("Mei", "#lobby", "edit", "@here", ref=1, mentions=[EVERYBODY])
    await chat.say("Bob", "#lobby", "@room", mentions=[EVERYBODY])
    assert await mentions() == [1, 2, 2]
    await chat.store.mark_read(person("Bob"), key("#lobby", "Bob"), 2)
    assert await mentions() == [1, 0, 2]
    await chat.do("Mei", "#lobby", "delete", ref=1)
    assert await mentions() == [1, 0, 1]


async def test_sending_moves_no_marker_and_is_not_unread_to_the_sender(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "one")
    await chat.say("Bob", "#lobby", "two, says @Bob", mentions=["Bob"])
    await chat.say("Mei", "#lobby", "three, @Bob", mentions=["Bob"])
    await chat.say("Bob", "#lobby", "four")
    await chat.do("Bob", "#lobby", "edit", "@Bob and @Mei", ref=4, mentions=["Bob", "Mei"])
    bob, mei = await chat.seen("Bob", "#lobby"), await chat.seen("Mei", "#lobby")
    assert (bob.read, bob.unread, bob.mentions) == (0, 2, 1)
    assert (mei.read, mei.unread, mei.mentions) == (0, 2, 1)


async def test_own_messages_are_never_counted_deleted_or_not(chat: Chat) -> None:
    for number in range(3):
        await chat.say("Mei", "@Bob", f"mei {number}")
        await chat.say("Bob", "@Mei", f"bob {number}")
    await chat.do("Bob", "@Mei", "delete", ref=4)
    await chat.do("Mei", "@Bob", "delete", ref=3)
    counted = [(await chat.seen("Bob", "@Mei")).unread]
    for seq in range(1, 9):
        assert await chat.mark_read("Bob", "@Mei", seq)
        counted.append((await chat.seen("Bob", "@Mei")).unread)
    assert counted == [2, 1, 1, 1, 1, 0, 0, 0, 0]
    await chat.say("Bob", "@Mei", "still there?")
    await chat.say("Mei", "@Bob", "yes")
    assert (await chat.seen("Bob", "@Mei")).unread == 1
    assert (await chat.seen("Mei", "@Bob")).unread == 3


async def test_marker_moves_only_forward_and_not_beyond_the_head(chat: Chat) -> None:
    await chat.append(*(draft("Mei", "#lobby", f"@Bob {n}", mentions=["Bob"]) for n in range(5)))
    assert await chat.mark_read("Bob", "#lobby", 3) is True
    assert await chat.mark_read("Bob", "#lobby", 3) is False
    assert await chat.mark_read("Bob", "#lobby", 1) is False
    bob = await chat.seen("Bob", "#lobby")
    assert (bob.read, bob.unread, bob.mentions) == (3, 2, 2)
    assert await chat.mark_read("Bob", "#lobby", 2**53 - 1) is True
    assert await chat.mark_read("Bob", "#lobby", 2**53 - 1) is False
    bob = await chat.seen("Bob", "#lobby")
    assert (bob.read, bob.unread, bob.mentions) == (5, 0, 0)
    assert (await chat.seen("Eve", "#lobby")).read == 0


async def test_marker_of_a_foreign_conversation_does_not_move(chat: Chat) -> None:
    await chat.say("Mei", "@Bob", "hi")
    await chat.do("Mei", "#garden", "create", "public")
    assert await chat.store.mark_read(person("Eve"), key("@Bob", "Mei"), 1) is False
    assert await chat.mark_read("Eve", "#garden", 1) is False
    assert await chat.mark_read("Eve", "@Mei", 1) is False
    assert await chat.mark_read("Eve", "#nowhere", 1) is False


async def test_counts_are_bounded(chat: Chat) -> None:
    extra = 50
    for _ in range((MAX_COUNTED + extra) // 50):
        await chat.append(*(draft("Mei", "#lobby", "@Bob", mentions=["Bob"]) for _ in range(50)))
    bob = await chat.seen("Bob", "#lobby")
    assert (bob.head, bob.unread, bob.mentions) == (MAX_COUNTED + extra, MAX_COUNTED, MAX_COUNTED)
    await chat.mark_read("Bob", "#lobby", extra + 1)
    bob = await chat.seen("Bob", "#lobby")
    assert (bob.unread, bob.mentions) == (MAX_COUNTED - 1, MAX_COUNTED - 1)


async def test_level_is_stored_for_each_person_and_conversation(chat: Chat) -> None:
    await chat.say("Mei", "@Bob", "hi")
    assert await chat.store.set_level(person("Bob"), key("#lobby", "Bob"), "mentions")
    assert await chat.store.set_level(person("Bob"), key("@Mei", "Bob"), "none")
    assert not await chat.store.set_level(person("Eve"), key("@Mei", "Bob"), "none")
    assert not await chat.store.set_level(person("Bob"), key("@Eve", "Bob"), "none")
    assert (await chat.seen("Bob", "#lobby")).level == "mentions"
    assert (await chat.seen("Bob", "@Mei")).level == "none"
    assert (await chat.seen("Mei", "@Bob")).level == "all"
    assert (await chat.seen("Mei", "#lobby")).level == "all"
    assert await chat.addresses("Eve") == ["#lobby"]


async def test_conversations_are_paged_by_address(chat: Chat) -> None:
    people = ["Zoe", "alice", "李雷", "Ömer", "bert"]
    await chat.register(*people)
    for name in people:
        await chat.say(name, "@Mei", "hi")
    await chat.do("Mei", "#zoo", "create", "public")
    await chat.do("Mei", "#Art", "create", "public")
    addresses = ["#Art", "#lobby", "#zoo", "@Zoe", "@alice", "@bert", "@Ömer", "@李雷"]
    assert await chat.addresses("Mei") == addresses
    found: list[str] = []
    more = True
    while more:
        after = found[-1] if found else ""
        page, more = await chat.store.summaries(person("Mei"), after=after, limit=3)
        found += [summary.address for summary in page]
    assert found == addresses


async def test_waiting_messages_are_existing_ones_of_others(chat: Chat) -> None:
    await chat.say("Bob", "@Mei", "deleted")
    await chat.say("Mei", "@Bob", "own")
    await chat.say("Bob", "@Mei", "first")
    await chat.do("Bob", "@Mei", "delete", ref=1)
    await chat.do("Mei", "@Bob", "react", "👍", ref=3)
    await chat.say("Bob", "@Mei", "second")
    await chat.say("Mei", "@Bob", "own")

    async def waiting(after: int, limit: int) -> tuple[list[str], int, int]:
        found = await chat.store.waiting(
            key("@Bob", "Mei"), viewer=person("Mei"), after=after, limit=limit
        )
        for message in found.messages:
            assert message in await chat.entries("Mei", "@Bob")
        return [message.text for message in found.messages], found.read_to, found.head

    assert await waiting(0, 1) == (["first"], 3, 7)
    assert await waiting(3, 1) == (["second"], 6, 7)
    assert await waiting(6, 1) == ([], 7, 7)
    assert await waiting(0, 100) == (["first", "second"], 7, 7)
    nobody = await chat.store.waiting(key("@Eve", "Mei"), viewer=person("Mei"), after=0, limit=1)
    assert (nobody.messages, nobody.head) == ([], 0)


async def test_search_for_waiting_messages_is_bounded(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sqlite_reader, redis_reading):
        monkeypatch.setattr(module, "MAX_SKIPPED", 4)
    for number in range(9):
        await chat.say("Mei", "@Bob", f"own {number}")
    await chat.say("Bob", "@Mei", "hi")
    after, seen = 0, []
    while after < 10:
        found = await chat.store.waiting(
            key("@Bob", "Mei"), viewer=person("Mei"), after=after, limit=3
        )
        after = found.read_to
        seen.append((after, [message.text for message in found.messages]))
    assert seen == [(4, []), (8, []), (10, ["hi"])]


async def test_markers_of_all_private_conversations_are_listed(chat: Chat) -> None:
    assert await chat.store.private_markers(person("Mei")) == {}
    await chat.do("Mei", "#garden", "create", "public")
    await chat.say("Mei", "@Mei", "note")
    await chat.say("Bob", "@Mei", "hi")
    await chat.say("Bob", "@Mei", "hi again")
    await chat.mark_read("Mei", "@Bob", 1)
    assert await chat.store.private_markers(person("Mei")) == {
        key("@Mei", "Mei"): (0, 1),
        key("@Bob", "Mei"): (1, 2),
    }
    assert await chat.store.private_markers(person("Bob")) == {key("@Mei", "Bob"): (0, 2)}
