"""Messages: sending, changing, reading, finding."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from chat_worlds import World, own, told

from gochat.client import (
    ChatError,
    Entry,
    IsTyping,
    Level,
    Marked,
    Message,
    MessageDeleted,
    MessageEdited,
    MessageId,
    MessagePinned,
    MessageUnpinned,
    OperatorAdded,
    Outgoing,
    OutgoingChanged,
    OutgoingState,
    Reaction,
    ReactionAdded,
    ReactionRemoved,
    SavedChanged,
)
from gochat.errors import ErrorCode
from gochat.protocol.messages import EntryKind
from gochat.tui.actions.client import ChatClient

pytestmark = pytest.mark.anyio


async def refused(request: Awaitable[object]) -> tuple[str, str | None]:
    """Return code and field of a refusal."""
    with pytest.raises(ChatError) as caught:
        await request
    return str(caught.value.code), caught.value.field


def state(outgoing: Outgoing) -> OutgoingState:
    """Return the present state: mypy assumes that it does not change."""
    return outgoing.state


async def said(world: World, text: str, to: str = "#lobby") -> Message:
    """Make ada send a message, and return its entry."""
    world.ada.send(to, text)
    return await world.events.next_of(Message, own)


# -- sending ---------------------------------------------------------------------------------------


async def test_message_is_pending_then_acknowledged_then_an_event(chat: World) -> None:
    ada = chat.ada
    outgoing = ada.send("#lobby", "hello @mei")
    assert (outgoing.state, outgoing.sender) == (OutgoingState.PENDING, "ada")
    assert list(ada.outbox) == [outgoing]
    sent = await outgoing.sent()
    assert sent.conversation == "#lobby"
    changed = await chat.events.next_of(OutgoingChanged)
    assert changed.outgoing is outgoing
    assert (outgoing.state, outgoing.sent_as) == (OutgoingState.SENT, sent)
    entry = await chat.events.next()
    assert entry == Message(
        conversation="#lobby", epoch=sent.epoch, seq=sent.seq, time=sent.time, sender="ada",
        is_own=True, text="hello @mei", cid=outgoing.cid, mentions=("mei",),
    )  # fmt: skip
    assert list(ada.outbox) == []


async def test_messages_are_sent_in_order(chat: World) -> None:
    for number in range(5):
        chat.ada.send("#lobby", str(number))
    texts = [(await chat.events.next_of(Message)).text for _ in range(5)]
    assert texts == ["0", "1", "2", "3", "4"]


async def test_reply_names_its_message(chat: World) -> None:
    chat.say("#lobby", "mei", "a question")
    question = await chat.events.next_of(Message)
    await chat.ada.reply(question, "an answer")
    answer = await chat.events.next_of(Message)
    assert answer.reply_to == MessageId("#lobby", question.seq)


async def test_address_is_spelled_as_on_the_server(chat: World) -> None:
    assert (await chat.ada.send("@MEI", "hello")).conversation == "@mei"
    assert (await chat.events.next_of(Message)).conversation == "@mei"


@pytest.mark.parametrize(
    ("to", "text", "reply_to", "code", "field"),
    [
        ("#nowhere", "hello", None, ErrorCode.UNKNOWN_CONVERSATION, "to"),
        ("#music", "hello", None, ErrorCode.NOT_A_MEMBER, "to"),
        ("@nobody", "hello", None, ErrorCode.UNKNOWN_PERSON, "to"),
        ("#lobby", " \n", None, ErrorCode.TEXT_EMPTY, "text"),
        ("#lobby", "x" * 4001, None, ErrorCode.TEXT_TOO_LONG, "text"),
        ("#lobby", "hello", 99, ErrorCode.UNKNOWN_MESSAGE, "reply_to"),
    ],
)
async def test_refused_message_fails_and_the_next_one_is_sent(
    chat: World, to: str, text: str, reply_to: int | None, code: ErrorCode, field: str
) -> None:
    chat.room("#music", operator="mei")
    outgoing = (
        chat.ada.send(to, text)
        if reply_to is None
        else chat.ada.reply(MessageId(to, reply_to), text)
    )
    following = chat.ada.send("#lobby", "next")
    assert await refused(outgoing.sent()) == (code, field)
    assert outgoing.state is OutgoingState.FAILED
    assert outgoing.error is not None
    await following.sent()
    changed = [(await chat.events.next_of(OutgoingChanged)).outgoing for _ in range(2)]
    assert set(map(id, changed)) == {id(outgoing), id(following)}
    assert chat.ada.outbox == (outgoing,)


async def test_refused_message_can_be_retried(chat: World) -> None:
    ada = chat.ada
    chat.room("#music", operator="mei")
    outgoing = ada.send("#music", "hello")
    await chat.events.next_of(OutgoingChanged)
    await ada.join("#music")
    ada.retry(outgoing)
    assert state(outgoing) is OutgoingState.PENDING
    assert (await chat.events.next_of(OutgoingChanged)).outgoing is outgoing
    assert (await outgoing).conversation == "#music"
    assert (await chat.events.next_of(Message)).cid == outgoing.cid
    ada.retry(outgoing)  # it is SENT: does nothing
    assert state(outgoing) is OutgoingState.SENT


async def test_only_a_refused_message_can_be_discarded(chat: World) -> None:
    ada = chat.ada
    refused = ada.send("@nobody", "hello")
    await chat.events.next_of(OutgoingChanged)
    ada.discard(refused)
    assert list(ada.outbox) == []
    waiting = ada.send("#lobby", "hello")
    ada.discard(waiting)
    assert list(ada.outbox) == [waiting]
    await waiting.sent()


async def test_messages_of_others_arrive_as_sent(chat: World) -> None:
    seq = chat.say("#lobby", "mei", "hello @ada")
    entry = await chat.events.next_of(Message)
    assert (entry.conversation, entry.sender, entry.text) == ("#lobby", "mei", "hello @ada")
    assert not entry.is_own
    assert (entry.seq, entry.mentions) == (seq, ("ada",))
    chat.say("@mei", "mei", "psst @ada")
    private = await chat.events.next_of(Message)
    assert (private.conversation, private.sender, private.mentions) == ("@mei", "mei", ())


# -- changing --------------------------------------------------------------------------------------


async def test_message_is_edited(chat: World) -> None:
    message = await said(chat, "helo")
    sent = await chat.ada.edit(message, "hello @mei")
    edit = await chat.events.next_of(MessageEdited)
    assert (edit.text, edit.message) == ("hello @mei", MessageId("#lobby", message.seq))
    assert (edit.seq, edit.mentions, edit.is_own) == (sent.seq, ("mei",), True)
    assert edit.cid
    again = await chat.ada.edit(message, "hello!")
    match (await chat.ada.history("#lobby")).entries:
        case (
            Message(text="hello!", edited=edited, deleted=False),
            MessageEdited(text="", deleted=True),
            MessageEdited(text="hello!", deleted=False),
        ):
            assert edited == again.seq
        case entries:
            pytest.fail(str(entries))


async def test_message_is_deleted_with_all_its_texts(chat: World) -> None:
    message = await said(chat, "a secret")
    await chat.ada.edit(message, "the secret")
    chat.say("#lobby", "mei", "👍", kind="react", ref=message.seq)
    sent = await chat.ada.delete(message)
    deletion = await chat.events.next_of(MessageDeleted)
    assert deletion.message == MessageId("#lobby", message.seq)
    assert deletion.seq == sent.seq
    match (await chat.ada.history("#lobby")).entries:
        case (
            Message(text="", deleted=True, reactions=()),
            MessageEdited(text="", deleted=True),
            ReactionAdded(emoji="👍"),
            MessageDeleted(),
        ):
            pass
        case entries:
            pytest.fail(str(entries))


async def test_reactions_are_counted_once_for_each_person(chat: World) -> None:
    seq = chat.say("#lobby", "mei", "lunch?")
    chat.say("#lobby", "tomas", "👍", kind="react", ref=seq)
    chat.say("#lobby", "tomas", "👍", kind="react", ref=seq)
    message = await chat.events.next_of(Message)

    async def shown() -> Reaction:
        entry = (await chat.ada.history("#lobby")).entries[0]
        assert isinstance(entry, Message)
        (reaction,) = entry.reactions
        return reaction

    sent = await chat.ada.react(message, "👍")
    assert sent is not None
    added = await chat.events.next_of(ReactionAdded, own)
    assert (added.emoji, added.message, added.seq) == ("👍", MessageId("#lobby", seq), sent.seq)
    reaction = await shown()
    assert (reaction.emoji, reaction.count, reaction.me) == ("👍", 2, True)
    assert set(reaction.names) == {"ada", "tomas"}
    assert await chat.ada.react(message, "👍") is None
    await chat.ada.react(message, "👍", on=False)
    assert (await chat.events.next_of(ReactionRemoved, own)).emoji == "👍"
    assert await chat.ada.react(message, "👍", on=False) is None
    reaction = await shown()
    assert (reaction.count, reaction.me, reaction.names) == (1, False, ("tomas",))


async def test_messages_are_pinned_for_everybody_and_saved_for_oneself(chat: World) -> None:
    chat.room("#music", operator="mei", members=("tomas",))
    await chat.ada.join("#music")
    seqs = [chat.say("#music", "mei", text) for text in ("one", "two")]
    first, second = (MessageId("#music", seq) for seq in seqs)
    with pytest.raises(ChatError) as caught:
        await chat.ada.pin(first)
    assert (caught.value.code, caught.value.field) == (ErrorCode.NOT_PERMITTED, "to")
    for seq in seqs:
        chat.say("#music", "mei", "", kind="pin", ref=seq)
    pinned = [await chat.events.next_of(MessagePinned) for _ in range(2)]
    assert [(one.message, one.sender) for one in pinned] == [(first, "mei"), (second, "mei")]
    listed = await chat.ada.pins("#music")
    assert [(one.message.text, one.sender, one.seq) for one in listed] == [
        ("two", "mei", pinned[1].seq),
        ("one", "mei", pinned[0].seq),
    ]
    assert all(one.message.pinned for one in listed)
    assert await chat.ada.pinned_seqs("#music") == (second.seq, first.seq)
    chat.say("#music", "mei", "ada", kind="operator")
    await chat.events.next_of(OperatorAdded)
    assert await chat.ada.pin(first) is None
    assert await chat.ada.unpin(first) is not None
    assert (await chat.events.next_of(MessageUnpinned)).is_own
    chat.say("#music", "mei", "", kind="delete", ref=second.seq)
    await chat.events.next_of(MessageDeleted)
    assert await chat.ada.pins("#music") == []

    await chat.ada.save(first)
    assert await chat.events.next_of(SavedChanged) == SavedChanged(message=first)
    await chat.ada.save(first)
    (item,) = (await chat.ada.saved()).items
    assert item.message.text == "one"
    await chat.ada.unsave(first)
    assert await chat.events.next_of(SavedChanged) == SavedChanged(message=first, on=False)
    await chat.ada.unsave(first)
    assert (await chat.ada.saved()).items == ()
    with pytest.raises(ChatError) as caught:
        await chat.ada.save(second)
    assert (caught.value.code, caught.value.field) == (ErrorCode.UNKNOWN_MESSAGE, "seq")


async def test_changes_of_others_arrive(chat: World) -> None:
    seq = chat.say("#lobby", "mei", "helo")
    changed: list[tuple[EntryKind, str]] = [
        ("edit", "hello"),
        ("react", "🎉"),
        ("unreact", "🎉"),
        ("delete", ""),
    ]
    for kind, text in changed:
        chat.say("#lobby", "mei", text, kind=kind, ref=seq)
    await chat.events.next_of(Message)
    changes = [await chat.events.next_of(Entry) for _ in range(4)]
    assert list(map(told, changes)) == changed
    assert {getattr(change, "message", None) for change in changes} == {MessageId("#lobby", seq)}


def in_lobby(seq: int) -> MessageId:
    return MessageId("#lobby", seq)


Request = Callable[[ChatClient, int], Awaitable[object]]


#: Requests after mei has sent a message to the lobby, and how they are refused.
REFUSED: list[tuple[Request, ErrorCode, str]] = [
    (lambda ada, seq: ada.edit(in_lobby(seq), "mine"), ErrorCode.NOT_PERMITTED, "seq"),
    (lambda ada, seq: ada.delete(in_lobby(seq)), ErrorCode.NOT_PERMITTED, "seq"),
    (lambda ada, _: ada.edit(in_lobby(99), "x"), ErrorCode.UNKNOWN_MESSAGE, "seq"),
    (lambda ada, seq: ada.edit(in_lobby(seq), " "), ErrorCode.TEXT_EMPTY, "text"),
    (lambda ada, _: ada.delete(in_lobby(99)), ErrorCode.UNKNOWN_MESSAGE, "seq"),
    (lambda ada, _: ada.react(in_lobby(99), "👍"), ErrorCode.UNKNOWN_MESSAGE, "seq"),
    (lambda ada, seq: ada.react(in_lobby(seq), "ok"), ErrorCode.BAD_REQUEST, "emoji"),
    (lambda ada, _: ada.history("#nowhere"), ErrorCode.UNKNOWN_CONVERSATION, "conv"),
    (lambda ada, _: ada.history("#music"), ErrorCode.NOT_A_MEMBER, "conv"),
    (lambda ada, _: ada.history("@nobody"), ErrorCode.UNKNOWN_PERSON, "conv"),
    (lambda ada, _: ada.history("#lobby", before=1, after=1), ErrorCode.BAD_REQUEST, "before"),
    (lambda ada, _: ada.search(" "), ErrorCode.TEXT_EMPTY, "query"),
    (lambda ada, _: ada.search("x", conversation="#music"), ErrorCode.NOT_A_MEMBER, "conv"),
    (lambda ada, _: ada.mark_read(MessageId("#music", 1)), ErrorCode.NOT_A_MEMBER, "conv"),
    (lambda ada, _: ada.set_level("#music", "none"), ErrorCode.NOT_A_MEMBER, "conv"),
]


async def test_requests_are_refused_with_code_and_field(chat: World) -> None:
    chat.room("#music", operator="mei")
    seq = chat.say("#lobby", "mei", "hers")
    answers = [await refused(request(chat.ada, seq)) for request, _, _ in REFUSED]
    assert answers == [(code, field) for _, code, field in REFUSED]


# -- reading ---------------------------------------------------------------------------------------


#: For a log of nine: the requested page, its entries, and whether there are more.
PAGES: list[tuple[dict[str, Any], list[int], bool, bool]] = [
    ({}, [6, 7, 8, 9], True, False),
    ({"before": 6}, [2, 3, 4, 5], True, True),
    ({"before": 3}, [1, 2], False, True),
    ({"before": 1}, [], False, True),
    ({"after": 0}, [1, 2, 3, 4], False, True),
    ({"after": 7}, [8, 9], True, False),
    ({"after": 9}, [], True, False),
    ({"around": 5}, [3, 4, 5, 6], True, True),
    ({"around": 1}, [1, 2, 3, 4], False, True),
]


async def test_history_is_paged(chat: World) -> None:
    for number in range(9):
        chat.say("#lobby", "mei", str(number))
    for bounds, seqs, older, newer in PAGES:
        page = await chat.ada.history("#lobby", **bounds, limit=4)
        assert [entry.seq for entry in page.entries] == seqs, bounds
        assert (page.older, page.newer) == (older, newer), bounds
        assert (page.conversation, page.head) == ("#lobby", 9)
        assert all(entry.epoch == page.epoch for entry in page.entries)


async def test_history_is_found_by_its_time(chat: World) -> None:
    for number in range(9):
        chat.say("#lobby", "mei", str(number))
    times = [entry.time for entry in (await chat.ada.history("#lobby")).entries]
    for at in (*times, times[0] - timedelta(days=400), times[-1] + timedelta(milliseconds=1)):
        page = await chat.ada.history("#lobby", at=at, limit=4)
        first = next((n for n, time in enumerate(times, 1) if time >= at), 10)
        expected = await chat.ada.history("#lobby", around=first, limit=4)
        assert page == expected, at
    assert (await chat.ada.history("@mei", at=times[0])).entries == ()


async def test_conversation_that_has_not_begun_is_empty(chat: World) -> None:
    page = await chat.ada.history("@mei")
    assert (page.conversation, page.head, page.entries) == ("@mei", 0, ())
    assert (page.older, page.newer) == (False, False)


async def test_search_finds_readable_messages_newest_first(chat: World) -> None:
    chat.room("#music", operator="mei")
    chat.say("#music", "mei", "a needle elsewhere")
    first = chat.say("#lobby", "mei", "A Needle here")
    chat.say("#lobby", "mei", "hay")
    edited = chat.say("#lobby", "mei", "a nedle")
    chat.say("#lobby", "mei", "the needle", kind="edit", ref=edited)
    gone = chat.say("#lobby", "mei", "needle")
    chat.say("#lobby", "mei", "", kind="delete", ref=gone)
    chat.say("@mei", "mei", "needle between us")
    found = await chat.ada.search("needle")
    assert [hit.text for hit in found.hits] == [
        "needle between us", "the needle", "A Needle here",
    ]  # fmt: skip
    assert found.cursor is None
    found = await chat.ada.search("needle", conversation="#lobby", limit=1)
    assert [hit.text for hit in found.hits] == ["the needle"]
    assert found.cursor is not None
    found = await chat.ada.search("needle", conversation="#lobby", cursor=found.cursor)
    assert [hit.seq for hit in found.hits] == [first]


# -- markers ---------------------------------------------------------------------------------------


async def test_unread_messages_are_counted_and_marked(chat: World) -> None:
    ada = chat.ada
    for text in ("one", "two @ada", "three"):
        chat.say("#lobby", "mei", text)
    lobby = (await ada.conversations())[0]
    assert (lobby.head, lobby.read, lobby.unread, lobby.mentions) == (3, 0, 3, 1)
    await ada.mark_read(in_lobby(2))
    lobby = (await ada.conversations())[0]
    assert (lobby.read, lobby.unread, lobby.mentions) == (2, 1, 0)
    await ada.mark_read(in_lobby(1))  # it never moves back
    assert (await ada.conversations())[0].read == 2
    await ada.mark_read(in_lobby(99))
    lobby = (await ada.conversations())[0]
    assert (lobby.read, lobby.unread) == (3, 0)


async def test_own_messages_do_not_hide_unread_ones(chat: World) -> None:
    chat.say("#lobby", "mei", "hello")
    await chat.events.next_of(Message)
    await chat.ada.send("#lobby", "by the way")
    lobby = (await chat.ada.conversations())[0]
    assert (lobby.head, lobby.unread) == (2, 1)


async def test_deleted_message_is_not_unread(chat: World) -> None:
    seq = chat.say("#lobby", "mei", "oops @ada")
    chat.say("#lobby", "mei", "", kind="delete", ref=seq)
    lobby = (await chat.ada.conversations())[0]
    assert (lobby.unread, lobby.mentions) == (0, 0)


async def test_reading_on_another_device_is_reported(chat: World) -> None:
    for text in ("one", "two"):
        chat.say("#lobby", "mei", text)
    chat.read("#lobby", 1)
    marked = await chat.events.next_of(Marked)
    assert (marked.conversation, marked.read, marked.unread, marked.level) == (
        "#lobby",
        1,
        1,
        "all",
    )


@pytest.mark.parametrize("level", ["mentions", "none", "all"])
async def test_level_is_stored_and_reported(chat: World, level: Level) -> None:
    await chat.ada.set_level("#lobby", level)
    assert (await chat.ada.conversations())[0].level == level
    await said(chat, "after it")
    marked = [event for event in chat.events.all if isinstance(event, Marked)]
    assert [(m.conversation, m.level) for m in marked] == [("#lobby", level)]


async def test_own_marker_is_reported(chat: World) -> None:
    chat.say("#lobby", "mei", "hello")
    await chat.ada.mark_read(in_lobby(1))
    await chat.ada.mark_read(in_lobby(1))
    await said(chat, "after it")
    marked = [event for event in chat.events.all if isinstance(event, Marked)]
    assert [(m.conversation, m.read, m.unread) for m in marked] == [("#lobby", 1, 0)]


async def test_typing_of_others_is_reported(chat: World) -> None:
    chat.type("#lobby", "mei")
    assert await chat.events.next_of(IsTyping) == IsTyping("#lobby", "mei")
    chat.type("@mei", "mei")
    assert await chat.events.next_of(IsTyping) == IsTyping("@mei", "mei")


async def test_own_typing_is_shown_to_others_only(chat: World) -> None:
    await chat.ada.typing("#lobby")
    assert await chat.has_typed("#lobby", "mei")
    await said(chat, "after it")
    assert not any(isinstance(event, IsTyping) for event in chat.events.all)


async def test_typing_never_raises(world: World) -> None:
    await world.ada.typing("#nowhere")


async def test_conversations_are_listed_by_name(chat: World) -> None:
    chat.room("#music", operator="mei")
    await chat.ada.join("#music")
    await chat.ada.send("@tomas", "hello").sent()
    chat.say("@mei", "mei", "hello")
    conversations = await chat.ada.conversations()
    assert [(c.name, c.unread) for c in conversations] == [
        ("#lobby", 0), ("#music", 0), ("@mei", 1), ("@tomas", 0),
    ]  # fmt: skip
